"""Answers to the capstone: right ones, wrong ones with a word of the expected message, and whole submissions.

The right ones take another road than the check: scikit-learn's PCA, and a library's confidence intervals.
"""

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.decomposition import PCA

import cellmnn_edu as ce
from cellmnn_edu.coursework.given import own_time_course


def coordinates(x, times, held, n_components=2):
    seen = np.asarray(times) != held
    pca = PCA(n_components, svd_solver="full").fit(x[seen])
    return pca.transform(x) / pca.transform(x[seen]).std(axis=0)


def split():
    return [[1, 19, 0], [2, 23, 0], [3, 43, 1], [4, 75, 0], [5, 109, 0], [6, 159, 0]]


def table(n_seeds=3):
    own = [0.905, 1.125, 0.926, 0.95, 0.97]
    lines = [0.645, 0.689, 0.646, 0.65, 0.66]
    return [[3.0, s, 1.368, lines[s], own[s], 0.528, 0.404, 0.652] for s in range(n_seeds)]


COLUMNS = ["time", "seed", "still", "lines", "own", "floor", "low", "high"]


def sentence(table):
    """By groups and scipy's intervals."""
    out = []
    for time, rows in pd.DataFrame(table, columns=COLUMNS).astype(float).groupby("time"):
        ends = {}
        for rival in ("still", "lines"):
            gap = rows["own"] - rows[rival]
            ends[rival] = stats.ttest_1samp(gap, 0).confidence_interval().high
        if rows["still"].iloc[0] <= rows["high"].iloc[0]:
            allowed = 0
        elif ends["still"] >= 0:
            allowed = 1
        elif rows["own"].mean() <= rows["high"].iloc[0]:
            allowed = 4
        else:
            allowed = 3 if ends["lines"] < 0 else 2
        out.append((time, allowed))
    return np.array(out)


SOLUTIONS = {
    "my-coordinates": coordinates,
    "my-split": split,
    "my-table": table,
    "allowed-sentence": sentence,
}


# Wrong coordinates


def scaled_on_all(x, times, held):
    z = PCA(2, svd_solver="full").fit_transform(x)
    return z / z.std(axis=0)


def axes_from_all(x, times, held):
    seen = times != held
    z = (x - x.mean(axis=0)) @ PCA(2, svd_solver="full").fit(x).components_.T
    return (z - z[seen].mean(axis=0)) / z[seen].std(axis=0)


def centre_from_all(x, times, held):
    """The axes and the spread are those of training; only the mean was taken over everybody."""
    seen = times != held
    axes = PCA(2, svd_solver="full").fit(x[seen]).components_.T
    return (x - x.mean(axis=0)) @ axes / (x[seen] @ axes).std(axis=0)


def held_by_itself(x, times, held):
    z, hidden = coordinates(x, times, held), np.asarray(times) == held
    z[hidden] = (z[hidden] - z[hidden].mean(axis=0)) / z[hidden].std(axis=0)
    return z


def not_scaled(x, times, held):
    return PCA(2, svd_solver="full").fit(x[times != held]).transform(x)


def n_minus_one(x, times, held):
    n = np.sum(times != held)
    return coordinates(x, times, held) * np.sqrt((n - 1) / n)


def other_each_time(x, times, held):
    turn = stats.ortho_group.rvs(2)
    z = coordinates(x, times, held) @ turn
    seen = np.asarray(times) != held
    return z / z[seen].std(axis=0)


def breaks_on_silent_genes(x, times, held):
    seen = np.asarray(times) != held
    spread = x[seen].std(axis=0)
    with np.errstate(all="ignore"):
        return coordinates(np.where(spread > 0, (x - x[seen].mean(axis=0)) / spread, np.nan), times, held)


def gives_up(x, times, held):
    try:
        return breaks_on_silent_genes(x, times, held)
    except ValueError:  # scikit-learn refuses NaN
        return np.full((len(x), 2), np.nan)


def expects_order(x, times, held):
    """Takes the held-out cells for a block, as in a file that is sorted by time."""
    first, n_held = np.sum(times < held), np.sum(times == held)
    seen = np.ones(len(x), dtype=bool)
    seen[first : first + n_held] = False
    pca = PCA(2, svd_solver="full").fit(x[seen])
    return pca.transform(x) / pca.transform(x[seen]).std(axis=0)


# Wrong numbers


def changed(rows, **columns):
    """The table or split with some columns replaced."""
    out = pd.DataFrame(rows).astype(float)
    for column, values in columns.items():
        out[int(column.removeprefix("c"))] = values
    return out.to_numpy().tolist()


