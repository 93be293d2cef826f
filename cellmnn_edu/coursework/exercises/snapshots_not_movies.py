"""Exercises of the chapter "How do we know whether a predicted crowd is right?"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable


def _line_inputs(rng: np.random.Generator) -> tuple:
    while True:
        # Different spreads, so that some cells go left and some right: then the difference of means is wrong.
        x, y = rng.normal(scale=2.0, size=8), rng.normal(0.5, size=8)
        # On a line different plans can cost the same; draw until these do not.
        plans = [(x, y), (np.sort(x), y), (x, np.sort(y)), (np.sort(x), np.sort(y)), (np.sort(x), np.sort(y)[::-1])]
        plans += [(x[:, None], y)]
        if np.diff(sorted(np.abs(a - b).mean() for a, b in plans)).min() > 0.01:
            return x, y


def _w1_line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.sort(x) - np.sort(y)).mean()


W1_LINE = Exercise(
    call="w1_line(x, y)",
    inputs=_line_inputs,
    truth=_w1_line,
    mistakes=(
        Mistake(
            lambda x, y: np.abs(x - y).mean(),
            "Nothing is sorted: cells are paired in the order in which they happen to be stored.",
        ),
        Mistake(lambda x, y: np.abs(np.sort(x) - y).mean(), "Only x is sorted; sort y as well."),
        Mistake(lambda x, y: np.abs(x - np.sort(y)).mean(), "Only y is sorted; sort x as well."),
        Mistake(
            lambda x, y: np.abs(np.sort(x) - np.sort(y)[::-1]).mean(),
            "The smallest is paired with the largest: this is the most expensive plan.",
        ),
        Mistake(
            lambda x, y: np.square(np.sort(x) - np.sort(y)).mean(),
            "The distances are squared: W1 pays for the distance itself.",
        ),
        Mistake(
            lambda x, y: np.sqrt(np.square(np.sort(x) - np.sort(y)).mean()),
            "This is W2, the root of the mean squared distance.",
        ),
        Mistake(
            lambda x, y: np.abs(np.sort(x) - np.sort(y)).sum(),
            "This is the sum over the cells; each cell carries only 1/n of the sand.",
        ),
        Mistake(
            lambda x, y: abs(x.mean() - y.mean()),
            "This is the distance of the two means: steps to the left and to the right cancel.",
        ),
        Mistake(
            lambda x, y: -abs(x.mean() - y.mean()),
            "A distance cannot be negative: the absolute value of each step is missing.",
        ),
        Mistake(
            lambda x, y: np.abs(np.sort(x) - np.sort(y)).max(),
            "This is the longest walk; W1 is the mean walk.",
        ),
        Mistake(
            lambda x, y: np.abs(x[:, None] - y).min(1).mean(),
            "Each cell of x walks to the nearest cell of y: some cells of y receive several, others none.",
        ),
        Mistake(
            lambda x, y: np.abs(x[:, None] - y).min(0).mean(),
            "Each cell of y takes from the nearest cell of x, even if that one has given its sand already.",
        ),
        Mistake(
            lambda x, y: np.abs(x[:, None] - y).mean(),
            "Every cell is compared with every cell here; a plan gives each cell one partner.",
        ),
    ),
    section="Five faults, eight ears",
    shapes="x and y hold one number per cell, equally many; the answer is one number, the mean walk.",
)


def _mmd_inputs(rng: np.random.Generator) -> tuple:
    bandwidth = rng.uniform(0.5, 1.5)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-np.abs(a[:, None] - b[None]).mean(-1) / bandwidth)

    # Crowds of different size: with equal ones a wrong divisor would go unseen.
    return rng.normal(size=(7, 2)), rng.normal(0.8, size=(5, 2)), kernel


def _mmd(x: np.ndarray, y: np.ndarray, kernel: Callable) -> np.ndarray:
    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


def _unbiased(x: np.ndarray, y: np.ndarray, kernel: Callable) -> np.ndarray:
    within = [(kernel(z, z).sum() - np.trace(kernel(z, z))) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return sum(within) - 2 * kernel(x, y).mean()


MMD_SQUARED = Exercise(
    call="mmd_squared(x, y, kernel)",
    inputs=_mmd_inputs,
    truth=_mmd,
    mistakes=(
        Mistake(
            lambda x, y, k: k(x, x).mean() + k(y, y).mean() - k(x, y).mean(),
            "The similarity between the crowds counts twice, once from either side: the factor 2 is missing.",
        ),
        Mistake(
            lambda x, y, k: k(x, x).mean() + k(y, y).mean() + 2 * k(x, y).mean(),
            "The similarity between the crowds is to be subtracted.",
        ),
        Mistake(
            lambda x, y, k: 2 * k(x, y).mean() - k(x, x).mean() - k(y, y).mean(),
            "The sign is turned round: identical crowds give 0, all others a negative number.",
        ),
        Mistake(
            _unbiased,
            "The diagonal is left out: that is the unbiased U-statistic, which can be negative. "
            "Here every cell is compared with itself too.",
        ),
        Mistake(
            lambda x, y, k: np.sqrt(_mmd(x, y, k)),
            "This is its root, the MMD itself; the exercise asks for the square, as ce.mmd gives it.",
        ),
        Mistake(
            lambda x, y, k: k(x, x).sum() + k(y, y).sum() - 2 * k(x, y).sum(),
            "These are sums: crowds of different size need means.",
        ),
        Mistake(lambda x, y, k: k(x, y).mean(), "This is only the similarity between the crowds."),
        Mistake(
            lambda x, y, k: k(x, x).mean() - 2 * k(x, y).mean(),
            "The similarity within y is missing.",
        ),
        Mistake(
            lambda x, y, k: k(x, x).mean() - k(x, y).mean(),
            "Only x is compared with itself: the similarity within y is missing, and the factor 2.",
        ),
        Mistake(
            lambda x, y, k: np.exp(-np.linalg.norm(x.mean(0) - y.mean(0))),
            "This compares the means of the crowds, not their cells.",
        ),
        Mistake(
            lambda x, y, k: _mmd(x, y, k) / 2,
            "This is half of it: each crowd's own mean similarity counts in full, and the one between them twice.",
        ),
        Mistake(
            lambda x, y, k: k(x, x).mean() * k(y, y).mean() - 2 * k(x, y).mean(),
            "The two similarities within the crowds are to be added, not multiplied.",
        ),
    ),
    section="Five faults, eight ears",
    shapes="Every similarity matrix is to be averaged over all its pairs, rows and columns, to one number; "
    "so the answer is one number.",
)


def _scale_inputs(rng: np.random.Generator) -> tuple:
    train = rng.normal(size=(12, 3)) * [1.0, 3.0, 0.5] + [2.0, -1.0, 4.0]
    return train, rng.normal(size=(7, 3)) * [0.5, 4.0, 0.7] + [3.0, 1.0, 5.0]


def _rescale(train: np.ndarray, held: np.ndarray) -> np.ndarray:
    return (held - train.mean(0)) / train.std(0)


def _all_cells(train: np.ndarray, held: np.ndarray) -> np.ndarray:
    cells = np.concatenate([train, held])
    return (held - cells.mean(0)) / cells.std(0)


HONEST_SCALE = Exercise(
    call="honest_scale(train, held)",
    inputs=_scale_inputs,
    truth=_rescale,
    mistakes=(
        Mistake(
            lambda train, held: (held - held.mean(0)) / held.std(0),
            "The hidden cells are scaled by themselves: their mean is now 0, so their move is gone. "
            "That move is what you want to judge.",
        ),
        Mistake(
            _all_cells,
            "Mean and spread were taken over all cells, the hidden ones too: this is the scaling leak.",
        ),
        Mistake(
            lambda train, held: (held - train.mean(0)) / held.std(0),
            "The centre is that of the training cells, but the spread is that of the hidden ones.",
        ),
        Mistake(
            lambda train, held: (held - held.mean(0)) / train.std(0),
            "The spread is that of the training cells, but the centre is that of the hidden ones: their move is gone.",
        ),
        Mistake(
            lambda train, held: (held - train.mean()) / train.std(),
            "One mean and one spread for all genes together: take them for each column.",
        ),
        Mistake(
            lambda train, held: (held - train.mean(0)) / train.var(0),
            "This divides by the variance; its root is the spread.",
        ),
        Mistake(
            lambda train, held: (held - train.mean(0)) / train.std(0, ddof=1),
            "The spread divides by n - 1 here. The book takes n, as Snapshots does; "
            "mixing the two changes the unit a little.",
        ),
        Mistake(lambda train, held: held - train.mean(0), "Centred, but not yet divided by the spread."),
        Mistake(lambda train, held: held / train.std(0), "Divided by the spread, but not centred."),
        Mistake(
            lambda train, held: held - train.mean(0) / train.std(0),
            "Brackets: the difference is to be divided, not the mean alone.",
        ),
    ),
    section="Leak 1: a map drawn with the answer",
    shapes="Means and spreads are one number per column; the answer has one row for each hidden cell.",
)


def _middle(cells: np.ndarray) -> np.ndarray:
    """Median of each column; numpy.median is made for large arrays and takes several times as long."""
    ordered, n = np.sort(cells, axis=0), len(cells)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else np.full(cells.shape[1:], np.nan)


def _medians_apart(x: np.ndarray, y: np.ndarray) -> float:
    return np.abs(_middle(x) - _middle(y)).sum()


class _Watched:
    """A distance that notes which crowds it was asked about: a wrong split shows there, and not in a count."""

    def __init__(self) -> None:
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, x: np.ndarray, y: np.ndarray) -> float:
        self.asked.append((x, y))
        return _medians_apart(x, y)


def _p_inputs(rng: np.random.Generator) -> tuple:
    while True:
        x, y = rng.normal(size=(8, 2)), rng.normal(0.35, size=(5, 2))
        orders = np.array([rng.permutation(13) for _ in range(19)])
        orders[:2] = np.arange(13)  # ties: these orders give back the crowds as they were
        if 3 <= _count(x, y, _medians_apart, orders) <= 6:
            return x, y, _Watched(), orders


def _shuffled(x: np.ndarray, y: np.ndarray, distance: Callable, orders: np.ndarray) -> np.ndarray:
    cells = np.concatenate([x, y])
    return np.array([distance(cells[order[: len(x)]], cells[order[len(x) :]]) for order in orders])


def _count(x: np.ndarray, y: np.ndarray, distance: Callable, orders: np.ndarray) -> int:
    return (_shuffled(x, y, distance, orders) >= distance(x, y)).sum()


def _p_value(x: np.ndarray, y: np.ndarray, distance: Callable, orders: np.ndarray) -> float:
    del distance  # which is to note the calls of the answer alone
    return (1 + _count(x, y, _medians_apart, orders)) / (1 + len(orders))


def _p_fault(values: np.ndarray, x: np.ndarray, y: np.ndarray, distance: _Watched, orders: np.ndarray) -> str | None:
    return _wrong_split(x, y, distance.asked, orders) or _wrong_share(float(values), x, y, orders)


def _wrong_split(x: np.ndarray, y: np.ndarray, asked: list, orders: np.ndarray) -> str | None:
    cells = np.concatenate([x, y])
    wanted = {_crowd(cells[order[: len(x)]]) for order in orders}
    known = wanted | {_crowd(cells[order[len(x) :]]) for order in orders} | {_crowd(x), _crowd(y)}
    for first, second in asked:
        if {len(first), len(second)} != {len(x), len(y)}:
            return f"Shuffled cells were cut {len(first)} to {len(second)}: the first len(x) play x."
        if _crowd(first) not in known:
            if len(first) == len(y):
                return "The shuffled crowds have exchanged their sizes: the first one needs len(x) cells."
            return "These are shuffles of your own: use those in `orders`, row by row."
    n_missing = len(wanted - {_crowd(crowd) for pair in asked for crowd in pair})
    if n_missing:
        return (
            f"`distance` was never asked about {n_missing} of the shuffles. Use the distance that is given, not one of "
            "your own, for each row of `orders`."
        )
    return None


def _crowd(cells: np.ndarray) -> frozenset:
    return frozenset(map(tuple, np.asarray(cells)))


def _wrong_share(p: float, x: np.ndarray, y: np.ndarray, orders: np.ndarray) -> str | None:
    shuffled, real, n = _shuffled(x, y, _medians_apart, orders), _medians_apart(x, y), 1 + len(orders)
    right = (1 + (shuffled >= real).sum()) / n
    few = "a real difference shows when few are as far."
    wrong = {
        right: None,
        right - 1 / n: "1 was added to the number of shuffles but not to the count: p can still be 0. See hint 2.",
        (1 + (shuffled > real).sum()) / n: "A shuffle that ties with the real split is as far: count >=, not >.",
        (1 + (shuffled <= real).sum()) / n: f"This counts the shuffles that are as near as observed or nearer; {few}",
        (1 + (shuffled < real).sum()) / n: f"This counts the shuffles that are nearer than observed; {few}",
        1 - right: f"This is 1 - p; {few}",
    }
    for value, message in wrong.items():
        if np.isclose(p, value):
            return message
    return f"Right shape, wrong numbers: off by {abs(p - right):.2g} at most."


P_VALUE = Exercise(
    call="p_value(x, y, distance, orders)",
    inputs=_p_inputs,
    truth=_p_value,
    fault=_p_fault,
    # Only what cannot be met by chance by an answer with another mistake; the others are in _p_fault.
    mistakes=(
        Mistake(
            lambda x, y, d, o: _count(x, y, d, o) / len(o),
            "The real split is one of the possible splits too: add 1 above and below, or p can be 0. See hint 2.",
        ),
        Mistake(
            lambda x, y, d, o: (1 + _count(x, y, d, o)) / len(o),
            "1 was added to the count but not to the number of shuffles: p could exceed 1. See hint 2.",
        ),
        Mistake(_count, "This is the count of shuffles that are at least as far; turn it into a share. See hint 2."),
        Mistake(
            lambda x, y, d, o: 1 + _count(x, y, d, o),
            "This is a count, the real split included; divide it by the number of all splits. See hint 2.",
        ),
        Mistake(
            lambda x, y, d, o: _shuffled(x, y, d, o).mean(),
            "This is the mean distance of the shuffled crowds; count how many reach the observed one.",
        ),
        Mistake(
            lambda x, y, d, o: d(x, y),
            "This is the observed distance; compare it with those of the shuffled crowds.",
        ),
    ),
    section="Are two days different at all?",
    shapes="Each row of orders holds len(x) + len(y) row numbers of the pooled cells, x above y; "
    "the answer is one number, the share of splits.",
)


EXERCISES = {
    "w1-line": W1_LINE,
    "mmd-squared": MMD_SQUARED,
    "p-value": P_VALUE,
    "honest-scale": HONEST_SCALE,
}
