"""Answers to the exercises of "Matching crowds": right ones, and wrong ones with a word of the expected message.

The right ones take another road than the check: loops, automatic differentiation, counting, a library's quadrature.
"""

from itertools import pairwise

import numpy as np
import torch
from scipy.integrate import trapezoid


def witness_in_loops(z, x, y, kernel):
    def heap(place, crowd):
        return sum(kernel(place[None], cell[None])[0, 0] for cell in crowd) / len(crowd)

    return np.array([heap(place, x) - heap(place, y) for place in z])


def slope_by_autograd(z, x, y, s, weights=(1.0, -1.0)):
    place = torch.tensor(z, requires_grad=True)
    total = 0.0
    for crowd, weight in zip((x, y), weights, strict=True):
        squares = ((place[:, None] - torch.tensor(crowd)) ** 2).sum(-1)
        total = total + weight * torch.exp(-squares / (2 * s**2)).mean(1).sum()
    return torch.autograd.grad(total, place)[0].numpy()


def weights_by_counting(n_times, gamma):
    weights = np.zeros((n_times, n_times))
    for start in range(n_times):
        for end in range(start + 1, n_times):
            weights[start, end] = gamma ** len(range(start + 1, end))
    return weights


def effort_by_scipy(velocity, times):
    speed = (velocity**2).sum(axis=2).mean(axis=1) / velocity.shape[2]
    return trapezoid(speed, times) / (times[-1] - times[0])


SOLUTIONS = {
    "witness": witness_in_loops,
    "slope": slope_by_autograd,
    "pair-weights": weights_by_counting,
    "effort": effort_by_scipy,
}


def only_one_mean(z, x, y, kernel):
    return kernel(z, x).mean() - kernel(z, y).mean()


def wrong_axis(z, x, y, kernel):
    return kernel(x, z).mean(axis=1) - kernel(y, z).mean(axis=1)


def whole_square(z, x, y, kernel):
    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


def away(z, x, y, s):
    def hill(crowd):
        way = z[:, None] - crowd[None]
        return (way * np.exp(-(way**2).sum(axis=2) / 2 / s**2)[:, :, None]).mean(axis=1) / s**2

    return hill(x) - hill(y)


def averaged_over_coordinates(z, x, y, s):
    return slope_by_autograd(z, x, y, s).mean(axis=1)


def no_hills(z, x, y, s):
    return np.tile((x.mean(axis=0) - y.mean(axis=0)) / s**2, (len(z), 1))


def counts_steps(n_times, gamma):
    return np.array([[gamma ** (e - s) if e > s else 0.0 for e in range(n_times)] for s in range(n_times)])


def counts_itself(n_times, gamma):
    return np.array([[gamma ** (e - s) if e >= s else 0.0 for e in range(n_times)] for s in range(n_times)])


def both_ways(n_times, gamma):
    weights = [[gamma ** (abs(e - s) - 1) if e != s else 0.0 for e in range(n_times)] for s in range(n_times)]
    return np.array(weights)


def linear_discount(n_times, gamma):
    weights = np.zeros((n_times, n_times))
    for s in range(n_times):
        for e in range(s + 1, n_times):
            weights[s, e] = 1 if e == s + 1 else gamma * (e - s - 1)
    return weights


def without_a_condition(n_times, gamma):
    return np.array([[gamma ** (e - s - 1) for e in range(n_times)] for s in range(n_times)])


def stops_at_one(n_times, gamma):
    return np.array([[gamma ** max(e - s - 1, 0) for e in range(n_times)] for s in range(n_times)])


def flat_discount(n_times, gamma):
    weights = np.triu(np.full((n_times, n_times), gamma), 1)
    weights[np.arange(n_times - 1), np.arange(1, n_times)] = 1
    return weights


def rectangles(velocity, times, shift):
    speed = [np.mean(v**2) for v in velocity]
    steps = zip(speed[shift:], np.diff(times), strict=False)
    return sum(s * dt for s, dt in steps) / (times[-1] - times[0])


def middles(velocity, times):
    speed = (velocity**2).mean(axis=(1, 2))
    return np.mean([(a + b) / 2 for a, b in pairwise(speed)])


def squares_late(velocity, times):
    middle = [((a + b) / 2) ** 2 for a, b in pairwise(velocity)]
    return sum(m.mean() * dt for m, dt in zip(middle, np.diff(times), strict=True)) / (times[-1] - times[0])


def average_cell(velocity, times):
    return effort_by_scipy(velocity.mean(axis=1, keepdims=True), times)


