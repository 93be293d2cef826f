"""Checks of the exercises: properties on random inputs, and a name for the mistake.

A check never compares with a stored answer. It tries the answer on inputs drawn from a seed, and where the
result is wrong it looks for the classic mistakes, so that the reader learns what happened, not only that it did.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.linalg import expm

if TYPE_CHECKING:
    from collections.abc import Callable


class Verdict(NamedTuple):
    """Outcome of a check."""

    passed: bool
    message: str


class Mistake(NamedTuple):
    """A classic wrong answer: how it would compute, and what to say."""

    compute: Callable[..., Any]
    message: str


class Exercise(NamedTuple):
    """What a right answer computes, on which inputs, and the mistakes worth naming."""

    call: str
    inputs: Callable[[np.random.Generator], tuple]
    truth: Callable[..., np.ndarray]
    mistakes: tuple[Mistake, ...]
    hint: str
    shapes: str  # what to say when arrays do not fit together


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
    copies = [np.copy(x) if isinstance(x, np.ndarray) else x for x in inputs]
    try:
        got = answer(*copies)
    except ValueError:
        return f"The arrays do not fit together. {exercise.shapes}"
    except Exception as error:
        return f"{exercise.call} stopped with {type(error).__name__}: {error}."
    if got is None or got is ...:
        return f"{exercise.call} returns nothing yet: end it with `return`."
    if any(not np.array_equal(a, b) for a, b in zip(copies, inputs, strict=True)):
        return "The answer changes its input in place: the caller's cells would move. Compute a new array."
    truth = exercise.truth(*inputs)
    if np.shape(got) != truth.shape:
        return f"Expected an array of shape {truth.shape}, one row per cell, got {np.shape(got)}. {exercise.shapes}"
    try:
        values = np.asarray(got.detach() if hasattr(got, "detach") else got, dtype=float)
    except Exception:
        return f"Expected an array of numbers, got {type(got).__name__}. {exercise.hint}"
    if not np.isfinite(values).all():
        return f"The answer holds NaN or inf: look for a division by zero. {exercise.hint}"
    if np.allclose(values, truth, rtol=1e-4, atol=1e-6):
        return None
    for mistake in exercise.mistakes:
        if np.allclose(values, mistake.compute(*inputs), rtol=1e-4, atol=1e-6):
            return f"{mistake.message} {exercise.hint}"
    return f"Right shape, wrong numbers: off by {np.abs(values - truth).max():.2g} at most. {exercise.hint}"


def _line_inputs(rng: np.random.Generator) -> tuple:
    start, partner = rng.normal(size=(2, 6, 3))
    t0 = rng.uniform(1, 3)
    t1 = t0 + rng.uniform(2, 4)
    # Not the middle: there several mistakes would go unseen.
    return start, partner, t0, t1, t0 + rng.uniform(0.15, 0.4) * (t1 - t0)


def _line(start: np.ndarray, partner: np.ndarray, t0: float, t1: float, t: float) -> np.ndarray:
    return start + (t - t0) / (t1 - t0) * (partner - start)


STRAIGHT_LINE = Exercise(
    call="straight_line(start, partner, t0, t1, t)",
    inputs=_line_inputs,
    truth=_line,
    mistakes=(
        Mistake(lambda s, p, t0, t1, t: (s + p) / 2, "This is always the midpoint, whatever t is."),
        Mistake(
            lambda s, p, t0, t1, t: p + (t - t0) / (t1 - t0) * (s - p),
            "This walks backwards: at t = t0 the cell stands at its partner.",
        ),
        Mistake(
            lambda s, p, t0, t1, t: s + (t - t0) * (p - s),
            "The time was not divided by the length of the interval t1 - t0, so the cell overshoots.",
        ),
        Mistake(
            lambda s, p, t0, t1, t: s + t / t1 * (p - s),
            "The clock starts at 0 here, but the walk starts at t0: subtract t0 from both times.",
        ),
        Mistake(
            lambda s, p, t0, t1, t: (t - t0) / (t1 - t0) * (p - s),
            "This is the displacement; add it to where the cell started.",
        ),
        Mistake(
            lambda s, p, t0, t1, t: s + t / (t1 - t0) * (p - s),
            "t0 was subtracted below the line but not above it: the time that has passed is t - t0.",
        ),
        Mistake(
            lambda s, p, t0, t1, t: s + (t - t0) / t1 * (p - s),
            "t0 was subtracted above the line but not below it: the whole walk takes t1 - t0.",
        ),
        Mistake(
            lambda s, p, t0, t1, t: s + (t - t0) / (t1 - t0) * p,
            "The way to go is partner - start, not partner.",
        ),
        Mistake(lambda s, p, t0, t1, t: s, "The cell has not moved: this is persistence."),
        Mistake(lambda s, p, t0, t1, t: p, "The cell has arrived already: at time t it is still on its way."),
    ),
    hint="See hint 1 of the exercise.",
    shapes="start and partner have one row per cell, and so has the answer.",
)


def _move_inputs(rng: np.random.Generator) -> tuple:
    return rng.normal(size=(3, 3)), rng.normal(size=(6, 3)), rng.uniform(0.5, 0.9)


def _move(a: np.ndarray, z: np.ndarray, dt: float) -> np.ndarray:
    return z @ expm(a * dt).T


MOVE = Exercise(
    call="move(A, z, dt)",
    inputs=_move_inputs,
    truth=_move,
    mistakes=(
        Mistake(
            lambda a, z, dt: z @ expm(a * dt),
            "This is A transposed: rows and columns changed places, so what is driven drives. Hint 2 says how.",
        ),
        Mistake(
            lambda a, z, dt: z + dt * z @ a.T,
            "This is one straight step, z + dt A z: the matrix should act all along the way.",
        ),
        Mistake(lambda a, z, dt: z + dt * z @ a, "This is one straight step, and with A transposed."),
        Mistake(lambda a, z, dt: _cut_short(a, z, dt, 2), "The series was cut short after M M; it goes on for ever."),
        Mistake(lambda a, z, dt: _cut_short(a, z, dt, 3), "The series was cut short after M M M; it goes on for ever."),
        Mistake(lambda a, z, dt: z + _move(a, z, dt), "The exponential contains I already: do not add z again."),
        Mistake(
            lambda a, z, dt: z @ np.exp(a * dt).T,
            "np.exp acts on each entry alone; the exponential of a matrix is scipy.linalg.expm.",
        ),
        Mistake(
            lambda a, z, dt: z @ np.exp(a * dt),
            "np.exp acts on each entry alone, and A is transposed: use scipy.linalg.expm, and hint 2.",
        ),
        Mistake(lambda a, z, dt: z @ expm(a).T, "The time step is missing: the exponential is of A times dt."),
        Mistake(lambda a, z, dt: z @ a.T, "This is the velocity A z, not the place where it leads."),
        Mistake(lambda a, z, dt: dt * z @ expm(a).T, "dt belongs inside the exponential."),
        Mistake(lambda a, z, dt: z @ expm(-a * dt).T, "This runs time backwards: check the sign of dt."),
    ),
    hint="See hint 1 of the exercise.",
    shapes="The cells are the rows of z, so the matrix has to come from the right: see hint 2.",
)


def _cut_short(a: np.ndarray, z: np.ndarray, dt: float, order: int) -> np.ndarray:
    term = moved = z
    for k in range(1, order + 1):
        term = dt / k * term @ a.T
        moved = moved + term
    return moved


EXERCISES = {"straight-line": STRAIGHT_LINE, "move": MOVE}
