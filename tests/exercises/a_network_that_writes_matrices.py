"""Answers to the exercises of the chapter "A network that writes matrices".

The wrong ones are written as a student would write them, not as the check computes them.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn


def parameters(D, width, depth, H):
    hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(width, width), nn.LeakyReLU())]
    network = nn.Sequential(nn.Linear(D + 1, width), nn.LeakyReLU(), *hidden, nn.Linear(width, H))
    return sum(weight.numel() for weight in network.parameters())


def assemble(numbers, D):
    found = []
    for row in numbers:
        P = np.identity(D) + row[D:].reshape(D, D)
        found.append(np.linalg.inv(P) @ np.diag(row[:D]) @ P)
    return np.array(found)


def last_scale(h, W, size):
    outputs = [float(weights @ features) for features in h for weights in W]
    return size / math.sqrt(sum(x * x for x in outputs) / len(outputs))


def written_velocity(z, t, W, b, V, c):
    speeds = []
    for cell, time in zip(z, t, strict=True):
        question = torch.tensor([*cell, time])
        h = nn.functional.leaky_relu(torch.tensor(W) @ question + torch.tensor(b))
        A = (torch.tensor(V) @ h + torch.tensor(c)).reshape(len(cell), len(cell))
        speeds.append(A.numpy() @ cell)
    return np.array(speeds)


SOLUTIONS = {
    "parameters": parameters,
    "assemble": assemble,
    "last-scale": last_scale,
    "written-velocity": written_velocity,
}


def layers(*sizes, bias=1):
    return sum((m + bias) * n for m, n in pairwise(sizes))


def each(numbers, D, build):
    """One matrix after the other: build(values, M)."""
    return np.array([build(np.diag(row[:D]), row[D:].reshape(D, D)) for row in numbers])


def conjugate(L, P):
    return np.linalg.inv(P) @ L @ P


def from_the_end(numbers, D):
    return np.array([conjugate(np.diag(row[-D:]), np.eye(D) + row[:-D].reshape(D, D)) for row in numbers])


def columns(numbers, D):
    values, P = numbers[:, :D], np.eye(D) + numbers[:, D:].reshape(-1, D, D)
    return np.linalg.inv(P) @ (P * values[:, None, :])


def column_order(numbers, D):
    return np.array([conjugate(np.diag(row[:D]), np.eye(D) + row[D:].reshape(D, D, order="F")) for row in numbers])


def keeps(h, slope=0.01):
    return np.maximum(h, 0) + slope * np.minimum(h, 0)


def network(z, t, W, b, V, c, bend=keeps, end=lambda x: x):
    h = bend(np.concatenate([z, t[:, None]], axis=1) @ W.T + b)
    return end(h @ V.T + c).reshape(len(z), z.shape[1], z.shape[1])


def moved(A, z):
    return np.array([M @ cell for M, cell in zip(A, z, strict=True)])


def time_first(z, t, W, b, V, c):
    h = keeps(np.column_stack([t, z]) @ W.T + b)
    return moved((h @ V.T + c).reshape(-1, 3, 3), z)


def late_bias(z, t, W, b, V, c):
    h = keeps(np.column_stack([z, t]) @ W.T) + b
    return moved((h @ V.T + c).reshape(-1, 3, 3), z)


def without_time(z, t, W, b, V, c):
    return moved((keeps(z @ W[:, :3].T + b) @ V.T + c).reshape(-1, 3, 3), z)


def no_column_for_time(z, t, W, b, V, c):
    return moved((keeps(z @ W.T + b) @ V.T + c).reshape(-1, 3, 3), z)


WRONG = {
    "parameters": [
        (lambda D, w, d, H: layers(D + 1, *d * [w], H, bias=0), "biases are missing"),
        (lambda D, w, d, H: layers(D, *d * [w], H), "the time too"),
        (lambda D, w, d, H: layers(D + 1, *(d + 1) * [w], H), "too many"),
        (lambda D, w, d, H: layers(D + 1, *(d - 1) * [w], H), "between hidden layers is missing"),
        (lambda D, w, d, H: layers(D + 1, w, w, H), "depth is not used"),
        (lambda D, w, d, H: layers(D + 1, *d * [w]) + w * H, "biases of the last"),
        (lambda D, w, d, H: (D + 1) * w + layers(*d * [w], H), "bias for each unit"),
        (lambda D, w, d, H: layers(D + 1, w) + (d - 1) * w**2 + layers(w, H), "biases between"),
        (lambda D, w, d, H: layers(*d * [w], H), "first layer is missing"),
        (lambda D, w, d, H: layers(D + 1, *d * [w]), "last layer is missing"),
        (lambda D, w, d, H: sum([D + 1, *d * [w], H]), "units"),
        (lambda D, w, d, H: layers(D + 1, *d * [w], H**2), "do not square"),
        (lambda D, w, d, H: layers(D + 1, *d * [w], D**2), "H is not used"),
        (lambda D, w, d, H: layers(D + 1, w) + layers(w, w) ** (d - 1) + layers(w, H), "multiplied"),
        (lambda D, w, d, H: [layers(D + 1, *d * [w], H)], "single number"),
        (lambda D, w, d, H: 17, "wrong numbers"),
    ],
    "assemble": [
        (lambda x, D: each(x, D, conjugate), "identity is missing"),
        (lambda x, D: each(x, D, lambda L, M: conjugate(L, 1 + M)), "every entry"),
        (lambda x, D: each(x, D, lambda L, M: (np.eye(D) + M) @ L @ np.linalg.inv(np.eye(D) + M)), "changed places"),
        (from_the_end, "first D numbers of a cell"),
        (column_order, "P is transposed"),
        (lambda x, D: np.transpose(assemble(x, D), (0, 2, 1)), "result is transposed"),
        (lambda x, D: each(x, D, lambda L, M: (np.eye(D) + M).T @ L @ (np.eye(D) + M)), "not its inverse"),
        (lambda x, D: each(x, D, lambda L, M: L @ (np.eye(D) + M)), "inverse is missing"),
        (lambda x, D: each(x, D, lambda L, M: np.linalg.inv(np.eye(D) + M) @ L), "last factor"),
        (columns, "cancelled"),
        (lambda x, D: each(x, D, lambda L, M: conjugate(np.diag(np.exp(np.diag(L))), np.eye(D) + M)), "exp\\(A\\)"),
        (lambda x, D: each(x, D, lambda L, M: conjugate(np.eye(D) + L, np.eye(D) + M)), "eigenvalues as well"),
        (lambda x, D: each(x, D, lambda L, M: np.eye(D) + M), "have not been used"),
        (lambda x, D: assemble(x, D)[0], "Expected an array of shape"),
        (lambda x, D: x[:, D:].reshape(D, D) + np.eye(D), "fit together"),
        (lambda x, D: assemble(x, D) + 17, "wrong numbers"),
    ],
    "last-scale": [
        (lambda h, W, s: np.sqrt(np.mean((h @ W.T) ** 2)) / s, "Upside down"),
        (lambda h, W, s: 1 / np.sqrt(np.mean((h @ W.T) ** 2)), "not used"),
        (lambda h, W, s: s / ((h @ W.T) ** 2).mean(), "root is missing"),
        (lambda h, W, s: s / np.linalg.norm(h @ W.T), "added, not averaged"),
        (lambda h, W, s: s / np.mean(abs(h @ W.T)), "absolute values"),
        (lambda h, W, s: s / np.var(h @ W.T) ** 0.5, "takes the mean away"),
        (lambda h, W, s: s / abs(h @ W.T).max(), "largest output"),
        (lambda h, W, s: s / np.average(h @ W.T), "cancel"),
        (lambda h, W, s: s / (W**2).mean() ** 0.5, "size of the weights"),
        (lambda h, W, s: s / (h**2).mean() ** 0.5, "size of the features"),
        (lambda h, W, s: np.sqrt(s / np.mean((h @ W.T) ** 2)), "root is taken of"),
        (lambda h, W, s: np.linalg.norm(h @ W.T) / np.sqrt((h @ W.T).size), "outputs now"),
        (lambda h, W, s: s / np.sqrt(((h @ W.T) ** 2).mean(axis=0)), "single number"),
        (lambda h, W, s: s / np.sqrt(np.mean((h @ W) ** 2)), "fit together"),
        (lambda h, W, s: 17.0, "wrong numbers"),
    ],
    "written-velocity": [
        (lambda z, *x: np.array([cell @ M for M, cell in zip(network(z, *x), z, strict=True)]), "act transposed"),
        (time_first, "in front"),
        (lambda z, t, *x: moved(network(z, np.repeat(t[0], len(z)), *x), z), "time of the first"),
        (without_time, "time is missing"),
        (lambda z, *x: moved(network(z, *x, bend=lambda h: h), z), "LeakyReLU is missing"),
        (lambda z, *x: moved(network(z, *x, bend=lambda h: h * (h > 0)), z), "This is a ReLU"),
        (lambda z, *x: moved(network(z, *x, bend=lambda h: keeps(h, 0.1)), z), "slope"),
        (late_bias, "belongs inside"),
        (lambda z, *x: moved(network(z, *x, end=keeps), z), "last layer has no"),
        (lambda z, t, W, b, V, c: moved(network(z, t, W, 0, V, c), z), "bias b"),
        (lambda z, t, W, b, V, c: moved(network(z, t, W, b, V, 0), z), "bias c"),
        (lambda z, t, W, b, V, c: moved(network(z, t, W, 0, V, 0), z), "Both biases"),
        (lambda z, *x: np.array([network(z, *x)[0] @ cell for cell in z]), "matrix of the first"),
        (lambda z, *x: np.array([network(z, *x).mean(0) @ cell for cell in z]), "mean matrix"),
        (lambda z, *x: (network(z, *x) * z[:, :, None]).sum(-1), "Row i"),
        (lambda z, *x: z + moved(network(z, *x), z), "straight step"),
        (no_column_for_time, "fit together"),
        (lambda z, *x: network(z, *x), r"shape \(6, 3\)"),
        (lambda z, *x: z + 17, "wrong numbers"),
    ],
}
