"""Exercises of the chapter "A fair race"."""

from __future__ import annotations

import math

import numpy as np

from ..exercise import Exercise, Mistake


def _share_inputs(rng: np.random.Generator) -> tuple:
    floor = rng.uniform(0.3, 0.5, size=4)
    still = floor + rng.uniform(0.6, 1.4, size=4)
    return floor + rng.uniform(0.1, 0.4, size=4), still, floor


def _share(w1: np.ndarray, still: np.ndarray, floor: np.ndarray) -> np.ndarray:
    return (still - w1) / (still - floor)


SHARE_GONE = Exercise(
    call="share_gone(w1, still, floor)",
    inputs=_share_inputs,
    truth=_share,
    mistakes=(
        Mistake(
            lambda w1, still, floor: 1 - _share(w1, still, floor),
            "This is the share that is left; asked for is the share of the way that the method has gone.",
        ),
        Mistake(
            lambda w1, still, floor: (still - w1) / still,
            "This measures the way down to W1 = 0, which nobody can reach: the way ends at the floor.",
        ),
        Mistake(
            lambda w1, still, floor: (still - w1) / (w1 - floor),
            "This divides what is gone by what is left; divide by the whole way.",
        ),
        Mistake(
            lambda w1, still, floor: (w1 - still) / (still - floor),
            "The sign is turned round: a method that improves on standing still has gone a positive share.",
        ),
        Mistake(lambda w1, still, floor: still - w1, "This is the way gone in units of W1; divide by the whole way."),
        Mistake(lambda w1, still, floor: w1 / floor, "This is W1 in floors; standing still does not occur in it."),
        Mistake(
            lambda w1, still, floor: w1 / still,
            "This is the share of the distance that is left, as if the way ended at 0; it ends at the floor.",
        ),
        Mistake(
            lambda w1, still, floor: _share(w1, still, floor).clip(0, 0.5),
            "Do not clip: a method may do worse than standing still, or better than its floor by luck.",
        ),
        Mistake(
            lambda w1, still, floor: np.full(len(w1), _share(w1.mean(), still.mean(), floor.mean())),
            "This mixes the held-out times; every time has its own way, so give one share for each.",
        ),
    ),
    section="Where the scale begins and ends",
    shapes="One share for each held-out time: the shape of w1.",
)


def _pair_inputs(rng: np.random.Generator) -> tuple:
    n_times, n_seeds = int(rng.integers(3, 5)), int(rng.integers(3, 6))
    # Hard and easy times, and seeds that are lucky for both: what pairing takes out.
    times = rng.uniform(0.5, 1.8, size=(n_times, 1))
    luck = 0.03 * rng.normal(size=(n_times, n_seeds))
    scatter = 0.02 * rng.normal(size=(2, n_times, n_seeds))
    return times + luck + scatter[0] - 0.03 * rng.uniform(0.5, 1.5, size=(n_times, 1)), times + luck + scatter[1]


def _interval(mean: float, variance: float, n: int, n_free: int, level: float = 0.975) -> np.ndarray:
    from scipy.stats import t

    half = t.ppf(level, n_free) * math.sqrt(variance / n)
    return np.array([mean, mean - half, mean + half])


def _within(x: np.ndarray) -> float:
    """Variance of the seeds within each time, pooled over the times."""
    return float(np.square(x - x.mean(1, keepdims=True)).sum() / (x.shape[0] * (x.shape[1] - 1)))


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    d = a - b
    return _interval(d.mean(), _within(d), d.size, d.shape[0] * (d.shape[1] - 1))


def _normal_gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    d = a - b
    half = 1.96 * math.sqrt(_within(d) / d.size)
    return np.array([d.mean(), d.mean() - half, d.mean() + half])


def _over_times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    d = (a - b).mean(1)
    return _interval(d.mean(), d.var(ddof=1), len(d), len(d) - 1)


PAIRED_GAP = Exercise(
    call="paired_gap(a, b)",
    inputs=_pair_inputs,
    truth=_gap,
    mistakes=(
        Mistake(
            lambda a, b: -_gap(a, b)[[0, 2, 1]],
            "The difference is turned round: b - a. Below zero must mean that a is better.",
        ),
        Mistake(
            lambda a, b: _interval((a - b).mean(), _within(a) + _within(b), a.size, a.shape[0] * (a.shape[1] - 1)),
            "This adds the spread of a and the spread of b, as if they had nothing in common: subtract pair by pair "
            "first, then look at the spread of the differences.",
        ),
        Mistake(
            lambda a, b: _interval((a - b).mean(), (a - b).var(ddof=1), a.size, a.size - 1),
            "This counts the differences between the times as luck: take the mean of each row away first.",
        ),
        Mistake(
            lambda a, b: _interval(
                (a - b).mean(),
                np.square(a - b - (a - b).mean(1, keepdims=True)).mean(),
                a.size,
                a.shape[0] * (a.shape[1] - 1),
            ),
            "This divides the squares by their number: each row has lost one degree of freedom to its own mean.",
        ),
        Mistake(
            lambda a, b: _interval((a - b).mean(), _within(a - b), 1, a.shape[0] * (a.shape[1] - 1)),
            "This is the range of a single difference; the mean of T x S of them varies sqrt(T x S) times less.",
        ),
        Mistake(
            lambda a, b: _interval((a - b).mean(), _within(a - b), a.shape[1], a.shape[0] * (a.shape[1] - 1)),
            "This divides by the number of seeds alone; the mean is taken over all T x S differences.",
        ),
        Mistake(
            _normal_gap,
            "1.96 is for a spread that is known; yours was estimated from a few runs: take Student's quantile.",
        ),
        Mistake(
            lambda a, b: _interval((a - b).mean(), _within(a - b), a.size, a.size - 1),
            "These are T x S - 1 degrees of freedom; every row has given one away to its mean, so T x (S - 1).",
        ),
        Mistake(
            lambda a, b: _interval((a - b).mean(), _within(a - b), a.size, a.shape[0] * (a.shape[1] - 1), 0.95),
            "This leaves 5 % outside on each side, an interval of 90 %: take the quantile at 0.975.",
        ),
        Mistake(
            _over_times,
            "This is the spread of the times after averaging the seeds: it asks what other times would give. Here the "
            "times are fixed and the seeds vary.",
        ),
    ),
    section="Luck, and what it is not",
    shapes="Three numbers: the mean of a - b, and the two ends of its interval.",
)


