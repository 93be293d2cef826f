"""Answers to the exercises of "Every field is linear, somewhere": right ones, and wrong ones with part of the message.

The wrong ones are written as a student would write them, not as the check computes them.
"""

import numpy as np
from scipy.linalg import expm


def chord(f, slope, x):
    return np.array([f(v) / v if v else slope(v) for v in x])


def average_jacobian(jacobian, z, nodes, weights):
    total = np.zeros((len(z), z.shape[1], z.shape[1]))
    for node, weight in zip(nodes, weights, strict=True):
        total += weight / 2 * jacobian(z * (1 + node) / 2)
    return total


def lifted_move(A, b, z, dt):
    # Not the lift: a particular solution, since A is invertible here.
    rest = -np.linalg.solve(A, b)
    return np.stack([rest + expm(A * dt) @ (cell - rest) for cell in z])


SOLUTIONS = {"chord": chord, "average-jacobian": average_jacobian, "lifted-move": lifted_move}


def with_loop(weight, place):
    def answer(jacobian, z, nodes, weights):
        return sum(weight(w) * jacobian(place(s) * z) for s, w in zip(nodes, weights, strict=True))

    return answer


def plain_mean(jacobian, z, nodes, weights):
    return np.mean([jacobian(s * z) for s in (nodes + 1) / 2], axis=0)


def at_places(jacobian, z, places):
    return np.mean([jacobian(s * z) for s in places], axis=0)


def s_inside(jacobian, z, nodes, weights):
    total = 0
    for s, w in zip(0.5 + nodes / 2, weights, strict=True):
        total = total + w * s * jacobian(s * z)
    return total


def lift(A, b, corner=0, row=False):
    lifted = np.zeros((4, 4))
    lifted[:3, :3] = A
    if row:
        lifted[3, :3] = b
    else:
        lifted[:3, 3] = b
    lifted[3, 3] = corner
    return lifted


def moved(matrix, z, last=1):
    return np.stack([(matrix @ np.append(cell, last))[:3] for cell in z])


def b_below_no_transpose(A, b, z, dt):
    lifted = np.hstack([z, np.ones((len(z), 1))]) @ expm(lift(A, b, row=True) * dt)
    return lifted[:, :3]


WRONG = {
    "chord": [
        (lambda f, slope, x: slope(x), "tangent at x"),
        (lambda f, slope, x: slope(0.0) + 0 * x, "tangent at 0 for every x"),
        (lambda f, slope, x: f(x) / (x + 1e-12), "but 0 at x = 0"),
        (lambda f, slope, x: np.array([f(v) / v if v else 1.0 for v in x]), "but 1 at x = 0"),
        (lambda f, slope, x: np.array([v / f(v) if v else slope(v) for v in x]), "Upside down"),
        (lambda f, slope, x: f(x), "This is the velocity"),
        (lambda f, slope, x: np.array([f(abs(v)) / abs(v) if v else slope(v) for v in x]), "sign of x was lost"),
        (lambda f, slope, x: 0.5 * slope(x) + 0.5 * slope(0.0), "mean of two tangents"),
        (lambda f, slope, x: np.array([f(v) / v if v else np.nan for v in x]), "division by zero"),
        (lambda f, slope, x: slope(0.0), "one slope for each"),
        (lambda f, slope, x: chord(f, slope, x) + 17, "wrong numbers"),
    ],
    "average-jacobian": [
        (lambda jacobian, z, nodes, weights: jacobian(z), "at the cell itself"),
        (lambda jacobian, z, nodes, weights: jacobian(np.zeros_like(z)), "Jacobian at 0"),
        (lambda jacobian, z, nodes, weights: jacobian(0.5 * z), "half-way"),
        (lambda jacobian, z, nodes, weights: 0.5 * (jacobian(z) + jacobian(z - z)), "two ends"),
        (with_loop(lambda w: w / 2, lambda s: s), "between -1 and 1"),
        (with_loop(lambda w: w, lambda s: 0.5 * (s + 1)), "Twice too large"),
        (with_loop(lambda w: w, lambda s: s), "integral from -1 to 1"),
        (plain_mean, "count the same"),
        (with_loop(lambda w: 1, lambda s: 0.5 * s + 0.5), "without weights"),
        (lambda *a: np.swapaxes(average_jacobian(*a), 1, 2), "transposed"),
        (with_loop(lambda w: w / 2, lambda s: s + 1), "past the cell"),
        (with_loop(lambda w: w / 2, lambda s: s / 2), "squeezed, but not yet shifted"),
        (with_loop(lambda w: w, lambda s: s / 2), "shift the nodes, halve the weights"),
        (s_inside, "where J is read"),
        (lambda j, z, nodes, weights: at_places(j, z, np.linspace(0, 1, len(nodes))), "places of your own"),
        (lambda j, z, nodes, weights: at_places(j, z, (np.arange(100) + 0.5) / 100 * 0.99), "places of your own"),
        (lambda j, z, nodes, weights: at_places(j, z, np.random.default_rng(0).random(500)), "places of your own"),
        (lambda *a: average_jacobian(*a)[0], r"shape \(6, 3, 3\)"),
        (lambda *a: average_jacobian(*a) + 17, "wrong numbers"),
    ],
    "lifted-move": [
        (lambda A, b, z, dt: moved(expm(lift(A, b, corner=1) * dt), z), "1 in the corner"),
        (lambda A, b, z, dt: (np.column_stack([z, np.ones(6)]) @ expm(lift(A, b) * dt))[:, :3], "lift acts transposed"),
        (b_below_no_transpose, "b stands in the last row"),
        (lambda A, b, z, dt: moved(np.exp(lift(A, b) * dt), z), "of each entry; the exponential of a matrix"),
        (lambda A, b, z, dt: moved(np.exp(lift(A, b) * dt).T, z), "transposed as well"),
        (lambda A, b, z, dt: moved(expm(lift(A, b, row=True) * dt), z), "b has no effect"),
        (lambda A, b, z, dt: moved(expm(lift(A.T, b) * dt), z), "Either A was transposed inside"),
        (lambda A, b, z, dt: moved(expm(lift(A, 0 * b) * dt), z) + b * dt, "after the move"),
        (lambda A, b, z, dt: moved(expm(lift(A, 0 * b) * dt), z + b * dt), "before the move"),
        (lambda A, b, z, dt: moved(expm(lift(A, 0 * b) * dt), z) + b, "velocity, not a displacement"),
        (lambda A, b, z, dt: moved(expm(lift(A, b) * dt), z, last=0), "Append a 1 to every cell, not a 0"),
        (lambda A, b, z, dt: moved(expm(lift(A * dt, b)), z), "b was not"),
        (lambda A, b, z, dt: moved(expm(lift(A, b)), z), "time step is missing"),
        (lambda A, b, z, dt: np.stack([A @ cell + b for cell in z]), "velocity A z"),
        (lambda A, b, z, dt: np.stack([cell + A @ cell * dt + b * dt for cell in z]), "straight step"),
        (lambda A, b, z, dt: np.column_stack([z, np.ones(6)]) @ expm(lift(A, b) * dt).T, "drop the last column"),
        (lambda A, b, z, dt: expm(lift(A, b) * dt) @ z, "Append a 1"),
        (lambda A, b, z, dt: lifted_move(A, b, z, dt) + 17, "wrong numbers"),
    ],
}
