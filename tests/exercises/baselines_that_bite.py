"""Answers to the exercises of "Baselines that bite": right ones, and wrong ones with a word of the expected message.

The right ones take another road than the check: barycentric sums, a library's softmax, a joint covariance matrix and
the conditioning of a Brownian motion.
"""

import numpy as np
from scipy.special import softmax


def pair_by_weights(x0, x1, t0, t1, t):
    gap = t1 - t0
    return np.array([((t1 - t) * x0 + (t - t0) * x1) / gap, x1 / gap - x0 / gap])


def mean_by_softmax(z, points, velocities, noise):
    logits = [-0.5 * np.dot(p - z, p - z) / noise**2 for p in points]
    return np.average(velocities, axis=0, weights=softmax(logits))


def strangers_by_covariance(z, m0, s0, m1, s1, t0, t1, t):
    # Joint covariance of (point, velocity), from that of (x0, x1).
    s, h = (t - t0) / (t1 - t0), t1 - t0
    maps = np.array([[1 - s, s], [-1 / h, 1 / h]])
    joint = maps @ np.diag([s0**2, s1**2]) @ maps.T
    mean = maps @ [m0, m1]
    return mean[1] + joint[1, 0] / joint[0, 0] * (z - mean[0])


def bridge_by_conditioning(x0, x1, t0, t1, t, sigma):
    # A free walk from x0 has cov(z(t), z(t1)) = sigma^2 (t - t0); condition on where it ends.
    early, late = sigma**2 * (t - t0), sigma**2 * (t1 - t0)
    mean = x0 + early / late * (x1 - x0)
    return np.array([mean, (early - early**2 / late) ** 0.5 * np.ones_like(mean)])


SOLUTIONS = {
    "flow-pair": pair_by_weights,
    "mean-velocity": mean_by_softmax,
    "strangers": strangers_by_covariance,
    "bridge": bridge_by_conditioning,
}


def pair_with(point=None, velocity=None):
    """A right answer with one part replaced."""

    def answer(x0, x1, t0, t1, t):
        right = pair_by_weights(x0, x1, t0, t1, t)
        args = (x0, x1, t0, t1, t)
        return np.stack([point(*args) if point else right[0], velocity(*args) if velocity else right[1]])

    return answer


def gauss(z, points, noise):
    return np.array([np.exp(-((z - p) @ (z - p)) / 2 / noise**2) for p in points])


def average(values, weights):
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def strangers_with(mean=None, var=None, cov=None, gap=None):
    """The formula of the hint, with one ingredient replaced."""

    def answer(z, m0, s0, m1, s1, t0, t1, t):
        s = (t - t0) / (t1 - t0)
        args = (s, m0, s0, m1, s1)
        centre = mean(*args) if mean else m0 + s * (m1 - m0)
        spread = var(*args) if var else (s0 - s * s0) ** 2 + (s * s1) ** 2
        joint = cov(*args) if cov else s * s1**2 - s0**2 + s * s0**2
        return (m1 - m0 + joint * (z - centre) / spread) / (gap or t1 - t0)

    return answer


def sorted_partners(z, m0, s0, m1, s1, t0, t1, t):
    s = (t - t0) / (t1 - t0)
    rank = (z - m0 - s * (m1 - m0)) / (s0 + s * (s1 - s0))
    return (m1 + s1 * rank - m0 - s0 * rank) / (t1 - t0)


def bridge_with(spread):
    def answer(x0, x1, t0, t1, t, sigma):
        means = bridge_by_conditioning(x0, x1, t0, t1, t, sigma)[0]
        return np.stack([means, np.repeat(spread(t - t0, t1 - t, sigma), len(means))])

    return answer


