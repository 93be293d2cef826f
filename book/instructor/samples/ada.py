import numpy as np
import torch
from scipy.linalg import null_space

STUDENT = "ada"
TERM = "open"


def factor(circuit, x):
    total = 0
    for k in range(101):  # Simpson's rule
        weight = 1 if k in (0, 100) else 4 if k % 2 else 2
        total = total + weight * circuit.jacobian(circuit.rest + k / 100 * (x - circuit.rest))
    return total / 300


def wished_entry(A, way, i, j, value):
    others = [k for k in range(len(way)) if k != j and way[k] != 0]
    out = A.copy()
    if way[j] == 0:
        out[i, j] = value  # nobody has to pay
        return out
    if not others:
        return out * np.nan
    payer = max(others, key=lambda k: abs(way[k]))
    out[i, payer] -= (value - A[i, j]) * way[j] / way[payer]
    out[i, j] = value
    return out


def carry(A, rest, x, hours):
    moves = torch.linalg.matrix_exp(torch.tensor(A) * hours / 24)
    return torch.tensor(rest) + (moves @ torch.tensor(x - rest)[:, :, None])[:, :, 0]


def turning_operator(start, end, hours):
    angle = np.arctan2(end[1], end[0]) - np.arctan2(start[1], start[0])
    angle = np.arctan2(np.sin(angle), np.cos(angle))
    growth = np.log(np.hypot(*end) / np.hypot(*start))
    return np.array([[growth, -angle], [angle, growth]]) / (hours / 24)


def same_photographs(A, m, C):
    a, b = null_space(np.linalg.inv(C) @ m[:, None] @ m[None] @ np.linalg.inv(C)).T[:2]
    hidden = np.linalg.solve(C, np.outer(b, a) - np.outer(a, b)).T
    return A + 0.3 * np.linalg.norm(A) / np.linalg.norm(hidden) * hidden


def my_ageing():
    return [3.237, 0.02463, 0.01282]


def my_readings():
    return [0.2296, -0.198, 0.09072]
