"""Answers to the exercises on distances and tests: right ones, and wrong ones with a word of the expected message.

The wrong ones are written as a student would write them, not as the check computes them.
"""

import numpy as np
from scipy.stats import wasserstein_distance


def squared_in_loops(x, y, kernel):
    def mean_similarity(a, b):
        return sum(kernel(a[[i]], b[[j]])[0, 0] for i in range(len(a)) for j in range(len(b))) / len(a) / len(b)

    return mean_similarity(x, x) - 2 * mean_similarity(x, y) + mean_similarity(y, y)


def honest_in_loops(train, held):
    out = np.empty_like(held)
    for gene in range(held.shape[1]):
        centre = sum(train[:, gene]) / len(train)
        spread = np.sqrt(sum((train[:, gene] - centre) ** 2) / len(train))
        out[:, gene] = (held[:, gene] - centre) / spread
    return out


def p_in_loops(x, y, distance, orders, ties=True, observed=1, first=None):
    pooled, first = np.vstack([x, y]), len(x) if first is None else first
    n_reached = observed
    for order in orders:
        walk = distance(pooled[order][:first], pooled[order][first:])
        n_reached += walk >= distance(x, y) if ties else walk > distance(x, y)
    return n_reached / (len(orders) + observed)


SOLUTIONS = {
    "w1-line": lambda x, y: wasserstein_distance(x, y),
    "mmd-squared": squared_in_loops,
    "p-value": p_in_loops,
    "honest-scale": honest_in_loops,
}


def sorts_in_place(x, y):
    x.sort()
    y.sort()
    return np.mean(np.abs(x - y))


def without_the_diagonal(x, y, kernel):
    within = []
    for z in (x, y):
        similarity = kernel(z, z)
        within.append(similarity[~np.eye(len(z), dtype=bool)].mean())
    return within[0] + within[1] - 2 * kernel(x, y).mean()


def scaled_together(train, held):
    everybody = np.vstack([train, held])
    return ((everybody - everybody.mean(axis=0)) / everybody.std(axis=0))[len(train) :]


def count_only(x, y, distance, orders):
    return p_in_loops(x, y, distance, orders) * (len(orders) + 1) - 1


WRONG = {
    "w1-line": [
        (lambda x, y: np.mean(abs(y - x)), "Nothing is sorted"),
        (lambda x, y: np.mean(abs(np.array(sorted(x)) - y)), "Only x is sorted"),
        (lambda x, y: np.mean(abs(x - np.array(sorted(y)))), "Only y is sorted"),
        (lambda x, y: np.mean((np.sort(y) - np.sort(x)) ** 2), "squared"),
        (lambda x, y: np.linalg.norm(np.sort(x) - np.sort(y)) / np.sqrt(len(x)), "This is W2"),
        (lambda x, y: np.linalg.norm(np.sort(x) - np.sort(y), ord=1), "sum over the cells"),
        (lambda x, y: np.abs(np.mean(x) - np.mean(y)), "distance of the two means"),
        (lambda x, y: min(np.mean(x - y), np.mean(y - x)), "cannot be negative"),
        (lambda x, y: np.mean(np.abs(np.sort(x) + np.sort(-y))), "most expensive plan"),
        (lambda x, y: np.linalg.norm(np.sort(x) - np.sort(y), ord=np.inf), "longest walk"),
        (sorts_in_place, "in place"),
        (lambda x, y: np.abs(np.sort(x) - np.sort(y)), "one number"),
        (lambda x, y: 17.0, "wrong numbers"),
    ],
    "mmd-squared": [
        (lambda x, y, kernel: squared_in_loops(x, y, kernel) + kernel(y, x).mean(), "factor 2 is missing"),
        (lambda x, y, kernel: squared_in_loops(x, y, kernel) + 4 * kernel(y, x).mean(), "to be subtracted"),
        (lambda x, y, kernel: -squared_in_loops(x, y, kernel), "turned round"),
        (without_the_diagonal, "U-statistic"),
        (lambda x, y, kernel: squared_in_loops(x, y, kernel) ** 0.5, "its root"),
        (lambda x, y, kernel: np.sum(kernel(x, x)) + np.sum(kernel(y, y)) - 2 * np.sum(kernel(x, y)), "sums"),
        (lambda x, y, kernel: np.average(kernel(y, x)), "only the similarity between"),
        (lambda x, y, kernel: kernel(x, x).mean() - kernel(y, x).mean() * 2, "within y is missing"),
        (lambda x, y, kernel: np.mean(kernel(x, x)) - np.mean(kernel(x, y)), "Only x is compared"),
        (lambda x, y, kernel: kernel(x, x) + kernel(y, y) - 2 * kernel(x, y), "do not fit together"),
        (lambda x, y, kernel: 17.0, "wrong numbers"),
    ],
    "p-value": [
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders, observed=0), "p can be 0"),
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders) * 20 / 19, "p could exceed 1"),
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders) - 1 / 20, "can still be 0"),
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders, ties=False), "count >=, not >"),
        (lambda x, y, distance, orders: 21 / 20 - p_in_loops(x, y, distance, orders), "nearer than observed"),
        (
            lambda x, y, distance, orders: 21 / 20 - p_in_loops(x, y, distance, orders, ties=False),
            "as near as observed or nearer",
        ),
        (count_only, "This is the count"),
        (lambda x, y, distance, orders: distance(y, x), "observed distance"),
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders, first=len(y)), "exchanged their sizes"),
        (lambda x, y, distance, orders: distance(x, y) > np.zeros(19), r"shape \(\)"),
        (lambda x, y, distance, orders: p_in_loops(x, y[:, :1], distance, orders), "do not fit together"),
        (lambda x, y, distance, orders: 17.0, "wrong numbers"),
    ],
    "honest-scale": [
        (lambda train, held: (held - np.mean(held, axis=0)) / np.std(held, axis=0), "scaled by themselves"),
        (scaled_together, "scaling leak"),
        (lambda train, held: (held - np.mean(train, axis=0)) / np.std(held, axis=0), "spread is that of the hidden"),
        (lambda train, held: (held - np.mean(held, axis=0)) / np.std(train, axis=0), "centre is that of the hidden"),
        (lambda train, held: (held - np.mean(train)) / np.std(train), "One mean and one spread"),
        (lambda train, held: honest_in_loops(train, held) / train.std(0), "divides by the variance"),
        (lambda train, held: (held - train.mean(0)) / np.sqrt(np.diag(np.cov(train.T))), "n - 1"),
        (lambda train, held: honest_in_loops(train, held) * train.std(0), "not yet divided"),
        (lambda train, held: held / np.std(train, axis=0), "not centred"),
        (lambda train, held: held - np.mean(train, axis=0) / np.std(train, axis=0), "Brackets"),
        (lambda train, held: (train - train.mean(0)) / train.std(0), r"shape \(7, 3\)"),
        (lambda train, held: (held - train.mean(1)) / train.std(1), "do not fit together"),
        (lambda train, held: held + 17, "wrong numbers"),
    ],
}
