"""Exercises of the chapter "A second way to train an operator"."""

from __future__ import annotations

import numpy as np

from ..exercise import Exercise, Mistake


def _least_squares(z: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The X for which z X is nearest to u."""
    return np.linalg.lstsq(z, u, rcond=None)[0]


def _fit_inputs(rng: np.random.Generator) -> tuple:
    # Not centred, and noisy: with exact velocities several wrong roads would arrive.
    z = rng.normal([1.0, -0.5, 0.3], size=(11, 3))
    return z, z @ rng.normal(size=(3, 3)).T + rng.normal([0.4, 0.2, -0.3], 0.3, size=(11, 3))


def _fit(z: np.ndarray, u: np.ndarray) -> np.ndarray:
    return _least_squares(z, u).T


FIT_OPERATOR = Exercise(
    call="fit_operator(z, u)",
    inputs=_fit_inputs,
    truth=_fit,
    mistakes=(
        Mistake(
            _least_squares,
            "This is the transpose. Cells are rows here: z @ X = u gives an X whose rows are regulators, X = A^T.",
        ),
        Mistake(
            lambda z, u: _fit(u, z),
            "This matrix turns velocities into cells: the roles of z and u are exchanged.",
        ),
        Mistake(
            lambda z, u: _least_squares(u, z),
            "The roles of z and u are exchanged, and the result is transposed on top of it.",
        ),
        Mistake(
            lambda z, u: _fit(z - z.mean(0), u - u.mean(0)),
            "This fits an offset as well: it takes the means away first. Here u = A z, and nothing else.",
        ),
        Mistake(
            lambda z, u: u.T @ z,
            "These are the sums of u z^T alone. They also grow with the spread of the cells: divide by sum z z^T.",
        ),
        Mistake(
            lambda z, u: u.T @ z / len(z),
            "This is the mean of u z^T alone. It also grows with the spread of the cells: divide by the mean of z z^T.",
        ),
        Mistake(
            lambda z, u: np.linalg.inv(z.T @ z) @ u.T @ z,
            "The inverse stands on the wrong side: A (sum z z^T) = sum u z^T has to be undone from the right.",
        ),
        Mistake(
            lambda z, u: (u[:, :, None] * z[:, None, :] / (z**2).sum(1)[:, None, None]).mean(0),
            "This is the mean of each cell's smallest operator. One matrix for all must be fitted to all at once.",
        ),
        Mistake(
            lambda z, u: np.diag((u * z).sum(0) / (z**2).sum(0)),
            "This lets each coordinate act on itself only. Off the diagonal stand the influences on one another.",
        ),
        Mistake(
            lambda z, u: np.stack([(u[:, [i]] * z).sum(0) / (z**2).sum(0) for i in range(z.shape[1])]),
            "This fits one entry at a time, as if there were no other regulators; they vary together. Solve for all.",
        ),
        Mistake(
            lambda z, u: -_fit(z, u),
            "The sign is turned round.",
        ),
    ),
    section="Point instead of compare",
    shapes="z and u are (cells, D); the answer is one matrix (D, D).",
)


def _miss_inputs(rng: np.random.Generator) -> tuple:
    n, dim = 6, 3
    start = rng.normal(size=(n, dim))
    gap, s = float(rng.uniform(1.5, 2.5)), float(rng.uniform(0.3, 0.7))
    return rng.normal(0, 0.4, size=(n, dim, dim)), start, start + rng.normal(size=(n, dim)), gap, s


def _exponential(matrices: np.ndarray) -> np.ndarray:
    from scipy.linalg import expm

    return np.stack([expm(matrix) for matrix in matrices])


def _moved(A: np.ndarray, start: np.ndarray, dt: float) -> np.ndarray:
    return np.einsum("nij,nj->ni", _exponential(A * dt), start)


def _misses(A: np.ndarray, start: np.ndarray, end: np.ndarray, gap: float, s: float) -> np.ndarray:
    return np.square(_moved(A, start, s * gap) - (start + s * (end - start)))


FROZEN_MISS = Exercise(
    call="frozen_miss(A, start, end, gap, s)",
    inputs=_miss_inputs,
    truth=lambda *inputs: _misses(*inputs).mean(),
    mistakes=(
        Mistake(
            lambda A, x, y, gap, s: np.square(_moved(A, x, s) - (x + s * (y - x))).mean(),
            "The cells travel for s units of time. But s is a share of the gap: they travel for s * gap.",
        ),
        Mistake(
            lambda A, x, y, gap, s: np.square(_moved(A, x, gap) - (x + s * (y - x))).mean(),
            "The cells travel through the whole gap, but the aim is only a share s of the way.",
        ),
        Mistake(
            lambda A, x, y, gap, s: np.square(_moved(A, x, s * gap) - y).mean(),
            "The aim is the partner. At the share s of the gap the path is at start + s * (end - start).",
        ),
        Mistake(
            lambda A, x, y, gap, s: np.square(_moved(A, x, gap) - y).mean(),
            "This judges the landing at the end only; the point of the path at the share s is asked.",
        ),
        Mistake(
            lambda A, x, y, gap, s: np.square(_moved(A, x, s * gap) - (x + s * gap * (y - x))).mean(),
            "The aim lies too far: the path goes from start to end in one gap, so it is at start + s * (end - start).",
        ),
        Mistake(
            lambda A, x, y, gap, s: np.square(x + s * gap * np.einsum("nij,nj->ni", A, x) - (x + s * (y - x))).mean(),
            "This goes straight on with the first velocity, I + A dt. The frozen operator moves by its exponential.",
        ),
        Mistake(
            lambda A, x, y, gap, s: np.square(np.einsum("nij,nj->ni", A, x) - (y - x) / gap).mean(),
            "This compares velocities: the other objective. Here the landing is compared with a point of the path.",
        ),
        Mistake(
            lambda A, x, y, gap, s: np.square(
                np.einsum("nij,nj->ni", np.exp(s * gap * A), x) - (x + s * (y - x))
            ).mean(),
            "numpy.exp takes each entry by itself; the exponential of a matrix is scipy.linalg.expm.",
        ),
        Mistake(
            lambda A, x, y, gap, s: _misses(A.transpose(0, 2, 1), x, y, gap, s).mean(),
            "Regulators and targets are exchanged: each cell's matrix times that cell, the cell as a column.",
        ),
        Mistake(lambda *inputs: _misses(*inputs).sum(), "These are sums; take the mean over cells and dimensions."),
        Mistake(
            lambda *inputs: _misses(*inputs).sum(1).mean(),
            "Summed over the dimensions; take the mean over cells and dimensions.",
        ),
        Mistake(lambda *inputs: np.sqrt(_misses(*inputs).mean()), "This is the root of it; the mean square is asked."),
        Mistake(
            lambda *inputs: np.sqrt(_misses(*inputs)).mean(),
            "This is the mean absolute miss; the mean square is asked.",
        ),
    ),
    section="Right for a moment",
    shapes="A is (cells, D, D), start and end are (cells, D); the answer is one number.",
)


def _slopes_inputs(rng: np.random.Generator) -> tuple:
    # The second gap is clearly longer or shorter than the first: with equal ones the weights would not show.
    gaps = rng.uniform(0.6, 0.9), rng.uniform(1.5, 2.5)
    order = rng.permutation(2)
    times = np.cumsum([rng.uniform(0, 1), gaps[order[0]], gaps[order[1]]])
    return rng.normal(size=(3, 4, 2)), times


def _gaps(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Velocities of both gaps, and their lengths."""
    (h1, h2), (first, second) = np.diff(t), np.diff(x, axis=0)
    return first / h1, second / h2, h1, h2


def _natural(v1: np.ndarray, v2: np.ndarray, middle: np.ndarray) -> np.ndarray:
    return np.stack([(3 * v1 - middle) / 2, middle, (3 * v2 - middle) / 2])


def _slopes(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    v1, v2, h1, h2 = _gaps(x, t)
    return _natural(v1, v2, (h2 * v1 + h1 * v2) / (h1 + h2))


def _with_ends(x: np.ndarray, t: np.ndarray, before: float, own: float) -> np.ndarray:
    """The right slope in the middle; at the ends `own` times the velocity of the gap, minus `before` times it."""
    v1, v2, *_ = _gaps(x, t)
    middle = _slopes(x, t)[1]
    return np.stack([own * v1 - before * middle, middle, own * v2 - before * middle])


def _plain_mean(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    v1, v2, *_ = _gaps(x, t)
    return _natural(v1, v2, (v1 + v2) / 2)


def _whole_way(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    v1, v2, *_ = _gaps(x, t)
    return _natural(v1, v2, (x[2] - x[0]) / (t[2] - t[0]))


def _without_gaps(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return _slopes(x, np.arange(3.0))


def _curvatures(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    v1, v2, h1, h2 = _gaps(x, t)
    bend = 3 * (v2 - v1) / (h1 + h2)
    return np.stack([0 * bend, bend, 0 * bend])


KNOT_SLOPES = Exercise(
    call="knot_slopes(x, times)",
    inputs=_slopes_inputs,
    truth=_slopes,
    mistakes=(
        Mistake(
            _plain_mean,
            "The slope in the middle is the plain mean of both velocities: right for equal gaps only. Equal bending "
            "on both sides makes the shorter gap weigh more.",
        ),
        Mistake(
            _whole_way,
            "The slope in the middle is that of the line from first to last, in which the longer gap weighs more. "
            "It is the shorter one that does: bending is velocity per time.",
        ),
        Mistake(
            _without_gaps,
            "The times are not used: this treats both gaps as one unit long.",
        ),
        Mistake(
            lambda x, t: _with_ends(x, t, 0, 1),
            "The ends have the velocities of their gaps, as a straight line would. Natural ends have no bending, and "
            "that is not the same.",
        ),
        Mistake(
            lambda x, t: _with_ends(x, t, 0, 0),
            "The ends stand still: that is a clamped spline. Natural ends are free, and have no bending.",
        ),
        Mistake(
            lambda x, t: _with_ends(x, t, -1, 0),
            "The ends repeat the slope of the middle. Natural ends have no bending: 6 v - 4 a - 2 b = 0 at the first.",
        ),
        Mistake(
            lambda x, t: _with_ends(x, t, 1, 2),
            "This is one parabola through all three points, which bends at its ends too. Natural ends do not bend.",
        ),
        Mistake(
            _curvatures,
            "These are the second derivatives, how much the curve bends; the slopes are asked.",
        ),
        Mistake(
            lambda x, t: _slopes(x, t)[::-1],
            "The order is turned round: first, middle, last.",
        ),
    ),
    section="Straight or curved",
    shapes="x is (3, cells, D), and the answer has the same shape: one slope for each point.",
)


def _tied_inputs(rng: np.random.Generator) -> tuple:
    return rng.normal(size=(3, 3)), rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), float(rng.uniform(0.5, 3))


def _rank_one(u: np.ndarray, z: np.ndarray, divisor: np.ndarray | float) -> np.ndarray:
    return u[:, :, None] * z[:, None, :] / np.broadcast_to(divisor, len(z))[:, None, None]


def _square(z: np.ndarray) -> np.ndarray:
    return (z**2).sum(1)


def _tied(M: np.ndarray, z: np.ndarray, u: np.ndarray, c: float) -> np.ndarray:
    return M + _rank_one(u - z @ M.T, z, _square(z) + c)


TIED_OPERATORS = Exercise(
    call="tied_operators(M, z, u, c)",
    inputs=_tied_inputs,
    truth=_tied,
    mistakes=(
        Mistake(
            lambda M, z, u, c: _tied(M, z, u, 0.0),
            "This fits every velocity exactly and ignores c: the charge makes each change smaller than that.",
        ),
        Mistake(
            lambda M, z, u, c: _rank_one(u, z, _square(z) + c),
            "This ties the operators to zero. The charge is on the distance from M: start there and fit what M misses.",
        ),
        Mistake(
            lambda M, z, u, c: _rank_one(u - z @ M.T, z, _square(z) + c),
            "This is the change alone; add it to M.",
        ),
        Mistake(
            lambda M, z, u, c: M + _rank_one(z, u - z @ M.T, _square(z) + c),
            "The change is transposed: what M misses, a column of targets, times z^T, a row of regulators.",
        ),
        Mistake(
            lambda M, z, u, c: M + _rank_one(u - z @ M, z, _square(z) + c),
            "M is transposed: with cells as rows, M z is z @ M.T.",
        ),
        Mistake(
            lambda M, z, u, c: M + _rank_one(u, z, _square(z) + c),
            "This adds the whole velocity to M. M gives M z already: fit only what it misses, u - M z.",
        ),
        Mistake(
            lambda M, z, u, c: M - _rank_one(u - z @ M.T, z, _square(z) + c),
            "The change points the wrong way: it must bring A z nearer to u.",
        ),
        Mistake(
            lambda M, z, u, c: _tied(M, z, u, 2 * c),
            "c counts twice: both derivatives have a factor 2, and it cancels.",
        ),
        Mistake(
            lambda M, z, u, c: M + _rank_one(u - z @ M.T, z, c * _square(z)),
            "c multiplies |z|^2; it must be added to it: at c = 0 the velocity is fitted exactly.",
        ),
        Mistake(
            lambda M, z, u, c: M + _rank_one(u - z @ M.T, z, (1 + c) * _square(z)),
            "This shrinks all changes by the same 1 + c. Long z are charged less: a small change of A moves them far.",
        ),
        Mistake(
            lambda M, z, u, c: M + _rank_one(u - z @ M.T, z, np.sqrt(_square(z)) + c),
            "This divides by |z| + c; z stands in A z and in the derivative, so its square counts.",
        ),
        Mistake(
            lambda M, z, u, c: np.repeat(M[None], len(z), 0),
            "This is M for every cell, right only for an endless c.",
        ),
    ),
    section="What pins A down",
    shapes="M is (D, D), z and u are (cells, D); the answer holds one matrix for each cell, (cells, D, D).",
)


EXERCISES = {
    "fit-operator": FIT_OPERATOR,
    "frozen-miss": FROZEN_MISS,
    "knot-slopes": KNOT_SLOPES,
    "tied-operators": TIED_OPERATORS,
}
