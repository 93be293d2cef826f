"""Answers to the exercises of "A second way to train an operator": right ones, and wrong ones with part of the message.

The wrong ones are written as a student would write them, not as the check computes them.
"""

from itertools import permutations

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import linear_sum_assignment


def path_point(start, end, t0, t1, t):
    velocity = (end - start) / (t1 - t0)
    return np.stack([start + (t - t0) * velocity, velocity])


def partners(x, y):
    # Not the assignment solver: try every order.
    orders = np.array(list(permutations(range(len(y)))))
    costs = ((x - y[orders]) ** 2).sum((1, 2))
    return y[orders[costs.argmin()]]


def velocity_miss(operator, start, end, t0, t1, s):
    point = (1 - s[:, None]) * start + s[:, None] * end
    A = operator(point, (1 - s) * t0 + s * t1)
    velocity = (A @ point[:, :, None])[:, :, 0]
    return ((velocity - (end - start) / (t1 - t0)) ** 2).mean()


def spline_gain(times, t):
    # Not the weights: how far noise on all knots spreads the path, by its second moment.
    n, weights = len(times), []
    for k in range(n):
        bump = np.zeros(n)
        bump[k] = 1.0
        weights.append(natural(times, bump, t))
    return np.dot(weights, weights)


def natural(times, values, t):
    """Natural cubic spline by its own linear system for the second derivatives."""
    n, h = len(times), np.diff(times)
    system, right = np.eye(n), np.zeros(n)
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
        right[i] = 6 * ((values[i + 1] - values[i]) / h[i] - (values[i] - values[i - 1]) / h[i - 1])
    bend = np.linalg.solve(system, right)
    i = np.searchsorted(times, t) - 1
    a, b = (times[i + 1] - t) / h[i], (t - times[i]) / h[i]
    curve = ((a**3 - a) * bend[i] + (b**3 - b) * bend[i + 1]) * h[i] ** 2 / 6
    return a * values[i] + b * values[i + 1] + curve


SOLUTIONS = {
    "path-point": path_point,
    "partners": partners,
    "velocity-miss": velocity_miss,
    "spline-gain": spline_gain,
}


def walk(share, speed):
    return lambda a, b, t0, t1, t: np.array([a + (b - a) * share(t0, t1, t), speed(a, b, t0, t1, t)])


def right_share(t0, t1, t):
    return (t - t0) / (t1 - t0)


def right_speed(a, b, t0, t1, t):
    return (b - a) / (t1 - t0)


def squares(x, y):
    return np.array([[((a - b) ** 2).sum() for b in y] for a in x])


def nearest_free(x, y):
    taken, out = set(), []
    for row in squares(x, y):
        j = next(j for j in row.argsort() if j not in taken)
        taken.add(j)
        out.append(y[j])
    return np.array(out)


def by_first(x, y):
    out = np.empty_like(y)
    out[x[:, 0].argsort()] = y[y[:, 0].argsort()]
    return out


def in_place(x, y):
    y[:] = partners(x, y)
    return y


def miss(point=None, clock=None, state=None, target=None, turn=False, reduce=lambda e: (e**2).mean()):
    def answer(operator, start, end, t0, t1, s):
        here = start + s[:, None] * (end - start)
        z = start if point == "start" else here
        t = {None: t0 + s * (t1 - t0), "share": s, "start": t0}[clock]
        A = operator(z, t)
        z = start if state == "start" else z
        moved = np.array([(a.T if turn else a) @ c for a, c in zip(A, z, strict=True)])
        return reduce(moved - (end - start) / (1 if target == "way" else t1 - t0))

    return answer


def spline(times, t, bc_type="natural"):
    return CubicSpline(times, np.eye(len(times)), bc_type=bc_type)(t)


def two_neighbours(times, t):
    i = np.searchsorted(times, t)
    s = (t - times[i - 1]) / (times[i] - times[i - 1])
    return s**2 + (1 - s) ** 2


