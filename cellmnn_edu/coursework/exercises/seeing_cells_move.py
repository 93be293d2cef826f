"""Exercises of the chapter "Can we see a cell move if every measurement kills it?"."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm

from ..exercise import Exercise, Mistake


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
    section="Straight lines between strangers",
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
    section="A matrix for every cell",
    shapes="The cells are the rows of z, so the matrix has to come from the right: see hint 2.",
)


def _cut_short(a: np.ndarray, z: np.ndarray, dt: float, order: int) -> np.ndarray:
    term = moved = z
    for k in range(1, order + 1):
        term = dt / k * term @ a.T
        moved = moved + term
    return moved


EXERCISES = {"straight-line": STRAIGHT_LINE, "move": MOVE}
