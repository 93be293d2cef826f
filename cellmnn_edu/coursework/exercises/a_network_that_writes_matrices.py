"""Exercises of the chapter "A network that writes matrices"."""

from __future__ import annotations

import numpy as np

from ..exercise import Exercise, Mistake

Arrays = tuple[np.ndarray, ...]


def _network_inputs(rng: np.random.Generator) -> tuple:
    dim, width = 3, 8
    first, last = rng.normal(0, 0.6, (width, dim + 1)), rng.normal(0, 0.5, (dim * dim, width))
    return rng.normal(size=(6, dim)), rng.uniform(0.5, 3, 6), first, rng.normal(0, 0.4, width), last, rng.normal(size=9)


def _leaky(h: np.ndarray, slope: float = 0.01) -> np.ndarray:
    return np.where(h > 0, h, slope * h)


def _features(z: np.ndarray, t: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _leaky(np.column_stack([z, t]) @ w.T + b)


def _fold(numbers: np.ndarray) -> np.ndarray:
    dim = round(numbers.shape[1] ** 0.5)
    return numbers.reshape(-1, dim, dim)


def _written(z: np.ndarray, t: np.ndarray, w: np.ndarray, b: np.ndarray, v: np.ndarray, c: np.ndarray) -> np.ndarray:
    return _fold(_features(z, t, w, b) @ v.T + c)


def _act(matrices: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.einsum("nij,nj->ni", matrices, z)


def _with_features(h: np.ndarray, z: np.ndarray, v: np.ndarray, c: np.ndarray) -> np.ndarray:
    return _act(_fold(h @ v.T + c), z)


def _velocity(*inputs: np.ndarray) -> np.ndarray:
    return _act(_written(*inputs), inputs[0])


WRITTEN_VELOCITY = Exercise(
    call="written_velocity(z, t, W, b, V, c)",
    inputs=_network_inputs,
    truth=_velocity,
    mistakes=(
        Mistake(
            lambda *x: np.einsum("nji,nj->ni", _written(*x), x[0]),
            "The matrices act transposed: the numbers fill A row by row, and A stands to the left of the cell.",
        ),
        Mistake(
            lambda z, t, w, b, v, c: _with_features(_leaky(np.column_stack([t, z]) @ w.T + b), z, v, c),
            "The time stands in front of the coordinates: the weights expect it behind them.",
        ),
        Mistake(
            lambda z, t, w, b, v, c: _velocity(z, np.full_like(t, t[0]), w, b, v, c),
            "All cells get the time of the first one: each has its own.",
        ),
        Mistake(
            lambda z, t, w, b, v, c: _velocity(z, np.zeros_like(t), w, b, v, c),
            "The time is missing: the network reads the cell and its time.",
        ),
        Mistake(
            lambda z, t, w, b, v, c: _with_features(np.column_stack([z, t]) @ w.T + b, z, v, c),
            "The LeakyReLU is missing: without it two layers are no more than one.",
        ),
        Mistake(
            lambda z, t, w, b, v, c: _with_features(np.maximum(np.column_stack([z, t]) @ w.T + b, 0), z, v, c),
            "This is a ReLU: a LeakyReLU keeps 0.01 of each negative value.",
        ),
        Mistake(
            lambda z, t, w, b, v, c: _with_features(_leaky(np.column_stack([z, t]) @ w.T + b, 0.1), z, v, c),
            "The slope for negative values is 0.1 here: it must be 0.01.",
        ),
        Mistake(
            lambda z, t, w, b, v, c: _with_features(_leaky(np.column_stack([z, t]) @ w.T) + b, z, v, c),
            "The bias b is added after the LeakyReLU: it belongs inside.",
        ),
        Mistake(
            lambda z, t, w, b, v, c: _act(_fold(_leaky(_features(z, t, w, b) @ v.T + c)), z),
            "The last layer has no LeakyReLU: entries of A may be negative at full size.",
        ),
        Mistake(lambda z, t, w, b, v, c: _velocity(z, t, w, 0 * b, v, c), "The bias b of the hidden layer is missing."),
        Mistake(lambda z, t, w, b, v, c: _velocity(z, t, w, b, v, 0 * c), "The bias c of the last layer is missing."),
        Mistake(
            lambda z, t, w, b, v, c: _velocity(z, t, w, 0 * b, v, 0 * c), "Both biases are missing, b as well as c."
        ),
        Mistake(
            lambda *x: x[0] @ _written(*x)[0].T,
            "The matrix of the first cell moves all cells: each has its own.",
        ),
        Mistake(
            lambda *x: x[0] @ _written(*x).mean(axis=0).T,
            "The mean matrix moves all cells: each has its own.",
        ),
        Mistake(
            lambda *x: _written(*x).sum(axis=2) * x[0],
            "Row i is multiplied by z_i here: A z multiplies column j by z_j and adds along the row.",
        ),
        Mistake(
            lambda *x: x[0] + _velocity(*x), "This is the cell after one straight step: the velocity alone is wanted."
        ),
    ),
    section="A matrix is a long answer",
    hint="Try one cell with `A @ z[0]` and compare with your first row.",
    shapes="z is (n, D), t is (n,), W is (width, D + 1), V is (D * D, width), and the answer is (n, D).",
)


def _scale_inputs(rng: np.random.Generator) -> Arrays:
    return rng.uniform(0, 2, (7, 5)), rng.normal(0.3, 1, (4, 5)), rng.uniform(0.05, 0.4)


def _scale(h: np.ndarray, weight: np.ndarray, size: float) -> np.ndarray:
    return size / np.sqrt(np.mean((h @ weight.T) ** 2))


LAST_SCALE = Exercise(
    call="last_scale(h, W, size)",
    inputs=_scale_inputs,
    truth=_scale,
    mistakes=(
        Mistake(lambda h, w, s: 1 / _scale(h, w, s), "Upside down: a smaller size needs a smaller scale."),
        Mistake(lambda h, w, s: _scale(h, w, 1), "This gives outputs of size 1: `size` is not used."),
        Mistake(
            lambda h, w, s: s / np.mean((h @ w.T) ** 2),
            "The root is missing: this divides by the mean square.",
        ),
        Mistake(
            lambda h, w, s: s / np.sqrt(np.sum((h @ w.T) ** 2)),
            "The squares are added, not averaged: the scale must not depend on the number of cells.",
        ),
        Mistake(
            lambda h, w, s: s / np.abs(h @ w.T).mean(),
            "This is the mean of the absolute values: square, mean, root.",
        ),
        Mistake(
            lambda h, w, s: s / np.std(h @ w.T),
            "The standard deviation takes the mean away first: the root mean square does not.",
        ),
        Mistake(
            lambda h, w, s: s / np.abs(h @ w.T).max(), "This makes the largest output `size`, not the typical one."
        ),
        Mistake(lambda h, w, s: s / (h @ w.T).mean(), "The plain mean lets positive and negative outputs cancel."),
        Mistake(
            lambda h, w, s: s / np.sqrt(np.mean(w**2)),
            "This is the size of the weights: the outputs are the features times the weights.",
        ),
        Mistake(
            lambda h, w, s: s / np.sqrt(np.mean(h**2)),
            "This is the size of the features: the outputs are the features times the weights.",
        ),
        Mistake(
            lambda h, w, s: np.sqrt(s / np.mean((h @ w.T) ** 2)),
            "The root is taken of `size` too: it is already the size of an output, not of its square.",
        ),
        Mistake(
            lambda h, w, s: np.sqrt(np.mean((h @ w.T) ** 2)),
            "This is the size of the outputs now: by what must it be multiplied to become `size`?",
        ),
    ),
    section="Before the first step",
    hint="Multiply W by your number and measure the outputs again.",
    shapes="h is (n, width), W is (outputs, width), and the answer is one number.",
)


def _numbers_inputs(rng: np.random.Generator) -> tuple:
    dim = int(rng.integers(3, 5))
    rest = rng.uniform(0.1, 0.35, (6, dim * dim)) * rng.choice([-1, 1], (6, dim * dim))
    return np.column_stack([rng.uniform(0.3, 1.5, (6, dim)) * rng.choice([-1, 1], (6, dim)), rest]), dim


def _read(numbers: np.ndarray, dim: int) -> Arrays:
    return numbers[:, :dim], np.eye(dim) + numbers[:, dim:].reshape(-1, dim, dim)


def _between(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """P^-1 diag(values) P of every cell."""
    return np.linalg.solve(basis, values[:, :, None] * basis)


def _assemble(numbers: np.ndarray, dim: int) -> np.ndarray:
    return _between(*_read(numbers, dim))


def _last_first(numbers: np.ndarray, dim: int) -> np.ndarray:
    """The slip of taking the eigenvalues from the end."""
    return _between(numbers[:, dim * dim :], np.eye(dim) + numbers[:, : dim * dim].reshape(-1, dim, dim))


def _other_way(numbers: np.ndarray, dim: int) -> np.ndarray:
    values, basis = _read(numbers, dim)
    return _between(values, np.linalg.inv(basis))


def _no_inverse(numbers: np.ndarray, dim: int) -> np.ndarray:
    values, basis = _read(numbers, dim)
    return values[:, :, None] * basis


def _no_way_in(numbers: np.ndarray, dim: int) -> np.ndarray:
    values, basis = _read(numbers, dim)
    return np.linalg.inv(basis) * values[:, None, :]


def _transpose_for_inverse(numbers: np.ndarray, dim: int) -> np.ndarray:
    values, basis = _read(numbers, dim)
    return basis.swapaxes(1, 2) @ (values[:, :, None] * basis)


ASSEMBLE = Exercise(
    call="assemble(numbers, D)",
    inputs=_numbers_inputs,
    truth=_assemble,
    mistakes=(
        Mistake(
            lambda x, d: _between(x[:, :d], x[:, d:].reshape(-1, d, d)),
            "The identity is missing: P = I + M.",
        ),
        Mistake(
            lambda x, d: _between(x[:, :d], 1 + x[:, d:].reshape(-1, d, d)),
            "1 + M adds one to every entry: the identity has ones on its diagonal only.",
        ),
        Mistake(_other_way, "P and its inverse changed places: A = P^-1 diag(values) P."),
        Mistake(_last_first, "The eigenvalues are the first D numbers of a cell, not the last."),
        Mistake(
            lambda x, d: _between(x[:, :d], _read(x, d)[1].swapaxes(1, 2)),
            "P is transposed: the numbers fill M row by row.",
        ),
        Mistake(lambda x, d: _assemble(x, d).swapaxes(1, 2), "The result is transposed: rows of A are targets."),
        Mistake(
            _transpose_for_inverse,
            "P transposed is not its inverse: that would need rows at right angles and of length 1.",
        ),
        Mistake(_no_inverse, "The inverse is missing: this is diag(values) P."),
        Mistake(_no_way_in, "The last factor is missing: this is P^-1 diag(values)."),
        Mistake(
            lambda x, d: x[:, :d, None] * np.eye(d),
            "P has cancelled: values[:, None, :] * P multiplies columns; diag(values) P multiplies rows.",
        ),
        Mistake(
            lambda x, d: _between(np.exp(x[:, :d]), _read(x, d)[1]),
            "This is exp(A): the eigenvalues of A are the numbers themselves.",
        ),
        Mistake(
            lambda x, d: _between(1 + x[:, :d], _read(x, d)[1]),
            "One is added to the eigenvalues as well: only P starts at the identity.",
        ),
        Mistake(lambda x, d: _read(x, d)[1], "This is P: the eigenvalues have not been used."),
    ),
    section="Three ways to fold",
    hint="The eigenvalues of each of your matrices must be the first D numbers of its row.",
    shapes="numbers is (n, D + D * D), and the answer is (n, D, D).",
)


def _count_inputs(rng: np.random.Generator) -> tuple:
    # Small networks: a count must be right to the last unit, and the engine forgives one in ten thousand.
    return tuple(int(rng.integers(*span)) for span in ((3, 7), (8, 13), (4, 6), (14, 30)))


def _count(dim: int, width: int, depth: int, outputs: int) -> int:
    return (dim + 2) * width + (depth - 1) * (width + 1) * width + (width + 1) * outputs


PARAMETERS = Exercise(
    call="parameters(D, width, depth, H)",
    inputs=_count_inputs,
    truth=_count,
    mistakes=(
        Mistake(
            lambda d, w, k, h: (d + 1) * w + (k - 1) * w * w + w * h,
            "The biases are missing: a layer with n outputs has n of them.",
        ),
        Mistake(
            lambda d, w, k, h: _count(d - 1, w, k, h),
            "Too few by `width`: the first layer reads D + 1 numbers, the time too, and has a bias for each unit.",
        ),
        Mistake(
            lambda d, w, k, h: _count(d, w, k + 1, h),
            "One layer between hidden layers too many: `depth` hidden layers have depth - 1 gaps.",
        ),
        Mistake(
            lambda d, w, k, h: _count(d, w, k - 1, h),
            "One layer between hidden layers is missing: `depth` hidden layers have depth - 1 gaps.",
        ),
        Mistake(
            lambda d, w, k, h: _count(d, w, 2, h),
            "The depth is not used: this is the count for two hidden layers.",
        ),
        Mistake(lambda d, w, k, h: _count(d, w, k, h) - h, "The biases of the last layer are missing."),
        Mistake(
            lambda d, w, k, h: _count(d, w, k, h) - (k - 1) * w,
            "The biases between the hidden layers are missing.",
        ),
        Mistake(lambda d, w, k, h: _count(d, w, k, h) - (d + 2) * w, "The first layer is missing."),
        Mistake(lambda d, w, k, h: _count(d, w, k, h) - (w + 1) * h, "The last layer is missing."),
        Mistake(
            lambda d, w, k, h: d + 1 + k * w + h,
            "These are the units: between two layers every pair of units has a weight.",
        ),
        Mistake(
            lambda d, w, k, h: _count(d, w, k, h * h),
            "H is the number of outputs itself: do not square it.",
        ),
        Mistake(
            lambda d, w, k, h: _count(d, w, k, d * d),
            "H is not used: the last layer has D * D outputs here, which is right for the dense head only.",
        ),
        Mistake(
            lambda d, w, k, h: (d + 2) * w + ((w + 1) * w) ** (k - 1) + (w + 1) * h,
            "Layers add up: the counts are multiplied here.",
        ),
    ),
    section="What it costs",
    hint="For D=5, width=2, depth=3, H=4 the answer is 38.",
    shapes="All four are integers, and so is the answer.",
)

EXERCISES = {
    "parameters": PARAMETERS,
    "assemble": ASSEMBLE,
    "last-scale": LAST_SCALE,
    "written-velocity": WRITTEN_VELOCITY,
}
