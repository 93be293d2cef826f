"""Exercises of the chapter "One field, many operators"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable

    Field = Callable[[np.ndarray], np.ndarray]


def _factor_inputs(rng: np.random.Generator) -> tuple:
    return rng.normal(size=(3, 3)), rng.uniform(0.5, 1.5, 3) * rng.choice([-1, 1], 3), rng.normal(size=(3, 3))


def _silent(z: np.ndarray) -> np.ndarray:
    return z @ z * np.eye(len(z)) - np.outer(z, z)


def _other_factor(a: np.ndarray, z: np.ndarray, m: np.ndarray) -> np.ndarray:
    return a + m @ _silent(z)


OTHER_FACTOR = Exercise(
    call="other_factor(A, z, M)",
    inputs=_factor_inputs,
    truth=_other_factor,
    mistakes=(
        Mistake(lambda a, z, m: a + m, "M alone was added, and M z is not 0: the velocity has changed."),
        Mistake(
            lambda a, z, m: a + m @ (np.eye(3) - np.outer(z, z)),
            "|z|^2 is missing before I: without it the bracket sends z to 0 only where z has length 1.",
        ),
        Mistake(
            lambda a, z, m: a + m @ (np.linalg.norm(z) * np.eye(3) - np.outer(z, z)),
            "The length of z stands before I; its square is needed, |z|^2 = z @ z.",
        ),
        Mistake(
            lambda a, z, m: a + _silent(z) @ m,
            "M stands on the right of the bracket. The bracket must meet z first, so it comes last.",
        ),
        Mistake(
            lambda a, z, m: a - m @ _silent(z),
            "This is a factor too, but the one of -M: the signs in the bracket are turned.",
        ),
        Mistake(lambda a, z, m: m @ _silent(z), "A is missing: this matrix sends z to 0, so its velocity is 0."),
        Mistake(
            lambda a, z, m: a + m * _silent(z),
            "M and the bracket were multiplied entry by entry (*); the product of matrices is @.",
        ),
        Mistake(
            lambda a, z, m: a + m @ (z @ z * np.eye(3) - z @ z),
            "For one vector z @ z.T is the number |z|^2, not a matrix: the outer product is numpy.outer(z, z).",
        ),
        Mistake(
            lambda a, z, m: a + m @ (z @ z - np.outer(z, z)),
            "I is missing after |z|^2: a number minus a matrix puts the number into every entry, not on the diagonal.",
        ),
        Mistake(
            lambda a, z, m: a + m @ _silent(z) / (z @ z),
            "This is a factor too, but the bracket was divided by |z|^2: asked is |z|^2 I - z z^T, without a fraction.",
        ),
        Mistake(
            lambda a, z, m: a + m @ np.outer(z, z),
            "Here M z z^T was added, which does not send z to 0: |z|^2 I minus z z^T does.",
        ),
        Mistake(
            lambda a, z, m: a + z @ z * m,
            "z z^T is missing: |z|^2 M alone does not send z to 0.",
        ),
    ),
    section="A whole family",
    shapes="A, M and the answer have the shape (D, D), z has (D,).",
)


def _two_inputs(rng: np.random.Generator) -> tuple:
    f, z = (rng.uniform(0.5, 2, 2) * rng.choice([-1, 1], 2) for _ in range(2))
    return f, z


def _pair(f: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Second rows (1, b) and (-1, b'), first rows along z."""
    return np.stack([[f[0] * z / (z @ z), [c, (f[1] - c * z[0]) / z[1]]] for c in (1.0, -1.0)])


