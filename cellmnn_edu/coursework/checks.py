"""Checks of the exercises: properties on random inputs, and a name for the mistake.

A check never compares with a stored answer. It tries the answer on inputs drawn from a seed, and where the
result is wrong it looks for the classic mistakes, so that the reader learns what happened, not only that it did.
"""

from __future__ import annotations

import textwrap
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .exercises import EXERCISES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exercise import Exercise


class Verdict(NamedTuple):
    """Outcome of a check."""

    passed: bool
    message: str


def check(name: str, answer: Any, seed: int = 0) -> None:
    """Check an answer and print the verdict.

    Parameters
    ----------
    name : str
        The exercise, as named in the chapter, for example "straight-line".
    answer : object
        Your answer, usually a function.
    seed : int
        Of the random inputs. Grading uses others.

    Raises
    ------
    ValueError
        For an exercise that does not exist.
    """
    verdict = judge(name, answer, seed)
    print(textwrap.fill(f"{'✓' if verdict.passed else '✗'} {verdict.message}", 76, subsequent_indent="  "))


def judge(name: str, answer: Any, seed: int = 0) -> Verdict:
    """Check an answer and return the verdict.

    Parameters
    ----------
    name, answer, seed
        As in `check`.

    Returns
    -------
    Verdict
        passed, and a message that names the mistake where it is a known one.
    """
    if name not in EXERCISES:
        raise ValueError(f"Expected one of the exercises {', '.join(EXERCISES)}; got {name!r}.")
    exercise = EXERCISES[name]
    if answer is None or answer is ...:
        return Verdict(False, f"Nothing to check yet: write {exercise.call} first.")
    if not callable(answer):
        return Verdict(False, f"Expected the function {exercise.call}, got a {type(answer).__name__}: pass its name.")
    rng = np.random.default_rng(seed)
    trials = [exercise.inputs(rng) for _ in range(4)]
    for inputs in trials:
        message = _fault(exercise, answer, inputs)
        if message:
            return Verdict(False, message)
    return Verdict(
        True,
        f"{len(trials)} of {len(trials)} practice checks pass.",
    )


def _fault(exercise: Exercise, answer: Callable, inputs: tuple) -> str | None:
    """What is wrong with the answer on these inputs, or None."""
    copies = [x if callable(x) else deepcopy(x) for x in inputs]
    try:
        got = answer(*copies)
    except ValueError:
        return f"The arrays do not fit together. {exercise.shapes}"
    except Exception as error:
        return f"{exercise.call} stopped with {type(error).__name__}: {error}."
    if got is None or got is ...:
        return f"{exercise.call} returns nothing yet: end it with `return`."
    if any(not np.array_equal(a, b) for a, b in zip(copies, inputs, strict=True)):
        return "The answer changes its input in place: the caller's numbers change too. Compute a new array."
    truth = np.asarray(exercise.truth(*inputs))
    try:
        shape = np.shape(got)
    except Exception:  # parts of different shapes, or tensors that NumPy cannot read
        return (
            f"Expected {_in_words(truth.shape)}, got a {type(got).__name__} whose parts do not make one array. "
            f"{exercise.shapes}"
        )
    if shape != truth.shape:
        return f"Expected {_in_words(truth.shape)}, got {_in_words(shape)}. {exercise.shapes}"
    try:
        values = np.asarray(got.detach() if hasattr(got, "detach") else got, dtype=float)
    except Exception:
        return f"Expected an array of numbers, got {type(got).__name__}. {exercise.hint}"
    if not np.isfinite(values).all():
        return f"The answer holds NaN or inf: look for a division by zero. {exercise.hint}"
    if exercise.fault is None and np.allclose(values, truth, rtol=1e-4, atol=1e-6):
        return None
    if exercise.fault is not None and (found := exercise.fault(values, *inputs)) is None:
        return None
    for mistake in exercise.mistakes:
        if np.allclose(values, mistake.compute(*inputs), rtol=1e-4, atol=1e-6):
            return f"{mistake.message} {exercise.hint}".strip()
    if exercise.fault is not None:
        return f"{found} {exercise.hint}".strip()
    return f"Right shape, wrong numbers: off by {np.abs(values - truth).max():.2g} at most. {exercise.hint}"


def _in_words(shape: tuple[int, ...]) -> str:
    return f"an array of shape {shape}" if shape else "a single number"