def two_times(first, second):
    return table()[:first] + [[5.0, *row[1:]] for row in table(5)[second:]]


def with_options(judge=True, level=None, pairs=True):
    """Sentences by hand, and with a slip."""

    def answer(table):
        out = []
        for time in np.unique(table[:, 0]):
            rows = table[table[:, 0] == time].astype(float)
            n = len(rows)
            quantile = level if level is not None else stats.t.ppf(0.975, n - 1)
            own, still, lines = rows[:, 4], rows[:, 2], rows[:, 3]
            spread = (own - lines).std(ddof=1) if pairs else np.sqrt(own.var(ddof=1) + lines.var(ddof=1))
            if judge and still[0] <= rows[0, 7]:
                code = 0
            elif (own - still).mean() + quantile * own.std(ddof=1) / np.sqrt(n) >= 0:
                code = 1
            elif own.mean() <= rows[0, 7]:
                code = 4
            else:
                code = 3 if (own - lines).mean() + quantile * spread / np.sqrt(n) < 0 else 2
            out.append([time, code])
        return out

    return answer


def in_blocks(table):
    n_times = len(np.unique(table[:, 0]))
    return np.concatenate([sentence(part) for part in np.split(table, n_times)])[-n_times:]


def best_seed(table):
    out = sentence(table)
    for row in out:
        mine = table[table[:, 0] == row[0]]
        if row[1] in (2, 3) and mine[:, 4].min() <= mine[0, 7]:
            row[1] = 4
    return out


def below_the_middle(table):
    """At the floor only when below its mean."""
    narrow = table.copy()
    narrow[:, 7] = np.where(table[:, 2] <= table[:, 7], table[:, 7], table[:, 5])
    return sentence(narrow)


def single_runs(table):
    out = []
    for time in np.unique(table[:, 0]):
        rows = table[table[:, 0] == time]
        wide = rows.copy()
        wide[:, 4] = rows[:, 4].mean() + (rows[:, 4] - rows[:, 4].mean()) * np.sqrt(len(rows))
        out.append(sentence(wide)[0])
    return np.array(out)


def never_still(table):
    """Standing still is set far away, except where it is at the floor."""
    away = table.copy()
    away[:, 2] = np.where(table[:, 2] <= table[:, 7], table[:, 2], 1e3)
    return sentence(away)


WRONG = {
    "my-coordinates": [
        (scaled_on_all, "scaling leak"),
        (axes_from_all, "choice of genes"),
        (centre_from_all, "centre every coordinate"),
        (held_by_itself, "one map"),
        (not_scaled, "divide by their spread"),
        (n_minus_one, "n - 1"),
        (other_each_time, "fix the seed"),
        (lambda x, times, held: coordinates(x, times, held)[times != held], "the held-out ones too"),
        (lambda x, times, held: coordinates(x, times, held, 7), "two to five"),
        (gives_up, "NaN"),
        (expects_order, "sorted by time"),
    ],
    "my-split": [
        (lambda: [[t, n, 0] for t, n, _ in split()], "nothing was tested"),
        (lambda: [[t, n, int(t == 1)] for t, n, _ in split()], "extrapolation"),
        (lambda: [[t, 5, h] for t, _, h in split()], "fewer than 8"),
        (lambda: [[t, n / 428, h] for t, n, h in split()], "whole number"),
        (lambda: split()[::-1], "must increase"),
        (lambda: split()[1:3], "at least three"),
        (lambda: [[t, n, 3 * h] for t, n, h in split()], "third column"),
        (lambda: [row[:2] for row in split()], "a row"),
    ],
    "my-table": [
        (lambda: table(2), "three seeds"),
        (lambda: two_times(3, 2), "different seeds"),
        (lambda: table() + table(), "stands twice"),
        (lambda: changed(table(), c2=[1.368, 1.2, 1.5]), "neither has one"),
        (lambda: changed(table(), c4=0.9), "has not reached"),
        (lambda: changed(table(), c4=[0.02, 0.03, 0.04]), "squared MMD"),
        (lambda: changed(table(), c5=0.7), "outside its own interval"),
        (lambda: changed(table(), c3=0), "met itself"),
        (lambda: [row[1:] for row in table()], "eight numbers"),
    ],
    "allowed-sentence": [
        (with_options(judge=False), "judge nobody"),
        (with_options(level=0.0), "forgets their interval"),
        (with_options(pairs=False), "Subtract first"),
        (with_options(level=1.96), "Student's quantile"),
        (best_seed, "best seed"),
        (below_the_middle, "take `high`"),
        (single_runs, "single run"),
        (never_still, "worse than nothing"),
        (lambda table: sentence(table)[:, 1], "One row"),
    ],
}


