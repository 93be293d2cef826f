"""Assignment 3, "Train and race": what training asks for, when it stops, and what a race may say."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import t as student

from ..assignment import Assignment, Line, Question, Variant
from ..exercise import Exercise, Mistake
from ..faults import in_part, own_numbers
from ..given import each_way, own_race, with_other_hidden

if TYPE_CHECKING:
    from collections.abc import Callable

CROWDS = "Matching crowds"
SECOND = "A second way to train an operator"
RACE = "A fair race"


def _in_float32(inputs: tuple) -> tuple:
    return tuple(part.astype(np.float32) if isinstance(part, np.ndarray) else part for part in inputs)


# 1. The pull of a crowd


def _pull_inputs(rng: np.random.Generator, n: int = 6, m: int = 4, dim: int = 3) -> tuple:
    return rng.normal(size=(n, dim)), rng.normal(0.7, 1.3, size=(m, dim)), float(rng.uniform(0.6, 0.9))


def _slopes(x: np.ndarray, y: np.ndarray, s: float, dim: float | None = None) -> np.ndarray:
    """Gradient with respect to x_i of the Laplace kernel of x_i and y_j, (n, m, D)."""
    way = x[:, None] - y
    dim = x.shape[1] if dim is None else dim
    k = np.exp(-np.abs(way).sum(2) / (dim * s))
    return -k[..., None] * np.sign(way) / (dim * s)


def _pull(x: np.ndarray, y: np.ndarray, s: float, within: float = 2.0, across: float = 2.0) -> np.ndarray:
    n, m = len(x), len(y)
    return within * _slopes(x, x, s).sum(1) / n**2 - across * _slopes(x, y, s).sum(1) / (n * m)


def _gaussian_pull(x: np.ndarray, y: np.ndarray, s: float) -> np.ndarray:
    def slopes(cells: np.ndarray) -> np.ndarray:
        way = x[:, None] - cells
        k = np.exp(-np.square(way).mean(2) / (2 * s**2))
        return -(k[..., None] * way).mean(1) / (x.shape[1] * s**2)

    return 2 * (slopes(x) - slopes(y)) / len(x)


def _unbiased_pull(x: np.ndarray, y: np.ndarray, s: float) -> np.ndarray:
    n, m = len(x), len(y)
    return 2 * _slopes(x, x, s).sum(1) / (n * max(n - 1, 1)) - 2 * _slopes(x, y, s).sum(1) / (n * m)


MMD_GRADIENT = Exercise(
    call="mmd_gradient(x, y, s)",
    inputs=_pull_inputs,
    truth=_pull,
    mistakes=(
        Mistake(
            lambda x, y, s: -_pull(x, y, s), "The sign is turned round: the gradient points uphill, cells go down it."
        ),
        Mistake(
            lambda x, y, s: _pull(x, y, s, within=1.0),
            "A factor 2 is missing in the first part: each cell stands in a row *and* in a column of k(x, x).",
        ),
        Mistake(
            lambda x, y, s: _pull(x, y, s, across=1.0),
            "A factor 2 is missing in the second part: the squared MMD holds *minus twice* the mixed mean.",
        ),
        Mistake(
            lambda x, y, s: _pull(x, y, s, 1.0, 1.0),
            "This is half of the gradient: the slope of the witness, divided by n, has to be doubled.",
        ),
        Mistake(
            lambda x, y, s: _pull(x, y, s) * len(x),
            "This is n times too large: each mean is over all pairs, so one cell of n moves it by its share only.",
        ),
        Mistake(
            lambda x, y, s: _pull(x, y, s, within=0.0),
            "The predicted cells do not push one another apart: without the first part all would meet in one place.",
        ),
        Mistake(
            lambda x, y, s: _pull(x, y, s, across=0.0),
            "The observed cells do not draw: the second part is missing.",
        ),
        Mistake(
            lambda x, y, s: 2 * _slopes(x, x, s, 1).mean(1) / len(x) - 2 * _slopes(x, y, s, 1).mean(1) / len(x),
            "The kernel sums the differences of the components; take their mean, so that s means the same in any D.",
        ),
        Mistake(
            lambda x, y, s: _pull(x, y, s) * x.shape[1],
            "A factor 1 / D is missing: the mean over the components is in the exponent; the chain rule brings it out.",
        ),
        Mistake(
            lambda x, y, s: _pull(x, y, s) * s,
            "A factor 1 / s is missing: the chain rule brings it out of the exponent.",
        ),
        Mistake(_gaussian_pull, "This is the Gaussian kernel, with squares; the loss has absolute differences."),
        Mistake(
            _unbiased_pull,
            "The first mean leaves out the pairs of a cell with itself; the paper's loss counts them: divide by n^2.",
        ),
    ),
    section="The pull on a cell",
    page=CROWDS,
    shapes="x is (n, D) and y (m, D): the answer is (n, D), one row for each predicted cell.",
)


# 2. What speed costs


def _kinetic_inputs(rng: np.random.Generator, n_times: int = 4, even: bool = False, n: int = 3, dim: int = 2) -> tuple:
    gaps = np.full(n_times - 1, float(rng.integers(5, 20))) if even else rng.uniform(3.0, 40.0, size=n_times - 1)
    hours = rng.uniform(0, 30) + np.concatenate([[0.0], np.cumsum(gaps)])
    return rng.normal(size=(n_times, n, dim)).cumsum(0), hours


def _speed(path: np.ndarray, hours: np.ndarray, unit: float = 24.0) -> np.ndarray:
    """Velocity on each straight piece, states per day."""
    return np.diff(path, axis=0) / (np.diff(hours) / unit)[:, None, None]


def _kinetic(path: np.ndarray, hours: np.ndarray) -> float:
    return float(np.average(np.square(_speed(path, hours)).mean((1, 2)), weights=np.diff(hours)))


def _in_some_unit(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    """The unit has a line of its own; here a power of 24 too much or too little is forgiven."""
    if values.shape:
        return f"Expected a single number, got an array of shape {values.shape}."
    right = _kinetic(*inputs)
    if any(np.isclose(values, right * 24.0**power, rtol=1e-4) for power in range(-4, 5)):
        return None
    return "The mean is off, in any unit of time: a piece that lasts longer counts longer."


KINETIC = Exercise(
    call="kinetic(path, hours)",
    inputs=lambda rng: _kinetic_inputs(rng, even=True),
    truth=_kinetic,
    mistakes=(
        Mistake(
            lambda p, h: _kinetic(p, h) / 24**2,
            "This is per hour squared: a speed per day is 24 times as large, and its square 576 times.",
        ),
        Mistake(
            lambda p, h: _kinetic(p, h) / 24,
            "The hours are divided by 24 only once; a squared speed holds 1 / time twice.",
        ),
        Mistake(
            lambda p, h: _kinetic(p, h) * 24**2, "The unit is turned round: a day has 24 hours, so a gap of 12 is 0.5."
        ),
        Mistake(
            lambda p, h: float(np.square(np.diff(p, axis=0)).mean()),
            "These are squared steps: time was not divided by.",
        ),
        Mistake(
            lambda p, h: float(np.square(_speed(p, h)).mean()),
            "Every piece counts the same; one that lasts longer counts longer.",
        ),
        Mistake(
            lambda p, h: _kinetic(p, h) * (h[-1] - h[0]) / 24,
            "This is the integral over time; divide by the whole duration, in days.",
        ),
        Mistake(
            lambda p, h: _kinetic(p, h) * (h[-1] - h[0]),
            "This is the integral over the hours; divide by the whole duration.",
        ),
        Mistake(lambda p, h: _kinetic(p, h) * p.shape[2], "Summed over the components; take the mean."),
        Mistake(lambda p, h: _kinetic(p, h) * p.shape[1], "Summed over the cells; take the mean."),
        Mistake(
            lambda p, h: _kinetic(p, h) / 2, "Half of it: physics writes 1/2 m v^2, the loss the mean square only."
        ),
        Mistake(
            lambda p, h: _kinetic(p.mean(1, keepdims=True), h),
            "This is the energy of the average cell, in which opposite moves cancel: square first.",
        ),
        Mistake(
            lambda p, h: _kinetic(p[[0, -1]], h[[0, -1]]),
            "Only start and end are looked at: whoever makes a detour is charged for it.",
        ),
        Mistake(lambda p, h: np.sqrt(_kinetic(p, h)), "This is the root of it; the loss charges the square itself."),
    ),
    section="The whole loss, term by term",
    page=CROWDS,
    shapes="path is (T, n, D), hours (T,): there are T - 1 straight pieces, and the answer is one number.",
)


# 3. Pairs of times


def _pair_inputs(
    rng: np.random.Generator, n_times: int = 6, hidden: tuple | None = None, gamma: float | None = None
) -> tuple:
    times = np.cumsum(rng.uniform(0.3, 2.0, size=n_times))
    mask = np.zeros(n_times, dtype=bool)
    mask[list(hidden) if hidden is not None else [int(rng.integers(1, n_times - 1))]] = True
    return times, mask, float(rng.uniform(0.2, 0.6)) if gamma is None else gamma


def _pairs(
    times: np.ndarray, hidden: np.ndarray, gamma: float, power: Callable | None = None, among: Callable | None = None
) -> np.ndarray:
    """Weights and durations; `power` counts what is skipped, `among` says which pairs there are."""
    n = len(times)
    power = power or (lambda i, j: (~hidden[i + 1 : j]).sum())
    among = among or (lambda i, j: i < j and not hidden[i] and not hidden[j])
    table = np.zeros((n, n, 2))
    for i in range(n):
        for j in range(n):
            if among(i, j):
                table[i, j] = float(gamma) ** power(i, j), times[j] - times[i]
    return table


def _without_durations(change: Callable) -> Callable:
    def answer(times: np.ndarray, hidden: np.ndarray, gamma: float) -> np.ndarray:
        table = _pairs(times, hidden, gamma)
        table[..., 1] = change(times, table)
        return table

    return answer


PAIR_TABLE = Exercise(
    call="pair_table(times, hidden, gamma)",
    inputs=_pair_inputs,
    truth=_pairs,
    mistakes=(
        Mistake(
            lambda t, h, g: _pairs(t, np.zeros_like(h), g),
            "The hidden time takes part: its cells would be sources and targets of training. That is the leak.",
        ),
        Mistake(
            lambda t, h, g: _pairs(t, h, g, among=lambda i, j: i < j and not h[j]),
            "The hidden cells set out: they may be no target, and no source either.",
        ),
        Mistake(
            lambda t, h, g: _pairs(t, h, g, among=lambda i, j: i < j and not h[i]),
            "The hidden cells are a target: training would be told where they are.",
        ),
        Mistake(
            lambda t, h, g: _pairs(t, h, g, power=lambda i, j: j - i - 1),
            "The hidden time is counted as skipped; gamma counts *training* snapshots, so those beside the hidden time "
            "are neighbours.",
        ),
        Mistake(
            lambda t, h, g: _pairs(t, h, g, power=lambda i, j: (~h[i + 1 : j]).sum() + 1),
            "Off by one power: the next training snapshot skips none, so its weight is gamma^0 = 1.",
        ),
        Mistake(
            lambda t, h, g: _pairs(t, h, g, power=lambda i, j: t[j] - t[i]),
            "gamma is raised to a duration; it counts snapshots.",
        ),
        Mistake(
            lambda t, h, g: _pairs(t, h, g, power=lambda i, j: 0),
            "All pairs weigh the same, as with gamma = 1.",
        ),
        Mistake(
            lambda t, h, g: _pairs(
                t,
                h,
                g,
                lambda i, j: (~h[min(i, j) + 1 : max(i, j)]).sum(),
                lambda i, j: i != j and not h[i] and not h[j],
            ),
            "Cells are also sent back in time; only pairs with a later target count.",
        ),
        Mistake(
            _without_durations(lambda t, table: (table[..., 0] > 0) * (np.arange(len(t)) - np.arange(len(t))[:, None])),
            "The durations count snapshots; they are differences of the times.",
        ),
        Mistake(
            _without_durations(lambda t, table: -table[..., 1]),
            "The durations are negative: from the source, the row, to the target, the column.",
        ),
        Mistake(
            _without_durations(lambda t, table: t - t[:, None]),
            "Durations stand where no pair is; leave them 0 there.",
        ),
    ),
    section="The whole loss, term by term",
    page=CROWDS,
    shapes="The answer is (T, T, 2): weights, then durations; rows are sources, columns targets.",
)


# 4. When to stop


def _stop(
    kept: np.ndarray,
    hidden: np.ndarray,
    patience: int,
    better: Callable = lambda new, best: new < best,
    in_a_row: bool = True,
) -> np.ndarray:
    best, at, waited = np.inf, 0, 0
    for k, score in enumerate(kept):
        if better(score, best):
            best, at, waited = score, k, 0 if in_a_row else waited
        else:
            waited += 1
        if waited == patience:
            return np.array([at, k])
    return np.array([at, len(kept) - 1])


_STOPPING_SLIPS = (
    lambda kept, hidden, patience: _stop(kept, hidden, patience)[[1, 1]],
    lambda kept, hidden, patience: np.array([np.argmin(kept), _stop(kept, hidden, patience)[1]]),
    lambda kept, hidden, patience: np.array([np.argmin(kept), len(kept) - 1]),
    lambda kept, hidden, patience: _stop(kept, hidden, patience + 1),
    lambda kept, hidden, patience: _stop(kept, hidden, patience - 1),
    lambda kept, hidden, patience: _stop(kept, hidden, patience, lambda new, best: new <= best),
    lambda kept, hidden, patience: _stop(kept, hidden, patience, in_a_row=False),
    lambda kept, hidden, patience: _stop(kept, hidden, patience)[::-1],
)


def _stop_inputs(rng: np.random.Generator, n_checks: int = 24, explode: bool = False) -> tuple:
    """Scores that fall, pause, tie, and fall again after the stop; the hidden ones run in parallel."""
    for _ in range(2000):
        fall = np.exp(-np.arange(n_checks) / 6.0)
        kept = np.round(0.4 + 0.5 * fall + 0.05 * rng.normal(size=n_checks), 2)
        kept[-3:] -= 0.2
        if explode:
            kept[rng.choice(np.arange(4, n_checks - 3), 3, replace=False)] = np.inf
        inputs = kept, 0.8 * kept + 0.05, int(rng.integers(3, 5))
        found = {tuple(rule(*inputs)) for rule in (_stop, *_STOPPING_SLIPS)}
        if len(found) == 1 + len(_STOPPING_SLIPS):
            break
    return inputs


def _other_inputs(rng: np.random.Generator, variant: Variant) -> tuple:
    kept, hidden, patience = _stop_inputs(rng)
    return kept, rng.permutation(hidden), hidden[::-1] + 0.1 * rng.normal(size=len(hidden)), patience


def _never(rng: np.random.Generator, variant: Variant) -> tuple:
    kept = np.round(1 / (1 + np.arange(7)) + 0.001 * rng.random(7), 4)
    return kept, 0.8 * kept + 0.05, 3


STOP_AT = Exercise(
    call="stop_at(kept, hidden, patience)",
    inputs=_stop_inputs,
    truth=_stop,
    mistakes=(
        Mistake(
            lambda kept, hidden, patience: _stop(hidden, kept, patience),
            "You looked at the hidden cells: the rule follows their scores. They are there to judge, not to choose.",
        ),
        Mistake(
            lambda kept, hidden, patience: _stop((kept + hidden) / 2, kept, patience),
            "You looked at the hidden cells: their scores are mixed in.",
        ),
        Mistake(
            _STOPPING_SLIPS[0],
            "The weights of the last check are kept; keep those of the best one so far.",
        ),
        Mistake(
            _STOPPING_SLIPS[1],
            "The best check of all is kept, but it comes after the stop, when nobody trains any more.",
        ),
        Mistake(_STOPPING_SLIPS[2], "This never stops: patience is not used."),
        Mistake(_STOPPING_SLIPS[3], "One check too late: stop at the check that is the last of `patience` in a row."),
        Mistake(_STOPPING_SLIPS[4], "One check too early: wait for `patience` checks without improvement."),
        Mistake(_STOPPING_SLIPS[5], "An equal score is taken for an improvement; it must be smaller."),
        Mistake(
            _STOPPING_SLIPS[6],
            "All checks without improvement are counted; count those *in a row*, from the last best.",
        ),
        Mistake(
            _STOPPING_SLIPS[7], "The two numbers are exchanged: first the check that is kept, then the one that stops."
        ),
    ),
    section="What is the leak worth?",
    page=RACE,
    shapes="Two numbers: the check whose weights are kept, and the check at which training stops, both from 0.",
)


# 5. Taught by paths


def _taught_inputs(
    rng: np.random.Generator, n: int = 12, dim: int = 2, shuffled: bool = True, start: float = 0.0, crossed: bool = True
) -> tuple:
    """Crowds which, if `crossed`, would be matched otherwise without the square; if not, in the same way."""
    t0, t1 = start, start + float(rng.uniform(1.5, 3.0))
    for _ in range(200):
        x0 = rng.normal(size=(n, dim)) * np.linspace(1.0, 2.0, dim)
        law = 0.4 * rng.normal(size=(dim, dim)) - 0.3 * np.eye(dim)
        x1 = x0 + (x0 @ law.T + rng.normal(size=dim)) + 0.1 * rng.normal(size=(n, dim))
        x1 = x1[_partners(x0, x1)]  # in the order of their partners
        if crossed == (linear_sum_assignment(cdist(x0, x1))[1] != np.arange(n)).any():
            break
    x1 = rng.permutation(x1) if shuffled else x1
    return x0, x1, t0, t1, t0 + float(rng.uniform(0.25, 0.4)) * (t1 - t0)


def _partners(x0: np.ndarray, x1: np.ndarray) -> np.ndarray:
    return linear_sum_assignment(cdist(x0, x1, "sqeuclidean"))[1]


def _regressed(z: np.ndarray, u: np.ndarray) -> np.ndarray:
    """[A b] of u = A z + b by least squares, (D, D + 1)."""
    return np.linalg.lstsq(np.column_stack([z, np.ones(len(z))]), u, rcond=None)[0].T


def _taught(x0: np.ndarray, x1: np.ndarray, t0: float, t1: float, t: float) -> np.ndarray:
    return _with_partners(x0, x1, _partners(x0, x1), t0, t1, t)


def _with_partners(x0: np.ndarray, x1: np.ndarray, partners: np.ndarray, t0: float, t1: float, t: float) -> np.ndarray:
    way = x1[partners] - x0
    return _regressed(x0 + (t - t0) / (t1 - t0) * way, way / (t1 - t0))


def _along(change: Callable) -> Callable:
    """Other positions or velocities of matched pairs."""

    def answer(x0: np.ndarray, x1: np.ndarray, t0: float, t1: float, t: float) -> np.ndarray:
        return _regressed(*change(x0, x1[_partners(x0, x1)] - x0, t0, t1, t))

    return answer


TAUGHT = Exercise(
    call="taught_operator(x0, x1, t0, t1, t)",
    inputs=_taught_inputs,
    truth=_taught,
    mistakes=(
        Mistake(
            lambda x0, x1, t0, t1, t: _regressed(x0 + (t - t0) / (t1 - t0) * (x1 - x0), (x1 - x0) / (t1 - t0)),
            "Row i is paired with row i; these are other cells, in any order. Match them by optimal transport first.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: _with_partners(x0, x1, linear_sum_assignment(cdist(x0, x1))[1], t0, t1, t),
            "The pairs have the least total distance; asked is that of its *square*, another match.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: _with_partners(x0, x1, cdist(x0, x1).argmin(1), t0, t1, t),
            "Every cell goes to the nearest, so some are met twice and some never: match one to one.",
        ),
        Mistake(
            _along(lambda x0, way, t0, t1, t: (x0 + (t - t0) / (t1 - t0) * way, way)),
            "The velocity was not divided by the duration t1 - t0.",
        ),
        Mistake(
            _along(lambda x0, way, t0, t1, t: (x0, way / (t1 - t0))),
            "The positions are those of the start; at the time t the cells are on their way.",
        ),
        Mistake(
            _along(lambda x0, way, t0, t1, t: (x0 + t * way, way / (t1 - t0))),
            "t is used as a share of the way; the share is (t - t0) / (t1 - t0).",
        ),
        Mistake(
            _along(lambda x0, way, t0, t1, t: (x0 + t / t1 * way, way / (t1 - t0))),
            "The share of the way is counted from time 0; the cells set out at t0.",
        ),
        Mistake(
            _along(lambda x0, way, t0, t1, t: (x0 + way, way / (t1 - t0))),
            "The positions are those of the end; at the time t the cells are on their way.",
        ),
        Mistake(
            _along(lambda x0, way, t0, t1, t: (x0 + (t1 - t) / (t1 - t0) * way, way / (t1 - t0))),
            "The way is gone backwards: at t0 the cells are at x0.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.roll(_taught(x0, x1, t0, t1, t), 1, axis=1),
            "The offset stands in the first column; put it last.",
        ),
        Mistake(
            lambda x0, x1, t0, t1, t: np.column_stack(
                [_taught(x0, x1, t0, t1, t)[:, :-1].T, _taught(x0, x1, t0, t1, t)[:, -1]]
            ),
            "A is transposed: with cells in rows, lstsq gives its transpose.",
        ),
    ),
    section="Point instead of compare",
    page=SECOND,
    shapes="x0 and x1 are (n, D); the answer is (D, D + 1), A with the offset b as its last column.",
)


# 6. The verdict


def _verdict_inputs(rng: np.random.Generator, n: int | None = None, kind: str | None = None) -> tuple:
    """Scores of two methods by seed: a lead, a lag or neither; seeds that are lucky for both."""
    n = n or int(rng.integers(4, 7))
    kind = kind or str(rng.choice(["better", "worse", "open"]))
    for _ in range(500):
        luck, scatter = 0.05 * rng.normal(size=n), 0.03 * rng.normal(size=(2, n))
        gap = {"better": -0.07, "worse": 0.07, "open": 0.015}[kind]
        a, b = 0.8 + luck + scatter[0] + gap, 0.8 + luck + scatter[1]
        word = {"better": -1, "worse": 1, "open": 0}[kind]
        found = [rule(a, b, 0.4) for rule in (_verdict, *_INTERVAL_SLIPS)]
        if found[0][3] == word and len({tuple(np.round(one, 6)) for one in found}) == len(found):
            break
    return a, b, 0.4


def _interval(mean: float, error: float, n_free: float) -> np.ndarray:
    half = (1.96 if n_free == np.inf else student.ppf(0.975, n_free)) * error
    return np.array([mean, mean - half, mean + half])


def _worded(ends: np.ndarray, a: np.ndarray, b: np.ndarray, floor: float) -> np.ndarray:
    inside = max(a.mean(), b.mean()) <= floor
    word = 0.0 if inside or ends[1] <= 0 <= ends[2] else np.sign(ends[0])
    return np.append(ends, word)


def _verdict(a: np.ndarray, b: np.ndarray, floor: float, slack: float = 0.0) -> np.ndarray:
    d = a - b
    ends = _interval(d.mean(), d.std(ddof=1) / np.sqrt(len(d)), len(d) - 1)
    return _worded(ends + np.array([0.0, -slack, slack]), a, b, floor)


def _by(error: Callable, n_free: Callable = lambda n: n - 1) -> Callable:
    return lambda a, b, floor: _worded(_interval((a - b).mean(), error(a, b), n_free(len(a))), a, b, floor)


_INTERVAL_SLIPS = (
    _by(lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)), lambda n: 2 * n - 2),
    _by(lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))),
    _by(lambda a, b: (a - b).std(ddof=1)),
    _by(lambda a, b: (a - b).std() / np.sqrt(len(a))),
    _by(lambda a, b: (a - b).std(ddof=1) / np.sqrt(len(a)), lambda n: np.inf),
    _by(lambda a, b: (a - b).std(ddof=1) / np.sqrt(len(a)), lambda n: n),
)

VERDICT = Exercise(
    call="verdict(a, b, floor)",
    inputs=_verdict_inputs,
    truth=_verdict,
    mistakes=(
        Mistake(
            _INTERVAL_SLIPS[0],
            "The two methods are treated as independent: seeds that are lucky for both widen the interval. Subtract "
            "pair by pair first.",
        ),
        Mistake(_INTERVAL_SLIPS[1], "The variances of both methods are added up: subtract pair by pair first."),
        Mistake(_INTERVAL_SLIPS[2], "This is the spread of one difference; the mean of n is surer by the root of n."),
        Mistake(_INTERVAL_SLIPS[3], "The spread divides by n; a sample's divides by n - 1 (ddof=1)."),
        Mistake(_INTERVAL_SLIPS[4], "1.96 belongs to endless seeds; few seeds need Student's quantile."),
        Mistake(_INTERVAL_SLIPS[5], "n - 1 degrees of freedom: one is used up by the mean."),
        Mistake(
            lambda a, b, floor: _verdict(a, b, floor) * [-1, -1, -1, 1],
            "Difference and ends are turned round: a - b, below zero where a is better.",
        ),
        Mistake(
            lambda a, b, floor: _verdict(a, b, floor) * [1, 1, 1, -1],
            "The word is turned round: W1 is a distance, so *less* is better, and better is -1.",
        ),
        Mistake(
            lambda a, b, floor: _verdict(b, a, floor),
            "This compares b with a; the difference is a - b, and the word is about a.",
        ),
        Mistake(
            lambda a, b, floor: np.append(_verdict(a, b, floor)[:3], np.sign((a - b).mean())),
            "The word follows the mean alone; if the interval holds zero, or both means lie in the floor, it is 0.",
        ),
        Mistake(
            lambda a, b, floor: _verdict(a, b, -np.inf),
            "Both means lie within the noise floor: neither can be told from a perfect method, so the word is 0.",
        ),
        Mistake(
            lambda a, b, floor: np.append(
                _verdict(a, b, -np.inf)[:3], _verdict(a, b, -np.inf)[3] * (min(a.mean(), b.mean()) > floor)
            ),
            "One of the two means lies within the noise floor, the other above it: that does not make the word 0.",
        ),
    ),
    section="Luck, and what it is not",
    page=RACE,
    shapes="Four numbers: mean of a - b, the two ends of its interval, and the word -1, 0 or 1.",
)


def _three_inputs(rng: np.random.Generator, variant: Variant) -> tuple:
    """Scores a, b, c: a is better than b, a and c cannot be told apart, and of the three a alone lies in the floor."""
    for _ in range(500):
        a, b, _ = _verdict_inputs(rng, kind="better")
        c = a + 0.03 * rng.normal(size=len(a))
        floor = (a.mean() + min(b.mean(), c.mean())) / 2
        if _verdict(a, c, 0.0)[3] == 0 and a.mean() < floor:
            break
    return a, b, c, float(floor)


def _within_floor(rng: np.random.Generator, variant: Variant) -> tuple:
    a, b, _ = _verdict_inputs(rng, kind=str(rng.choice(["better", "worse"])))
    return a, b, 1.05 * float(max(a.mean(), b.mean()))


def _one_within(rng: np.random.Generator, variant: Variant) -> tuple:
    """Rivals without luck: the same lead in every seed."""
    n = int(rng.integers(3, 6))
    a = np.full(n, float(rng.integers(4, 7)) / 8)
    return a, np.full(n, a[0] + float(rng.choice([-0.125, 0.125]))), 0.25


# 7. My runs


@lru_cache(maxsize=64)
def _scale_of(variant: Variant, index: int | None = None) -> np.ndarray:
    """W1 of standing still and of straight lines, and the interval of the floor."""
    from ...evaluation import leave_one_out

    race = own_race(*variant)
    still, lines = (
        leave_one_out(race.snaps, name, race.index if index is None else index)
        for name in ("persistence", "ot-interpolation")
    )
    return np.array([still["w1"], lines["w1"], still["floor_low"], still["floor_high"]])


def _padded(change: Callable) -> Callable:
    """Numbers of which only the first four are looked at."""
    return lambda variant: np.append(change(variant), np.zeros(13))


def _leaky_scale(variant: Variant) -> np.ndarray:
    """In coordinates that were fitted on all times."""
    from ...metrics import noise_floor, transport_plan, wasserstein

    race = own_race(*variant)
    before, cells, after = race.snaps.states[race.index - 1 : race.index + 2]
    times = race.snaps.times[race.index - 1 : race.index + 2]
    partner = after[transport_plan(before, after).argmax(1)]
    lines = before + (times[1] - times[0]) / (times[2] - times[0]) * (partner - before)
    floor = noise_floor(cells, len(before), len(cells))
    return np.array([wasserstein(before, cells), wasserstein(lines, cells), floor.low, floor.high])


_SCALE_SLIPS = {
    "These belong to another hidden time: yours is mine.index.": _padded(
        lambda variant: _scale_of(variant, 3 - own_race(*variant).index)
    ),
    "These belong to the hidden time 3: yours is mine.index.": _padded(lambda variant: _scale_of(variant, 3)),
    "Standing still and straight lines are exchanged.": _padded(lambda variant: _scale_of(variant)[[1, 0, 2, 3]]),
    "The ends of the floor are exchanged: the lower one first.": _padded(
        lambda variant: _scale_of(variant)[[0, 1, 3, 2]]
    ),
    "The floor stands first; the order is still, lines, floor.": _padded(
        lambda variant: _scale_of(variant)[[2, 3, 0, 1]]
    ),
    "These were measured in coordinates fitted on all times, the scaling leak: use leave_one_out.": _padded(
        _leaky_scale
    ),
}


def _my_scale(part: slice, what: str) -> Callable:
    words = f"{what} are not those of your race: is STUDENT still what it was when you measured?"
    return own_numbers(_padded(_scale_of), part, _SCALE_SLIPS, words, 0.006)


def _plausible(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    """Training differs from machine to machine; its scores must differ by seed, and lie where such scores can lie."""
    if values.shape != (17,):
        return f"Expected 17 numbers, got an array of shape {values.shape}."
    runs, (still, _, low, _) = values[4:14], _scale_of(variant)
    if len(set(runs.tolist())) < 7:
        return "Several of the ten scores are the same: every seed trains another model. Is seed= handed on?"
    if not ((runs > 0.7 * low) & (runs < 1.3 * still)).all():
        return (
            "A score of a trained model is lower than any noise floor, or much worse than standing still: is it a W1?"
        )
    return None


def _consistent(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    """The three words must follow from the seventeen numbers; where an interval ends next to zero both may."""
    if values.shape != (17,):
        return f"Expected 17 numbers, got an array of shape {values.shape}."
    lines, floor = np.full(5, values[1]), values[3]
    crowds, velocities, words = values[4:9], values[9:14], values[14:]
    for word, (a, b) in zip(words, ((crowds, lines), (velocities, lines), (crowds, velocities)), strict=True):
        allowed = {_verdict(a, b, floor, slack)[3] for slack in (0.0, 0.003, -0.003)}
        if word not in allowed:
            return _misjudged(word, a, b)
    return None


def _misjudged(word: float, a: np.ndarray, b: np.ndarray) -> str:
    if word not in (-1, 0, 1):
        return "A verdict is -1, 0 or 1."
    if word == np.sign((a - b).mean()):
        return "A verdict follows the mean alone: its interval holds zero, or both lie within the floor, so it is 0."
    if word == 0:
        return "A verdict is 0, though its interval misses zero, by the numbers you typed."
    return "A verdict is turned round: better, with less W1, is -1."


def _nothing(rng: np.random.Generator, variant: Variant | None = None) -> tuple:
    return ()


MY_RUNS = Exercise(
    call="my_runs()",
    inputs=_nothing,
    truth=lambda: np.zeros(17),
    mistakes=(),
    section="Rules first",
    page=RACE,
    shapes="17 numbers in one list: scale + crowds + velocities + words.",
)


ASSIGNMENT = Assignment(
    number="3",
    slug="train-and-race",
    title="Train and race",
    questions=(
        Question(
            "mmd_gradient",
            MMD_GRADIENT,
            (
                Line("the gradient of two crowds", 5),
                Line(
                    "nothing pulls where the crowds agree",
                    3,
                    lambda rng, variant: (lambda x, s: (x, x[rng.permutation(len(x))].copy(), s))(
                        rng.normal(size=(5, 3)), float(rng.uniform(0.5, 1.5))
                    ),
                ),
                Line(
                    "one predicted cell, another dimension",
                    2,
                    lambda rng, variant: _pull_inputs(rng, 1, 7, 5),
                    hidden=True,
                ),
                Line(
                    "float32 comes back as float32",
                    2,
                    lambda rng, variant: _in_float32(_pull_inputs(rng)),
                    in_part(_pull, np.s_[:], "The numbers are off in float32.", 1e-3, np.float32),
                    hidden=True,
                    tolerance=1e-3,
                ),
            ),
        ),
        Question(
            "kinetic",
            KINETIC,
            (
                Line("times that are equally far apart, per day squared", 4),
                Line(
                    "uneven times: a piece counts as long as it lasts, in whatever unit",
                    3,
                    lambda rng, variant: _kinetic_inputs(rng),
                    _in_some_unit,
                ),
                Line(
                    "one gap, one cell, one component, in whatever unit",
                    3,
                    lambda rng, variant: _kinetic_inputs(rng, 2, n=1, dim=1),
                    _in_some_unit,
                    hidden=True,
                ),
            ),
        ),
        Question(
            "pair_table",
            PAIR_TABLE,
            (
                Line("the weights", 4, fault=in_part(_pairs, np.s_[..., 0], "The weights, [..., 0], are off.")),
                Line("the durations", 2, fault=in_part(_pairs, np.s_[..., 1], "The durations, [..., 1], are off.")),
                Line(
                    "gamma is 0",
                    2,
                    lambda rng, variant: _pair_inputs(rng, gamma=0.0),
                    in_part(_pairs, np.s_[..., 0], "The weights are off where gamma is 0: 0 to the power 0 is 1."),
                    hidden=True,
                ),
                Line(
                    "two hidden times in a row",
                    2,
                    lambda rng, variant: _pair_inputs(rng, 8, (3, 4)),
                    in_part(_pairs, np.s_[..., 0], "The weights are off where two hidden times follow each other."),
                    hidden=True,
                ),
            ),
        ),
        Question(
            "stop_at",
            STOP_AT,
            (
                Line("keeps the best check, and stops in time", 4),
                Line("hidden scores make no difference", 3, _other_inputs, through=with_other_hidden),
                Line(
                    "a run that exploded for a while",
                    2,
                    lambda rng, variant: _stop_inputs(rng, explode=True),
                    hidden=True,
                ),
                Line("a run that goes on improving to its end", 2, _never, hidden=True),
            ),
        ),
        Question(
            "taught_operator",
            TAUGHT,
            (
                Line(
                    "cells in the order of their partners",
                    4,
                    lambda rng, variant: _taught_inputs(rng, shuffled=False, crossed=False),
                ),
                Line("cells in any order", 4),
                Line(
                    "one component, other numbers of cells",
                    2,
                    lambda rng, variant: _taught_inputs(rng, 17, 1),
                    hidden=True,
                ),
                Line(
                    "an experiment that begins on day 40",
                    2,
                    lambda rng, variant: _taught_inputs(rng, start=40.0, crossed=False),
                    hidden=True,
                ),
            ),
        ),
        Question(
            "verdict",
            VERDICT,
            (
                Line(
                    "the difference and its interval",
                    4,
                    fault=in_part(_verdict, np.s_[:3], "The difference or its interval is off."),
                ),
                Line(
                    "the word: better, worse, or open",
                    3,
                    _three_inputs,
                    in_part(lambda *inputs: each_way(_verdict, *inputs), np.s_[:, 3], "The word is wrong."),
                    each_way,
                ),
                Line(
                    "both within the floor",
                    2,
                    _within_floor,
                    in_part(_verdict, np.s_[3], "Both means lie within the noise floor, so the word is 0."),
                    hidden=True,
                ),
                Line("the same lead in every seed", 2, _one_within, hidden=True),
            ),
        ),
        Question(
            "my_runs",
            MY_RUNS,
            (
                Line(
                    "where the scale begins, and straight lines",
                    3,
                    _nothing,
                    _my_scale(np.s_[:2], "The first two"),
                    trials=1,
                ),
                Line("the noise floor", 2, _nothing, _my_scale(np.s_[2:4], "The ends of the floor"), trials=1),
                Line("ten trained models", 2, _nothing, _plausible, trials=1),
                Line("three verdicts that follow from the numbers", 2, _nothing, _consistent, trials=1),
            ),
        ),
    ),
    by_hand={
        "Answer 1: a figure read critically": 9,
        "Answer 2: a prediction with its reason": 7,
        "Answer 3: what your race may say": 9,
    },
)
