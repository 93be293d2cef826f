"""Exercises of the chapter "A second way to train an operator"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable

    Operator = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _path_inputs(rng: np.random.Generator) -> tuple:
    t0 = float(rng.uniform(0.5, 2))
    t1 = t0 + float(rng.uniform(2, 5))
    return rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), t0, t1, t0 + float(rng.uniform(0.1, 0.4)) * (t1 - t0)


def _path(start: np.ndarray, end: np.ndarray, share: float, length: float) -> np.ndarray:
    return np.stack([start + share * (end - start), (end - start) / length])


PATH_POINT = Exercise(
    call="path_point(start, end, t0, t1, t)",
    inputs=_path_inputs,
    truth=lambda start, end, t0, t1, t: _path(start, end, (t - t0) / (t1 - t0), t1 - t0),
    mistakes=(
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, (t - t0) / (t1 - t0), 1),
            "The position is right, but end - start is the whole way: divided by the days it took, it is a velocity.",
        ),
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, t - t0, t1 - t0),
            "The velocity is right, but the share of the way is not t - t0: that is a time, and must be divided.",
        ),
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, t - t0, 1),
            "These are the formulas for t1 - t0 = 1: with other gaps both the share and the velocity need t1 - t0.",
        ),
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, t, t1 - t0),
            "The velocity is right, but the share of the way was taken to be t itself; it must be 0 at t0 and 1 at t1.",
        ),
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, (t1 - t) / (t1 - t0), t1 - t0),
            "The share runs backwards: this cell is at its end at t0.",
        ),
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, (t - t0) / (t1 - t0), t0 - t1),
            "The velocity points backwards.",
        ),
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, (t - t0) / (t1 - t0), t - t0),
            "The whole way was divided by the time so far; it took t1 - t0.",
        ),
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, (t - t0) / (t1 - t0), t1 - t0)[::-1],
            "Position and velocity are swapped: the position comes first.",
        ),
        Mistake(
            lambda start, end, t0, t1, t: _path(start, end, 0.5, t1 - t0),
            "This is the middle of the way, whatever t is.",
        ),
    ),
    hint="See hint 1 of the exercise.",
    shapes="start and end have the shape (n, D); return numpy.stack([position, velocity]), shape (2, n, D).",
)


def _crowds(rng: np.random.Generator) -> tuple:
    """Two crowds for which no two ways to match agree."""
    ways = [mistake.compute for mistake in PARTNERS.mistakes] + [_partners]
    while True:
        x, y = rng.normal(size=(7, 2)), rng.normal(size=(7, 2)) + 0.5
        answers = [way(x, y) for way in ways]
        if all(np.abs(a - b).max() > 1e-3 for k, a in enumerate(answers) for b in answers[:k]):
            return x, y


def _cost(x: np.ndarray, y: np.ndarray, power: int = 2) -> np.ndarray:
    return np.linalg.norm(x[:, None] - y[None], axis=2) ** power


def _order(cost: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(cost)[1]


def _partners(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y[_order(_cost(x, y))]


def _greedy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Each cell in turn takes the nearest one that is still free."""
    free, rows = list(range(len(y))), []
    for cell in x:
        rows.append(min(free, key=lambda j: np.linalg.norm(cell - y[j])))
        free.remove(rows[-1])
    return y[rows]


PARTNERS = Exercise(
    call="partners(x, y)",
    inputs=_crowds,
    truth=_partners,
    mistakes=(
        Mistake(
            lambda x, y: y[np.argsort(_order(_cost(x, y)))],
            "The order is that of the other side: these rows say who each cell of y goes with.",
        ),
        Mistake(
            lambda x, y: y[_cost(x, y).argmin(1)],
            "Every cell took its nearest neighbour, so some cells of y have several partners and others none.",
        ),
        Mistake(
            lambda x, y: y[_order(_cost(x, y, power=1))],
            "This plan is the best for the distances; asked is the one for their squares.",
        ),
        Mistake(lambda x, y: y[_order(-_cost(x, y))], "This is the worst plan of all: the cost must be least."),
        Mistake(
            _greedy,
            "The first cells took the nearest free partner and the last ones took what was left: all must be planned "
            "together.",
        ),
        Mistake(lambda x, y: y.copy(), "y came back in its old order: nothing was matched."),
        Mistake(
            lambda x, y: y[np.argsort(y[:, 0])][np.argsort(np.argsort(x[:, 0]))],
            "The cells were matched by their first coordinate alone.",
        ),
        Mistake(
            lambda x, y: x[_order(_cost(x, y))],
            "These are cells of x in another order; the partners are cells of y.",
        ),
    ),
    hint="See hint 1 of the exercise.",
    shapes="x and y have the same shape (n, D), and so has the answer: the rows of y in another order.",
)


def _miss_inputs(rng: np.random.Generator) -> tuple:
    w, v = rng.normal(size=(9, 4)), rng.normal(size=9)

    def operator(z: np.ndarray, t: np.ndarray | float) -> np.ndarray:
        seen = np.column_stack([z, np.broadcast_to(t, len(z))])
        return np.sin(seen @ w.T + v).reshape(-1, 3, 3)

    t0 = float(rng.uniform(0.5, 2))
    start, end = rng.normal(size=(2, 5, 3))
    return operator, start, end, t0, t0 + float(rng.uniform(2, 4)), rng.uniform(0.1, 0.9, 5)


