"""What an exercise is: what a right answer computes, on which inputs, and which mistakes have a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


class Mistake(NamedTuple):
    """A classic wrong answer: how it would compute, and what to say."""

    compute: Callable[..., Any]
    message: str


class Exercise(NamedTuple):
    """A function to write, and how its result is judged.

    Attributes
    ----------
    call : str
        How the function is called, for messages: "move(A, z, dt)".
    inputs : callable
        Draws the arguments from a random generator.
    truth : callable
        A right answer.
    mistakes : tuple of Mistake
        Tried in order on the inputs that show that the answer is wrong.
    hint : str
        Something to try, added to the messages about wrong numbers.
    shapes : str
        What to say when arrays do not fit together.
    fault : callable, optional
        For exercises with more than one right answer: ``fault(values, *inputs)`` returns None for a right answer,
        else what is wrong with it. Without it the answer must equal `truth`.
    section : str
        Heading of the section that explains it; each message ends by pointing there.
    page : str
        Title of the page of that section, where it is not the page of the exercise.
    """

    call: str
    inputs: Callable[[np.random.Generator], tuple]
    truth: Callable[..., np.ndarray]
    mistakes: tuple[Mistake, ...]
    hint: str = ""
    shapes: str = ""
    fault: Callable[..., str | None] | None = None
    section: str = ""
    page: str = ""
