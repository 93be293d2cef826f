"""Answers to the exercises of "A fair race": right ones, and wrong ones with a word of the expected message.

The right ones take another road than the check: loops, a library's test, a search, a sort.
"""

import numpy as np
from scipy import stats


def share_in_loops(w1, still, floor):
    return np.array([1 - (a - f) / (s - f) for a, s, f in zip(w1, still, floor, strict=True)])


def gap_by_regression(a, b):
    """Least squares on one indicator per time: residual variance and degrees of freedom come from the fit."""
    d = (np.asarray(a) - np.asarray(b)).ravel()
    n_times, n_seeds = np.shape(a)
    design = np.kron(np.eye(n_times), np.ones((n_seeds, 1)))
    heights, residual, rank, _ = np.linalg.lstsq(design, d, rcond=None)
    n_free = len(d) - rank
    contrast = np.full(n_times, 1 / n_times)
    variance = residual[0] / n_free * contrast @ np.linalg.inv(design.T @ design) @ contrast
    middle = contrast @ heights
    return np.array([middle, *stats.t.interval(0.95, n_free, loc=middle, scale=np.sqrt(variance))])


def seeds_by_search(gap, spread, n_times):
    n_seeds = 1
    while 1.96 * spread * np.sqrt(2 / (n_times * n_seeds)) > gap:
        n_seeds += 1
    return n_seeds


def choose_by_sorting(here, there):
    order = sorted(range(len(here)), key=lambda k: sum(here[k]) / len(here[k]))
    return sum(there[order[0]]) / len(there[order[0]])


SOLUTIONS = {
    "share-gone": share_in_loops,
    "paired-gap": gap_by_regression,
    "seeds-needed": seeds_by_search,
    "choose-and-report": choose_by_sorting,
}


def one_sample_per_run(a, b):
    d = (a - b).ravel()
    return np.array([d.mean(), *stats.t.interval(0.95, len(d) - 1, loc=d.mean(), scale=stats.sem(d))])


def one_sample_per_time(a, b):
    d = (a - b).mean(axis=1)
    return np.array([d.mean(), *stats.t.interval(0.95, len(d) - 1, loc=d.mean(), scale=stats.sem(d))])


def with_half(a, b, change):
    """The right interval with its half width changed by a factor."""
    middle, low, high = gap_by_regression(a, b)
    half = (high - low) / 2 * change
    return np.array([middle, middle - half, middle + half])


def independent(a, b):
    n_free = a.shape[0] * (a.shape[1] - 1)
    variance = a.var(axis=1, ddof=1).mean() + b.var(axis=1, ddof=1).mean()
    half = stats.t.ppf(0.975, n_free) * np.sqrt(variance / a.size)
    middle = a.mean() - b.mean()
    return np.array([middle, middle - half, middle + half])


def quantiles(a, level, n_free=None):
    own = a.shape[0] * (a.shape[1] - 1)
    return stats.t.ppf(level, own if n_free is None else n_free) / stats.t.ppf(0.975, own)


WRONG = {
    "share-gone": [
        (lambda w1, still, floor: (w1 - floor) / (still - floor), "share that is left"),
        (lambda w1, still, floor: 1 - w1 / still, "W1 = 0"),
        (lambda w1, still, floor: (still - w1) / (w1 - floor), "what is left"),
        (lambda w1, still, floor: -share_in_loops(w1, still, floor), "turned round"),
        (lambda w1, still, floor: still - w1, "units of W1"),
        (lambda w1, still, floor: w1 / floor, "W1 in floors"),
        (lambda w1, still, floor: w1 / still, "as if the way ended at 0"),
        (lambda w1, still, floor: np.clip(share_in_loops(w1, still, floor), 0, 0.5), "Do not clip"),
        (
            lambda w1, still, floor: (sum(still) - sum(w1)) / (sum(still) - sum(floor)) * np.ones(4),
            "mixes the held-out times",
        ),
        (lambda w1, still, floor: share_in_loops(w1, still, floor).mean(), "One share for each"),
        (lambda w1, still, floor: share_in_loops(w1, still, floor) + 17, "wrong numbers"),
    ],
    "paired-gap": [
        (lambda a, b: gap_by_regression(b, a), "turned round"),
        (independent, "pair by pair"),
        (one_sample_per_run, "between the times"),
        (lambda a, b: with_half(a, b, np.sqrt(1 - 1 / a.shape[1])), "degree of freedom"),
        (lambda a, b: with_half(a, b, np.sqrt(a.size)), "single difference"),
        (lambda a, b: with_half(a, b, np.sqrt(a.shape[0])), "seeds alone"),
        (lambda a, b: with_half(a, b, 1.96 / stats.t.ppf(0.975, a.shape[0] * (a.shape[1] - 1))), "Student"),
        (lambda a, b: with_half(a, b, quantiles(a, 0.975, a.size - 1)), "given one away"),
        (lambda a, b: with_half(a, b, quantiles(a, 0.95)), "90 %"),
        (one_sample_per_time, "other times"),
        (lambda a, b: (a - b).mean(), "Three numbers"),
        (lambda a, b: gap_by_regression(a, b) + 17, "wrong numbers"),
    ],
    "seeds-needed": [
        (lambda gap, spread, n_times: int(np.ceil((1.96 * spread / gap) ** 2 / n_times)), "2 is missing"),
        (lambda gap, spread, n_times: seeds_by_search(gap, spread, 1), "times are forgotten"),
        (lambda gap, spread, n_times: seeds_by_search(gap, spread, n_times) - 1, "just too wide"),
        (lambda gap, spread, n_times: int(np.ceil(3.92 * spread / gap / n_times)), "not squared"),
        (lambda gap, spread, n_times: seeds_by_search(1.96 * gap, spread, n_times), "1.96 is missing"),
        (lambda gap, spread, n_times: seeds_by_search(gap / 2, spread, n_times), "its half is enough"),
        (lambda gap, spread, n_times: seeds_by_search(gap, spread * np.sqrt(2), n_times), "One 2 too many"),
        (lambda gap, spread, n_times: 2 * (1.96 * spread / gap) ** 2 / n_times, "Half a seed"),
        (lambda gap, spread, n_times: [3, 4], "One whole number"),
        (lambda gap, spread, n_times: seeds_by_search(gap, spread, n_times) + 1700, "wrong numbers"),
    ],
    "choose-and-report": [
        (lambda here, there: min(np.mean(row) for row in there), "the leak"),
        (lambda here, there: min(np.mean(row) for row in here), "flattered; report"),
        (lambda here, there: np.min(there), "best single run of `there`"),
        (lambda here, there: np.min(here), "best single run of `here`"),
        (lambda here, there: np.mean(there[np.argmax(np.mean(here, axis=1))]), "largest mean"),
        (lambda here, there: np.mean(there[np.unravel_index(np.argmin(here), here.shape)[0]]), "one lucky run"),
        (lambda here, there: np.min(there[np.argmin(np.mean(here, axis=1))]), "only the best is reported"),
        (lambda here, there: int(np.argmin(np.mean(here, axis=1))), "number of the method"),
        (lambda here, there: min(np.mean(np.hstack([here, there]), axis=1)), "both tables"),
        (
            lambda here, there: np.mean(there[np.argmin(np.mean(np.hstack([here, there]), axis=1))]),
            "take part in the choice: keep",
        ),
        (lambda here, there: np.mean(there), "over all methods"),
        (lambda here, there: np.mean(there, axis=1), "one number"),
        (lambda here, there: choose_by_sorting(here, there) + 17, "wrong numbers"),
    ],
}