def _errors(
    operator: Operator,
    start: np.ndarray,
    end: np.ndarray,
    t0: float,
    t1: float,
    s: np.ndarray,
    *,
    at: str = "point",
    clock: str = "time",
    transposed: bool = False,
    length: float | None = None,
) -> np.ndarray:
    """What the operator misses, with the slips that a student makes as options."""
    point = start + s[:, None] * (end - start)
    matrices = operator(start if at == "start" else point, {"time": t0 + s * (t1 - t0), "share": s, "start": t0}[clock])
    matrices = matrices.swapaxes(1, 2) if transposed else matrices
    state = start if at != "point" else point
    return np.einsum("nij,nj->ni", matrices, state) - (end - start) / (length or t1 - t0)


VELOCITY_MISS = Exercise(
    call="velocity_miss(operator, start, end, t0, t1, s)",
    inputs=_miss_inputs,
    truth=lambda *a: np.mean(_errors(*a) ** 2),
    mistakes=(
        Mistake(
            lambda *a: np.mean(_errors(*a, length=1.0) ** 2),
            "The target is the whole way, end - start; per unit of time it is divided by t1 - t0.",
        ),
        Mistake(
            lambda *a: np.mean(_errors(*a, clock="share") ** 2),
            "The operator was asked with the share s as its time; the clock shows t0 + s (t1 - t0).",
        ),
        Mistake(
            lambda *a: np.mean(_errors(*a, clock="start") ** 2),
            "The operator was asked at time t0; the cell is at its point at t0 + s (t1 - t0).",
        ),
        Mistake(
            lambda *a: np.mean(_errors(*a, at="start", clock="start") ** 2),
            "Everything was computed at the start of the path: operator and state belong to the point at s.",
        ),
        Mistake(
            lambda *a: np.mean(_errors(*a, at="mixed") ** 2),
            "The operator is that of the point, but it was multiplied with the start.",
        ),
        Mistake(
            lambda *a: np.mean(_errors(*a, transposed=True) ** 2),
            "The matrices act transposed: rows are targets, A @ z for every cell.",
        ),
        Mistake(
            lambda *a: np.sum(_errors(*a) ** 2) / len(a[1]),
            "The squares were added up over the coordinates; asked is the mean over cells and coordinates.",
        ),
        Mistake(lambda *a: np.sum(_errors(*a) ** 2), "The squares were added up; asked is their mean."),
        Mistake(
            lambda *a: np.sqrt(np.mean(_errors(*a) ** 2)), "This is the root of the mean square: leave the root out."
        ),
        Mistake(
            lambda *a: np.mean(np.abs(_errors(*a))),
            "Absolute values were averaged. Only the square has its least value at the mean.",
        ),
    ),
    hint="See hint 1 of the exercise.",
    shapes="start and end have the shape (n, D), s has (n,); operator(z, t) gives (n, D, D). The answer is one number.",
)


def _gain_inputs(rng: np.random.Generator) -> tuple:
    times = np.cumsum(rng.uniform(0.5, 3, 5))
    gap = int(rng.integers(1, 3))
    return times, float(times[gap] + rng.uniform(0.2, 0.4) * (times[gap + 1] - times[gap]))


def _weights(times: np.ndarray, t: float, ends: str = "natural", order: int = 0) -> np.ndarray:
    from scipy.interpolate import CubicSpline

    return CubicSpline(times, np.eye(len(times)), bc_type=ends)(t, order)


def _straight_weights(times: np.ndarray, t: float) -> np.ndarray:
    return np.array([np.interp(t, times, row) for row in np.eye(len(times))])


SPLINE_GAIN = Exercise(
    call="spline_gain(times, t)",
    inputs=_gain_inputs,
    truth=lambda times, t: np.sum(_weights(times, t) ** 2),
    mistakes=(
        Mistake(
            lambda times, t: np.sum(_weights(times, t)),
            "The weights add up to 1 always: a shift of all cells shifts the path. Square them before you add.",
        ),
        Mistake(
            lambda times, t: np.sum(np.abs(_weights(times, t))),
            "Absolute weights were added. The variances of independent errors add with the squares.",
        ),
        Mistake(
            lambda times, t: np.sqrt(np.sum(_weights(times, t) ** 2)),
            "This is the factor for the standard deviation; for the variance leave the root out.",
        ),
        Mistake(
            lambda times, t: np.mean(_weights(times, t) ** 2),
            "The squares were averaged; variances add up.",
        ),
        Mistake(
            lambda times, t: np.sum(_straight_weights(times, t) ** 2),
            "These are the weights of the straight line: only the two neighbours have a say in it.",
        ),
        Mistake(
            lambda times, t: np.sum(_weights(times, t, ends="not-a-knot") ** 2),
            'This spline ends another way, "not-a-knot", scipy\'s default; a natural one has bc_type="natural".',
        ),
        Mistake(
            lambda times, t: np.sum(_weights(times, t, ends="clamped") ** 2),
            'This spline stands still at both ends ("clamped"); a natural one has bc_type="natural".',
        ),
        Mistake(
            lambda times, t: np.sum(_weights(times, t, order=1) ** 2),
            "These are the weights of the slope at t; asked are those of the position.",
        ),
        Mistake(
            lambda times, t: np.sum(_weights(np.arange(len(times)), np.interp(t, times, np.arange(len(times)))) ** 2),
            "The spline runs over 0, 1, 2, ... and not over the times: uneven gaps are the point of the exercise.",
        ),
        Mistake(
            lambda times, t: np.var(_weights(times, t)),
            "This is the variance of the weights among themselves. Wanted is that of the weighted sum of errors.",
        ),
    ),
    hint="See hint 1 of the exercise.",
    shapes="times has the shape (T,) and t is a number; so is the answer.",
)

EXERCISES = {
    "path-point": PATH_POINT,
    "partners": PARTNERS,
    "velocity-miss": VELOCITY_MISS,
    "spline-gain": SPLINE_GAIN,
}