def on_positions(times, t):
    i = np.searchsorted(times, t)
    place = i - 1 + (t - times[i - 1]) / (times[i] - times[i - 1])
    return (spline(range(len(times)), place) ** 2).sum()


WRONG = {
    "path-point": [
        (walk(right_share, lambda a, b, *_: b - a), "the whole way"),
        (walk(lambda t0, t1, t: t - t0, right_speed), "that is a time"),
        (walk(lambda t0, t1, t: t - t0, lambda a, b, *_: b - a), "for t1 - t0 = 1"),
        (walk(lambda t0, t1, t: t, right_speed), "taken to be t itself"),
        (walk(lambda t0, t1, t: 1 - right_share(t0, t1, t), right_speed), "runs backwards"),
        (walk(right_share, lambda *a: -right_speed(*a)), "points backwards"),
        (walk(right_share, lambda a, b, t0, t1, t: (b - a) / (t - t0)), "time so far"),
        (lambda *a: path_point(*a)[[1, 0]], "swapped"),
        (walk(lambda *_: 0.5, right_speed), "middle of the way"),
        (lambda *a: path_point(*a)[0], r"shape \(2, 4, 3\)"),
        (lambda *a: path_point(*a) + 17, "wrong numbers"),
    ],
    "partners": [
        (lambda x, y: y[linear_sum_assignment(squares(x, y).T)[1]], "the other side"),
        (lambda x, y: np.array([y[row.argmin()] for row in squares(x, y)]), "several partners"),
        (lambda x, y: y[linear_sum_assignment(np.sqrt(squares(x, y)))[1]], "for their squares"),
        (lambda x, y: y[linear_sum_assignment(squares(x, y), maximize=True)[1]], "worst plan"),
        (nearest_free, "what was left"),
        (lambda x, y: y, "old order"),
        (by_first, "first coordinate alone"),
        (lambda x, y: x[linear_sum_assignment(squares(x, y))[1]], "cells of x"),
        (in_place, "in place"),
        (lambda x, y: linear_sum_assignment(squares(x, y))[1], r"shape \(7, 2\)"),
        (lambda x, y: partners(x, y) + 17, "wrong numbers"),
    ],
    "velocity-miss": [
        (miss(target="way"), "the whole way"),
        (miss(clock="share"), "share s as its time"),
        (miss(clock="start"), "asked at time t0"),
        (miss(point="start", clock="start"), "start of the path"),
        (miss(state="start"), "multiplied with the start"),
        (miss(turn=True), "transposed"),
        (miss(reduce=lambda e: (e**2).sum(1).mean()), "over the coordinates"),
        (miss(reduce=lambda e: (e**2).sum()), "added up; asked is their mean"),
        (miss(reduce=lambda e: np.linalg.norm(e) / e.size**0.5), "leave the root out"),
        (miss(reduce=lambda e: abs(e).mean()), "Absolute values"),
        (miss(reduce=lambda e: e**2), "single number"),
        (lambda *a: velocity_miss(*a) + 17, "wrong numbers"),
    ],
    "spline-gain": [
        (lambda times, t: spline(times, t).sum(), "add up to 1"),
        (lambda times, t: abs(spline(times, t)).sum(), "Absolute weights"),
        (lambda times, t: np.linalg.norm(spline(times, t)), "leave the root out"),
        (lambda times, t: (spline(times, t) ** 2).mean(), "variances add up"),
        (two_neighbours, "straight line"),
        (lambda times, t: (spline(times, t, "not-a-knot") ** 2).sum(), "not-a-knot"),
        (lambda times, t: (spline(times, t, "clamped") ** 2).sum(), "clamped"),
        (lambda times, t: (CubicSpline(times, np.eye(5), bc_type="natural")(t, 1) ** 2).sum(), "slope at t"),
        (on_positions, "not over the times"),
        (lambda times, t: spline(times, t).var(), "among themselves"),
        (lambda times, t: spline(times, t) ** 2, "single number"),
        (lambda times, t: spline_gain(times, t) + 17, "wrong numbers"),
    ],
}
