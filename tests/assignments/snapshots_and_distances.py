"""Assignment 1: right answers by another road, wrong ones with a word of the message, and whole submissions."""

import inspect
import textwrap
from functools import cache

import numpy as np
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

import cellmnn_edu as ce
from cellmnn_edu.coursework.assignment import Variant
from cellmnn_edu.coursework.assignments.snapshots_and_distances import ASSIGNMENT
from cellmnn_edu.coursework.given import own_snapshots

STUDENT = "ada"


# --- right answers -----------------------------------------------------------------------------------------------


def walked(before, after):
    """As a linear programme over the shares of sand."""
    n, far = len(before), cdist(before, after)
    rows = np.kron(np.eye(n), np.ones(n))
    columns = np.kron(np.ones(n), np.eye(n))
    sums = {"A_eq": np.concatenate([rows, columns]), "b_eq": np.full(2 * n, 1 / n)}
    least, most = (linprog(sign * far.ravel(), **sums).fun * sign for sign in (1, -1))
    return [least, most]


def w1_unequal(x, y):
    return wasserstein_distance(x, y)


def floor_at(half, quarter, n, n_first, n_second):
    size = 2 * n_first * n_second / (n_first + n_second)
    doublings = np.log2(size) - np.log2(n / 2)
    return half * (half / quarter) ** doublings


def walk_plan(before, after, plan, u, t0, t1, t):
    partners = []
    for row, height in zip(plan, u, strict=True):
        filled, target = np.add.accumulate(row), height * row.sum()
        partners.append(after[next(j for j in range(len(row)) if filled[j] > target)])
    share = (t - t0) / (t1 - t0)
    return (1 - share) * before + share * np.array(partners)


def leaks(coordinates, x, times, held):
    seen, rng = times != held, np.random.default_rng(0)
    other = np.where(seen[:, None], x, 20 + 5 * rng.normal(size=x.shape))
    change = coordinates(x, times, held)[seen] - coordinates(other, times, held)[seen]
    return 1 if np.abs(change).max() > 1e-9 else 0


def disagree(truth):
    """All a little too wide, against a few very far away."""
    wide, astray = truth.mean(axis=0) + 2.5 * (truth - truth.mean(axis=0)), truth.copy()
    astray[0] = 1e5
    return np.array([wide, astray])


@cache
def own_numbers(variant):
    snaps, index = own_snapshots(*variant)
    train, held = snaps.hold_out(index)
    lines = ce.baselines.get("ot-interpolation").fit(train)
    moved = lines.propagate(held.previous, held.previous_time, held.time)
    floor = ce.noise_floor(held.state, len(held.previous), len(held.state))
    return ce.wasserstein(held.previous, held.state), ce.wasserstein(moved, held.state), floor.mean


def own_solutions(variant):
    return {"my-race": lambda: own_numbers(variant)}


SOLUTIONS = {
    "walked": walked,
    "w1-unequal": w1_unequal,
    "floor-at": floor_at,
    "walk-plan": walk_plan,
    "leaks": leaks,
    "disagree": disagree,
    **own_solutions(Variant(STUDENT)),
}


# --- wrong answers -----------------------------------------------------------------------------------------------


def row_by_row(before, after):
    far = np.sqrt(((after - before) ** 2).sum(axis=1)).mean()
    return [far, far]


def way_of_the_mean(before, after):
    far = np.sqrt(((after.mean(axis=0) - before.mean(axis=0)) ** 2).sum())
    return [far, far]


def everyone_the_nearest(before, after):
    far = cdist(before, after)
    return [far.min(axis=1).mean(), far.max(axis=1).mean()]


def most_first(before, after):
    return walked(before, after)[::-1]


def least_guessed(before, after):
    return [ce.wasserstein(before, after) * 0.9, walked(before, after)[1]]


def most_guessed(before, after):
    return [walked(before, after)[0], cdist(before, after).mean()]


def tries_all_pairings(before, after):
    from itertools import permutations

    if len(before) > 8:  # it would take longer than the course
        return row_by_row(before, after)
    far = [np.linalg.norm(after[list(order)] - before, axis=1).mean() for order in permutations(range(len(before)))]
    return [min(far), max(far)]


def difference_of_means(x, y):
    return abs(np.mean(x) - np.mean(y))


