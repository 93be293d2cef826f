"""What an assignment is: questions, each with a rubric whose lines are properties that can be tried."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exercise import Exercise


class Variant(NamedTuple):
    """Who answers in which term: from it follow the student's own circuit, held-out time and so on.

    Attributes
    ----------
    student : str
        As written in the notebook; spaces around it and capital letters do not count.
    term : str
        The salt of the term, no secret: another term draws other variants.
    """

    student: str
    term: str = "open"

    def rng(self, what: str) -> np.random.Generator:
        """Return a generator for one drawing of this student, named by `what`; the same on every machine."""
        text = f"{self.term}/{self.student.strip().casefold()}/{what}"
        return np.random.default_rng(list(hashlib.sha256(text.encode()).digest()[:16]))


class Line(NamedTuple):
    """One line of a rubric.

    Attributes
    ----------
    text : str
        What earns the points, as a student reads it: "is right for any number of cells".
    points : int
        All or nothing.
    inputs : callable, optional
        ``inputs(rng, variant)`` draws the arguments of one trial: arrays, numbers, strings, tensors, or callables of
        `coursework.given`. None takes the exercise's own.
    fault : callable, optional
        ``fault(values, inputs, variant)`` returns None, or what is wrong with what came back. None compares with the
        exercise's truth and names its mistakes.
    through : callable, optional
        A function of `coursework.given`: ``through(answer, *inputs)`` is judged instead of ``answer(*inputs)``;
        without a `fault` it is compared with ``through(truth, *inputs)``.
    hidden : bool
        Tried by the grader only; the notebook's own check says that it exists.
    trials : int
        How often it is tried.
    tolerance : float
        Relative; a thousandth or so for float32.
    """

    text: str
    points: int
    inputs: Callable[[np.random.Generator, Variant], tuple] | None = None
    fault: Callable[[np.ndarray, tuple, Variant], str | None] | None = None
    through: Callable[..., Any] | None = None
    hidden: bool = False
    trials: int = 3
    tolerance: float = 1e-4


class Question(NamedTuple):
    """A function to hand in.

    Attributes
    ----------
    answer : str
        Name of the function in the notebook; the check's name is the same with hyphens.
    exercise : Exercise
        What is right, and which mistakes have a name.
    rubric : tuple of Line
    """

    answer: str
    exercise: Exercise
    rubric: tuple[Line, ...]

    @property
    def name(self) -> str:
        """Name for `check`."""
        return self.answer.replace("_", "-")

    @property
    def points(self) -> int:
        """Points of all lines."""
        return sum(line.points for line in self.rubric)


class Assignment(NamedTuple):
    """A sheet of coursework.

    Attributes
    ----------
    number : str
        "1" to "4", or "capstone".
    slug : str
        The master is book/assignments/<slug>.md; the student notebook book/notebooks/assignment-<number>-<slug>.ipynb.
    title : str
    questions : tuple of Question
    by_hand : dict
        Text -> points of the rubric lines that a person marks: an explanation, a figure.
    """

    number: str
    slug: str
    title: str
    questions: tuple[Question, ...]
    by_hand: dict[str, int]

    @property
    def points(self) -> int:
        """Points of all questions that the grader marks."""
        return sum(question.points for question in self.questions)

    @property
    def stem(self) -> str:
        """Name of the student notebook, without .ipynb."""
        return f"capstone-{self.slug}" if self.number == "capstone" else f"assignment-{self.number}-{self.slug}"
