"""Answers to the exercises of the opening chapter: right ones, and wrong ones with a word of the expected message.

The wrong ones are written as a student would write them, not as the check computes them.
"""

import numpy as np
from scipy.linalg import expm

SOLUTIONS = {
    "straight-line": lambda start, partner, t0, t1, t: ((t1 - t) * start + (t - t0) * partner) / (t1 - t0),
    "move": lambda A, z, dt: np.stack([expm(A * dt) @ cell for cell in z]),
}


def walk_in_place(start, partner, t0, t1, t):
    start += (t - t0) / (t1 - t0) * (partner - start)
    return start


def loops_over_entries(A, z, dt):
    return np.array([[sum(np.exp(A * dt)[i, j] * cell[j] for j in range(3)) for i in range(3)] for cell in z])


WRONG = {
    "straight-line": [
        (lambda start, partner, t0, t1, t: 0.5 * start + 0.5 * partner, "midpoint"),
        (
            lambda start, partner, t0, t1, t: (t - t0) / (t1 - t0) * start + (t1 - t) / (t1 - t0) * partner,
            "backwards",
        ),
        (lambda start, partner, t0, t1, t: (1 - (t - t0)) * start + (t - t0) * partner, "not divided"),
        (lambda start, partner, t0, t1, t: (1 - t / t1) * start + t / t1 * partner, "clock starts at 0"),
        (lambda start, partner, t0, t1, t: (partner - start) * (t - t0) / (t1 - t0), "displacement"),
        (lambda start, partner, t0, t1, t: start, "persistence"),
        (lambda start, partner, t0, t1, t: partner, "arrived already"),
        (walk_in_place, "in place"),
        (lambda start, partner, t0, t1, t: start + (partner - start) / (t1 - t0) * t, "below the line but not above"),
        (lambda start, partner, t0, t1, t: start + (partner - start) * (t - t0) / t1, "above the line but not below"),
        (lambda start, partner, t0, t1, t: start + (t - t0) / (t1 - t0) * partner, "partner - start, not partner"),
        (lambda start, partner, t0, t1, t: start[0], r"shape \(6, 3\)"),
        (lambda start, partner, t0, t1: start, "takes 4 arguments"),
        (lambda start, partner, t0, t1, t: start + 17, "wrong numbers"),
    ],
    "move": [
        (lambda A, z, dt: np.stack([expm(A.T * dt) @ cell for cell in z]), "transposed"),
        (lambda A, z, dt: z + (A @ z.T).T * dt, "one straight step"),
        (loops_over_entries, "each entry alone"),
        (lambda A, z, dt: np.stack([expm(A) @ cell for cell in z]), "time step is missing"),
        (lambda A, z, dt: (A @ z.T).T, "velocity"),
        (lambda A, z, dt: (dt * expm(A) @ z.T).T, "inside the exponential"),
        (lambda A, z, dt: (expm(-A * dt) @ z.T).T, "backwards"),
        (lambda A, z, dt: expm(A * dt) @ z, "from the right: see hint 2"),
        (lambda A, z, dt: (np.eye(3) + A * dt + A @ A * dt**2 / 2).dot(z.T).T, "cut short after M M;"),
        (lambda A, z, dt: (np.eye(3) + A * dt + A @ A * dt**2 / 2 + A @ A @ A * dt**3 / 6).dot(z.T).T, "M M M;"),
        (lambda A, z, dt: z + z @ expm(A * dt).T, "contains I already"),
        (lambda A, z, dt: expm(A * dt) @ z.T, r"shape \(6, 3\)"),
        (lambda A, z, dt: z + 17, "wrong numbers"),
        (lambda A, z, dt: "moved", "shape"),
    ],
}
