"""Answers to the exercises of "A second way to train an operator": right and wrong ones with a word of the verdict.

The right ones take another road than the check: normal equations, another library's exponential, a library's spline,
a linear system for each cell.
"""

import numpy as np
import torch
from scipy.interpolate import CubicSpline


def fit_by_normal_equations(z, u):
    crossed = sum(np.outer(b, a) for a, b in zip(z, u, strict=True))
    spread = sum(np.outer(a, a) for a in z)
    return np.linalg.solve(spread.T, crossed.T).T


def landing(A, start, dt):
    return (torch.matrix_exp(torch.tensor(A * dt)) @ torch.tensor(start)[:, :, None])[:, :, 0].numpy()


def miss_by_torch(A, start, end, gap, s):
    goal = (1 - s) * start + s * end
    return np.mean([np.mean((a - b) ** 2) for a, b in zip(landing(A, start, s * gap), goal, strict=True)])


def slopes_by_scipy(x, times):
    return CubicSpline(times, x, bc_type="natural")(times, 1)


def tied_by_solving(M, z, u, c):
    """The charge is quadratic in A: where its derivative is zero, A (z z^T + c I) = u z^T + c M."""
    operators = []
    for cell, velocity in zip(z, u, strict=True):
        curve = np.outer(cell, cell) + c * np.eye(len(cell))
        operators.append(np.linalg.solve(curve, (np.outer(velocity, cell) + c * M).T).T)
    return np.stack(operators)


SOLUTIONS = {
    "fit-operator": fit_by_normal_equations,
    "frozen-miss": miss_by_torch,
    "knot-slopes": slopes_by_scipy,
    "tied-operators": tied_by_solving,
}


def with_an_offset(z, u):
    ones = np.column_stack([z, np.ones(len(z))])
    return np.linalg.lstsq(ones, u, rcond=None)[0].T[:, :-1]


def mean_of_smallest(z, u):
    return np.mean([np.outer(b, a) / (a @ a) for a, b in zip(z, u, strict=True)], axis=0)


def entry_by_entry(z, u):
    dim = z.shape[1]
    return np.array([[(u[:, i] @ z[:, j]) / (z[:, j] @ z[:, j]) for j in range(dim)] for i in range(dim)])


def straight_on(A, start, end, gap, s):
    went = start + s * gap * (A @ start[:, :, None])[:, :, 0]
    return np.mean((went - (start + s * (end - start))) ** 2)


def velocities(A, start, end, gap, s):
    return np.mean(((A @ start[:, :, None])[:, :, 0] - (end - start) / gap) ** 2)


def entry_exponential(A, start, end, gap, s):
    went = (np.exp(A * s * gap) @ start[:, :, None])[:, :, 0]
    return np.mean((went - (start + s * (end - start))) ** 2)


def against(goal, share):
    """Mean squared distance between a landing after this share of the gap and this goal."""
    return lambda A, start, end, gap, s: np.mean((landing(A, start, share(gap, s)) - goal(start, end, gap, s)) ** 2)


def on_the_path(start, end, gap, s):
    return start + s * (end - start)


def at_the_end(start, end, gap, s):
    return end


def middle_and_ends(x, times, middle, ends):
    v1 = (x[1] - x[0]) / (times[1] - times[0])
    v2 = (x[2] - x[1]) / (times[2] - times[1])
    m = middle(x, times, v1, v2)
    return np.array([ends(v1, m), m, ends(v2, m)])


def right_middle(x, times, v1, v2):
    return CubicSpline(times, x, bc_type="natural")(times[1], 1)


def natural_end(v, m):
    return 1.5 * v - 0.5 * m


def line_through_all(x, times, v1, v2):
    return (x[2] - x[0]) / (times[2] - times[0])


def in_loops(change):
    """Operators M + change, cell by cell."""
    return lambda M, z, u, c: np.array([M + change(M, a, b, c) for a, b in zip(z, u, strict=True)])


