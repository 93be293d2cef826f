"""Exercises of the chapter "Baselines that bite"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable


def _gap(rng: np.random.Generator) -> tuple[float, float, float]:
    """Two times and a moment between, away from the middle, where several mistakes would go unseen."""
    t0 = rng.uniform(1, 2)
    h = rng.uniform(2, 3)
    return t0, t0 + h, t0 + rng.uniform(0.15, 0.4) * h


def _pair_inputs(rng: np.random.Generator) -> tuple:
    return (*rng.normal(size=(2, 5, 3)), *_gap(rng))


def _pair(x0: np.ndarray, x1: np.ndarray, t0: float, t1: float, t: float) -> np.ndarray:
    velocity = (x1 - x0) / (t1 - t0)
    return np.stack([x0 + (t - t0) * velocity, velocity])


FLOW_PAIR = Exercise(
    call="flow_pair(x0, x1, t0, t1, t)",
    inputs=_pair_inputs,
    truth=_pair,
    mistakes=(
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([_pair(x0, x1, t0, t1, t)[0], x1 - x0]),
            "The velocity is not divided by the length of the gap: this is the way, not the way per unit of time.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([_pair(x0, x1, t0, t1, t)[0], (x1 - x0) / (t - t0)]),
            "The velocity is divided by t - t0, but the whole way takes the whole gap, t1 - t0.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([_pair(x0, x1, t0, t1, t)[0], (t - t0) / (t1 - t0) * (x1 - x0)]),
            "The second array is the way walked so far; the velocity is the whole way over t1 - t0, at any t.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([x0 + (t - t0) * (x1 - x0), (x1 - x0) / (t1 - t0)]),
            "The points overshoot: how much of the gap is over is (t - t0) / (t1 - t0), not t - t0.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([x0 + t * (x1 - x0), (x1 - x0) / (t1 - t0)]),
            "The points use t itself; they need the share of the gap that is over.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([x0 + t / t1 * (x1 - x0), (x1 - x0) / (t1 - t0)]),
            "The points use t / t1, as if the clock had started at 0: subtract t0 from both.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([(x0 + x1) / 2, (x1 - x0) / (t1 - t0)]),
            "The points are always the midpoints, whatever t is.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([_pair(x1, x0, t0, t1, t)[0], (x1 - x0) / (t1 - t0)]),
            "The points are counted from the wrong end: at t = t0 they must be x0.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([_pair(x0, x1, t0, t1, t)[0], (x0 - x1) / (t1 - t0)]),
            "The velocity is turned round: cells go from x0 to x1.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([_pair(x0, x1, t0, t1, t)[0], _way_left(x0, x1, t0, t1, t)]),
            "The second array is the way that is left; the velocity of a line is the same everywhere on it.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.stack([x0, (x1 - x0) / (t1 - t0)]),
            "The points are the starting cells: the field would learn nothing about the land between.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: _pair(x0, x1, t0, t1, t)[::-1],
            "The two arrays are exchanged: first the points, then the velocities.",
        ),
    ),
    section="A velocity, by regression",
    shapes="Two arrays of the shape of x0, one on top of the other: np.stack([points, velocities]).",
)


def _way_left(x0: np.ndarray, x1: np.ndarray, t0: float, t1: float, t: float) -> np.ndarray:
    return x1 - _pair(x0, x1, t0, t1, t)[0]


def _mean_inputs(rng: np.random.Generator) -> tuple:
    # Points at similar distance, so that no line takes all the weight.
    points = rng.normal(size=(6, 3))
    points *= rng.uniform(0.5, 1.0, size=(6, 1)) / np.linalg.norm(points, axis=1, keepdims=True)
    z = rng.normal(size=3)
    return z, z + points, rng.normal(size=(6, 3)), float(rng.uniform(0.4, 0.6))


def _closeness(z: np.ndarray, points: np.ndarray, noise: float) -> np.ndarray:
    return np.exp(-np.square(z - points).sum(1) / (2 * noise**2))


def _weighted(weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    return weight @ values / weight.sum()


def _mean(z: np.ndarray, points: np.ndarray, velocities: np.ndarray, noise: float) -> np.ndarray:
    return _weighted(_closeness(z, points, noise), velocities)


MEAN_VELOCITY = Exercise(
    call="mean_velocity(z, points, velocities, noise)",
    inputs=_mean_inputs,
    truth=_mean,
    mistakes=(
        Mistake(
            lambda z, p, v, noise: v.mean(0),
            "All lines count alike, however far from z they pass.",
        ),
        Mistake(
            lambda z, p, v, noise: v[np.square(z - p).sum(1).argmin()],
            "Only the nearest line is heard; the others pass through z as well, only less often.",
        ),
        Mistake(
            lambda z, p, v, noise: _closeness(z, p, noise) @ v,
            "The weights are not divided by their sum: where few lines pass, the answer would be slow.",
        ),
        Mistake(
            lambda z, p, v, noise: _closeness(z, p, noise) @ v / len(v),
            "The weights are divided by the number of lines; divide by the sum of the weights.",
        ),
        Mistake(
            lambda z, p, v, noise: _weighted(np.exp(-np.square(z - p).sum(1) / noise**2), v),
            "The 2 in 2 noise^2 is missing.",
        ),
        Mistake(
            lambda z, p, v, noise: _weighted(np.exp(-np.square(z - p).sum(1) / (2 * noise)), v),
            "The noise is a standard deviation: square it.",
        ),
        Mistake(
            lambda z, p, v, noise: _weighted(np.exp(-np.linalg.norm(z - p, axis=1) / (2 * noise**2)), v),
            "The distance is not squared.",
        ),
        Mistake(
            lambda z, p, v, noise: _weighted(1 / _closeness(z, p, noise), v),
            "Far lines weigh more than near ones: a minus sign is missing in the exponent.",
        ),
        Mistake(
            lambda z, p, v, noise: _weighted(_closeness(z, p, noise), p),
            "This averages the points; average the velocities.",
        ),
        Mistake(
            lambda z, p, v, noise: _weighted(_closeness(z, p, noise), p) - z,
            "This points to where the lines are; the mean of their velocities is asked for.",
        ),
    ),
    section="A velocity, by regression",
    shapes="One velocity, (D,): a weight for each line, (n,), times velocities, (n, D).",
)


def _stranger_inputs(rng: np.random.Generator) -> tuple:
    m0, m1 = rng.normal(size=2)
    s0, s1 = rng.uniform(0.4, 0.8), rng.uniform(1.0, 1.5)
    t0, t1, t = _gap(rng)
    return rng.normal(size=4), m0, s0, m1, s1, t0, t1, t


Moments = tuple[float, float, float, float, float, float]


def _moments(m0: float, s0: float, m1: float, s1: float, t0: float, t1: float, t: float) -> Moments:
    """Share of the gap, length of the gap, mean way, and mean, variance and covariance with the way of the point."""
    s = (t - t0) / (t1 - t0)
    mean, var = (1 - s) * m0 + s * m1, (1 - s) ** 2 * s0**2 + s**2 * s1**2
    return s, t1 - t0, m1 - m0, mean, var, s * s1**2 - (1 - s) * s0**2


def _strangers(z: np.ndarray, *crowds: float) -> np.ndarray:
    _, h, way, mean, var, cov = _moments(*crowds)
    return (way + cov / var * (z - mean)) / h


def _sorted_partners(z: np.ndarray, *crowds: float) -> np.ndarray:
    s, h, way, mean, *_ = _moments(*crowds)
    _, s0, _, s1, *_ = crowds
    return (way + (s1 - s0) / ((1 - s) * s0 + s * s1) * (z - mean)) / h


def _slip(change: Callable[..., tuple[float, float, float, float, float]]) -> Callable[..., np.ndarray]:
    """The right formula with other ingredients: `change` gives h, way, mean, var and cov anew."""

    def wrong(z: np.ndarray, *crowds: float) -> np.ndarray:
        h, way, mean, var, cov = change(*_moments(*crowds), crowds)
        return (way + cov / var * (z - mean)) / h

    return wrong


STRANGERS = Exercise(
    call="strangers(z, m0, s0, m1, s1, t0, t1, t)",
    inputs=_stranger_inputs,
    truth=_strangers,
    mistakes=(
        Mistake(
            lambda z, *crowds: np.full(len(z), _moments(*crowds)[2] / _moments(*crowds)[1]),
            "This is the mean velocity of all lines; which of them pass through z depends on z.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (1.0, way, mean, var, cov)),
            "This is the way; divide by t1 - t0 to get a velocity.",
        ),
        Mistake(
            _sorted_partners,
            "This is the field of sorted partners, as optimal transport matches them; here they are strangers.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (h, way, mean, (1 - s) * c[1] ** 2 + s * c[3] ** 2, cov)),
            "In the variance of the point the shares s and 1 - s are squared.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (h, way, mean, ((1 - s) * c[1] + s * c[3]) ** 2, cov)),
            "The spreads were added: of independent cells the variances add up.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (h, way, mean, np.sqrt(var), cov)),
            "The covariance is divided by a standard deviation; divide by the variance.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (h, way, mean, var, -cov)),
            "The sign of the covariance is turned round: the way is x1 MINUS x0, so x0 enters it with a minus.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (h, way, mean, var, s * c[3] ** 2 + (1 - s) * c[1] ** 2)),
            "The way is x1 MINUS x0: in the covariance the part of x0 is subtracted.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (h, way, mean, var, c[3] ** 2 - c[1] ** 2)),
            "In the covariance each variance is multiplied by the share with which its cell enters the point.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (h, way, 0.0, var, cov)),
            "Deviations are measured from the mean of the point, (1 - s) m0 + s m1, not from 0.",
        ),
        Mistake(
            _slip(lambda s, h, way, mean, var, cov, c: (h, way, c[0], var, cov)),
            "Deviations are measured from the mean of the point at t, not from m0.",
        ),
        Mistake(
            lambda z, m0, s0, m1, s1, t0, t1, t: (m1 - z) / (t1 - t),
            "This leads every place to the mean m1; it would be right only if all cells ended there.",
        ),
    ),
    section="A velocity, by regression",
    shapes="One velocity for each place in z.",
)


def _bridge_inputs(rng: np.random.Generator) -> tuple:
    return (*rng.normal(size=(2, 5)), *_gap(rng), float(rng.uniform(0.3, 0.7)))


def _bridge(x0: np.ndarray, x1: np.ndarray, t0: float, t1: float, t: float, sigma: float) -> np.ndarray:
    h, s = t1 - t0, (t - t0) / (t1 - t0)
    return _with_spread(x0, x1, t0, t1, t, sigma * np.sqrt(h * s * (1 - s)))


def _with_spread(x0: np.ndarray, x1: np.ndarray, t0: float, t1: float, t: float, spread: float) -> np.ndarray:
    return np.stack([x0 + (t - t0) / (t1 - t0) * (x1 - x0), np.full(len(x0), spread)])


def _spread_slip(spread: Callable[[float, float, float], float]) -> Callable[..., np.ndarray]:
    """Right means with another spread, from the length of the gap, the share that is over, and sigma."""

    def wrong(x0: np.ndarray, x1: np.ndarray, t0: float, t1: float, t: float, sigma: float) -> np.ndarray:
        return _with_spread(x0, x1, t0, t1, t, spread(t1 - t0, (t - t0) / (t1 - t0), sigma))

    return wrong


BRIDGE = Exercise(
    call="bridge(x0, x1, t0, t1, t, sigma)",
    inputs=_bridge_inputs,
    truth=_bridge,
    mistakes=(
        Mistake(
            _spread_slip(lambda h, s, sigma: sigma**2 * h * s * (1 - s)),
            "This is the variance; the standard deviation is its root.",
        ),
        Mistake(
            _spread_slip(lambda h, s, sigma: sigma * np.sqrt(h * s)),
            "This walk is tied at its start only: at t1 the spread must be 0 again, so s (1 - s).",
        ),
        Mistake(
            _spread_slip(lambda h, s, sigma: sigma * np.sqrt(h * (1 - s))),
            "This walk is tied at its end only: at t0 the spread must be 0 as well, so s (1 - s).",
        ),
        Mistake(
            _spread_slip(lambda h, s, sigma: sigma * np.sqrt(s * (1 - s))),
            "The length of the gap is missing: in a longer gap a walk strays farther.",
        ),
        Mistake(
            _spread_slip(lambda h, s, sigma: sigma * h * s * (1 - s)),
            "No root was taken of h s (1 - s).",
        ),
        Mistake(
            _spread_slip(lambda h, s, sigma: sigma * h * np.sqrt(s * (1 - s))),
            "Too much by the root of h: in times, (t - t0) (t1 - t) is h^2 s (1 - s), and only one h is due.",
        ),
        Mistake(
            _spread_slip(lambda h, s, sigma: np.sqrt(sigma * h * s * (1 - s))),
            "Under the root sigma is squared.",
        ),
        Mistake(
            _spread_slip(lambda h, s, sigma: sigma),
            "This is the noise per root of time, the same everywhere; a bridge is tied at both ends.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t, sigma: np.stack([(x0 + x1) / 2, _bridge(x0, x1, t0, t1, t, sigma)[1]]),
            "The means are midpoints, whatever t is.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t, sigma: np.stack(
                [_bridge(x1, x0, t0, t1, t, sigma)[0], _bridge(x0, x1, t0, t1, t, sigma)[1]]
            ),
            "The means are counted from the wrong end: at t0 they must be x0.",
        ),
        Mistake(
            lambda *inputs: _bridge(*inputs)[::-1],
            "The two rows are exchanged: first the means, then the standard deviations.",
        ),
    ),
    section="Noisy cells",
    shapes="Two rows, one column for each cell: np.stack([means, spreads]), with the spread repeated for each cell.",
)


EXERCISES = {
    "flow-pair": FLOW_PAIR,
    "mean-velocity": MEAN_VELOCITY,
    "strangers": STRANGERS,
    "bridge": BRIDGE,
}