WRONG = {
    "flow-pair": [
        (pair_with(velocity=lambda x0, x1, t0, t1, t: x1 - x0), "not divided by the length"),
        (pair_with(velocity=lambda x0, x1, t0, t1, t: (x1 - x0) / (t - t0)), r"divided by t - t0"),
        (pair_with(velocity=lambda x0, x1, t0, t1, t: pair_by_weights(x0, x1, t0, t1, t)[0] - x0), "walked so far"),
        (pair_with(point=lambda x0, x1, t0, t1, t: x0 + (x1 - x0) * (t - t0)), "overshoot"),
        (pair_with(point=lambda x0, x1, t0, t1, t: (1 - t) * x0 + t * x1), "t itself"),
        (pair_with(point=lambda x0, x1, t0, t1, t: (1 - t / t1) * x0 + t / t1 * x1), "clock had started at 0"),
        (pair_with(point=lambda x0, x1, t0, t1, t: x0 + 0.5 * (x1 - x0)), "midpoints"),
        (pair_with(point=lambda x0, x1, t0, t1, t: pair_by_weights(x1, x0, t0, t1, t)[0]), "wrong end"),
        (pair_with(velocity=lambda x0, x1, t0, t1, t: (x0 - x1) / (t1 - t0)), "turned round"),
        (pair_with(velocity=lambda x0, x1, t0, t1, t: x1 - pair_by_weights(x0, x1, t0, t1, t)[0]), "way that is left"),
        (pair_with(point=lambda x0, x1, t0, t1, t: x0), "starting cells"),
        (lambda *args: np.flip(pair_by_weights(*args), axis=0), "exchanged"),
        (lambda *args: pair_by_weights(*args)[0], "Two arrays"),
        (lambda *args: np.concatenate(pair_by_weights(*args), axis=1), "Two arrays"),
        (lambda *args: pair_by_weights(*args) + 17, "wrong numbers"),
    ],
    "mean-velocity": [
        (lambda z, points, velocities, noise: np.mean(velocities, axis=0), "count alike"),
        (
            lambda z, points, velocities, noise: velocities[np.argmin(np.linalg.norm(points - z, axis=1))],
            "Only the nearest",
        ),
        (lambda z, points, velocities, noise: gauss(z, points, noise) @ velocities, "not divided by their sum"),
        (
            lambda z, points, velocities, noise: np.mean(gauss(z, points, noise)[:, None] * velocities, axis=0),
            "number of lines",
        ),
        (lambda z, points, velocities, noise: average(velocities, gauss(z, points, noise / 2**0.5)), "The 2 in"),
        (lambda z, points, velocities, noise: average(velocities, gauss(z, points, noise**0.5)), "square it"),
        (
            lambda z, points, velocities, noise: average(
                velocities, np.exp(-((((z - points) ** 2).sum(1)) ** 0.5) / (2 * noise**2))
            ),
            "not squared",
        ),
        (
            lambda z, points, velocities, noise: average(
                velocities, np.exp(((z - points) ** 2).sum(1) / (2 * noise**2))
            ),
            "minus sign",
        ),
        (lambda z, points, velocities, noise: average(points, gauss(z, points, noise)), "averages the points"),
        (lambda z, points, velocities, noise: average(points - z, gauss(z, points, noise)), "where the lines are"),
        (lambda z, points, velocities, noise: mean_by_softmax(z, points, velocities, noise).sum(), r"One velocity"),
        (lambda z, points, velocities, noise: gauss(z, points, noise)[:, None] * velocities, r"One velocity"),
        (lambda z, points, velocities, noise: mean_by_softmax(z, points, velocities, noise) + 17, "wrong numbers"),
    ],
    "strangers": [
        (lambda z, m0, s0, m1, s1, t0, t1, t: 0 * z + (m1 - m0) / (t1 - t0), "mean velocity of all lines"),
        (strangers_with(gap=1.0), "This is the way"),
        (sorted_partners, "sorted partners"),
        (strangers_with(var=lambda s, m0, s0, m1, s1: s0**2 + s * (s1**2 - s0**2)), "are squared"),
        (strangers_with(var=lambda s, m0, s0, m1, s1: (s0 + s * (s1 - s0)) ** 2), "variances add up"),
        (strangers_with(var=lambda s, m0, s0, m1, s1: np.hypot((1 - s) * s0, s * s1)), "standard deviation"),
        (strangers_with(cov=lambda s, m0, s0, m1, s1: (1 - s) * s0**2 - s * s1**2), "sign of the covariance"),
        (strangers_with(cov=lambda s, m0, s0, m1, s1: (1 - s) * s0**2 + s * s1**2), "is subtracted"),
        (strangers_with(cov=lambda s, m0, s0, m1, s1: s1**2 - s0**2), "multiplied by the share"),
        (strangers_with(mean=lambda s, m0, s0, m1, s1: 0.0), "not from 0"),
        (strangers_with(mean=lambda s, m0, s0, m1, s1: m0), "not from m0"),
        (lambda z, m0, s0, m1, s1, t0, t1, t: (m1 - z) / (t1 - t), "every place to the mean"),
        (lambda *args: strangers_by_covariance(*args).mean(), "One velocity for each place"),
        (lambda *args: strangers_by_covariance(*args) + 17, "wrong numbers"),
    ],
    "bridge": [
        (bridge_with(lambda gone, left, sigma: sigma**2 * gone * left / (gone + left)), "This is the variance"),
        (bridge_with(lambda gone, left, sigma: sigma * gone**0.5), "tied at its start only"),
        (bridge_with(lambda gone, left, sigma: sigma * left**0.5), "tied at its end only"),
        (bridge_with(lambda gone, left, sigma: sigma * (gone * left) ** 0.5 / (gone + left)), "length of the gap is"),
        (bridge_with(lambda gone, left, sigma: sigma * (gone * left) ** 0.5), "Too much by"),
        (bridge_with(lambda gone, left, sigma: sigma * gone * left / (gone + left)), "No root"),
        (bridge_with(lambda gone, left, sigma: (sigma * gone * left / (gone + left)) ** 0.5), "sigma is squared"),
        (bridge_with(lambda gone, left, sigma: sigma), "the same everywhere"),
        (
            lambda x0, x1, *rest: np.stack([0.5 * x0 + 0.5 * x1, bridge_by_conditioning(x0, x1, *rest)[1]]),
            "midpoints",
        ),
        (lambda x0, x1, *rest: bridge_by_conditioning(x1, x0, *rest), "wrong end"),
        (lambda *args: np.flip(bridge_by_conditioning(*args), axis=0), "exchanged"),
        (lambda *args: bridge_by_conditioning(*args)[0], "Two rows"),
        (lambda *args: np.transpose(bridge_by_conditioning(*args)), "Two rows"),
        (lambda *args: bridge_by_conditioning(*args) + 17, "wrong numbers"),
    ],
}
