import numpy as np
import torch
from scipy.linalg import null_space

STUDENT = "ben"
TERM = "open"


def factor(circuit, x):
    return circuit.jacobian(x)


def wished_entry(A, way, i, j, value):
    payer = (j + 1) % len(way)
    out = A.copy()
    out[i, payer] -= (value - A[i, j]) * way[j] / way[payer]
    out[i, j] = value
    return out


def carry(A, rest, x, hours):
    values, vectors = np.linalg.eig(A)
    moved = vectors @ (np.exp(values * hours / 24)[:, :, None] * np.linalg.solve(vectors, (x - rest)[:, :, None] + 0j))
    return rest + moved[:, :, 0].real


def turning_operator(start, end, hours):
    lengths = np.hypot(*start) * np.hypot(*end)
    angle = np.arccos(np.clip(start @ end / lengths, -1, 1))
    growth = np.log(np.hypot(*end) / np.hypot(*start))
    return np.array([[growth, -angle], [angle, growth]]) * 24 / hours


def same_photographs(A, m, C):
    W = np.zeros(A.shape)
    W[0, 1], W[1, 0] = 1, -1
    hidden = W @ np.linalg.inv(C)
    return A + hidden * np.linalg.norm(A) / np.linalg.norm(hidden)


def my_ageing():
    return [1.554, 0.02044, 0.02044]


def my_readings():
    return [-0.1005, 0.172, 0.05046]
