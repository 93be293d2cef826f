"""Answers to the exercises of "One field, many operators": right ones, and wrong ones with part of the message.

The wrong ones are written as a student would write them, not as the check computes them.
"""

import numpy as np


def other_factor(A, z, M):
    # Not the formula: take from each row of |z|^2 M what points along z.
    new = A.copy()
    for i in range(3):
        new[i] += (z @ z) * M[i] - (M[i] @ z) * z
    return new


def two_operators(f, z):
    # Slide the smallest factor along what is perpendicular to z, to both sides.
    smallest = np.outer(f, z) / (z @ z)
    silent = np.outer([0, 1], [z[1], -z[0]]) * np.sign(z[1])
    size = 2 * (1 + abs(smallest[1, 0])) / abs(z[1])
    return np.stack([smallest - size * silent, smallest + size * silent])


def poke(field, z, j, eps):
    push = np.zeros(3)
    push[j] = eps
    return (field(z + push) - field(z - push)) / (2 * eps)


def second_order(z, f, a):
    return np.linalg.solve(np.stack([z, f]), np.stack([f, a])).T


SOLUTIONS = {
    "other-factor": other_factor,
    "two-operators": two_operators,
    "poke": poke,
    "second-order": second_order,
}


def added(bracket):
    return lambda A, z, M: A + bracket(z, M)


def rows(*first_second):
    """Two matrices of the same first row, given by their second rows as functions of f and z."""

    def answer(f, z):
        top = [f[0] / z[0], 0.0]
        return np.array([[top, list(row(f, z))] for row in first_second])

    return answer


def through(entry):
    """The second row with this entry [1, 0] and the right velocity."""
    return lambda f, z: (entry, (f[1] - entry * z[0]) / z[1])


def set_b_on_a(f, z):
    bottom = [0.0, f[1] / z[1]]
    return np.array([[[(f[0] - effect * z[1]) / z[0], effect], bottom] for effect in (1.0, -1.0)])


def in_place(field, z, j, eps):
    before = field(z)
    z[j] += eps
    return (field(z) - before) / eps


def row_of_jacobian(field, z, j, eps):
    return np.array([poke(field, z, k, eps)[j] for k in range(3)])


def average_of_pokes(field, z, j, eps):
    middles = (np.arange(400) + 0.5) / 400
    return np.mean([poke(field, s * z, j, eps) for s in middles], axis=0)


def knocked_out(field, z, j, eps):
    without = z.copy()
    without[j] = 0
    return (field(z) - field(without)) / z[j]


def stretched(field, z, j, eps):
    more = z.copy()
    more[j] *= 1 + eps
    return (field(more) - field(z)) / eps


def e(j):
    return np.arange(3) == j


eye, inv, columns = np.eye(3), np.linalg.inv, lambda *v: np.array(v).T

