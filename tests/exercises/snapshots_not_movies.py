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


def w1(x, y):
    import cellmnn_edu as ce

    return ce.wasserstein(x, y)


def centres(x, y):
    return np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))


def mean_of_distances(x, y, distance, orders):
    pooled = np.vstack([x, y])
    return np.mean([distance(pooled[order][:8], pooled[order][8:]) for order in orders])


def own_shuffles(seed):
    def p_value(x, y, distance, orders):
        rng, pooled, far = np.random.default_rng(seed), np.vstack([x, y]), 0
        for _ in range(len(orders)):
            cells = rng.permutation(pooled)
            far += distance(cells[: len(x)], cells[len(x) :]) >= distance(x, y)
        return (1 + far) / (1 + len(orders))

    return p_value


def as_in_the_cell_above(seed):
    rng = np.random.default_rng(seed)

    def shuffled(x, y):
        cells = rng.permutation(np.concatenate([x, y]))
        return w1(cells[: len(x)], cells[len(x) :])

    return lambda x, y, distance, orders: (1 + sum(shuffled(x, y) >= distance(x, y) for _ in orders)) / 20


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
        (lambda x, y: np.mean([min(abs(y - cell)) for cell in x]), "nearest cell of y"),
        (lambda x, y: np.mean([min(abs(x - cell)) for cell in y]), "nearest cell of x"),
        (lambda x, y: np.mean(np.abs(np.subtract.outer(y, x))), "Every cell is compared with every cell"),
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
        (lambda x, y, kernel: squared_in_loops(x, y, kernel) * 0.5, "This is half"),
        (lambda x, y, k: np.mean(k(x, x)) * np.mean(k(y, y)) - 2 * np.mean(k(x, y)), "added, not multiplied"),
        (lambda x, y, k: k(x, x).mean(0) + k(y, y).mean(0) - 2 * k(x, y).mean(0), "over all its pairs"),
        (lambda x, y, k: k(x, x).mean() + k(y, y).mean() - 2 * k(x, y).mean(0), "over all its pairs"),
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
        (lambda x, y, distance, orders: distance(x, y) > np.zeros(19), "one number, the share"),
        (lambda x, y, distance, orders: 1 - p_in_loops(x, y, distance, orders), "This is 1 - p"),
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders) * 20, "real split included"),
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders, first=6), "cut 6 to 7"),
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders, first=7), "cut 7 to 6"),
        (lambda x, y, distance, orders: p_in_loops(x, y, w1, orders), "Use the distance that is given"),
        (lambda x, y, distance, orders: p_in_loops(x, y, centres, orders), "Use the distance that is given"),
        (mean_of_distances, "mean distance of the shuffled"),
        *((own_shuffles(seed), "shuffles of your own") for seed in range(8)),
        *((as_in_the_cell_above(seed), "never asked about") for seed in range(8)),
        (lambda x, y, distance, orders: p_in_loops(x, y[:, :1], distance, orders), "do not fit together"),
        (lambda x, y, distance, orders: 0.05, "never asked about"),
        (lambda x, y, distance, orders: p_in_loops(x, y, distance, orders) + 17, "wrong numbers"),
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