WRONG = {
    "fit-operator": [
        (lambda z, u: np.linalg.pinv(z) @ u, "transpose"),
        (lambda z, u: z.T @ np.linalg.pinv(u.T), "roles of z and u are exchanged"),
        (lambda z, u: np.linalg.pinv(u) @ z, "transposed on top"),
        (with_an_offset, "offset"),
        (lambda z, u: np.einsum("ni,nj->ij", u, z), "sums of u z"),
        (lambda z, u: np.einsum("ni,nj->nij", u, z).mean(0), "mean of u z"),
        (lambda z, u: np.linalg.solve(z.T @ z, u.T @ z), "wrong side"),
        (mean_of_smallest, "smallest operator"),
        (lambda z, u: np.diag(np.diag(entry_by_entry(z, u))), "on itself only"),
        (entry_by_entry, "one entry at a time"),
        (lambda z, u: -(u.T @ np.linalg.pinv(z.T)), "sign"),
        (lambda z, u: u @ np.linalg.pinv(z), "one matrix"),
        (lambda z, u: z @ np.linalg.inv(u.T @ u) @ u, "do not fit together"),
        (lambda z, u: fit_by_normal_equations(z, u) + 17, "wrong numbers"),
    ],
    "frozen-miss": [
        (against(on_the_path, lambda gap, s: s), "share of the gap"),
        (against(on_the_path, lambda gap, s: gap), "whole gap"),
        (against(at_the_end, lambda gap, s: s * gap), "aim is the partner"),
        (against(at_the_end, lambda gap, s: gap), "at the end only"),
        (against(lambda x, y, gap, s: x + s * gap * (y - x), lambda gap, s: s * gap), "too far"),
        (straight_on, "first velocity"),
        (velocities, "velocities"),
        (entry_exponential, "each entry"),
        (lambda A, x, y, gap, s: miss_by_torch(np.swapaxes(A, 1, 2).copy(), x, y, gap, s), "exchanged"),
        (lambda *inputs: miss_by_torch(*inputs) * inputs[1].size, "These are sums"),
        (lambda *inputs: miss_by_torch(*inputs) * 3, "over the dimensions"),
        (lambda *inputs: miss_by_torch(*inputs) ** 0.5, "root"),
        (lambda A, x, y, g, s: np.abs(landing(A, x, s * g) - on_the_path(x, y, g, s)).mean(), "absolute"),
        (lambda A, x, y, g, s: (landing(A, x, s * g) - on_the_path(x, y, g, s)) ** 2, "single number"),
        (lambda *inputs: miss_by_torch(*inputs) + 17, "wrong numbers"),
    ],
    "knot-slopes": [
        (lambda x, t: middle_and_ends(x, t, lambda x, t, a, b: (a + b) / 2, natural_end), "plain mean"),
        (lambda x, t: middle_and_ends(x, t, line_through_all, natural_end), "first to last"),
        (lambda x, t: slopes_by_scipy(x, [0, 1, 2]), "times are not used"),
        (lambda x, t: middle_and_ends(x, t, right_middle, lambda v, m: v), "straight line"),
        (lambda x, t: middle_and_ends(x, t, right_middle, lambda v, m: 0 * v), "clamped"),
        (lambda x, t: middle_and_ends(x, t, right_middle, lambda v, m: m), "repeat"),
        (lambda x, t: CubicSpline(t, x, bc_type="not-a-knot")(t, 1), "parabola"),
        (lambda x, t: CubicSpline(t, x, bc_type="natural")(t, 2), "second derivatives"),
        (lambda x, t: np.flip(slopes_by_scipy(x, t), 0), "turned round"),
        (lambda x, t: np.diff(x, axis=0) / np.diff(t)[:, None, None], "one slope for each point"),
        (lambda x, t: CubicSpline(t[:2], x, bc_type="natural")(t, 1), "do not fit together"),
        (lambda x, t: slopes_by_scipy(x, t) + 17, "wrong numbers"),
    ],
    "tied-operators": [
        (in_loops(lambda M, a, b, c: np.outer(b - M @ a, a) / (a @ a)), "ignores c"),
        (in_loops(lambda M, a, b, c: np.outer(b, a) / (a @ a + c) - M), "ties the operators to zero"),
        (lambda M, z, u, c: tied_by_solving(M, z, u, c) - M, "change alone"),
        (in_loops(lambda M, a, b, c: np.outer(a, b - M @ a) / (a @ a + c)), "change is transposed"),
        (in_loops(lambda M, a, b, c: np.outer(b - a @ M, a) / (a @ a + c)), "M is transposed"),
        (in_loops(lambda M, a, b, c: np.outer(b, a) / (a @ a + c)), "whole velocity"),
        (lambda M, z, u, c: 2 * M - tied_by_solving(M, z, u, c), "wrong way"),
        (lambda M, z, u, c: tied_by_solving(M, z, u, c + c), "twice"),
        (in_loops(lambda M, a, b, c: np.outer(b - M @ a, a) / (a @ a) / c), "must be added"),
        (in_loops(lambda M, a, b, c: np.outer(b - M @ a, a) / (a @ a) / (1 + c)), "same 1"),
        (in_loops(lambda M, a, b, c: np.outer(b - M @ a, a) / (np.linalg.norm(a) + c)), "square counts"),
        (in_loops(lambda M, a, b, c: 0 * M), "for every cell"),
        (lambda M, z, u, c: tied_by_solving(M, z, u, c).mean(0), "one matrix for each cell"),
        (lambda M, z, u, c: M + np.outer(u - z @ M.T, z) / c, "do not fit together"),
        (lambda M, z, u, c: tied_by_solving(M, z, u, c) + 17, "wrong numbers"),
    ],
}
