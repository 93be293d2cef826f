"""Exercises of the chapter "Matching crowds"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable


def _witness_inputs(rng: np.random.Generator) -> tuple:
    bandwidth = rng.uniform(0.5, 1.5)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-np.abs(a[:, None] - b[None]).mean(-1) / bandwidth)

    # Crowds of different size: with equal ones sums and means would differ by one factor only.
    return rng.normal(size=(4, 2)), rng.normal(size=(7, 2)), rng.normal(0.8, size=(5, 2)), kernel


def _witness(z: np.ndarray, x: np.ndarray, y: np.ndarray, kernel: Callable) -> np.ndarray:
    return kernel(z, x).mean(1) - kernel(z, y).mean(1)


WITNESS = Exercise(
    call="witness(z, x, y, kernel)",
    inputs=_witness_inputs,
    truth=_witness,
    mistakes=(
        Mistake(
            lambda z, x, y, k: -_witness(z, x, y, k),
            "The sign is turned round: this is positive where the predicted crowd x is too thin.",
        ),
        Mistake(
            lambda z, x, y, k: k(z, x).sum(1) - k(z, y).sum(1),
            "These are sums: the larger crowd would seem too dense everywhere. Every cell carries 1/n of its crowd.",
        ),
        Mistake(lambda z, x, y, k: k(z, x).mean(1), "This is the heap of x alone; the heap of y is to be subtracted."),
        Mistake(lambda z, x, y, k: k(z, y).mean(1), "This is the heap of y alone; what of x?"),
        Mistake(
            lambda z, x, y, k: k(z, x).mean(1) + k(z, y).mean(1),
            "The heaps are added; their difference says where they disagree.",
        ),
        Mistake(
            lambda z, x, y, k: k(z, x).mean(1) - 2 * k(z, y).mean(1),
            "The factor 2 belongs into the squared MMD, where each crowd meets the other twice; here it does not.",
        ),
        Mistake(
            lambda z, x, y, k: np.abs(_witness(z, x, y, k)),
            "The sign is lost: too dense and too thin look alike.",
        ),
        Mistake(
            lambda z, x, y, k: np.square(_witness(z, x, y, k)),
            "This is squared, so too dense and too thin look alike.",
        ),
        Mistake(
            lambda z, x, y, k: k(z, x).max(1) - k(z, y).max(1),
            "This compares the nearest cells; the heap is the mean over all cells of a crowd.",
        ),
        Mistake(
            lambda z, x, y, k: k(z, x.mean(0, keepdims=True))[:, 0] - k(z, y.mean(0, keepdims=True))[:, 0],
            "These are hills on the two average cells. Put a hill on every cell, and average the hills.",
        ),
    ),
    section="Too dense, too thin",
    shapes="One number for each place, each row of z: average the similarities over the cells of a crowd, the columns.",
)


def _slope_inputs(rng: np.random.Generator) -> tuple:
    return (
        rng.normal(size=(4, 3)),
        rng.normal(size=(7, 3)),
        rng.normal(0.8, size=(5, 3)),
        float(rng.uniform(0.6, 0.8)),
    )


def _gaussian(z: np.ndarray, x: np.ndarray, s: float) -> np.ndarray:
    return np.exp(-np.square(z[:, None] - x).sum(-1) / (2 * s**2))


def _hill_slope(z: np.ndarray, x: np.ndarray, s: float) -> np.ndarray:
    return (_gaussian(z, x, s)[..., None] * (x - z[:, None])).mean(1) / s**2


def _slope(z: np.ndarray, x: np.ndarray, y: np.ndarray, s: float) -> np.ndarray:
    return _hill_slope(z, x, s) - _hill_slope(z, y, s)


def _without_hills(z: np.ndarray, x: np.ndarray, y: np.ndarray, s: float) -> np.ndarray:
    return ((x - z[:, None]).mean(1) - (y - z[:, None]).mean(1)) / s**2


SLOPE = Exercise(
    call="slope(z, x, y, s)",
    inputs=_slope_inputs,
    truth=_slope,
    mistakes=(
        Mistake(
            lambda z, x, y, s: -_slope(z, x, y, s),
            "The sign is turned round. A hill rises towards the cell it stands on: its slope at z points from z to x.",
        ),
        Mistake(lambda z, x, y, s: _slope(z, x, y, s) * s**2, "The factor 1 / s^2 of the chain rule is missing."),
        Mistake(lambda z, x, y, s: _slope(z, x, y, s) * s, "This divides by s; the chain rule gives 1 / s^2."),
        Mistake(
            lambda z, x, y, s: _slope(z, x, y, s) / 2,
            "Half of it: the 2 from the square cancels the 2 in 2 s^2.",
        ),
        Mistake(
            lambda z, x, y, s: 2 * _slope(z, x, y, s),
            "This is the pull of n MMD^2 on its own cells; the slope of the witness has no factor 2.",
        ),
        Mistake(
            lambda z, x, y, s: len(x) * _hill_slope(z, x, s) - len(y) * _hill_slope(z, y, s),
            "These are sums over the cells; take means.",
        ),
        Mistake(lambda z, x, y, s: _hill_slope(z, x, s), "This is the slope of the heap of x; subtract that of y."),
        Mistake(
            lambda z, x, y, s: _hill_slope(z, x, s) + _hill_slope(z, y, s),
            "The slopes of the heaps are added; the witness is their difference.",
        ),
        Mistake(
            _without_hills,
            "The hills themselves are missing: the slope is the hill times (x - z) / s^2, so far cells hardly count.",
        ),
    ),
    section="The pull on a cell",
    shapes="One slope for each place: the shape of z. Average over the cells of a crowd, not over the coordinates.",
)


def _weights_inputs(rng: np.random.Generator) -> tuple:
    return int(rng.integers(4, 7)), float(rng.uniform(0.15, 0.45))


def _skipped(n_times: int) -> np.ndarray:
    times = np.arange(n_times)
    return times[None] - times[:, None] - 1


def _weights(n_times: int, gamma: float) -> np.ndarray:
    skipped = _skipped(n_times)
    return np.where(skipped >= 0, gamma ** skipped.clip(0), 0.0)


def _with_diagonal(n_times: int, gamma: float) -> np.ndarray:
    gaps = _skipped(n_times) + 1
    return np.where(gaps >= 0, gamma ** gaps.clip(0), 0.0)


PAIR_WEIGHTS = Exercise(
    call="pair_weights(n_times, gamma)",
    inputs=_weights_inputs,
    truth=_weights,
    mistakes=(
        Mistake(
            lambda n, g: _weights(n, g) * g,
            "Off by one power: from a snapshot to the next nothing is skipped: e - s - 1 = 0, and the weight is 1.",
        ),
        Mistake(
            _with_diagonal,
            "The diagonal holds 1 and the next snapshot gamma: count the snapshots *between* the two times.",
        ),
        Mistake(
            lambda n, g: _weights(n, g) + np.eye(n),
            "No cell is compared with its own time: the diagonal is 0.",
        ),
        Mistake(
            lambda n, g: _weights(n, g) + _weights(n, g).T,
            "Cells are moved forwards only: nothing stands below the diagonal.",
        ),
        Mistake(
            lambda n, g: g ** _skipped(n).astype(float),
            "There is no move back in time, nor to its own time: on the diagonal and below it stands 0.",
        ),
        Mistake(
            lambda n, g: g ** _skipped(n).clip(0),
            "There is no move back in time, nor to its own time: on the diagonal and below it stands 0, not 1.",
        ),
        Mistake(lambda n, g: _weights(n, g).T, "Rows and columns are exchanged: rows are where a move starts."),
        Mistake(
            lambda n, g: np.where(_skipped(n) == 0, 1.0, np.where(_skipped(n) > 0, g * _skipped(n), 0.0)),
            "This is gamma times e - s - 1; the discount is gamma to the power of it.",
        ),
        Mistake(
            lambda n, g: np.where(_skipped(n) == 0, 1.0, np.where(_skipped(n) > 0, g, 0.0)),
            "Every longer move gets the same weight gamma: each snapshot skipped costs another factor.",
        ),
        Mistake(
            lambda n, g: (_skipped(n) == 0).astype(float),
            "Only neighbours are compared; longer moves count too, with gamma ** (e - s - 1).",
        ),
        Mistake(lambda n, g: (_skipped(n) >= 0).astype(float), "All pairs weigh 1: this is gamma = 1."),
        Mistake(
            lambda n, g: _weights(n, g) / _weights(n, g).sum(),
            "The weights are scaled to sum 1; the loss adds them up as they are.",
        ),
    ),
    section="The whole loss, term by term",
    shapes="One row and one column for each time: the answer is (n_times, n_times).",
)


def _effort_inputs(rng: np.random.Generator) -> tuple:
    # Fast at first, and densely sampled there, as on a grid that follows the action: the plain mean is then far off.
    times = np.cumsum(rng.uniform(0.2, 0.5, size=5) * [1, 1, 2, 4, 8])
    return rng.normal(size=(5, 4, 3)) * np.array([3.0, 2.0, 1.5, 1.0, 0.5])[:, None, None], times


def _by_time(velocity: np.ndarray) -> np.ndarray:
    return np.square(velocity).mean((1, 2))


def _trapezoid(values: np.ndarray, times: np.ndarray) -> float:
    return float((np.diff(times) * (values[1:] + values[:-1]) / 2).sum())


def _effort(velocity: np.ndarray, times: np.ndarray) -> float:
    return _trapezoid(_by_time(velocity), times) / (times[-1] - times[0])


EFFORT = Exercise(
    call="effort(velocity, times)",
    inputs=_effort_inputs,
    truth=_effort,
    mistakes=(
        Mistake(
            lambda v, t: np.square(v).mean(),
            "This is the plain mean: a stretch that happens to be sampled densely counts too often. Weigh by duration.",
        ),
        Mistake(
            lambda v, t: _trapezoid(_by_time(v), t),
            "This is the integral over time; divide by the whole duration to get a mean.",
        ),
        Mistake(
            lambda v, t: _effort(v, t) * v.shape[-1],
            "Summed over dimensions: the loss takes the mean over them, so that l_kin means the same in any D.",
        ),
        Mistake(lambda v, t: _effort(v, t) * v.shape[1], "Summed over cells; take the mean."),
        Mistake(
            lambda v, t: _effort(v, t) / 2,
            "Half of it: physics writes 1/2 m v^2, the loss only the mean square.",
        ),
        Mistake(
            lambda v, t: (np.diff(t) * _by_time(v)[:-1]).sum() / (t[-1] - t[0]),
            "Each interval gets the value at its beginning; take the mean of both ends.",
        ),
        Mistake(
            lambda v, t: (np.diff(t) * _by_time(v)[1:]).sum() / (t[-1] - t[0]),
            "Each interval gets the value at its end; take the mean of both ends.",
        ),
        Mistake(
            lambda v, t: _trapezoid(np.abs(v).mean((1, 2)), t) / (t[-1] - t[0]),
            "This is the mean absolute speed; the charge is on its square.",
        ),
        Mistake(
            lambda v, t: np.sqrt(_effort(v, t)),
            "This is the root of it; the loss charges the square itself.",
        ),
        Mistake(
            lambda v, t: ((_by_time(v)[1:] + _by_time(v)[:-1]) / 2).mean(),
            "Intervals are averaged as if all lasted equally long; multiply each by its duration.",
        ),
        Mistake(
            lambda v, t: (np.diff(t) * _by_time((v[1:] + v[:-1]) / 2)).sum() / (t[-1] - t[0]),
            "This averages the velocities at both ends and squares the mean: square first, then average.",
        ),
        Mistake(
            lambda v, t: _trapezoid(np.square(v.mean(1)).mean(-1), t) / (t[-1] - t[0]),
            "This squares the velocity of the average cell, in which opposite moves cancel: square first.",
        ),
    ),
    section="Kinetic energy: a tie-breaker with a price",
    shapes="velocity is (times, cells, dimensions); the answer is one number.",
)


EXERCISES = {"witness": WITNESS, "slope": SLOPE, "pair-weights": PAIR_WEIGHTS, "effort": EFFORT}