def leaves_out(x, y):
    n = min(len(x), len(y))
    return np.mean(np.abs(np.sort(x)[:n] - np.sort(y)[:n]))


def everyone_to_everyone(x, y):
    return np.mean([abs(a - b) for a in x for b in y])


def drawn_lines(x, y):
    shares = np.linspace(0, 1, 1001)
    return np.abs(np.quantile(x, shares) - np.quantile(y, shares)).mean()


def counts_from_the_left(x, y):
    places = np.sort([*x, *y])
    shares = [np.array([np.mean(crowd < place) for place in places]) for crowd in (x, y)]
    return np.abs(shares[0] - shares[1])[:-1] @ np.diff(places)


def leaves_out_if_unequal(x, y):
    return leaves_out(x, y) if min(len(x), len(y)) > 1 else w1_unequal(x, y)


def without_copies(x, y):
    return w1_unequal(np.array(sorted(set(x))), np.array(sorted(set(y))))


def means_for_one(x, y):
    return difference_of_means(x, y) if min(len(x), len(y)) == 1 else w1_unequal(x, y)


def halves(half, quarter, n, n_first, n_second):
    return half


def linear(half, quarter, n, n_first, n_second):
    return 2 * half - quarter


def root_law(half, quarter, n, n_first, n_second):
    size = 2 / (1 / n_first + 1 / n_second)
    return half * np.sqrt(n / 2 / size)


def mean_of_sizes(half, quarter, n, n_first, n_second):
    size = (n_first + n_second) / 2
    return floor_at(half, quarter, n, size, size)


def halves_where_equal(half, quarter, n, n_first, n_second):
    return half if n_first == n else floor_at(half, quarter, n, n_first, n_second)


def never_beyond(half, quarter, n, n_first, n_second):
    """No sample smaller than a quarter, none larger than ten times the truth."""
    sizes = [np.clip(size, n / 4, 10 * n) for size in (n_first, n_second)]
    return floor_at(half, quarter, n, *sizes)


def by_the_list(before, after, plan, u, t0, t1, t):
    return walk_plan(before, after, plan, u, 0, 2, 1)


def undivided(before, after, plan, u, t0, t1, t):
    return walk_plan(before, after, plan, u, t0, t0 + 1, t)


def largest_share(before, after, plan, u, t0, t1, t):
    share = (t - t0) / (t1 - t0)
    return before + share * (after[np.argmax(plan, axis=1)] - before)


def to_the_mean(before, after, plan, u, t0, t1, t):
    share = (t - t0) / (t1 - t0)
    return before + share * (plan @ after / plan.sum(axis=1, keepdims=True) - before)


def as_if_rows_were_one(before, after, plan, u, t0, t1, t):
    found = (np.cumsum(plan, axis=1) <= u[:, None]).sum(axis=1).clip(max=len(after) - 1)
    return before + (t - t0) / (t1 - t0) * (after[found] - before)


def from_the_left(before, after, plan, u, t0, t1, t):
    heights = np.cumsum(plan, axis=1)
    found = (heights < (u * heights[:, -1])[:, None]).sum(axis=1)
    return before + (t - t0) / (t1 - t0) * (after[found] - before)


def _compared(look):
    """A test for leaks that compares the training cells after `look`."""

    def answer(coordinates, x, times, held):
        seen, other = times != held, x.copy()
        other[~seen] = 100 - 9 * x[~seen]
        first, second = (look(coordinates(cells, times, held)[seen]) for cells in (x, other))
        return float(not np.allclose(first, second))

    return answer


def compares_all(coordinates, x, times, held):
    other = x.copy()
    other[times == held] *= 10
    return float(not np.allclose(coordinates(x, times, held), coordinates(other, times, held)))


def never(coordinates, x, times, held):
    return 0


def inspects(coordinates, x, times, held):
    """No experiment: are the training cells centred, uncorrelated and of unit spread?"""
    z = coordinates(x, times, held)[times != held]
    return float(not np.allclose(z.T @ z / len(z), np.eye(z.shape[1])) or not np.allclose(z.mean(axis=0), 0))


def shuffles(coordinates, x, times, held):
    other = x.copy()
    other[times == held] = x[times == held][::-1]
    first, second = coordinates(x, times, held), coordinates(other, times, held)
    return float(not np.allclose(first[times != held], second[times != held]))


