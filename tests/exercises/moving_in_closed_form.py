"""Answers to the exercises of the chapter "Moving in closed form".

The wrong ones are written as a student would write them, not as the check computes them.
"""

import math

import numpy as np
from scipy.linalg import expm


def flow_eigen(values, P, z, dt):
    A = np.linalg.inv(P) @ np.diag(values) @ P
    return np.stack([expm(A * dt) @ cell for cell in z])


def rotate(growth, turn, z, dt):
    number = (z[:, 0] + 1j * z[:, 1]) * np.exp((growth + 1j * turn) * dt)
    return np.stack([number.real, number.imag], axis=1)


def order(error, error_half):
    return np.array([math.log(a / b, 2) for a, b in zip(error, error_half, strict=True)])


def midpoint(operator, z, h):
    moved = []
    for cell in z:
        middle = expm(operator(cell[None])[0] * h / 2) @ cell
        moved.append(expm(operator(middle[None])[0] * h) @ cell)
    return np.array(moved)


SOLUTIONS = {"flow-eigen": flow_eigen, "rotate": rotate, "order": order, "midpoint": midpoint}


def between(left, values, right, z):
    """left diag(values) right for every cell, one after the other."""
    return np.array([left @ (values * (right @ cell)) for cell in z])


def in_place(values, P, z, dt):
    z *= np.exp(values * dt)
    return z


def entrywise_matrix(values, P, z, dt):
    A = np.linalg.inv(P) @ np.diag(values) @ P
    return np.array([np.exp(A * dt) @ cell for cell in z])


def full_of_ones(values, P, z, dt):
    return z @ P.T @ np.exp(np.diag(values * dt)).T @ np.linalg.inv(P).T


def circle(angle, z, sign=1):
    x, y = z.T
    return np.column_stack([x * np.cos(angle) - sign * y * np.sin(angle), sign * x * np.sin(angle) + y * np.cos(angle)])


def overwrites_x(growth, turn, z, dt):
    x, y = z[:, 0], z[:, 1]
    x = x * math.cos(turn * dt) - y * math.sin(turn * dt)
    y = x * math.sin(turn * dt) + y * math.cos(turn * dt)
    return math.exp(growth * dt) * np.stack([x, y], axis=1)


def overwrites_a_column(growth, turn, z, dt):
    z, grow = z.copy(), math.exp(growth * dt)
    z[:, 0] = grow * (math.cos(turn * dt) * z[:, 0] - math.sin(turn * dt) * z[:, 1])
    z[:, 1] = grow * (math.sin(turn * dt) * z[:, 0] + math.cos(turn * dt) * z[:, 1])
    return z


def entrywise_block(growth, turn, z, dt):
    M = np.exp(np.array([[growth, -turn], [turn, growth]]) * dt)
    return np.array([M @ cell for cell in z])


def tangent(growth, turn, z, dt):
    x, y = z.T
    return np.column_stack([x + dt * (growth * x - turn * y), y + dt * (turn * x + growth * y)])


def move(A, z):
    """Matrices of all cells, one after the other."""
    return np.array([M @ cell for M, cell in zip(A, z, strict=True)])


def stays_at_the_start(operator, z, h):
    return move([expm(A * h) for A in operator(z)], z)


def half_way(operator, z, h):
    return move([expm(A * h / 2) for A in operator(z)], z)


def forgets_h(operator, z, h, before=0.5):
    middle = move([expm(A * before) for A in operator(z)], z)
    return move([expm(A * h) for A in operator(middle)], z)


def straight_half(operator, z, h):
    middle = z + h / 2 * move(operator(z), z)
    return move(expm(operator(middle) * h), z)


def runge_kutta(operator, z, h):
    middle = half_way(operator, z, h)
    return z + h * move(operator(middle), middle)


def trapezoid(operator, z, h):
    end = stays_at_the_start(operator, z, h)
    return move(expm((operator(z) + operator(end)) / 2 * h), z)


def row_times_matrix(operator, z, h):
    middle = half_way(operator, z, h)
    return np.array([cell @ expm(A * h) for A, cell in zip(operator(middle), z, strict=True)])


def entrywise(operator, z, h):
    middle = move(np.exp(operator(z) * h / 2), z)
    return move(np.exp(operator(middle) * h), z)