def _twice(f: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.stack([np.outer(f, z) / (z @ z)] * 2)


def _one_entry(f: np.ndarray, z: np.ndarray) -> np.ndarray:
    out = _pair(f, z)
    out[1] = out[0]
    out[1, 1, 0] *= -1
    return out


def _negated(f: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _twice(f, z) * np.array([1, -1])[:, None, None]


def _other_sign(f: np.ndarray, z: np.ndarray) -> np.ndarray:
    return _pair(f[::-1], z[::-1])[:, ::-1, ::-1].copy()


TRANSPOSED = "These matrices give f when they are transposed: rows are targets, so A @ z must be f."
ONE_ENTRY = (
    "Only the entry [1, 0] was turned, so the second velocity changed with it: let the other entry of that row make "
    "up for it."
)
NEGATED = "The second matrix is minus the first, so it moves the cell backwards: both must give the same velocity."
SAME = "Both matrices have the same sign at [1, 0], the effect of gene 1 on gene 2: one must be positive, one negative."
OTHER_SIGN = (
    "You set [0, 1], the effect of gene 2 on gene 1 (B on A): the signs differ there. Rows are targets: gene 1 acts on "
    "gene 2 at [1, 0]."
)
ZERO = "One of the entries [1, 0] is 0, which is no sign: gene 1 would not act on gene 2 at all."


def _two_fault(values: np.ndarray, f: np.ndarray, z: np.ndarray) -> str | None:
    right = [np.allclose(a @ z, f, rtol=1e-4, atol=1e-6) for a in values]
    if not all(right):
        return _wrong_velocity(values, f, z, right)
    effects, backwards = values[:, 1, 0], values[:, 0, 1]
    no_sign = np.abs(effects).min() < 1e-6
    if not no_sign and effects[0] * effects[1] < 0:
        return None
    if backwards[0] * backwards[1] < 0:
        return OTHER_SIGN
    return ZERO if no_sign else SAME


def _wrong_velocity(values: np.ndarray, f: np.ndarray, z: np.ndarray, right: list[bool]) -> str:
    if np.allclose(z @ values, f, rtol=1e-4, atol=1e-6):
        return TRANSPOSED
    change = values[1] - values[0]
    change[1, 0] = 0
    if any(right) and np.allclose(change, 0):
        return ONE_ENTRY
    if np.allclose(values[0], -values[1]):
        return NEGATED
    which = "The second matrix" if right[0] else "The first matrix" if right[1] else "Neither matrix"
    return f"{which} {'gives another velocity' if any(right) else 'gives the velocity f'}: A @ z must be f for both."


TWO_OPERATORS = Exercise(
    call="two_operators(f, z)",
    inputs=_two_inputs,
    truth=_pair,
    mistakes=(
        Mistake(lambda f, z: _pair(f, z).transpose(0, 2, 1), TRANSPOSED),
        Mistake(_one_entry, ONE_ENTRY),
        Mistake(_negated, NEGATED),
        Mistake(_twice, "This is the same matrix twice."),
        Mistake(_other_sign, OTHER_SIGN),
        Mistake(
            lambda f, z: np.stack([np.diag(f / z), _pair(f, z)[0]]),
            "The first matrix is diagonal: its velocity is right, but 0 at [1, 0] is no sign.",
        ),
    ),
    section="One equation, two unknowns",
    shapes="Return numpy.stack([first, second]) of two matrices (2, 2).",
    fault=_two_fault,
)


def _poke_inputs(rng: np.random.Generator) -> tuple:
    w, v, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 5)), rng.normal(size=5)

    def field(z: np.ndarray) -> np.ndarray:
        return v @ (np.tanh(w @ z + b) - np.tanh(b))

    return field, rng.uniform(0.5, 1.5, 3) * rng.choice([-1, 1], 3), int(rng.integers(3)), 1e-6


def _unit(z: np.ndarray, j: int) -> np.ndarray:
    return np.eye(len(z))[j]


def _response(field: Field, z: np.ndarray, push: np.ndarray) -> np.ndarray:
    return field(z + push) - field(z)


def _poke(field: Field, z: np.ndarray, j: int, eps: float) -> np.ndarray:
    return _response(field, z, eps * _unit(z, j)) / eps


def _row(field: Field, z: np.ndarray, j: int, eps: float) -> np.ndarray:
    return np.array([_poke(field, z, k, eps)[j] for k in range(len(z))])


def _factor_column(field: Field, z: np.ndarray, j: int, eps: float) -> np.ndarray:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    pokes = [_poke(field, (node + 1) / 2 * z, j, eps) for node in nodes]
    return weights / 2 @ np.array(pokes)