WRONG = {
    "witness": [
        (lambda z, x, y, kernel: witness_in_loops(z, y, x, kernel), "sign is turned round"),
        (lambda z, x, y, kernel: kernel(z, x) @ np.ones(7) - kernel(z, y) @ np.ones(5), "sums"),
        (lambda z, x, y, kernel: np.average(kernel(z, x), axis=1), "heap of x alone"),
        (lambda z, x, y, kernel: np.average(kernel(z, y), axis=1), "heap of y alone"),
        (lambda z, x, y, kernel: kernel(x, z).mean(0) + kernel(y, z).mean(0), "heaps are added"),
        (lambda z, x, y, kernel: kernel(x, z).mean(0) - 2 * kernel(y, z).mean(0), "factor 2"),
        (lambda z, x, y, kernel: abs(witness_in_loops(z, x, y, kernel)), "sign is lost"),
        (lambda z, x, y, kernel: witness_in_loops(z, x, y, kernel) ** 2, "squared"),
        (lambda z, x, y, kernel: kernel(z, x).max(1) - kernel(z, y).max(1), "nearest"),
        (lambda z, x, y, kernel: kernel(z, x.mean(0)[None])[:, 0] - kernel(z, y.mean(0)[None])[:, 0], "average cells"),
        (only_one_mean, "One number for each place"),
        (whole_square, "One number for each place"),
        (wrong_axis, "do not fit together"),
        (lambda z, x, y, kernel: kernel(z, x) - kernel(z, y), "do not fit together"),
        (lambda z, x, y, kernel: witness_in_loops(z, x, y, kernel) + 17, "wrong numbers"),
    ],
    "slope": [
        (away, "sign is turned round"),
        (lambda z, x, y, s: away(z, x, y, s) * -(s**2), r"1 / s\^2"),
        (lambda z, x, y, s: away(z, x, y, s) * -s, "divides by s"),
        (lambda z, x, y, s: slope_by_autograd(z, x, y, s, (0.5, -0.5)), "Half of it"),
        (lambda z, x, y, s: slope_by_autograd(z, x, y, s, (2.0, -2.0)), "no factor 2"),
        (lambda z, x, y, s: slope_by_autograd(z, x, y, s, (7.0, -5.0)), "sums over the cells"),
        (lambda z, x, y, s: slope_by_autograd(z, x, y, s, (1.0, 0.0)), "heap of x"),
        (lambda z, x, y, s: slope_by_autograd(z, x, y, s, (1.0, 1.0)), "added"),
        (no_hills, "hills themselves are missing"),
        (averaged_over_coordinates, "shape of z"),
        (lambda z, x, y, s: slope_by_autograd(z, x, y, s) + 17, "wrong numbers"),
    ],
    "pair-weights": [
        (counts_steps, "Off by one power"),
        (counts_itself, "between"),
        (lambda n_times, gamma: weights_by_counting(n_times, gamma) + np.identity(n_times), "diagonal is 0"),
        (both_ways, "forwards only"),
        (lambda n_times, gamma: np.transpose(weights_by_counting(n_times, gamma)), "exchanged"),
        (linear_discount, "to the power of it"),
        (without_a_condition, "back in time"),
        (stops_at_one, "not 1"),
        (flat_discount, "another factor"),
        (lambda n_times, gamma: np.eye(n_times, k=1), "Only neighbours"),
        (lambda n_times, gamma: np.triu(np.ones((n_times, n_times)), 1), "gamma = 1"),
        (lambda n, gamma: weights_by_counting(n, gamma) / weights_by_counting(n, gamma).sum(), "scaled to sum 1"),
        (lambda n_times, gamma: gamma ** np.arange(n_times), "One row and one column"),
        (lambda n_times, gamma: weights_by_counting(n_times, gamma) + 17, "wrong numbers"),
    ],
    "effort": [
        (lambda velocity, times: np.mean(velocity**2), "plain mean"),
        (lambda velocity, times: effort_by_scipy(velocity, times) * (times[-1] - times[0]), "integral"),
        (lambda velocity, times: effort_by_scipy(velocity, times) * 3, "over dimensions"),
        (lambda velocity, times: effort_by_scipy(velocity, times) * 4, "Summed over cells"),
        (lambda velocity, times: 0.5 * effort_by_scipy(velocity, times), "Half of it"),
        (lambda velocity, times: rectangles(velocity, times, 0), "beginning"),
        (lambda velocity, times: rectangles(velocity, times, 1), "at its end"),
        (lambda velocity, times: effort_by_scipy(np.sqrt(np.abs(velocity)), times), "absolute speed"),
        (lambda velocity, times: effort_by_scipy(velocity, times) ** 0.5, "root"),
        (middles, "lasted equally long"),
        (squares_late, "square first"),
        (average_cell, "average cell"),
        (lambda velocity, times: trapezoid((velocity**2).mean(2), times, axis=0), "one number"),
        (lambda velocity, times: effort_by_scipy(velocity, times) + 17, "wrong numbers"),
    ],
}