WRONG = {
    "other-factor": [
        (added(lambda z, M: M), "M alone"),
        (added(lambda z, M: M @ (eye - z[:, None] * z)), "missing before I"),
        (added(lambda z, M: M @ (np.sqrt((z**2).sum()) * eye - np.outer(z, z))), "its square is needed"),
        (added(lambda z, M: ((z @ z) * eye - np.outer(z, z)) @ M), "on the right of the bracket"),
        (added(lambda z, M: M @ (np.outer(z, z) - (z @ z) * eye)), "the one of -M"),
        (lambda A, z, M: other_factor(A, z, M) - A, "A is missing"),
        (added(lambda z, M: M * ((z @ z) * eye - np.outer(z, z))), "entry by entry"),
        (added(lambda z, M: M @ ((z @ z) * eye - z @ z.T)), "numpy.outer"),
        (added(lambda z, M: M @ z[:, None] @ z[None]), "M z z\\^T was added"),
        (added(lambda z, M: M * (z**2).sum()), "z z\\^T is missing"),
        (added(lambda z, M: M @ (z @ z - np.outer(z, z))), "I is missing"),
        (added(lambda z, M: M @ (eye - np.outer(z, z) / np.linalg.norm(z) ** 2)), "without a fraction"),
        (added(lambda z, M: (M @ ((z @ z) * eye - np.outer(z, z)))[0, 0]), "wrong numbers"),
        (lambda A, z, M: A @ z, r"shape \(3, 3\)"),
    ],
    "two-operators": [
        (lambda f, z: two_operators(f, z).swapaxes(1, 2), "transposed"),
        (rows(through(0.7), lambda f, z: (-0.7, through(0.7)(f, z)[1])), "make up for it"),
        (lambda f, z: two_operators(f, z)[:1] * np.array([1, -1])[:, None, None], "moves the cell backwards"),
        (lambda f, z: np.stack([np.outer(f, z), np.outer(f, z)]) / (z @ z), "same matrix twice"),
        (rows(through(1.0), through(2.5)), "same sign at"),
        (lambda f, z: two_operators(f[::-1], z[::-1])[:, ::-1, ::-1], "Rows are targets"),
        (set_b_on_a, "You set \\[0, 1\\]"),
        (rows(through(0.0), through(1.0)), "no sign"),
        (rows(lambda f, z: (0.0, f[1] / z[1]), through(-1.0)), "no sign"),
        (rows(through(1.0), lambda f, z: (-1.0, 0.0)), "second matrix gives another velocity"),
        (rows(lambda f, z: (1.0, 9.0), through(-1.0)), "first matrix gives another velocity"),
        (lambda f, z: np.array([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [-3.0, 5.0]]]), "Neither matrix"),
        (lambda f, z: two_operators(f, z)[0], r"shape \(2, 2, 2\)"),
    ],
    "poke": [
        (lambda field, z, j, eps: field(z + eps * e(j)) - field(z), "divide it by eps"),
        (lambda field, z, j, eps: field(z + eps * e(j)) / eps, "not subtracted"),
        (lambda field, z, j, eps: field(z + eps * e(j)), "velocity after the push"),
        (lambda field, z, j, eps: (field(z + eps) - field(z)) / eps, "All coordinates"),
        (lambda field, z, j, eps: poke(field, z, 0, eps), "not a fixed number"),
        (lambda field, z, j, eps: poke(field, z, j - 1, eps), "coordinate before j"),
        (lambda field, z, j, eps: poke(field, z, (j + 1) % 3, eps), "coordinate after j"),
        (row_of_jacobian, "This is row j"),
        (average_of_pokes, "column j of the factor"),
        (lambda field, z, j, eps: (field(z) - field(z + eps * e(j))) / eps, "sign is turned"),
        (stretched, "add eps itself"),
        (lambda field, z, j, eps: field(eps * e(j)) / eps, "at 0, not the cell at z"),
        (knocked_out, "knock-out"),
        (lambda field, z, j, eps: field(z + e(j)) - field(z), "push of size 1"),
        (in_place, "in place"),
        (lambda *a: poke(*a)[a[2]], r"shape \(3,\)"),
        (lambda *a: poke(*a) + 17, "wrong numbers"),
    ],
    "second-order": [
        (lambda z, f, a: np.linalg.solve(np.stack([z, f]), np.stack([f, a])), "This is A transposed"),
        (lambda z, f, a: np.linalg.solve(columns(z, f), columns(f, a)), "inverse stands on the left"),
        (lambda z, f, a: np.array([f, a]) @ inv(np.array([z, f])), "stacked as rows"),
        (lambda z, f, a: columns(a, f) @ inv(columns(z, f)), "columns of one side are swapped"),
        (lambda z, f, a: columns(f, a) @ inv(columns(f, z)), "columns of one side are swapped"),
        (lambda z, f, a: inv(second_order(z, f, a)), "inverse of A"),
        (lambda z, f, a: f[:, None] * z / (z**2).sum(), "acceleration was not used"),
        (lambda z, f, a: a[:, None] * f / (f**2).sum(), "A z is not f"),
        (lambda z, f, a: np.outer(f, z) / (z @ z) + np.outer(a, f) / (f @ f), "perpendicular"),
        (lambda z, f, a: columns(f, a / 2) @ inv(columns(z, f)), "falls out"),
        (lambda z, f, a: columns(f, a) / columns(z, f), "entry by entry"),
        (lambda z, f, a: second_order(z, f, a) @ z, r"shape \(2, 2\)"),
        (lambda z, f, a: second_order(z, f, a) + 17, "wrong numbers"),
    ],
}