POKE = Exercise(
    call="poke(field, z, j, eps)",
    inputs=_poke_inputs,
    truth=_poke,
    mistakes=(
        Mistake(
            lambda field, z, j, eps: _response(field, z, eps * _unit(z, j)),
            "This is the whole response to a tiny push; divide it by eps to get the response for each unit of push.",
        ),
        Mistake(
            lambda field, z, j, eps: field(z + eps * _unit(z, j)) / eps,
            "The velocity before the push was not subtracted.",
        ),
        Mistake(
            lambda field, z, j, eps: field(z + eps * _unit(z, j)),
            "This is the velocity after the push. How much did it change, for each unit of push?",
        ),
        Mistake(
            lambda field, z, j, eps: _response(field, z, np.full(3, eps)) / eps,
            "All coordinates were pushed: z + eps adds eps to each of them. Push coordinate j alone.",
        ),
        Mistake(
            lambda field, z, j, eps: _poke(field, z, (j + 1) % 3, eps),
            "The coordinate after j was pushed (after the last comes the first): use j itself, not a fixed number.",
        ),
        Mistake(
            lambda field, z, j, eps: _poke(field, z, (j + 2) % 3, eps),
            "The coordinate before j was pushed (before the first comes the last): use j itself, not a fixed number.",
        ),
        Mistake(
            _row, "This is row j, how coordinate j answers to pushes in all: wanted is how all answer to one push."
        ),
        Mistake(
            _factor_column,
            "This is column j of the factor, the average over the walk from 0. The cell answers with what holds where "
            "it stands.",
        ),
        Mistake(
            lambda field, z, j, eps: -_poke(field, z, j, eps),
            "The sign is turned: after the push minus before, not the other way round.",
        ),
        Mistake(
            lambda field, z, j, eps: _poke(field, z, j, eps) * z[j],
            "Coordinate j was stretched by the factor 1 + eps, a push of eps z_j: add eps itself.",
        ),
        Mistake(
            lambda field, z, j, eps: _poke(field, 0 * z, j, eps),
            "This pokes the cell at 0, not the cell at z.",
        ),
        Mistake(
            lambda field, z, j, eps: _response(field, z, -z[j] * _unit(z, j)) / -z[j],
            "This takes the whole of coordinate j away: a knock-out, and not a small push.",
        ),
        Mistake(
            lambda field, z, j, eps: _response(field, z, _unit(z, j)),
            "This is a push of size 1; make it of size eps and divide by eps.",
        ),
    ),
    section="Ask the cell, not the matrix",
    shapes="z and the answer have the shape (D,); the push is a vector too, eps at position j and 0 elsewhere.",
)


def _second_inputs(rng: np.random.Generator) -> tuple:
    z = rng.uniform(0.5, 1.5, 2)
    f = np.array([-z[1], z[0]]) * rng.uniform(0.5, 1.5) + rng.uniform(-0.5, 0.5) * z  # never along z
    return z, f, rng.normal(size=2)


def _second_order(z: np.ndarray, f: np.ndarray, a: np.ndarray) -> np.ndarray:
    return np.column_stack([f, a]) @ np.linalg.inv(np.column_stack([z, f]))


SECOND_ORDER = Exercise(
    call="second_order(z, f, a)",
    inputs=_second_inputs,
    truth=_second_order,
    mistakes=(
        Mistake(
            lambda z, f, a: _second_order(z, f, a).T,
            "This is A transposed: z, f and a are columns, not rows.",
        ),
        Mistake(
            lambda z, f, a: np.linalg.inv(np.column_stack([z, f])) @ np.column_stack([f, a]),
            "The inverse stands on the left: A [z f] = [f a] is solved by multiplying from the right.",
        ),
        Mistake(
            lambda z, f, a: np.stack([f, a]) @ np.linalg.inv(np.stack([z, f])),
            "The vectors were stacked as rows; with rows the equation reads [z f]^T A^T = [f a]^T.",
        ),
        Mistake(
            lambda z, f, a: np.column_stack([a, f]) @ np.linalg.inv(np.column_stack([z, f])),
            "The columns of one side are swapped, so A z is a and A f is f: z must go to f, and f to a.",
        ),
        Mistake(
            lambda z, f, a: np.column_stack([z, f]) @ np.linalg.inv(np.column_stack([f, a])),
            "This is the inverse of A: it leads from the velocity back to the state.",
        ),
        Mistake(
            lambda z, f, a: np.outer(f, z) / (z @ z),
            "The velocity is right, A z = f, but the acceleration was not used: A f must be a.",
        ),
        Mistake(
            lambda z, f, a: np.outer(a, f) / (f @ f),
            "The acceleration is right, A f = a, but A z is not f.",
        ),
        Mistake(
            lambda z, f, a: np.outer(f, z) / (z @ z) + np.outer(a, f) / (f @ f),
            "Two solutions were added as if z and f were perpendicular; each spoils the equation of the other.",
        ),
        Mistake(
            lambda z, f, a: np.column_stack([f, a / 2]) @ np.linalg.inv(np.column_stack([z, f])),
            "The 1/2 of the series stands before both A A z and the acceleration: it falls out, and A f is a.",
        ),
        Mistake(
            lambda z, f, a: np.column_stack([f, a]) / np.column_stack([z, f]),
            "The matrices were divided entry by entry; what is needed is the inverse of a matrix.",
        ),
    ),
    section="A step takes sides",
    shapes="z, f and a have the shape (2,), the answer has (2, 2).",
)

EXERCISES = {
    "other-factor": OTHER_FACTOR,
    "two-operators": TWO_OPERATORS,
    "poke": POKE,
    "second-order": SECOND_ORDER,
}
