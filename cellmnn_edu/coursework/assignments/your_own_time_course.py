"""The capstone: your own time course."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import given
from ..assignment import Assignment, Line, Question, Variant
from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable

RACE = "A fair race"

# Coordinates that have not seen the held-out cells


def _cells(rng: np.random.Generator, sizes: tuple[int, ...], n_genes: int, times: tuple[float, ...]) -> tuple:
    """Cells of several times, sorted by time: three directions that count, and noise in every gene."""
    labels = np.repeat(times, sizes)
    latent = rng.normal(size=(len(labels), 3)) * [3.0, 2.0, 1.2] + np.outer(labels, [1.0, -0.7, 0.4])
    genes = latent @ rng.normal(size=(3, n_genes)) + rng.uniform(0.1, 0.3, n_genes) * rng.normal(
        size=(len(labels), n_genes)
    )
    return genes + rng.uniform(5, 9, n_genes), labels


def _plain_cells(rng: np.random.Generator, variant: Variant) -> tuple:
    x, times = _cells(rng, (14, 17, 15, 16), 9, (0.0, 1.0, 2.0, 3.0))
    return x, times, 2.0


def _two_worlds(rng: np.random.Generator, variant: Variant) -> tuple:
    """Held-out cells, and others in their place: elsewhere, wider, and varying in other genes."""
    x, times, held = _plain_cells(rng, variant)
    hidden = x[times == held]
    other = 20 * rng.normal(size=hidden.shape) * rng.permutation(np.linspace(0.1, 3, x.shape[1])) + 30
    return x, times, held, other


def _with_copies(rng: np.random.Generator, variant: Variant) -> tuple:
    """The first four held-out cells are copies of the first four cells."""
    x, times, held = _plain_cells(rng, variant)
    x[np.flatnonzero(times == held)[:4]] = x[:4]
    return x, times, held


def _awkward(rng: np.random.Generator, variant: Variant) -> tuple:
    """Few cells, more genes than cells, float32, and a gene that is silent in all but the held-out cells."""
    x, times = _cells(rng, (7, 5, 9, 6), 40, (2.0, 3.0, 4.0, 7.0))
    x[times != 3.0, 4] = 0.0
    return x.astype(np.float32), times, 3.0


def _mixed_order(rng: np.random.Generator, variant: Variant) -> tuple:
    """Cells at uneven times, and an order in which to give them again."""
    x, times = _cells(rng, (14, 17, 15, 16), 9, (0.5, 0.9, 4.0, 4.5))
    return x, times, 0.9, rng.permutation(len(x))


def _shape_fault(z: np.ndarray, n_cells: int) -> str | None:
    if z.ndim != 2 or len(z) != n_cells:
        return f"Expected one row for each of the {n_cells} cells, the held-out ones too; got shape {z.shape}."
    if not 2 <= z.shape[1] <= 5:
        return f"Expected two to five coordinates, got {z.shape[1]}."
    if not np.isfinite(z).all():
        return "Some coordinates are NaN or inf: a gene that never changes in training has no spread to divide by."
    return None


def _scale_fault(z: np.ndarray, trained: np.ndarray) -> str | None:
    mean, spread = z[trained].mean(0), z[trained].std(0)
    n = trained.sum()
    if np.allclose(mean, 0, atol=1e-3) and np.allclose(spread, 1, atol=1e-3):
        return None
    if np.allclose(z.mean(0), 0, atol=1e-3) and np.allclose(z.std(0), 1, atol=1e-3):
        return "The scale was fitted on all cells, the held-out ones too: the scaling leak. Take training cells alone."
    if not np.allclose(mean, 0, atol=1e-3):
        return f"The training cells have the mean {np.abs(mean).max():.2g}, not 0: centre every coordinate on them."
    if np.allclose(spread, np.sqrt(1 - 1 / n), rtol=1e-4):
        return "The spread divides by n - 1 here. The book takes n; mixing the two changes the unit of W1."
    return f"Training cells spread by {spread.min():.2g} to {spread.max():.2g}, not 1: divide by their spread."


def _alone(z: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    x, times, held = inputs
    return _shape_fault(z, len(x)) or _scale_fault(z, times != held)


def _blind(runs: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    """Nothing of the training cells may move; `runs` are two equal calls and one with other held-out cells."""
    x, times, held = inputs[:3]
    if found := _shape_fault(runs[0], len(x)):
        return found
    first, again, other = runs[:, times != held]
    if not np.allclose(first, again, atol=1e-6):
        return "The same cells get other coordinates the second time: fix the seed of whatever is random."
    if np.allclose(runs[0, times == held], runs[2, times == held], atol=1e-6):
        return "Other held-out cells came back in the same places: compute the coordinates from the cells given."
    if np.allclose(first, other, atol=1e-6):
        return None
    same_axes = [abs(np.corrcoef(a, b)[0, 1]) > 1 - 1e-6 for a, b in zip(first.T, other.T, strict=True)]
    if all(same_axes):
        return "With other held-out cells the training cells are shifted or stretched: the centre or scale saw them."
    return (
        "With other held-out cells the training cells get other coordinates: the axes, or the choice of genes, "
        "saw the held-out cells."
    )


def _same_map(z: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    x, times, held = inputs
    if found := _shape_fault(z, len(x)):
        return found
    copies = np.flatnonzero(times == held)[:4]
    if np.allclose(z[copies], z[:4], atol=1e-4):
        return None
    return (
        "A held-out cell with the expression of a training cell gets other coordinates than it: both must go "
        "through one map, fitted on the training cells."
    )


def _finite(z: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    return _shape_fault(z, len(inputs[0]))


def _any_order(runs: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    """`runs` are the coordinates of the cells in the given order and in another one, put back; signs are free."""
    if found := _shape_fault(runs[0], len(inputs[0])):
        return found
    for one, other in zip(runs[0].T, runs[1].T, strict=True):
        if min(np.abs(one - other).max(), np.abs(one + other).max()) > 1e-4:
            return "The same cells in another order get other coordinates: files need not be sorted by time."
    return None


def _reference(x: np.ndarray, times: np.ndarray, held: float, n_components: int = 3) -> np.ndarray:
    """Principal components and their spread, from the training cells alone."""
    seen = x[times != held]
    shifted = x - seen.mean(0)
    axes = np.linalg.svd(seen - seen.mean(0), full_matrices=False)[2][:n_components]
    z = shifted @ axes.T
    return z / z[times != held].std(0)


COORDINATES = Question(
    "my_coordinates",
    Exercise(
        call="my_coordinates(x, times, held)",
        inputs=lambda rng: _plain_cells(rng, Variant("")),
        truth=_reference,
        mistakes=(),
        shapes="One row for each cell of x, the same number of coordinates (two to five) at every call.",
        section="Leak 1: a map drawn with the answer",
        page="How do we know whether a predicted crowd is right?",
    ),
    (
        Line("gives every cell two to five coordinates, z-scored on the training cells", 3, _plain_cells, _alone),
        Line(
            "places the training cells without looking at the held-out ones",
            6,
            _two_worlds,
            _blind,
            given.with_other_cells,
        ),
        Line("sends held-out cells through the same map", 3, _with_copies, _same_map),
        Line("copes with few cells, many genes, float32 and silent genes", 3, _awkward, _finite, hidden=True),
        Line(
            "does not rely on the order of the cells",
            3,
            _mixed_order,
            _any_order,
            given.in_another_order,
            hidden=True,
        ),
    ),
)


# Numbers handed in: the split


def _nothing(rng: np.random.Generator, variant: Variant) -> tuple:
    return ()


def _split_layout(rows: np.ndarray) -> str | None:
    if rows.ndim != 2 or rows.shape[1] != 3:
        return f"Expected a row [time, cells, held out] for each snapshot, got shape {rows.shape}."
    return None


def _snapshots_fault(rows: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    if found := _split_layout(rows):
        return found
    times, cells = rows[:, 0], rows[:, 1]
    if len(rows) < 3:
        return f"Expected at least three snapshots, got {len(rows)}: two to train on, and one between them to hide."
    if not np.isfinite(rows).all() or (np.diff(times) <= 0).any():
        return "The times must increase: one row for each snapshot, in order, real times and not file names."
    if (cells < 1).any() or (cells % 1 != 0).any():
        return "The second column is the number of cells, a whole number above 0: not a share, not a mean."
    return None


def _held_fault(rows: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    if found := _split_layout(rows):
        return found
    cells, held = rows[:, 1], rows[:, 2]
    if not np.isin(held, (0, 1)).all():
        return "The third column is 1 for a snapshot that is held out at some time, else 0."
    if not held.any():
        return "No snapshot is held out, so nothing was tested: a fit of what was seen says little of the hidden."
    if held[0] or held[-1]:
        return "The first or the last snapshot is held out: that is extrapolation, and straight lines cannot run."
    if (cells[held == 1] < 8).any():
        return "A held-out snapshot has fewer than 8 cells: no noise floor can be measured for it."
    return None


SPLIT = Question(
    "my_split",
    Exercise(
        call="my_split()",
        inputs=lambda rng: (),
        truth=lambda: np.array([[0.0, 40, 0], [1.0, 40, 1], [2.0, 40, 0]]),
        mistakes=(),
        shapes="One row of three numbers, [time, cells, held out], for each snapshot.",
        section="Rules first",
        page=RACE,
    ),
    (
        Line("lists three or more snapshots in the order of time", 2, _nothing, _snapshots_fault, trials=1),
        Line("holds out inner snapshots with enough cells to judge", 3, _nothing, _held_fault, trials=1),
    ),
)


# Numbers handed in: the table

TIME, SEED, STILL, LINES, OWN, FLOOR, LOW, HIGH = range(8)


def _table_layout(table: np.ndarray) -> str | None:
    if table.ndim != 2 or table.shape[1] != 8 or not np.isfinite(table).all():
        return (
            "Expected rows of eight numbers, [time, seed, persistence, straight lines, own model, floor, low, high]; "
            f"got shape {table.shape}{'' if np.isfinite(table).all() else ' with NaN or inf'}."
        )
    return None


def _seeds_fault(table: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    if found := _table_layout(table):
        return found
    seeds = [sorted(table[table[:, TIME] == time, SEED]) for time in np.unique(table[:, TIME])]
    if any(len(set(own)) < len(own) for own in seeds):
        return "A seed stands twice at the same held-out time: one row for each time and seed."
    if any(len(own) < 3 for own in seeds):
        return "Expected at least three seeds at each held-out time: one run shows no spread, and two hardly any."
    if any(own != seeds[0] for own in seeds):
        return "The held-out times have different seeds: run the same ones everywhere, so that rows are pairs."
    return None


def _luck_fault(table: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    if found := _table_layout(table):
        return found
    for time in np.unique(table[:, TIME]):
        rows = table[table[:, TIME] == time]
        if np.ptp(rows[:, [STILL, FLOOR, LOW, HIGH]], axis=0).max() > 1e-3 * rows[:, STILL].max():
            return (
                f"At time {time:g} persistence or the floor changes with the seed, and neither has one: these rows "
                "do not belong to one held-out snapshot in one coordinate system."
            )
        if len(rows) > 1 and np.ptp(rows[:, OWN]) == 0:
            return f"At time {time:g} every seed of your model has the same score: the seed has not reached it."
    return None


def _order_fault(table: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    if found := _table_layout(table):
        return found
    scores, floor, low, high = table[:, [STILL, LINES, OWN]], table[:, FLOOR], table[:, LOW], table[:, HIGH]
    if (scores <= 0).any() or (floor <= 0).any() or (low < 0).any():
        return "A distance between two different crowds is above 0; a 0 says that a crowd met itself."
    if (low > floor).any() or (floor > high).any():
        return "The floor lies outside its own interval: the last three columns are floor, low, high."
    if (scores < low[:, None]).any():
        return (
            "A score lies below the whole interval of the floor, where two samples of the truth do not come: look "
            "for held-out cells in the training, squared MMD in place of W1, or a floor in other coordinates."
        )
    return None


TABLE = Question(
    "my_table",
    Exercise(
        call="my_table()",
        inputs=lambda rng: (),
        truth=lambda: np.array([[1.0, s, 1.4, 0.7, 0.8 + s / 20, 0.5, 0.4, 0.6] for s in range(3)]),
        mistakes=(),
        shapes="One row of eight numbers for each held-out time and seed.",
        section="Where the scale begins and ends",
        page=RACE,
    ),
    (
        Line("has three seeds or more, the same at every held-out time", 3, _nothing, _seeds_fault, trials=1),
        Line("varies with the seed where luck is, and nowhere else", 3, _nothing, _luck_fault, trials=1),
        Line("has no score below the interval of the floor", 4, _nothing, _order_fault, trials=1),
    ),
)


# The sentence that a table allows


def _rows(rng: np.random.Generator, time: float, n_seeds: int, **case: float) -> np.ndarray:
    """Rows of one held-out time, whose gaps have exactly the wanted mean and standard error.

    `to_lines` and `to_still` are the mean gaps of the own model to straight lines and to persistence, `error` the
    standard error of both over the seeds, `luck` what both learn from the seed, in its units.
    """
    noise, luck = rng.normal(size=(2, n_seeds))
    noise = (noise - noise.mean()) / noise.std(ddof=1) * case["error"] * np.sqrt(n_seeds)
    own = case["own"] + noise
    lines = np.full(n_seeds, case["own"] - case["to_lines"])
    shared = case.get("luck", 0.0) * (luck - luck.mean()) / luck.std(ddof=1)
    still = np.full(n_seeds, case["own"] - case["to_still"])
    floor = np.tile([case["floor"], case["low"], case["high"]], (n_seeds, 1))
    columns = [np.full(n_seeds, time), np.arange(n_seeds), still, lines + shared, own + shared]
    return np.column_stack([*columns, floor])


FAR = {"own": 1.0, "floor": 0.4, "low": 0.3, "high": 0.5}
CLEAR = (
    # Worse than standing still; better only by luck; and better than straight lines that are worse still.
    {**FAR, "to_still": 0.2, "to_lines": 0.3, "error": 0.02},
    {**FAR, "to_still": -0.02, "to_lines": 0.1, "error": 0.02},
    {**FAR, "to_still": 0.1, "to_lines": -0.3, "error": 0.02},
    # Better than standing still; worse than straight lines, and better than they by luck.
    {**FAR, "to_still": -0.4, "to_lines": 0.2, "error": 0.02},
    {**FAR, "to_still": -0.4, "to_lines": -0.02, "error": 0.02},
    # Better than straight lines, by 3.6 standard errors.
    {**FAR, "to_still": -0.4, "to_lines": -0.072, "error": 0.02},
    {**FAR, "to_still": -0.4, "to_lines": -0.3, "error": 0.02},
    # At the floor: above its mean and inside its interval; and the best run alone is inside.
    {**FAR, "own": 0.46, "to_still": -0.6, "to_lines": -0.2, "error": 0.005},
    {**FAR, "own": 0.54, "to_still": -0.6, "to_lines": -0.2, "error": 0.04},
)


def _tables(*cases: dict, n_seeds: int) -> Callable[[np.random.Generator, Variant], tuple]:
    """Draw a table that holds every case, one held-out time each, in another order at each trial."""

    def inputs(rng: np.random.Generator, variant: Variant) -> tuple:
        times = np.cumsum(rng.uniform(0.3, 2.0, len(cases)))
        scale = rng.uniform(0.5, 2.0)
        parts = []
        for time, case in zip(times, rng.permutation(len(cases)), strict=True):
            rows = _rows(rng, time, n_seeds, **cases[case])
            rows[:, STILL:] *= scale
            parts.append(rows)
        return (np.concatenate(parts),)

    return inputs


def _shuffled(rng: np.random.Generator, variant: Variant) -> tuple:
    """Draw rows in any order, seeds that are not 0, 1, 2, ..., and float32."""
    (table,) = _tables(CLEAR[0], CLEAR[3], CLEAR[6], CLEAR[7], n_seeds=6)(rng, variant)
    table[:, SEED] = 7 * table[:, SEED] + 11
    return (rng.permutation(table).astype(np.float32),)


def _sentences(
    table: np.ndarray,
    paired: bool = True,
    quantile: Callable[[int], float] | None = None,
    of_mean: bool = True,
    ceiling: int = HIGH,
    pick: Callable[[np.ndarray], float] = np.mean,
    judge: bool = True,
    still: bool = True,
) -> np.ndarray:
    """Choose for each held-out time the sentence; the options are the ways to go wrong."""
    from scipy.stats import t

    quantile = quantile or (lambda n: t.ppf(0.975, n - 1))
    out = []
    for time in np.unique(table[:, TIME]):
        rows = np.asarray(table[table[:, TIME] == time], dtype=float)
        n, own, lines = len(rows), rows[:, OWN], rows[:, LINES]
        size = np.sqrt(n) if of_mean else 1.0
        gap_error = np.std(own - lines, ddof=1) if paired else np.hypot(own.std(ddof=1), lines.std(ddof=1))
        beats_still = np.mean(own - rows[:, STILL]) + quantile(n) * own.std(ddof=1) / size < 0
        beats_lines = np.mean(own - lines) + quantile(n) * gap_error / size < 0
        if judge and rows[0, STILL] <= rows[0, HIGH]:
            code = 0
        elif still and not beats_still:
            code = 1
        elif pick(own) <= rows[0, ceiling]:
            code = 4
        else:
            code = 3 if beats_lines else 2
        out.append([time, code])
    return np.array(out)


SENTENCE = Question(
    "allowed_sentence",
    Exercise(
        call="allowed_sentence(table)",
        inputs=lambda rng: _tables(*CLEAR, n_seeds=6)(rng, Variant("")),
        truth=_sentences,
        mistakes=(
            Mistake(
                lambda table: _sentences(table, judge=False),
                "Where standing still is inside the interval of the floor, the snapshot can judge nobody: sentence 0.",
            ),
            Mistake(
                lambda table: _sentences(table, still=False),
                "Standing still does not occur in this: who beats straight lines may still be worse than nothing.",
            ),
            Mistake(
                lambda table: _sentences(table, quantile=lambda n: 0.0),
                "This compares means and forgets their interval: a gap that luck can make shows nothing.",
            ),
            Mistake(
                lambda table: _sentences(table, paired=False),
                "This adds the spreads of both methods, as if their seeds had nothing in common. Subtract first.",
            ),
            Mistake(
                lambda table: _sentences(table, quantile=lambda n: 1.96),
                "1.96 is for a spread that is known; with a few seeds take Student's quantile, n - 1 degrees.",
            ),
            Mistake(
                lambda table: _sentences(table, of_mean=False),
                "This asks for the interval of a single run; the mean of n runs varies sqrt(n) times less.",
            ),
            Mistake(
                lambda table: _sentences(table, ceiling=FLOOR),
                "At the floor is whoever lies inside its interval, not only below its middle: take `high`.",
            ),
            Mistake(
                lambda table: _sentences(table, pick=np.min),
                "The best seed touches the floor, the mean does not: report means.",
            ),
        ),
        shapes="One row [time, sentence] for each held-out time, in the order of time.",
        section="Luck, and what it is not",
        page=RACE,
    ),
    (
        Line("chooses the sentence where every case is clear", 4, _tables(*CLEAR, n_seeds=6)),
        Line(
            "says so where standing still is at the floor",
            3,
            _tables(
                {**FAR, "own": 0.35, "to_still": -0.1, "to_lines": -0.1, "error": 0.002},
                {**FAR, "own": 0.8, "to_still": 0.31, "to_lines": 0.2, "error": 0.002},
                CLEAR[6],
                n_seeds=6,
            ),
        ),
        Line(
            "compares pair by pair",
            3,
            _tables(
                {**FAR, "to_still": -0.6, "to_lines": -0.05, "error": 0.005, "luck": 0.2},
                {**FAR, "to_still": -0.6, "to_lines": 0.05, "error": 0.005, "luck": 0.2},
                n_seeds=6,
            ),
            hidden=True,
        ),
        Line(
            "knows how little three seeds say",
            2,
            _tables(
                {**FAR, "to_still": -0.4, "to_lines": -0.06, "error": 0.02},
                {**FAR, "to_still": -0.06, "to_lines": -0.3, "error": 0.02},
                {**FAR, "to_still": -0.4, "to_lines": -0.02, "error": 0.02},
                n_seeds=3,
            ),
            hidden=True,
        ),
        Line("takes rows in any order, and float32", 2, _shuffled, hidden=True, tolerance=1e-3),
    ),
)


ASSIGNMENT = Assignment(
    number="capstone",
    slug="your-own-time-course",
    title="Your own time course",
    questions=(COORDINATES, SPLIT, TABLE, SENTENCE),
    by_hand={
        "Question: one that snapshots can answer, and a prediction written before the race": 6,
        "Data and how they were made: units, cells per time, batches against time, licence": 8,
        "Snapshots, split and what was fitted on what": 6,
        "Rivals and noise floor": 4,
        "Result with seeds and intervals": 8,
        "Genes, with nulls and controls - or why none": 8,
        "What the method cannot say here": 6,
        "What would change my mind": 4,
        "Reproduce": 3,
    },
)