MUTANTS = {
    "my-coordinates": [
        (0, n_minus_one),
        (1, axes_from_all),
        (2, held_by_itself),
        (3, gives_up),
        (4, expects_order),
    ],
    "my-split": [
        (0, lambda: changed(split(), c0=[1, 2, 3, 3, 5, 6])),
        (1, lambda: changed(split(), c2=0)),
    ],
    "my-table": [
        (0, lambda: table(2)),
        (1, lambda: changed(table(), c4=0.9)),
        (2, lambda: changed(table(), c4=[0.21, 0.23, 0.24])),
    ],
    "allowed-sentence": [
        (0, best_seed),
        (1, with_options(judge=False)),
        (2, with_options(pairs=False)),
        (3, with_options(level=1.96)),
        (4, in_blocks),
    ],
}


def check_variant(variant):
    """Every simulated time course has room between the floor and standing still, and lines stop on the way."""
    adata = own_time_course(variant.student, variant.term)
    train, held = ce.Snapshots.from_anndata(adata).hold_out(2)
    rival = ce.baselines.get("ot-interpolation").fit(train)
    lines = ce.wasserstein(rival.propagate(held.previous, held.previous_time, held.time), held.state)
    still = ce.wasserstein(held.previous, held.state)
    floor = ce.metrics.noise_floor(held.state, len(held.previous), len(held.state), n_repeats=5).mean
    assert 1.0 < still < 1.8
    assert 0.5 < lines < 0.9
    assert 0.2 < floor < still - 0.4
    return still, lines


FULL = """
import numpy as np
from scipy import stats

STUDENT = "ada"
TERM = "open"


def my_coordinates(x, times, held):
    seen = times != held
    x = x - x[seen].mean(axis=0)
    axes = np.linalg.svd(x[seen], full_matrices=False)[2][:3]
    z = x @ axes.T
    return z / z[seen].std(axis=0)


def my_split():
    return [[1, 19, 0], [2, 23, 0], [3, 43, 1], [4, 75, 0], [5, 109, 0], [6, 159, 0]]


def my_table():
    return [
        [3.0, 0, 1.368, 0.645, 0.905, 0.528, 0.404, 0.652],
        [3.0, 1, 1.368, 0.689, 1.125, 0.528, 0.404, 0.652],
        [3.0, 2, 1.368, 0.646, 0.926, 0.528, 0.404, 0.652],
    ]


def surely_below(gap):
    return gap.mean() + stats.t.ppf(0.975, len(gap) - 1) * stats.sem(gap) < 0


def allowed_sentence(table):
    out = []
    for time in np.unique(table[:, 0]):
        rows = table[table[:, 0] == time]
        still, lines, own, high = rows[:, 2], rows[:, 3], rows[:, 4], rows[0, 7]
        if still[0] <= high:
            out.append([time, 0])
        elif not surely_below(own - still):
            out.append([time, 1])
        elif own.mean() <= high:
            out.append([time, 4])
        else:
            out.append([time, 3 if surely_below(own - lines) else 2])
    return np.array(out)
"""

# The axes know the held-out cells, there is one seed, and the last question is open.
HALF = """
import numpy as np
from sklearn.decomposition import PCA

STUDENT = "ben"
TERM = "open"


def my_coordinates(x, times, held):
    z = PCA(2).fit_transform(np.nan_to_num(x))
    seen = times != held
    return (z - z[seen].mean(axis=0)) / z[seen].std(axis=0)


def my_split():
    return [[0, 69, 0], [1, 74, 1], [2, 79, 0], [3, 49, 0]]


def my_table():
    return [[1.0, 0, 1.7, 1.04, 1.12, 0.9, 0.8, 1.0]]


def allowed_sentence(table):
    ...  # your code here
"""

NONE = """
STUDENT = "cem"
TERM = "open"


def my_coordinates(x, times, held):
    return x


def my_split():
    return [[0, 0.5, 2], [0, 0.5, 2]]


def my_table():
    return [[1.0, 0.02, 0.03]]


def allowed_sentence(table):
    return 3
"""

# my_coordinates: 18 - 6; my_split: 5; my_table: 10 - 3.
MARKS = {"FULL": 47, "HALF": 12 + 5 + 7, "NONE": 0}
