"""Assignment 1, "Snapshots and distances"."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ...baselines import get
from ...metrics import mmd, noise_floor, wasserstein
from ..assignment import Assignment, Line, Question, Variant
from ..exercise import Exercise, Mistake
from ..faults import in_part, own_numbers
from ..given import Coordinates, on_both, own_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..faults import Fault

SEEING = "Can we see a cell move if every measurement kills it?"
RIGHT = "How do we know whether a predicted crowd is right?"


# --- walked ------------------------------------------------------------------------------------------------------


def _two_crowds(rng: np.random.Generator, n: int = 6, dim: int = 2) -> tuple:
    return rng.normal(size=(n, dim)), rng.normal(1.0, 1.5, size=(n, dim))


def _pairings(cost: np.ndarray, most: bool) -> float:
    return float(cost[linear_sum_assignment(cost, maximize=most)].mean())


def _walked(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    far = cdist(before, after)
    return np.array([_pairings(far, False), _pairings(far, True)])


def _by_squares(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    far = cdist(before, after)
    return np.array([far[linear_sum_assignment(far**2, maximize=most)].mean() for most in (False, True)])


WALKED = Question(
    "walked",
    Exercise(
        call="walked(before, after)",
        inputs=_two_crowds,
        truth=_walked,
        mistakes=(
            Mistake(
                lambda b, a: np.full(2, np.linalg.norm(a - b, axis=1).mean()),
                "This pairs the rows as they stand. Row 3 of one photograph is not row 3 of the other: the order "
                "means nothing.",
            ),
            Mistake(
                lambda b, a: np.full(2, np.linalg.norm(a.mean(0) - b.mean(0))),
                "This is how far the mean moved; cells that go opposite ways cancel in it.",
            ),
            Mistake(
                lambda b, a: np.array([cdist(b, a).min(1).mean(), cdist(b, a).max(1).mean()]),
                "Every cell chose its partner alone, so several chose the same one. In a pairing each is taken once.",
            ),
            Mistake(
                lambda b, a: np.full(2, cdist(b, a).mean()),
                "This is the mean over all pairs, the average of all pairings, and neither the least nor the most.",
            ),
            Mistake(
                lambda b, a: _walked(b, a)[::-1],
                "The two numbers changed places: the least comes first.",
            ),
            Mistake(
                lambda b, a: len(b) * _walked(b, a),
                "These are sums over the cells; asked is the mean distance of a cell.",
            ),
            Mistake(
                lambda b, a: np.array([_pairings(cdist(b, a) ** 2, most) for most in (False, True)]),
                "The distances were squared; asked is the mean distance.",
            ),
            Mistake(_by_squares, "The pairing was chosen by squared distances, as for W2; choose it by distances."),
            Mistake(
                lambda b, a: np.array([_pairings(cdist(b, a, "cityblock"), most) for most in (False, True)]),
                "The distance is the Euclidean one, as the crow flies, not the sum over the genes.",
            ),
        ),
        section="How far apart are two crowds?",
        page=SEEING,
        shapes="before and after are (n, D), with equally many cells; the answer is two numbers.",
    ),
    (
        Line(
            "the least that cells can have walked", 4, fault=in_part(_walked, 0, "The first number is not the least.")
        ),
        Line("the most that they can have walked", 3, fault=in_part(_walked, 1, "The second number is not the most.")),
        Line("both for crowds too large to try all pairings", 3, lambda rng, v: _two_crowds(rng, 40, 5), hidden=True),
    ),
)


# --- w1_unequal --------------------------------------------------------------------------------------------------


def _on_a_line(rng: np.random.Generator) -> tuple:
    return rng.normal(size=rng.integers(4, 7)), rng.normal(0.8, 1.6, size=rng.integers(9, 13))


def _with_ties(rng: np.random.Generator, variant: Variant) -> tuple:
    return rng.integers(0, 3, 7).astype(float), rng.integers(1, 6, 7).astype(float)


def _one_cell(rng: np.random.Generator, variant: Variant) -> tuple:
    return rng.normal(size=1), rng.normal(size=8)


def _w1_unequal(x: np.ndarray, y: np.ndarray) -> float:
    at = np.sort(np.concatenate([x, y]))
    shares = [np.searchsorted(np.sort(crowd), at[:-1], side="right") / len(crowd) for crowd in (x, y)]
    return float((np.abs(shares[0] - shares[1]) * np.diff(at)).sum())


def _counted(x: np.ndarray, y: np.ndarray) -> float:
    at = np.sort(np.concatenate([x, y]))
    counts = [np.searchsorted(np.sort(crowd), at[:-1], side="right") for crowd in (x, y)]
    return float((np.abs(counts[0] - counts[1]) * np.diff(at)).sum())


def _left_out_at(x: np.ndarray, y: np.ndarray) -> float:
    at = np.sort(np.concatenate([x, y]))
    shares = [np.searchsorted(np.sort(crowd), at[:-1], side="left") / len(crowd) for crowd in (x, y)]
    return float((np.abs(shares[0] - shares[1]) * np.diff(at)).sum())


def _quantiles(x: np.ndarray, y: np.ndarray) -> float:
    shares = np.linspace(0, 1, 1001)
    return float(np.abs(np.quantile(x, shares) - np.quantile(y, shares)).mean())


def _signed(x: np.ndarray, y: np.ndarray) -> float:
    return float(abs(x.mean() - y.mean()))


def _shortest(x: np.ndarray, y: np.ndarray) -> float:
    n = min(len(x), len(y))
    return float(np.abs(np.sort(x)[:n] - np.sort(y)[:n]).mean())


W1_UNEQUAL = Question(
    "w1_unequal",
    Exercise(
        call="w1_unequal(x, y)",
        inputs=_on_a_line,
        truth=_w1_unequal,
        mistakes=(
            Mistake(
                _signed, "This is the distance of the means; sand that walks left and sand that walks right cancel."
            ),
            Mistake(
                _shortest,
                "Cells beyond the size of the smaller crowd were left out. All cells count, with a smaller share each.",
            ),
            Mistake(
                _counted,
                "These are counts of cells; a cell of a crowd of n carries 1/n of the sand.",
            ),
            Mistake(
                _left_out_at,
                "At each place its own cell was not counted yet, but its sand waits in front of the gap that follows: "
                'side="right" in hint 2.',
            ),
            Mistake(
                _quantiles,
                "np.quantile draws straight lines between cells; here all the sand lies on the cells.",
            ),
            Mistake(
                lambda x, y: np.abs(x[:, None] - y).mean(),
                "This sends sand from every cell to every cell; nobody overtakes anybody in the best plan.",
            ),
            Mistake(
                lambda x, y: np.abs(x[:, None] - y).min(1).mean(),
                "Every cell of x went to its nearest cell of y, and some of y are left without sand.",
            ),
        ),
        section="Five faults, eight ears",
        page=RIGHT,
        shapes="x and y are (n,) and (m,), and the answer is one number.",
    ),
    (
        Line("crowds of different size", 5),
        Line("cells that coincide", 3, _with_ties, hidden=True),
        Line("one cell against many", 2, _one_cell, hidden=True),
    ),
)


# --- floor_at ----------------------------------------------------------------------------------------------------


def _floors(rng: np.random.Generator) -> tuple:
    half = float(rng.uniform(0.6, 1.0))
    n = 4 * int(rng.integers(15, 50))  # halves and quarters are whole numbers of cells
    return half, half * float(rng.uniform(1.1, 1.4)), n, n, n


def _unequal_sizes(rng: np.random.Generator, variant: Variant) -> tuple:
    half, quarter, n, _, _ = _floors(rng)
    return half, quarter, n, int(n * rng.uniform(0.4, 0.6)), int(n * rng.uniform(1.5, 2.5))


def _far_sizes(rng: np.random.Generator, variant: Variant) -> tuple:
    half, quarter, n, _, _ = _floors(rng)
    size = int(n * rng.choice([0.1, 20]))
    return half, quarter, n, size, size


def _floor_at(half: float, quarter: float, n: int, n_first: int, n_second: int) -> float:
    size = 2 / (1 / n_first + 1 / n_second)
    return half * (n / 2 / size) ** np.log2(quarter / half)


FLOOR_AT = Question(
    "floor_at",
    Exercise(
        call="floor_at(half, quarter, n, n_first, n_second)",
        inputs=_floors,
        truth=_floor_at,
        mistakes=(
            Mistake(
                lambda h, q, n, a, b: h,
                "This is `half` itself. It belongs to samples of n / 2 cells; these have n, and their floor is lower.",
            ),
            Mistake(
                lambda h, q, n, a, b: h * (n / 2 / (2 / (1 / a + 1 / b))) ** 0.5,
                "The power 1/2 belongs to a mean, or to one dimension. Read it off half and quarter.",
            ),
            Mistake(
                lambda h, q, n, a, b: h * (2 / (1 / a + 1 / b) / (n / 2)) ** np.log2(q / h),
                "Turned round: with more cells the floor sinks.",
            ),
            Mistake(
                lambda h, q, n, a, b: h - (q - h),
                "This is a straight line, one step further. The floor falls by a factor with every doubling.",
            ),
            Mistake(
                lambda h, q, n, a, b: h * (n / 2 / ((a + b) / 2)) ** np.log2(q / h),
                "For unequal sizes take the harmonic mean: the smaller sample makes most of the noise.",
            ),
            Mistake(
                lambda h, q, n, a, b: h * (n / 2 / min(a, b)) ** np.log2(q / h),
                "This takes the smaller sample for both; the larger one is better than that. Take the harmonic mean.",
            ),
            Mistake(
                lambda h, q, n, a, b: h * (n / 2 / (2 / (1 / a + 1 / b))) ** np.log(q / h),
                "The power is the logarithm of q / h over that of 2: np.log2, not np.log.",
            ),
        ),
        section="The floor sinks slowly",
        page=RIGHT,
        shapes="All arguments are numbers, and so is the answer.",
    ),
    (
        Line("samples as large as the truth", 4),
        Line("samples of different size", 3, _unequal_sizes),
        Line("samples much smaller and much larger", 3, _far_sizes, hidden=True),
    ),
)


# --- walk_plan ---------------------------------------------------------------------------------------------------


def _one_to_one(rng: np.random.Generator) -> tuple:
    before, after = _two_crowds(rng, 5, 3)
    plan = np.eye(5)[rng.permutation(5)] / 5
    t0 = float(rng.uniform(0, 2))
    gap = rng.uniform(1, 3)
    return before, after, plan, rng.uniform(0.05, 0.95, 5), t0, t0 + float(gap), t0 + float(gap * rng.uniform(0.6, 0.9))


def _half_way(inputs: tuple) -> tuple:
    *rest, t0, t1, _ = inputs
    return *rest, t0, t1, (t0 + t1) / 2


def _shared(rng: np.random.Generator, variant: Variant) -> tuple:
    before, _, _, u, *times = _one_to_one(rng)
    plan = rng.uniform(0.1, 1, (5, 9))
    return _half_way((before, rng.normal(size=(9, 3)), plan / plan.sum(1, keepdims=True) / 5, u, *times))


def _at_the_edge(rng: np.random.Generator, variant: Variant) -> tuple:
    before, after, plan, _, *times = _one_to_one(rng)
    plan = np.roll(np.eye(5), 1, axis=1) / 5
    return _half_way((before, after, plan, np.zeros(5), *times))


def _partners(
    after: np.ndarray, plan: np.ndarray, u: np.ndarray, side: str = "right", scale: bool = True
) -> np.ndarray:
    heights = np.cumsum(plan, axis=1)
    drawn = u * (heights[:, -1] if scale else 1)
    found = [np.searchsorted(row, height, side=side) for row, height in zip(heights, drawn, strict=True)]
    return after[np.clip(found, 0, len(after) - 1)]


def _walk(before: np.ndarray, partner: np.ndarray, t0: float, t1: float, t: float) -> np.ndarray:
    return before + (t - t0) / (t1 - t0) * (partner - before)


def _walk_plan(before: np.ndarray, after: np.ndarray, plan: np.ndarray, u: np.ndarray, *times: float) -> np.ndarray:
    return _walk(before, _partners(after, plan, u), *times)


WALK_PLAN = Question(
    "walk_plan",
    Exercise(
        call="walk_plan(before, after, plan, u, t0, t1, t)",
        inputs=_one_to_one,
        truth=_walk_plan,
        mistakes=(
            Mistake(
                lambda b, a, p, u, t0, t1, t: _walk(b, _partners(a, p, u), 0, 2, 1),
                "This stops half-way, whatever the clock says. Which share of the time has passed at t?",
            ),
            Mistake(
                lambda b, a, p, u, t0, t1, t: _walk(b, _partners(a, p, u), t0, t0 + 1, t),
                "The time was not divided by the gap t1 - t0: a share has no unit.",
            ),
            Mistake(
                lambda b, a, p, u, t0, t1, t: _walk(b, _partners(a, p, u), t1, t0, t),
                "The share runs backwards: at t0 the cell is at its start.",
            ),
            Mistake(
                lambda b, a, p, u, t0, t1, t: _walk(b, _partners(a, p, u, scale=False), t0, t1, t),
                "The rows of the plan add up to 1/n, not to 1, so u from 0 to 1 runs past the end of the row.",
            ),
            Mistake(
                lambda b, a, p, u, t0, t1, t: _walk(b, a[p.argmax(1)], t0, t1, t),
                "Every cell took its largest share. Then small shares count for nothing: draw by u.",
            ),
            Mistake(
                lambda b, a, p, u, t0, t1, t: _walk(b, p @ a * len(b), t0, t1, t),
                "Every cell walks to the mean of its partners, so the crowd shrinks: draw one partner by u.",
            ),
            Mistake(
                lambda b, a, p, u, t0, t1, t: _walk(b, _partners(a, p, u, side="left"), t0, t1, t),
                "At u = 0 a partner was drawn that gets no sand. See hint 2: which side of np.searchsorted?",
            ),
            Mistake(
                lambda b, a, p, u, t0, t1, t: _walk(b, a[: len(b)], t0, t1, t),
                "Row went to row. The plan says who goes where.",
            ),
            Mistake(
                lambda b, a, p, u, t0, t1, t: _partners(a, p, u),
                "The cells have arrived already; at time t they are on the way.",
            ),
        ),
        section="Straight lines between strangers",
        page=SEEING,
        shapes="before is (n, D), after (m, D), plan (n, m), u (n,); the answer is (n, D).",
    ),
    (
        Line("it walks by the clock, not by the list", 4),
        Line("partners are drawn by their shares", 4, _shared),
        Line("nobody gets a partner without a share", 3, _at_the_edge, hidden=True),
    ),
)


# --- leaks -------------------------------------------------------------------------------------------------------


def _judged(rng: np.random.Generator, *looks: int, robust: bool = False) -> tuple:
    """Honest coordinates and some that have looked at centre (0), axes (1) or scale (2), in any order, and cells."""
    times = rng.permutation(np.repeat([0.0, 1.0, 2.5], [14, 16, 15]))
    x = rng.normal(size=(45, 6)) * rng.permutation(np.linspace(0.5, 3, 6)) + times[:, None]
    both = [(False, False, False), (0 in looks, 1 in looks, 2 in looks)]
    first, second = (Coordinates(3, both[k], robust) for k in rng.permutation(2))
    return first, second, x, times, 1.0


def _leaks(coordinates: Callable, x: np.ndarray, times: np.ndarray, held: float) -> float:
    seen, other = times != held, x.copy()
    other[~seen] = 30 - 7 * x[~seen]
    first, second = (coordinates(cells, times, held)[seen] for cells in (x, other))
    return float(not np.allclose(first, second))


def _told_apart(words: str, kind: str = "These coordinates are honest") -> Fault:
    """Honest ones acquitted *and* leaky ones convicted, so that a constant earns nothing."""

    def fault(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
        if values.shape != (2,):
            return f"Expected one number for one call, 1 or 0, got shape {values.shape[1:]}."
        if odd := [value for value in values if value not in (0, 1)]:
            return f"Expected 1 for a leak or 0 for none, got {odd[0]:g}."
        honest = int(any(inputs[0]._looks))  # its position: the other one has looked
        if values[honest]:
            return f"{kind}, and they were convicted. Of which cells may the coordinates differ, and of which not?"
        return None if values[1 - honest] else words

    return fault


def _looking(*looks: int, robust: bool = False) -> Callable:
    return lambda rng, variant: _judged(rng, *looks, robust=robust)


# Trials of a yes or no: guessing the order passes one line in 64.
GUESSES = 6

LEAKS = Question(
    "leaks",
    Exercise(
        call="leaks(coordinates, x, times, held)",
        inputs=lambda rng: _judged(rng, 2),
        truth=_leaks,
        mistakes=(),
        section="Leak 1: a map drawn with the answer",
        page=RIGHT,
        shapes="x is (n, G) and times (n,); the answer is 1 or 0.",
    ),
    (
        Line(
            "told apart: honest coordinates, and a scale that has seen the held-out cells",
            4,
            fault=_told_apart(
                "These coordinates were scaled by all cells, held-out ones included, and were acquitted."
            ),
            through=on_both,
            trials=GUESSES,
        ),
        Line(
            "told apart: honest coordinates, and axes that have seen them",
            4,
            _looking(1),
            _told_apart("The axes of these coordinates were fitted on all cells, and they were acquitted."),
            on_both,
            hidden=True,
            trials=GUESSES,
        ),
        Line(
            "told apart: honest coordinates, and a centre that has seen them",
            3,
            _looking(0),
            _told_apart("These coordinates were centred on all cells, and they were acquitted."),
            on_both,
            hidden=True,
            trials=GUESSES,
        ),
        Line(
            "the same for a map that centres and scales by medians",
            3,
            _looking(0, 1, 2, robust=True),
            _told_apart(
                "These coordinates were centred and scaled by medians of all cells, and they were acquitted.",
                "These coordinates are centred and scaled by medians of the training cells, which is honest",
            ),
            on_both,
            hidden=True,
            trials=GUESSES,
        ),
    ),
)


# --- disagree ----------------------------------------------------------------------------------------------------


def _truth(rng: np.random.Generator, n: int = 80, dim: int = 5) -> np.ndarray:
    return rng.normal(size=(n, dim))


def _disagree(truth: np.ndarray) -> np.ndarray:
    astray = np.array(truth, dtype=float)
    astray[:2] += 1e3
    return np.stack([truth + 1.0, astray])


def _prefers(ruler: Callable, better: int, words: str) -> Fault:
    def fault(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
        (truth,) = inputs
        if values.shape != (2, *truth.shape):
            return f"Expected two predictions, shape {(2, *truth.shape)}, got {values.shape}."
        if not np.isfinite(values).all():
            return "A prediction holds NaN or inf: such a cell is nowhere."
        read = [ruler(cells, truth) for cells in values]
        return None if 1.5 * read[better] < read[1 - better] else words

    return fault


_BY_W1 = _prefers(wasserstein, 0, "W1 does not clearly prefer the first prediction: its W1 must be 1.5 times smaller.")
_BY_MMD = _prefers(mmd, 1, "The MMD does not clearly prefer the second prediction: it must be 1.5 times smaller.")


def _first(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    found, turned = _BY_W1(values, inputs, variant), values[::-1] if values.ndim else values
    if found and not _BY_W1(turned, inputs, variant) and not _BY_MMD(turned, inputs, variant):
        return "The rulers do disagree, but the predictions changed places: W1 is to prefer the first."
    return found


def _both(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    found = _BY_W1(values, inputs, variant) or _BY_MMD(values, inputs, variant)
    return f"For other crowds: {found}" if found else None


DISAGREE = Question(
    "disagree",
    Exercise(
        call="disagree(truth)",
        inputs=lambda rng: (_truth(rng),),
        truth=_disagree,
        mistakes=(
            Mistake(
                lambda truth: np.stack([truth, truth]),
                "Both predictions are the truth, and no ruler prefers either.",
            ),
        ),
        section="Five faults, eight ears",
        page=RIGHT,
        shapes="truth is (n, D), and the answer (2, n, D).",
    ),
    (
        Line("W1 clearly prefers the first", 4, fault=_first),
        Line("the MMD clearly prefers the second", 4, fault=_BY_MMD),
        Line(
            "both for another number of genes and cells, elsewhere",
            3,
            lambda rng, v: (_truth(rng, 40, 2) + 50,),
            _both,
            hidden=True,
        ),
    ),
)


# --- my_race -----------------------------------------------------------------------------------------------------


@cache
def _race(variant: Variant) -> dict[str, float]:
    snaps, index = own_snapshots(*variant)
    train, held = snaps.hold_out(index)
    lines = get("ot-interpolation").fit(train)

    def walked(t: float) -> float:
        cells = lines.propagate(held.previous, held.previous_time, t)
        return wasserstein(cells, held.state)

    half_way = (held.previous_time + float(train.times[index])) / 2
    cells = np.random.default_rng(0).permutation(held.state)
    n = len(cells) // 2
    return {
        "standing still": wasserstein(held.previous, held.state),
        "straight lines": walked(held.time),
        "the noise floor": noise_floor(held.state, len(held.previous), len(held.state)).mean,
        "leaky": wasserstein(snaps.states[index - 1], snaps.states[index]),
        "genes": wasserstein(snaps.raw[index - 1], snaps.raw[index]),
        "next": wasserstein(train.states[index], held.state),
        "by the list": walked(half_way),
        "the end": walked(float(train.times[index])),
        "halves": noise_floor(held.state, n, n).mean,
        "quarters": noise_floor(held.state, n // 2, n // 2).mean,
        "leaky floor": noise_floor(snaps.states[index], len(held.previous), len(held.state)).mean,
        "training": noise_floor(held.previous, len(held.previous), len(held.state)).mean,
        "mmd": mmd(held.previous, held.state),
        "mmd of lines": mmd(lines.propagate(held.previous, held.previous_time, held.time), held.state),
    }


def _raced(k: int, right: str, slips: dict[str, str]) -> Fault:
    """Compare one of three numbers with what the student's own snapshots give, within a hundredth."""

    def all_three(name: str) -> Callable[[Variant], np.ndarray]:
        return lambda variant: np.full(3, _race(variant)[name])

    words = f"Number {k + 1} is not {right} of your snapshots. Is STUDENT the id with which you measured?"
    named = {f"Number {k + 1}: {message}": all_three(slip) for slip, message in slips.items()}
    return own_numbers(all_three(right), k, named, words, tolerance=0.0, relative=0.01)


