"""Exercises of the chapter "Every field is linear, somewhere"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import expm

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[[np.ndarray], np.ndarray]


def _chord_inputs(rng: np.random.Generator) -> tuple:
    a, b, c = rng.uniform(0.5, 1.5, 3)

    def f(x: np.ndarray) -> np.ndarray:
        return a * np.sin(x) + b * np.square(x) - c * np.tanh(2 * x)

    def slope(x: np.ndarray) -> np.ndarray:
        return a * np.cos(x) + 2 * b * x - 2 * c / np.cosh(2 * x) ** 2

    x = rng.uniform(0.3, 2, 6) * rng.choice([-1, 1], 6)
    x[rng.integers(6)] = 0.0
    return f, slope, x


def _chord(f: Function, slope: Function, x: np.ndarray, at_zero: float | None = None) -> np.ndarray:
    a = np.full(x.shape, slope(0.0) if at_zero is None else at_zero)
    a[x != 0] = f(x[x != 0]) / x[x != 0]
    return a


def _upside_down(f: Function, slope: Function, x: np.ndarray) -> np.ndarray:
    a = _chord(f, slope, x)
    return np.where(x != 0, 1 / a, a)


CHORD = Exercise(
    call="chord(f, slope, x)",
    inputs=_chord_inputs,
    truth=_chord,
    mistakes=(
        Mistake(
            lambda f, slope, x: slope(x),
            "This is the tangent at x. Times x it does not give f(x): the chord starts at 0, not at x.",
        ),
        Mistake(
            lambda f, slope, x: np.full(x.shape, slope(0.0)),
            "This is the tangent at 0 for every x: the operator has to change with the state.",
        ),
        Mistake(
            lambda f, slope, x: _chord(f, slope, x, 0.0),
            "Right away from 0, but 0 at x = 0: there the chord shrinks to a point and turns into the tangent.",
        ),
        Mistake(
            lambda f, slope, x: _chord(f, slope, x, 1.0),
            "Right away from 0, but 1 at x = 0: there the chord shrinks to a point and turns into the tangent.",
        ),
        Mistake(_upside_down, "Upside down: the slope is the height f(x) over the way x."),
        Mistake(lambda f, slope, x: f(x), "This is the velocity; its slope as seen from 0 is the velocity over x."),
        Mistake(
            lambda f, slope, x: _chord(f, slope, np.abs(x)),
            "The sign of x was lost: on the left of 0 both f(x) and x keep their signs.",
        ),
        Mistake(
            lambda f, slope, x: (slope(x) + slope(0.0)) / 2,
            "The mean of two tangents, at 0 and at x, is not the mean of all tangents between them.",
        ),
    ),
    section="A slope for every state",
    shapes="The answer has one slope for each entry of the array x.",
)


def _average_inputs(rng: np.random.Generator) -> tuple:
    w, v, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)

    def jacobian(z: np.ndarray) -> np.ndarray:
        return np.einsum("ik,nk,kj->nij", v, 1 - np.tanh(z @ w.T + b) ** 2, w)

    return jacobian, rng.normal(size=(6, 3)), *np.polynomial.legendre.leggauss(6)


def _average(jacobian: Function, z: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _weighted(jacobian, z, (nodes + 1) / 2, weights / 2)


def _weighted(jacobian: Function, z: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return sum(w * jacobian(s * z) for s, w in zip(points, weights, strict=True))


def _average_fault(values: np.ndarray, *inputs: Any) -> str | None:
    truth = _average(*inputs)
    if np.allclose(values, truth, rtol=1e-4, atol=1e-6):
        return None
    off = np.abs(values - truth).max()
    if off < 0.2 * np.abs(truth).max():
        # Evenly spaced or random places, few or many: they come near, each in its own way.
        return f"Near, but off by {off:.2g}: is J read at places of your own? Take the given nodes and their weights."
    return f"Right shape, wrong numbers: off by {off:.2g} at most."


AVERAGE = Exercise(
    call="average_jacobian(jacobian, z, nodes, weights)",
    inputs=_average_inputs,
    truth=_average,
    mistakes=(
        Mistake(
            lambda j, z, x, w: j(z),
            "This is the Jacobian at the cell itself. It is not the factor: J z is not f unless f is linear.",
        ),
        Mistake(lambda j, z, x, w: j(0 * z), "This is the Jacobian at 0, the first moment of the walk only."),
        Mistake(
            lambda j, z, x, w: j(z / 2),
            "This is the Jacobian half-way. The average of J is not J at the average place.",
        ),
        Mistake(
            lambda j, z, x, w: (j(0 * z) + j(z)) / 2,
            "This averages the two ends of the walk only; the nodes in between are missing.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, x, w / 2),
            "The nodes still lie between -1 and 1, so half of them look behind 0: map them to s between 0 and 1.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, (x + 1) / 2, w),
            "Twice too large: the weights add up to 2, the length from -1 to 1; for an average they must add up to 1.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, x, w),
            "This is the integral from -1 to 1: neither the nodes nor the weights were mapped to 0 to 1.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, (x + 1) / 2, np.full(len(x), 1 / len(x))),
            "All nodes count the same here; the nodes lie closer at the ends, so each has its own weight.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, (x + 1) / 2, np.ones(len(x))),
            "This adds the Jacobians up without weights: it is a sum, not an average.",
        ),
        Mistake(
            lambda j, z, x, w: _average(j, z, x, w).transpose(0, 2, 1),
            "This is A transposed: rows are targets, as in the Jacobians that came in.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, 1 - x, w / 2),
            "These nodes run from 0 to 2, past the cell: the walk ends at s = 1.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, x / 2, w / 2),
            "These nodes run from -1/2 to 1/2: they are squeezed, but not yet shifted to 0 to 1.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, x / 2, w),
            "These nodes run from -1/2 to 1/2, and the weights still add up to 2: shift the nodes, halve the weights.",
        ),
        Mistake(
            lambda j, z, x, w: _weighted(j, z, (x + 1) / 2, w * (x + 1) / 2),
            "s stands inside the integral as a factor: it says where J is read, and is not multiplied with it.",
        ),
    ),
    fault=_average_fault,
    section="Two genes and a walk",
    shapes="jacobian takes all cells at once, (n, D), and gives one matrix for each, (n, D, D); so does the answer.",
)


def _lift_inputs(rng: np.random.Generator) -> tuple:
    return rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(6, 3)), rng.uniform(0.5, 0.9)


def _lifted(a: np.ndarray, b: np.ndarray, corner: float = 0.0) -> np.ndarray:
    return np.block([[a, b[:, None]], [np.zeros((1, len(b))), np.full((1, 1), corner)]])


def _push(matrix: np.ndarray, z: np.ndarray, last: float = 1.0) -> np.ndarray:
    """Append a number to every cell, let the matrix act on the columns, drop the number again."""
    return (np.column_stack([z, np.full(len(z), last)]) @ matrix.T)[:, :-1]


def _lifted_move(a: np.ndarray, b: np.ndarray, z: np.ndarray, dt: float) -> np.ndarray:
    return _push(expm(_lifted(a, b) * dt), z)


LIFTED_MOVE = Exercise(
    call="lifted_move(A, b, z, dt)",
    inputs=_lift_inputs,
    truth=_lifted_move,
    mistakes=(
        Mistake(
            lambda a, b, z, dt: _push(expm(_lifted(a, b, 1.0) * dt), z),
            "There is a 1 in the corner, so the appended 1 grows and the push with it: the last row is all zeros.",
        ),
        Mistake(
            lambda a, b, z, dt: _push(expm(_lifted(a, b).T * dt), z),
            "The lift acts transposed. b belongs in its last column; and as cells stand in rows, the exponential comes "
            "from the right as its transpose, see hint 2.",
        ),
        Mistake(
            lambda a, b, z, dt: _push(expm(_lifted(a.T, b) * dt), z),
            "A acts transposed, b as it should. Either A was transposed inside the lift, or b stands in the last row "
            "and the exponential was not transposed, see hint 2.",
        ),
        Mistake(
            lambda a, b, z, dt: z @ expm(a * dt).T + b * dt,
            "The push was added after the move, as if A did not act on what b had pushed. It belongs inside.",
        ),
        Mistake(
            lambda a, b, z, dt: (z + b * dt) @ expm(a * dt).T,
            "The push was added before the move, all at once; it acts all along the way, inside the exponential.",
        ),
        Mistake(lambda a, b, z, dt: z @ expm(a * dt).T + b, "b is a velocity, not a displacement, and acts inside."),
        Mistake(
            lambda a, b, z, dt: z @ expm(a * dt).T,
            "b has no effect here. Append a 1 to every cell, not a 0, and put b in the last column, not the last row.",
        ),
        Mistake(
            lambda a, b, z, dt: _push(expm(_lifted(a * dt, b)), z),
            "A was multiplied by dt and b was not: multiply the whole lifted matrix.",
        ),
        Mistake(
            lambda a, b, z, dt: _push(expm(_lifted(a, b)), z), "The time step is missing: exp of the lift times dt."
        ),
        Mistake(
            lambda a, b, z, dt: _push(np.exp(_lifted(a, b) * dt), z),
            "np.exp takes the exponential of each entry; the exponential of a matrix is another function, see hint 2.",
        ),
        Mistake(
            lambda a, b, z, dt: _push(np.exp(_lifted(a, b).T * dt), z),
            "np.exp takes the exponential of each entry, and the lift acts transposed as well, see hint 2.",
        ),
        Mistake(lambda a, b, z, dt: z @ a.T + b, "This is the velocity A z + b, not the place where it leads."),
        Mistake(
            lambda a, b, z, dt: z + dt * (z @ a.T + b),
            "This is one straight step: the matrix should act all along the way.",
        ),
    ),
    section="Break it",
    shapes="Append a 1 to every row of z, shape (n, D + 1), and drop the last column at the end; "
    "for cells in rows, hint 2 asks from which side the matrix comes.",
)

EXERCISES = {"chord": CHORD, "average-jacobian": AVERAGE, "lifted-move": LIFTED_MOVE}