def swapped(truth):
    return disagree(truth)[::-1]


def near(truth):
    """A few cells astray, but not far enough for W1."""
    astray = truth.copy()
    astray[0] += 3
    return np.array([disagree(truth)[0], astray])


def perfect_first(truth):
    return np.array([truth, disagree(truth)[1]])


def alone(wrong):
    """Wrong for eighty cells only."""
    return lambda truth: wrong(truth) if len(truth) == 80 else disagree(truth)


def tuned_to_eighty(truth):
    """So many cells astray that a smaller crowd shouts in the MMD too."""
    astray = truth.copy()
    astray[: 1 if len(truth) == 80 else len(truth) // 2] = 1e5
    return np.array([disagree(truth)[0], astray])


def numbers(k, wrong):
    """One of the three numbers of a right answer changed."""

    @cache
    def answer():
        right = list(own_numbers(Variant(STUDENT)))
        right[k] = wrong()
        return right

    return answer


def _own():
    snaps, index = own_snapshots(STUDENT)
    return snaps, index, *snaps.hold_out(index)


def _leaky():
    snaps, index, _, _ = _own()
    return ce.wasserstein(snaps.states[index - 1], snaps.states[index])


def _in_genes():
    snaps, index, _, _ = _own()
    return ce.wasserstein(snaps.raw[index - 1], snaps.raw[index])


def _half_of_the_way():
    _, index, train, held = _own()
    lines = ce.baselines.get("ot-interpolation").fit(train)
    middle = (train.times[index - 1] + train.times[index]) / 2
    return ce.wasserstein(lines.propagate(held.previous, held.previous_time, middle), held.state)


def _halves():
    held = _own()[3]
    n = len(held.state) // 2
    return ce.noise_floor(held.state, n, n).mean


def _of_the_start():
    held = _own()[3]
    return ce.noise_floor(held.previous, len(held.previous), len(held.state)).mean


WRONG = {
    "walked": [
        (row_by_row, "order\\s+means nothing"),
        (way_of_the_mean, "opposite ways cancel"),
        (everyone_the_nearest, "chose the same one"),
        (most_first, "changed places"),
    ],
    "w1-unequal": [
        (difference_of_means, "distance of the means"),
        (leaves_out, "were left out"),
        (everyone_to_everyone, "every cell to every cell"),
        (drawn_lines, "straight lines between cells"),
        (counts_from_the_left, "not counted yet"),
    ],
    "floor-at": [
        (halves, "`half` itself"),
        (linear, "straight line"),
        (root_law, "belongs to a mean"),
        (mean_of_sizes, "harmonic mean"),
    ],
    "walk-plan": [
        (by_the_list, "half-way, whatever the clock"),
        (undivided, "not divided by the gap"),
        (largest_share, "largest share"),
        (to_the_mean, "crowd shrinks"),
        (as_if_rows_were_one, "add up to 1/n"),
        (from_the_left, "At u = 0"),
    ],
    "leaks": [
        (compares_all, "honest, and they were convicted"),
        (never, "scaled by all cells"),
        (inspects, "medians of the training cells, which is honest"),
        (_compared(lambda z: [z.mean(axis=0), z.std(axis=0)]), "axes of these coordinates"),
        (_compared(lambda z: z - z.mean(axis=0)), "centred on all cells"),
    ],
    "disagree": [
        (swapped, "changed places"),
        (near, "W1 does not clearly"),
        (perfect_first, "MMD does not clearly"),
    ],
    "my-race": [
        (numbers(0, _leaky), "Let hold_out refit"),
        (numbers(0, _in_genes), "distance in genes"),
        (numbers(1, _half_of_the_way), "half of the way"),
        (numbers(2, _halves), "two halves"),
        (numbers(2, _of_the_start), "preceding crowd"),
    ],
}

MUTANTS = {
    "walked": [
        (0, lambda b, a: least_guessed(b, a) if len(b) < 9 else walked(b, a)),
        (1, lambda b, a: most_guessed(b, a) if len(b) < 9 else walked(b, a)),
        (2, tries_all_pairings),
    ],
    "w1-unequal": [(0, leaves_out_if_unequal), (1, without_copies), (2, means_for_one)],
    "floor-at": [(0, halves_where_equal), (1, mean_of_sizes), (2, never_beyond)],
    "walk-plan": [(0, by_the_list), (1, largest_share), (2, from_the_left)],
    "leaks": [
        (0, _compared(lambda z: z / z.std(axis=0))),
        (1, _compared(lambda z: [z.mean(axis=0), z.std(axis=0)])),
        (2, _compared(lambda z: z - z.mean(axis=0))),
        (3, inspects),
    ],
    "disagree": [(0, alone(near)), (1, alone(perfect_first)), (2, tuned_to_eighty)],
    "my-race": [(k, numbers(k, lambda: 9.0)) for k in range(3)],
}


# --- every student has the same difficulty -----------------------------------------------------------------------


def check_variant(variant):
    """Lines beat standing still and stay above or at the floor; clock and list, clean and leaky differ."""
    snaps, index = own_snapshots(*variant)
    still, lines, floor = own_numbers(variant)
    assert 1.1 < still < 2.3
    assert 0.15 < lines / still < 0.6
    assert 0.2 < floor < 0.55
    assert floor < 1.1 * lines
    leaky = ce.wasserstein(snaps.states[index - 1], snaps.states[index])
    assert abs(leaky / still - 1) > 0.01
    share = (snaps.times[index] - snaps.times[index - 1]) / (snaps.times[index + 1] - snaps.times[index - 1])
    assert 0.6 < share < 0.8
    assert all(60 <= len(state) <= 90 for state in snaps.states)
    return still, lines, floor


# --- whole submissions -------------------------------------------------------------------------------------------


def _source(*functions):
    return "\n\n\n".join(textwrap.dedent(inspect.getsource(function)).rstrip() for function in functions)


HEAD = f'''\
import numpy as np
from scipy.optimize import linprog
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

STUDENT = "{STUDENT}"
TERM = "open"


'''

RACE = [float(f"{value:.4g}") for value in own_numbers(Variant(STUDENT))]

FULL = (
    HEAD
    + _source(walked, w1_unequal, floor_at, walk_plan, leaks, disagree)
    + f"""


def my_race():
    return {RACE}
"""
)

# The least without the most, equal sizes in mind, the largest share, all cells compared, half-way by the list.
HALF = (
    HEAD
    + """\
def walked(before, after):
    far = cdist(before, after)
    return [wasserstein_nd(before, after), far.mean()]


def wasserstein_nd(before, after):
    from scipy.optimize import linear_sum_assignment

    far = cdist(before, after)
    return far[linear_sum_assignment(far)].mean()


def w1_unequal(x, y):
    n = min(len(x), len(y))
    return np.abs(np.sort(x)[:n] - np.sort(y)[:n]).mean()


def floor_at(half, quarter, n, n_first, n_second):
    size = (n_first + n_second) / 2
    return half * (n / 2 / size) ** np.log2(quarter / half)


def walk_plan(before, after, plan, u, t0, t1, t):
    share = (t - t0) / (t1 - t0)
    return before + share * (after[plan.argmax(axis=1)] - before)


def leaks(coordinates, x, times, held):
    other = x.copy()
    other[times == held] *= 10
    return float(not np.allclose(coordinates(x, times, held), coordinates(other, times, held)))


def disagree(truth):
    wide, astray = 2.5 * truth, truth.copy()
    astray[0] += 3
    return np.array([wide, astray])
"""
    + f"""

def my_race():
    return [{RACE[0]}, {RACE[0]}, {RACE[2]}]
"""
)

NONE = f'''\
STUDENT = "{STUDENT}"
TERM = "open"


def walked(before, after):
    ...  # your code here


def w1_unequal(x, y):
    ...  # your code here


def floor_at(half, quarter, n, n_first, n_second):
    ...  # your code here


def walk_plan(before, after, plan, u, t0, t1, t):
    ...  # your code here


def leaks(coordinates, x, times, held):
    ...  # your code here


def disagree(truth):
    ...  # your code here


def my_race():
    ...  # your code here
'''

# HALF: 4 + 3 + 7 + 7 + 8 + 0 + 4 in the order of the questions.
MARKS = {"FULL": ASSIGNMENT.points, "HALF": 33, "NONE": 0}