MY_RACE = Question(
    "my_race",
    Exercise(
        call="my_race()",
        inputs=lambda rng: (),
        truth=lambda: np.zeros(3),
        mistakes=(),
        section="How far apart are two crowds?",
        page=SEEING,
        shapes="Return a list of three numbers.",
    ),
    (
        Line(
            "standing still",
            4,
            trials=1,
            fault=_raced(
                0,
                "standing still",
                {
                    "leaky": "these coordinates were fitted on the held-out cells too. Let hold_out refit them.",
                    "genes": "this is the distance in genes; asked is the one in the three components.",
                    "next": "this compares with the snapshot after the held-out one; the cells stand where they were.",
                    "mmd": "this is the squared MMD; asked is W1.",
                },
            ),
        ),
        Line(
            "straight lines",
            4,
            trials=1,
            fault=_raced(
                1,
                "straight lines",
                {
                    "by the list": "the cells walked half of the way. Your times are uneven: go by the clock.",
                    "the end": "the cells walked all the way to the next snapshot.",
                    "standing still": "this is standing still; the lines have to walk.",
                    "mmd of lines": "this is the squared MMD; asked is W1.",
                },
            ),
        ),
        Line(
            "the noise floor",
            4,
            trials=1,
            fault=_raced(
                2,
                "the noise floor",
                {
                    "halves": "this is the floor of two halves; asked is that of the sizes which you compare.",
                    "quarters": "this is the floor of two quarters; asked is that of the sizes which you compare.",
                    "leaky floor": "these coordinates were fitted on the held-out cells too. Let hold_out refit them.",
                    "training": "this is the floor of the preceding crowd; asked is that of the held-out one.",
                },
            ),
        ),
    ),
)


ASSIGNMENT = Assignment(
    "1",
    "snapshots-and-distances",
    "Snapshots and distances",
    (WALKED, W1_UNEQUAL, FLOOR_AT, WALK_PLAN, MY_RACE, LEAKS, DISAGREE),
    {
        "Answer 1: what two photographs say of cells that move: exactly, within bounds, or not at all": 7,
        "Answer 2: the race read beside its floor, and what more cells would buy": 7,
        "Answer 3: a colleague's table of leaky scores, read critically": 8,
    },
)
