"""Exercises of the chapter "Moving in closed form"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import expm

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable

    Operator = Callable[[np.ndarray], np.ndarray]


def _eigen_inputs(rng: np.random.Generator) -> tuple:
    basis = np.eye(3) + rng.uniform(0.3, 0.6, (3, 3)) * rng.choice([-1, 1], (3, 3)) * (1 - np.eye(3))
    return rng.uniform(-1.5, 1, 3), basis, rng.normal(size=(6, 3)), rng.uniform(0.5, 0.9)


def _eigen(values: np.ndarray, basis: np.ndarray, z: np.ndarray, dt: float) -> np.ndarray:
    return _there_and_back(np.exp(values * dt), basis, z)


def _there_and_back(factors: np.ndarray, basis: np.ndarray, z: np.ndarray) -> np.ndarray:
    """P^-1 diag(factors) P for every row of z."""
    return np.linalg.solve(basis, factors[:, None] * (basis @ z.T)).T


FLOW_EIGEN = Exercise(
    call="flow_eigen(values, P, z, dt)",
    inputs=_eigen_inputs,
    truth=_eigen,
    mistakes=(
        Mistake(
            lambda v, p, z, dt: _there_and_back(np.exp(v * dt), np.linalg.inv(p), z),
            "P and its inverse changed places: P leads into the coordinates of the eigenvalues, P^-1 out again.",
        ),
        Mistake(lambda v, p, z, dt: _there_and_back(np.exp(v), p, z), "The time step is missing in the exponential."),
        Mistake(lambda v, p, z, dt: _there_and_back(dt * np.exp(v), p, z), "dt belongs inside the exponential."),
        Mistake(
            lambda v, p, z, dt: z @ np.linalg.solve(p, np.exp(v * dt)[:, None] * p),
            "The matrix is transposed: cells are rows, so a matrix from the right must be transposed.",
        ),
        Mistake(
            lambda v, p, z, dt: (np.exp(v * dt)[:, None] * (p @ z.T)).T,
            "These are the coordinates of the eigenvalues still: the way out, P^-1, is missing.",
        ),
        Mistake(
            lambda v, p, z, dt: np.linalg.solve(p, (z * np.exp(v * dt)).T).T,
            "The way in is missing: apply P to z before the exponentials, which act on its coordinates.",
        ),
        Mistake(
            lambda v, p, z, dt: z * np.exp(v * dt),
            "P has no effect here: the coordinates of z are not the ones in which each eigenvalue acts alone.",
        ),
        Mistake(
            lambda v, p, z, dt: (p.T @ (np.exp(v * dt)[:, None] * (p @ z.T))).T,
            "P transposed is not its inverse: that would need rows at right angles.",
        ),
        Mistake(
            lambda v, p, z, dt: _there_and_back(v * dt, p, z),
            "The exponential is missing: the coordinates are multiplied by exp(value * dt), not by value * dt.",
        ),
        Mistake(
            lambda v, p, z, dt: _there_and_back(1 + v * dt, p, z),
            "This is one straight step, 1 + value * dt in each coordinate: take the exponential.",
        ),
        Mistake(lambda v, p, z, dt: _eigen(v, p, z, -dt), "This runs time backwards: check the sign of dt."),
        Mistake(
            lambda v, p, z, dt: _there_and_back(v, p, z), "This is the velocity A z, not the place where it leads."
        ),
        Mistake(
            lambda v, p, z, dt: ((z @ p) * np.exp(v * dt)) @ np.linalg.inv(p),
            "Both matrices lack a transpose: for cells in rows, P acts as z @ P.T, and the way out needs .T as well.",
        ),
        Mistake(
            lambda v, p, z, dt: ((z @ p.T) * np.exp(v * dt)) @ np.linalg.inv(p),
            "The way in is right, but the way out lacks a transpose: for rows it is y @ inv(P).T.",
        ),
        Mistake(
            lambda v, p, z, dt: ((z @ p) * np.exp(v * dt)) @ np.linalg.inv(p).T,
            "The way out is right, but the way in lacks a transpose: for rows it is z @ P.T.",
        ),
        Mistake(
            lambda v, p, z, dt: z @ np.exp(np.linalg.solve(p, v[:, None] * p) * dt).T,
            "np.exp of A * dt acts on each entry alone: that is not the exponential of a matrix.",
        ),
        Mistake(
            lambda v, p, z, dt: np.linalg.solve(p, np.exp(np.diag(v) * dt) @ p @ z.T).T,
            "np.exp of a diagonal matrix turns its zeros into ones: take np.exp of the values, then np.diag.",
        ),
    ),
    section="A shortcut through the eigenvalues",
    hint="Try it with P = np.eye(D): each column is multiplied by its own factor.",
    shapes="values is (D,), P is (D, D), the cells are the rows of z, (n, D), and the answer is (n, D).",
)


def _rotate_inputs(rng: np.random.Generator) -> tuple:
    turn = rng.uniform(0.8, 2) * rng.choice([-1, 1])
    return rng.uniform(0.3, 0.8) * rng.choice([-1, 1]), turn, rng.normal(size=(6, 2)), rng.uniform(0.5, 0.8)


def _rotate(growth: float, turn: float, z: np.ndarray, dt: float) -> np.ndarray:
    return np.exp(growth * dt) * _turned(turn * dt, z)


def _turned(angle: float, z: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return z @ np.array([[c, -s], [s, c]]).T


def _one_after_the_other(factor: float, angle: float, z: np.ndarray) -> np.ndarray:
    """The slip of overwriting x before y is computed from it."""
    c, s = np.cos(angle), np.sin(angle)
    x = factor * (c * z[:, 0] - s * z[:, 1])
    return np.column_stack([x, factor * (s * x + c * z[:, 1])])


def _block(growth: float, turn: float) -> np.ndarray:
    return np.array([[growth, -turn], [turn, growth]])


ROTATE = Exercise(
    call="rotate(growth, turn, z, dt)",
    inputs=_rotate_inputs,
    truth=_rotate,
    mistakes=(
        Mistake(
            lambda g, w, z, dt: np.exp(g * dt) * _turned(-w * dt, z),
            "This turns the other way: check the sign of the sine, or a transpose too many or too few.",
        ),
        Mistake(
            lambda g, w, z, dt: (1 + g * dt) * _turned(w * dt, z),
            "The growth is not exponentiated: 1 + growth * dt is only the first step of exp(growth * dt).",
        ),
        Mistake(
            lambda g, w, z, dt: g * dt * _turned(w * dt, z),
            "The length is multiplied by growth * dt; it must be multiplied by the exponential of that.",
        ),
        Mistake(
            lambda g, w, z, dt: g * _turned(w * dt, z),
            "The length is multiplied by growth, a rate; it must be multiplied by exp(growth * dt).",
        ),
        Mistake(lambda g, w, z, dt: _turned(w * dt, z), "The turn is right, but the cells neither grow nor shrink."),
        Mistake(lambda g, w, z, dt: np.exp(g * dt) * z, "The growth is right, but nothing turns."),
        Mistake(
            lambda g, w, z, dt: np.exp(g * dt) * _turned(w, z),
            "The time step is missing in the angle: turn is an angle per unit of time.",
        ),
        Mistake(
            lambda g, w, z, dt: np.exp(g) * _turned(w * dt, z),
            "The time step is missing in the growth: growth is a rate per unit of time.",
        ),
        Mistake(lambda g, w, z, dt: np.exp(g) * _turned(w, z), "The time step is missing in growth and angle."),
        Mistake(
            lambda g, w, z, dt: np.exp(g * dt) * _turned(np.radians(w * dt), z),
            "The angle is in radians already, and np.cos and np.sin expect radians.",
        ),
        Mistake(
            lambda g, w, z, dt: np.exp(g * dt) * _turned(np.degrees(w * dt), z),
            "np.cos and np.sin expect radians, not degrees.",
        ),
        Mistake(
            lambda g, w, z, dt: z @ np.exp(_block(g, w) * dt).T,
            "np.exp acts on each entry of the block alone; the block needs e^(growth dt), a cosine and a sine.",
        ),
        Mistake(
            lambda g, w, z, dt: z + dt * z @ _block(g, w).T,
            "This is one straight step along the tangent, so the cells leave the circle.",
        ),
        Mistake(
            lambda g, w, z, dt: z @ _block(g, w).T,
            "This is the velocity, not the place where it leads.",
        ),
        Mistake(
            lambda g, w, z, dt: np.exp(g * dt) * _one_after_the_other(1, w * dt, z),
            "The second coordinate is computed from the new first one: both need the old cell.",
        ),
        Mistake(
            lambda g, w, z, dt: _one_after_the_other(np.exp(g * dt), w * dt, z),
            "The first coordinate is overwritten, turned and grown, before the second one is computed from it.",
        ),
    ),
    section="The cure: a block for two coordinates",
    hint="Try growth 0 and turn * dt = pi / 2: the cell (1, 0) must come to (0, 1).",
    shapes="growth, turn and dt are numbers, z has two columns, and so has the answer.",
)


def _order_inputs(rng: np.random.Generator) -> tuple:
    order, step = rng.uniform(0.7, 4.3, 6), rng.uniform(0.05, 0.3)
    scale = rng.uniform(0.2, 0.9, 6)
    return scale * step**order, scale * (step / 2) ** order


def _order(error: np.ndarray, error_half: np.ndarray) -> np.ndarray:
    return np.log2(error / error_half)


ORDER = Exercise(
    call="order(error, error_half)",
    inputs=_order_inputs,
    truth=_order,
    mistakes=(
        Mistake(
            lambda e, f: np.log(e / f),
            "This is the natural logarithm; the step was halved, so count the factors of 2.",
        ),
        Mistake(
            lambda e, f: np.log10(e / f),
            "This is the logarithm to base 10; the step was halved, so count the factors of 2.",
        ),
        Mistake(lambda e, f: np.log2(f / e), "Upside down: the order of a method that improves is positive."),
        Mistake(lambda e, f: np.log(f / e), "Upside down, and with the natural logarithm."),
        Mistake(lambda e, f: e / f, "This is how often better the half step is, 2 to the power of the order."),
        Mistake(lambda e, f: f / e, "This is the share of the error that is left; the order is its exponent."),
        Mistake(
            lambda e, f: e / f / 2,
            "Half the ratio is right for the orders 1 and 2 only: the order is an exponent, so take a logarithm.",
        ),
        Mistake(
            lambda e, f: np.log(e) / np.log(f),
            "A quotient of logarithms is not the logarithm of a quotient: the order would depend on the unit.",
        ),
        Mistake(
            lambda e, f: np.log2(e) / np.log2(0.5),
            "This uses the first error only: an order compares two steps.",
        ),
        Mistake(lambda e, f: e - f, "This is how much the error falls; the order says by which power of 2."),
        Mistake(
            lambda e, f: np.log2(e / f) - 1,
            "One too small: these are errors at the end of the whole way, nothing has to be taken off.",
        ),
        Mistake(
            lambda e, f: np.log2(e / f) + 1,
            "One too large: that is the order of the error of a single step.",
        ),
        Mistake(
            lambda e, f: np.sqrt(e / f),
            "The square root is right for the orders 2 and 4 only: ask which power of 2 the ratio is.",
        ),
        Mistake(
            lambda e, f: np.round(np.log2(e / f)),
            "Do not round: a measured order is seldom a whole number, and how far off it is tells something.",
        ),
        Mistake(
            lambda e, f: np.floor(np.log2(e / f)),
            "This cuts the decimals off: an order of 1.97 would be read as 1.",
        ),
        Mistake(
            lambda e, f: np.round(e / f),
            "A rounded ratio says how often better the half step is; the order is the power of 2 in it.",
        ),
    ),
    section="Orders",
    hint="Try the errors 0.08 and 0.02: the order is 2.",
    shapes="error and error_half are arrays of the same length, and so is the answer.",
)


def _midpoint_inputs(rng: np.random.Generator) -> tuple:
    base, bend = rng.normal(0, 0.7, (3, 3)), rng.normal(0, 0.5, (3, 3, 3))

    def operator(z: np.ndarray) -> np.ndarray:
        return base + np.einsum("ijk,nk->nij", bend, np.tanh(z))

    return operator, rng.normal(size=(6, 3)), rng.uniform(0.5, 0.8)


def _act(matrices: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.einsum("nij,nj->ni", matrices, z)


def _half(operator: Operator, z: np.ndarray, h: float) -> np.ndarray:
    return _act(expm(operator(z) * h / 2), z)


def _midpoint(operator: Operator, z: np.ndarray, h: float) -> np.ndarray:
    return _act(expm(operator(_half(operator, z, h)) * h), z)


def _two_halves(operator: Operator, z: np.ndarray, h: float) -> np.ndarray:
    return _half(operator, _half(operator, z, h), h)


def _from(middle: np.ndarray, operator: Operator, z: np.ndarray, h: float) -> np.ndarray:
    """The whole step with the operator at another place."""
    return _act(expm(operator(middle) * h), z)


def _velocity(operator: Operator, z: np.ndarray) -> np.ndarray:
    return _act(operator(z), z)


MIDPOINT = Exercise(
    call="midpoint(operator, z, h)",
    inputs=_midpoint_inputs,
    truth=_midpoint,
    mistakes=(
        Mistake(
            lambda a, z, h: _from(z, a, z, h),
            "This is the frozen step, with the operator of the start: use the operator of the middle.",
        ),
        Mistake(lambda a, z, h: _half(a, z, h), "This is the place half-way; it only serves to find the operator."),
        Mistake(
            lambda a, z, h: _act(expm(a(_half(a, z, h)) * h / 2), z),
            "The operator of the middle acts for half the step only.",
        ),
        Mistake(
            _two_halves,
            "These are two frozen half steps: the operator of the middle has to move z all the way from the start.",
        ),
        Mistake(
            lambda a, z, h: _act(expm(a(_half(a, z, h)) * h), _half(a, z, h)),
            "The whole step begins in the middle here, so that half a step too much is walked: begin at z.",
        ),
        Mistake(
            lambda a, z, h: _from(_half(a, z, 2 * h), a, z, h),
            "This is the operator of the end: half a step leads to the middle.",
        ),
        Mistake(
            lambda a, z, h: _from(z + h / 2 * _velocity(a, z), a, z, h),
            "The way to the middle is a straight line here. That is of order 2 as well, but the chapter's midpoint "
            "takes the exponential for the half step too.",
        ),
        Mistake(
            lambda a, z, h: _from(z / 2, a, z, h),
            "The middle of the way is not z / 2: it is where half a step leads.",
        ),
        Mistake(
            lambda a, z, h: _act(expm((a(z) + a(_half(a, z, 2 * h))) * h / 2), z),
            "This averages the operators of start and end; wanted is the operator of the middle.",
        ),
        Mistake(
            lambda a, z, h: _act(expm(a(_half(a, z, h)) * h).transpose(0, 2, 1), z),
            "The last matrix is transposed: z @ M is M transposed times z.",
        ),
        Mistake(
            lambda a, z, h: _act(np.exp(a(_act(np.exp(a(z) * h / 2), z)) * h), z),
            "np.exp acts on each entry alone; the exponential of a matrix is scipy.linalg.expm.",
        ),
        Mistake(
            lambda a, z, h: z + h * _velocity(a, _half(a, z, h)),
            "The last step is straight, z plus h times a velocity: let the operator of the middle move z.",
        ),
        Mistake(
            lambda a, z, h: _act(a(_half(a, z, h)), z),
            "The exponential is missing in the last line: the operator itself gives a velocity.",
        ),
        Mistake(
            lambda a, z, h: _from(_half(a, z, 1), a, z, h),
            "The half step lacks its length: the way to the middle takes h / 2, not 1 / 2.",
        ),
        Mistake(
            lambda a, z, h: _from(_half(a, z, 2), a, z, h),
            "The way to the middle lacks its length: it takes h / 2, not 1.",
        ),
        Mistake(
            lambda a, z, h: _from(_half(a, z, h), a, z, 1),
            "The last exponential lacks its length: the operator of the middle acts for h.",
        ),
    ),
    section="Orders",
    hint="Try an operator that never changes: then the step is expm(A * h) applied to each cell.",
    shapes="operator takes all cells, (n, D), and gives (n, D, D); expm takes such a stack; the answer is (n, D).",
)


EXERCISES = {"flow-eigen": FLOW_EIGEN, "rotate": ROTATE, "order": ORDER, "midpoint": MIDPOINT}