WRONG = {
    "flow-eigen": [
        (lambda v, P, z, dt: between(P, np.exp(v * dt), np.linalg.inv(P), z), "changed places"),
        (lambda v, P, z, dt: between(np.linalg.inv(P), np.exp(v), P, z), "time step is missing"),
        (lambda v, P, z, dt: between(np.linalg.inv(P), np.exp(v) * dt, P, z), "inside the exponential"),
        (lambda v, P, z, dt: z @ np.linalg.inv(P) @ np.diag(np.exp(v * dt)) @ P, "transposed"),
        (lambda v, P, z, dt: z @ P.T * np.exp(v * dt), "way out"),
        (lambda v, P, z, dt: (z * np.exp(v * dt)) @ np.linalg.inv(P).T, "way in"),
        (lambda v, P, z, dt: z * np.exp(v * dt), "no effect"),
        (lambda v, P, z, dt: between(P.T, np.exp(v * dt), P, z), "not its inverse"),
        (lambda v, P, z, dt: between(np.linalg.inv(P), v * dt, P, z), "exponential is missing"),
        (lambda v, P, z, dt: z + dt * between(np.linalg.inv(P), v, P, z), "one straight step"),
        (lambda v, P, z, dt: between(np.linalg.inv(P), np.exp(-v * dt), P, z), "backwards"),
        (lambda v, P, z, dt: between(np.linalg.inv(P), v, P, z), "velocity"),
        (lambda v, P, z, dt: z @ P * np.exp(v * dt) @ np.linalg.inv(P), "Both matrices lack"),
        (lambda v, P, z, dt: z @ P.T * np.exp(v * dt) @ np.linalg.inv(P), "way out lacks"),
        (lambda v, P, z, dt: np.linalg.solve(P, (z @ P * np.exp(v * dt)).T).T, "way in lacks"),
        (entrywise_matrix, "each entry alone"),
        (full_of_ones, "zeros into ones"),
        (in_place, "in place"),
        (lambda v, P, z, dt: np.linalg.inv(P) @ np.exp(v * dt) * P @ z, "do not fit together"),
        (lambda v, P, z, dt: flow_eigen(v, P, z, dt).T, r"shape \(6, 3\)"),
        (lambda v, P, z, dt: z + 17, "wrong numbers"),
    ],
    "rotate": [
        (lambda g, w, z, dt: np.exp(g * dt) * circle(w * dt, z, sign=-1), "other way"),
        (lambda g, w, z, dt: circle(w * dt, z) + g * dt * circle(w * dt, z), "not exponentiated"),
        (lambda g, w, z, dt: circle(w * dt, z) * g * dt, "growth \\* dt; it must"),
        (lambda g, w, z, dt: g * circle(w * dt, z), "a rate; it must"),
        (lambda g, w, z, dt: circle(w * dt, z), "neither grow nor shrink"),
        (lambda g, w, z, dt: np.exp(g * dt) * z, "nothing turns"),
        (lambda g, w, z, dt: np.exp(g * dt) * circle(w, z), "missing in the angle"),
        (lambda g, w, z, dt: np.exp(g) * circle(w * dt, z), "missing in the growth"),
        (lambda g, w, z, dt: np.exp(g) * circle(w, z), "growth and angle"),
        (lambda g, w, z, dt: np.exp(g * dt) * circle(w * dt * np.pi / 180, z), "in radians already"),
        (lambda g, w, z, dt: np.exp(g * dt) * circle(w * dt * 180 / np.pi, z), "not degrees"),
        (entrywise_block, "each entry"),
        (tangent, "tangent"),
        (lambda g, w, z, dt: tangent(g, w, z, 1) - z, "velocity"),
        (overwrites_x, "new first one"),
        (overwrites_a_column, "overwritten"),
        (lambda g, w, z, dt: rotate(g, w, z, dt)[:, 0], r"shape \(6, 2\)"),
        (lambda g, w, z, dt: z + 17, "wrong numbers"),
    ],
    "order": [
        (lambda e, f: np.log(e) - np.log(f), "natural"),
        (lambda e, f: np.log10(e) - np.log10(f), "base 10"),
        (lambda e, f: np.log2(f) - np.log2(e), "Upside down: the order"),
        (lambda e, f: np.log(f) - np.log(e), "Upside down, and"),
        (lambda e, f: e / f, "how often better"),
        (lambda e, f: f / e, "share of the error"),
        (lambda e, f: 0.5 * e / f, "Half the ratio"),
        (lambda e, f: np.log(e) / np.log(f), "quotient of logarithms"),
        (lambda e, f: -np.log2(e), "first error only"),
        (lambda e, f: e - f, "how much the error falls"),
        (lambda e, f: np.log2(e / f / 2), "One too small"),
        (lambda e, f: np.log2(2 * e / f), "One too large"),
        (lambda e, f: (e / f) ** 0.5, "square root"),
        (lambda e, f: [round(math.log2(a / b)) for a, b in zip(e, f, strict=True)], "Do not round"),
        (lambda e, f: [math.floor(math.log2(a / b)) for a, b in zip(e, f, strict=True)], "decimals off"),
        (lambda e, f: [round(a / b) for a, b in zip(e, f, strict=True)], "rounded ratio"),
        (lambda e, f: np.log2(e / f).mean(), r"shape \(6,\)"),
        (lambda e, f: e + 17, "wrong numbers"),
    ],
    "midpoint": [
        (stays_at_the_start, "frozen step"),
        (half_way, "place half-way"),
        (lambda A, z, h: move(expm(A(half_way(A, z, h)) * h / 2), z), "half the step only"),
        (lambda A, z, h: half_way(A, half_way(A, z, h), h), "two frozen half steps"),
        (lambda A, z, h: move(expm(A(half_way(A, z, h)) * h), half_way(A, z, h)), "begins in the middle"),
        (lambda A, z, h: move(expm(A(stays_at_the_start(A, z, h)) * h), z), "operator of the end"),
        (straight_half, "straight line"),
        (lambda A, z, h: move(expm(A(0.5 * z) * h), z), "not z / 2"),
        (trapezoid, "averages the operators"),
        (row_times_matrix, "transposed"),
        (entrywise, "each entry"),
        (runge_kutta, "last step is straight"),
        (lambda A, z, h: move(A(half_way(A, z, h)), z), "exponential is missing"),
        (forgets_h, "half step lacks"),
        (lambda A, z, h: forgets_h(A, z, h, before=1), "not 1\\."),
        (lambda A, z, h: move(expm(A(half_way(A, z, h))), z), "last exponential lacks"),
        (lambda A, z, h: expm(A(z) * h) @ z, "shape|fit together"),
        (lambda A, z, h: z + 17, "wrong numbers"),
    ],
}