def _seeds_inputs(rng: np.random.Generator) -> tuple:
    # A gap small beside the spread, so that rounding and every forgotten factor show.
    return float(rng.uniform(0.004, 0.008)), float(rng.uniform(0.02, 0.04)), int(rng.choice([3, 5]))


def _exact_seeds(gap: float, spread: float, n_times: int) -> float:
    return 2 * (1.96 * spread / gap) ** 2 / n_times


SEEDS_NEEDED = Exercise(
    call="seeds_needed(gap, spread, n_times)",
    inputs=_seeds_inputs,
    truth=lambda gap, spread, n_times: math.ceil(_exact_seeds(gap, spread, n_times)),
    mistakes=(
        Mistake(
            lambda g, s, n: math.ceil(_exact_seeds(g, s, n) / 2),
            "The 2 is missing: a difference of two independent scores has the variance of both.",
        ),
        Mistake(
            lambda g, s, n: math.ceil(_exact_seeds(g, s, n) * n),
            "The times are forgotten: every seed brings one run for each held-out time.",
        ),
        Mistake(
            lambda g, s, n: math.floor(_exact_seeds(g, s, n)),
            "Rounded down, so the interval is just too wide: round up.",
        ),
        Mistake(
            lambda g, s, n: math.ceil(2 * 1.96 * s / g / n),
            "The ratio is not squared: half the gap needs four times the seeds.",
        ),
        Mistake(
            lambda g, s, n: math.ceil(2 * (s / g) ** 2 / n),
            "The 1.96 is missing: this asks for a standard error as small as the gap, not for half an interval.",
        ),
        Mistake(
            lambda g, s, n: math.ceil(4 * _exact_seeds(g, s, n)),
            "This makes the whole interval as wide as the gap; its half is enough.",
        ),
        Mistake(
            lambda g, s, n: math.ceil(2 * _exact_seeds(g, s, n)),
            "One 2 too many: the variance of a difference is 2 spread^2, not 4 spread^2.",
        ),
        Mistake(_exact_seeds, "Half a seed cannot be run: round up to a whole number."),
    ),
    section="Luck, and what it is not",
    shapes="One whole number.",
)


def _choice_inputs(rng: np.random.Generator) -> tuple:
    # Four rows win by four rules: the first table, the second, both together, and the best single run.
    here, there = 1 + 0.03 * rng.normal(size=(6, 4)), 1.3 + 0.03 * rng.normal(size=(6, 3))
    here[0], there[0] = here[0] - 0.3, there[0] + 0.05
    there[1] -= 0.5
    here[2], there[2] = here[2] - 0.2, there[2] - 0.4
    here[3, :2] = 0.2, 1.8
    here[4] += 0.2
    there[3] += 0.2
    order = rng.permutation(6)
    return here[order], there[order]


def _choose(here: np.ndarray, there: np.ndarray) -> float:
    return float(there[here.mean(1).argmin()].mean())


CHOOSE_AND_REPORT = Exercise(
    call="choose_and_report(here, there)",
    inputs=_choice_inputs,
    truth=_choose,
    mistakes=(
        Mistake(
            lambda here, there: there.mean(1).min(),
            "This chooses by the very runs that it reports: the leak. Choose by the rows of `here`.",
        ),
        Mistake(
            lambda here, there: here.mean(1).min(),
            "This reports the score by which the method was chosen, which is flattered; report `there`.",
        ),
        Mistake(lambda here, there: there.min(), "This is the best single run of `there`: chosen twice over."),
        Mistake(
            lambda here, there: here.min(), "This is the best single run of `here`: chosen, and not reported anew."
        ),
        Mistake(
            lambda here, there: there[here.mean(1).argmax()].mean(),
            "This chooses the largest mean; a small W1 is good.",
        ),
        Mistake(
            lambda here, there: there[here.min(1).argmin()].mean(),
            "This chooses by the best single run; one lucky run is not a good method. Take means.",
        ),
        Mistake(
            lambda here, there: there[here.mean(1).argmin()].min(),
            "The right method, but of its runs only the best is reported: take the mean.",
        ),
        Mistake(
            lambda here, there: float(here.mean(1).argmin()),
            "This is the number of the method; report its mean score in `there`.",
        ),
        Mistake(
            lambda here, there: np.concatenate([here, there], axis=1).mean(1).min(),
            "Here both tables take part in the choice and in the report, so the report is flattered.",
        ),
        Mistake(
            lambda here, there: there[np.concatenate([here, there], axis=1).mean(1).argmin()].mean(),
            "The runs that are reported take part in the choice: keep them out of it.",
        ),
        Mistake(lambda here, there: there.mean(), "This is the mean over all methods; only the chosen one counts."),
    ),
    section="Break it: choose after looking",
    shapes="Rows are methods, columns runs; the answer is one number.",
)


EXERCISES = {
    "share-gone": SHARE_GONE,
    "paired-gap": PAIRED_GAP,
    "seeds-needed": SEEDS_NEEDED,
    "choose-and-report": CHOOSE_AND_REPORT,
}
