"""Call an answer once, and say what came back: an array, or what went wrong. No verdict, no solution.

The grader runs this in the student's process, so this module imports nothing that knows a right answer.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Outcome(NamedTuple):
    """What came of one call.

    Attributes
    ----------
    value : ndarray or None
        What was returned, as an array of numbers; None where something went wrong.
    problem : str
        "" for an array; "nothing" (None or ... came back), "shapes" (arrays that do not fit together), "stopped"
        (another error), "ragged" (parts that make no array), "no-numbers"; the grader adds "missing", "time",
        "memory", "left" (the process ended) and "forbidden".
    text : str
        The error, or the type of what came back.
    after : tuple
        The inputs after the call.
    """

    value: np.ndarray | None
    problem: str = ""
    text: str = ""
    after: tuple = ()


def call(answer: Callable, inputs: tuple, through: Callable | None = None) -> Outcome:
    """Call an answer on copies of the inputs.

    Parameters
    ----------
    answer : callable
        The function of the student.
    inputs : tuple
        Its arguments.
    through : callable, optional
        Calls the answer in another way: ``through(answer, *inputs)``, for example to get a gradient.

    Returns
    -------
    Outcome
    """
    copies = tuple(x if callable(x) else deepcopy(x) for x in inputs)
    try:
        got = answer(*copies) if through is None else through(answer, *copies)
    except ValueError as error:
        return Outcome(None, "shapes", str(error), copies)
    except Exception as error:
        return Outcome(None, "stopped", f"{type(error).__name__}: {error}", copies)
    if got is None or got is ...:
        return Outcome(None, "nothing", type(got).__name__, copies)
    return as_array(got)._replace(after=copies)


def as_array(got: Any) -> Outcome:
    """Turn what came back into an array of numbers; tensors too, with or without a gradient."""
    name = type(got).__name__
    try:
        np.shape(got)
    except Exception:  # parts of different shapes, or tensors that NumPy cannot read
        return Outcome(None, "ragged", name)
    try:
        value = np.asarray(got.detach() if hasattr(got, "detach") else got)
        return Outcome(value if value.dtype.kind == "f" else value.astype(float), text=name)
    except Exception:
        return Outcome(None, "no-numbers", name)
