"""Assignment 3: right answers by another road, wrong ones with a word of the message, and whole submissions."""

import inspect
import textwrap
from functools import cache

import numpy as np
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.linear_model import LinearRegression

import cellmnn_edu as ce
from cellmnn_edu.coursework.assignment import Variant
from cellmnn_edu.coursework.assignments.train_and_race import ASSIGNMENT
from cellmnn_edu.coursework.given import own_race
from cellmnn_edu.losses import kinetic_energy
from cellmnn_edu.metrics import kernel_matrix, noise_floor, transport_plan

STUDENT = "ada"
CLASS = 8  # variants looked at in each term: each simulates a race course


# Right answers: automatic differentiation, the package's loss on many short pieces, a library's regression and t-test.


def mmd_gradient(x, y, s):
    cells = torch.tensor(x, requires_grad=True)
    seen = torch.tensor(y)
    loss = kernel_matrix(cells, cells, s).mean() - 2 * kernel_matrix(cells, seen, s).mean()
    return torch.autograd.grad(loss, cells)[0].numpy()


def kinetic(path, hours):
    """Mean of the package's charge over many moments, equally far apart."""
    moments = np.linspace(hours[0], hours[-1], 400_001)[:-1] + (hours[-1] - hours[0]) / 800_000
    piece = np.searchsorted(hours, moments) - 1
    days = np.diff(hours) / 24
    speed = torch.tensor(np.diff(path, axis=0) / days[:, None, None])
    each = np.array([kinetic_energy(v).item() for v in speed])
    return each[piece].mean()


def pair_table(times, hidden, gamma):
    answer = np.zeros((len(times), len(times), 2))
    left = np.flatnonzero(~np.asarray(hidden))
    for k, source in enumerate(left):
        for skipped, target in enumerate(left[k + 1 :]):
            answer[source, target] = [1 if skipped == 0 else gamma**skipped, times[target] - times[source]]
    return answer


def stop_at(kept, hidden, patience):
    for k in range(len(kept)):
        best = int(np.argmin(kept[: k + 1]))
        if k - best >= patience:
            return [best, k]
    return [int(np.argmin(kept)), len(kept) - 1]


def taught_operator(x0, x1, t0, t1, t):
    partners = x1[transport_plan(x0, x1, power=2).argmax(axis=1)]
    share = (t - t0) / (t1 - t0)
    fitted = LinearRegression().fit((1 - share) * x0 + share * partners, (partners - x0) / (t1 - t0))
    return np.column_stack([fitted.coef_, fitted.intercept_])


def verdict(a, b, floor):
    gap = np.asarray(a) - np.asarray(b)
    if np.ptp(gap) == 0:
        low = high = gap[0]
    else:
        low, high = stats.ttest_1samp(gap, 0).confidence_interval(0.95)
    sure = (low > 0 or high < 0) and not (np.mean(a) <= floor and np.mean(b) <= floor)
    return [np.mean(gap), low, high, np.sign(np.mean(gap)) if sure else 0]


@cache
def own_scale(variant):
    """Step by step: hide, stand still, match, measure."""
    race = own_race(*variant)
    train, held = race.snaps.hold_out(race.index)
    lines = ce.baselines.get("ot-interpolation").fit(train, seed=0)
    moved = lines.propagate(held.previous, held.previous_time, held.time, seed=0)
    floor = noise_floor(held.state, len(held.previous), len(held.state))
    still = ce.wasserstein(held.previous, held.state)
    return [still, ce.wasserstein(moved, held.state), floor.low, floor.high]


def made_up(scale):
    """Ten scores as trained models have them: one way a quarter better than straight lines, one level with them."""
    luck = np.array([-0.011, 0.006, 0.013, -0.009, 0.003])
    crowds = np.maximum(0.75 * scale[1], 1.1 * scale[3]) + luck
    return crowds.tolist(), (scale[1] + luck[[2, 0, 3, 1, 4]]).tolist()


def words(scale, crowds, velocities):
    lines = [scale[1]] * 5
    return [verdict(a, b, scale[3])[3] for a, b in ((crowds, lines), (velocities, lines), (crowds, velocities))]


def runs(variant):
    scale = own_scale(variant)
    crowds, velocities = made_up(scale)
    return [*scale, *crowds, *velocities, *words(scale, crowds, velocities)]


def own_solutions(variant):
    return {"my-runs": lambda: runs(variant)}


SOLUTIONS = {
    "mmd-gradient": mmd_gradient,
    "kinetic": kinetic,
    "pair-table": pair_table,
    "stop-at": stop_at,
    "taught-operator": taught_operator,
    "verdict": verdict,
    **own_solutions(Variant(STUDENT)),
}


# Wrong answers


def gradient_of(loss):
    """The gradient of another loss of the two crowds."""

    def answer(x, y, s):
        cells = torch.tensor(x, requires_grad=True)
        return torch.autograd.grad(loss(cells, torch.tensor(y), s), cells)[0].numpy()

    return answer


def unbiased(x, y, s):
    n = len(x)
    within = (kernel_matrix(x, x, s).sum() - n) / (n * (n - 1))
    return within - 2 * kernel_matrix(x, y, s).mean()


def one_sided(x, y, s):
    """Differentiates the first mean with respect to one of its two arguments only."""
    return kernel_matrix(x, x.detach(), s).mean() - 2 * kernel_matrix(x, y, s).mean()


def unequal_pieces(path, hours):
    days = np.diff(hours) / 24
    return np.mean((np.diff(path, axis=0) / days[:, None, None]) ** 2)


def average_cell(path, hours):
    return kinetic(path.mean(axis=1)[:, None], hours)


def hidden_is_skipped(times, hidden, gamma):
    table = pair_table(times, hidden, gamma)
    i, j = np.indices(hidden.shape * 2)
    table[..., 0] = (table[..., 1] > 0) * float(gamma) ** np.maximum(j - i - 1, 0)
    return table


def with_durations(change):
    def answer(times, hidden, gamma):
        table = pair_table(times, hidden, gamma)
        table[..., 1] = change(times, table)
        return table

    return answer


def one_way_in(times, hidden, gamma):
    """Hidden cells may set out, but not be a target."""
    table, n = pair_table(times, hidden, gamma), len(times)
    for i in np.flatnonzero(hidden):
        after = [j for j in range(i + 1, n) if not hidden[j]]
        for skipped, j in enumerate(after):
            table[i, j] = gamma**skipped, times[j] - times[i]
    return table


def by_logarithm(times, hidden, gamma):
    """The power as exp(k log gamma), which 0 does not survive."""
    table = pair_table(times, hidden, 0.5)
    there = table[..., 0] > 0
    with np.errstate(all="ignore"):
        powers = -np.log2(table[..., 0][there]) * np.log(gamma)
    table[..., 0][there] = np.exp(np.nan_to_num(powers, nan=-np.inf))
    return table


def next_unless_hidden(times, hidden, gamma):
    """Subtracts one for a hidden time in between, however many there are."""
    table = np.zeros((len(times), len(times), 2))
    for i in np.flatnonzero(~hidden):
        for j in np.flatnonzero(~hidden):
            if i < j:
                skipped = j - i - 1 - int(hidden[i:j].any())
                table[i, j] = float(gamma) ** skipped, times[j] - times[i]
    return table


def by_hidden(kept, hidden, patience):
    return stop_at(hidden, kept, patience)


def last_weights(kept, hidden, patience):
    return [stop_at(kept, hidden, patience)[1]] * 2


def of_all(kept, hidden, patience):
    return [int(np.argmin(kept)), stop_at(kept, hidden, patience)[1]]


def ties_improve(kept, hidden, patience):
    best, at, waited = np.inf, 0, 0
    for k, score in enumerate(kept):
        at, waited = (k, 0) if score <= best else (at, waited + 1)
        best = min(best, score)
        if waited == patience:
            return [at, k]
    return [at, len(kept) - 1]


def counts_all(kept, hidden, patience):
    best, at, waited = np.inf, 0, 0
    for k, score in enumerate(kept):
        if score < best:
            best, at = score, k
        else:
            waited += 1
        if waited == patience:
            return [at, k]
    return [at, len(kept) - 1]


def forgets_the_end(kept, hidden, patience):
    """Says stop one past the last check where patience never ran out."""
    best, stop = stop_at(kept, hidden, patience)
    return [best, stop if stop - best == patience else len(kept)]


def explodes(kept, hidden, patience):
    """Leaves checks out whose score is not finite, and counts the others."""
    return stop_at(kept[np.isfinite(kept)], hidden, patience)


def as_they_come(x0, x1, t0, t1, t):
    share = (t - t0) / (t1 - t0)
    fitted = LinearRegression().fit((1 - share) * x0 + share * x1, (x1 - x0) / (t1 - t0))
    return np.column_stack([fitted.coef_, fitted.intercept_])


def matched(partners):
    """Other pairs than those of least total squared distance, fitted in their order."""
    return lambda x0, x1, t0, t1, t: as_they_come(x0, x1[partners(x0, x1)], t0, t1, t)


def share_of_the_end(x0, x1, t0, t1, t):
    """The share of the way counted from time 0."""
    return taught_operator(x0, x1, t0, t1, t0 + t / t1 * (t1 - t0))


def transposed(x0, x1, t0, t1, t):
    out = taught_operator(x0, x1, t0, t1, t)
    return np.column_stack([out[:, :-1].T, out[:, -1]])


def with_ends(ends):
    def answer(a, b, floor):
        low, high = ends(a, b)
        word = 0 if low <= 0 <= high or max(a.mean(), b.mean()) <= floor else np.sign((a - b).mean())
        return [(a - b).mean(), low, high, word]

    return answer


def plus_minus(error, free):
    """Ends of an interval from a standard error and the degrees of freedom."""

    def ends(a, b):
        half = stats.t.ppf(0.975, free(len(a))) * error(a, b)
        return (a - b).mean() - half, (a - b).mean() + half

    return with_ends(ends)


def error_of_pairs(a, b):
    return stats.sem(a - b)


def floor_forgotten(a, b, floor):
    return verdict(a, b, -1.0)


def one_is_enough(a, b, floor):
    """Says open as soon as one mean lies in the floor."""
    numbers = verdict(a, b, -1.0)
    return [*numbers[:3], 0 if min(a.mean(), b.mean()) <= floor else numbers[3]]


def both_wanted(a, b, floor):
    """Says open only where the interval holds zero and both means lie in the floor."""
    mean, low, high, _ = verdict(a, b, floor)
    return [mean, low, high, 0 if low <= 0 <= high and max(a.mean(), b.mean()) <= floor else np.sign(mean)]


def spread_must_be_there(a, b, floor):
    """A t-value, which lacks a denominator where all differences are the same."""
    gap = a - b
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    if error == 0:
        return [gap.mean(), gap.mean(), gap.mean(), 0]
    return verdict(a, b, floor)


def spoilt(right, where, how=lambda out: out + 1.0):
    """The right answer, made wrong where `where(*inputs)` says so."""

    def answer(*inputs):
        out = np.asarray(right(*inputs))
        return how(out) if where(*inputs) else out

    return answer


def part_off(index):
    def how(out):
        out = out.copy()
        out[index] += 0.3
        return out

    return how


def changed(change):
    """Typed numbers after a slip: change(scale, crowds, velocities, words) edits the lists in place."""

    def answer():
        numbers = runs(Variant(STUDENT))
        scale, crowds, velocities, verdicts = numbers[:4], numbers[4:9], numbers[9:14], numbers[14:]
        change(scale, crowds, velocities, verdicts)
        return scale + crowds + velocities + verdicts

    return answer


def swap_ends(scale, crowds, velocities, verdicts):
    scale[0], scale[1] = scale[1], scale[0]


def other_time(scale, crowds, velocities, verdicts):
    race = own_race(STUDENT)
    rows = [ce.leave_one_out(race.snaps, name, 3 - race.index) for name in ("persistence", "ot-interpolation")]
    scale[:] = [rows[0]["w1"], rows[1]["w1"], rows[0]["floor_low"], rows[0]["floor_high"]]


def in_leaky_coordinates(scale, crowds, velocities, verdicts):
    race = own_race(STUDENT)
    before, cells, after = race.snaps.states[race.index - 1 : race.index + 2]
    t0, t, t1 = race.snaps.times[race.index - 1 : race.index + 2]
    ahead = after[transport_plan(before, after).argmax(axis=1)]
    scale[0] = ce.wasserstein(before, cells)
    scale[1] = ce.wasserstein(before + (t - t0) / (t1 - t0) * (ahead - before), cells)


def one_seed(scale, crowds, velocities, verdicts):
    crowds[:] = [crowds[0]] * 5
    velocities[:] = [velocities[0]] * 5
    verdicts[:] = words(scale, crowds, velocities)


def turned_round(scale, crowds, velocities, verdicts):
    verdicts[0] = -verdicts[0]


def by_the_mean(scale, crowds, velocities, verdicts):
    verdicts[1] = np.sign(np.mean(velocities) - scale[1])


def in_words(scale, crowds, velocities, verdicts):
    verdicts[2] = 7


WRONG = {
    "mmd-gradient": [
        (lambda x, y, s: -mmd_gradient(x, y, s), "sign is turned round"),
        (gradient_of(one_sided), "in the first part"),
        (
            gradient_of(lambda x, y, s: kernel_matrix(x, x, s).mean() - kernel_matrix(x, y, s).mean()),
            "in the second part",
        ),
        (lambda x, y, s: mmd_gradient(x, y, s) / 2, "half of the gradient"),
        (lambda x, y, s: mmd_gradient(x, y, s) * len(x), "n times too large"),
        (gradient_of(lambda x, y, s: -2 * kernel_matrix(x, y, s).mean()), "do not push one another"),
        (gradient_of(lambda x, y, s: kernel_matrix(x, x, s).mean()), "do not draw"),
        (lambda x, y, s: mmd_gradient(x, y, s / x.shape[1]), "sums the differences"),
        (lambda x, y, s: mmd_gradient(x, y, s) * s, "1 / s is missing"),
        (lambda x, y, s: mmd_gradient(x, y, s) * x.shape[1], "1 / D is missing"),
        (
            gradient_of(
                lambda x, y, s: (
                    kernel_matrix(x, x, s, "gaussian").mean() - 2 * kernel_matrix(x, y, s, "gaussian").mean()
                )
            ),
            "Gaussian",
        ),
        (gradient_of(unbiased), "with itself"),
        (lambda x, y, s: mmd_gradient(x, y, s).sum(axis=0), "Expected an array"),
    ],
    "kinetic": [
        (lambda p, h: kinetic(p, 24 * h), "per hour squared"),
        (lambda p, h: kinetic(p, h) / 24, "only once"),
        (lambda p, h: kinetic(p, h / 24), "unit is turned round"),
        (lambda p, h: np.mean(np.diff(p, axis=0) ** 2), "not divided by"),
        (lambda p, h: kinetic(p, h) * np.ptp(h) / 24, "in days"),
        (lambda p, h: kinetic(p, h) * np.ptp(h), "over the hours"),
        (lambda p, h: 2 * kinetic(p, h), "over the components"),
        (lambda p, h: 3 * kinetic(p, h), "over the cells"),
        (lambda p, h: kinetic(p, h) / 2, "Half of it"),
        (average_cell, "average cell"),
        (lambda p, h: kinetic(p[[0, -1]], h[[0, -1]]), "detour"),
        (lambda p, h: kinetic(p, h) ** 0.5, "root of it"),
        (unequal_pieces, "lasts longer counts longer"),
        (lambda p, h: [kinetic(p, h)] * 2, "Expected a single number"),
    ],
    "pair-table": [
        (lambda t, h, g: pair_table(t, h & False, g), "That is the leak"),
        (one_way_in, "hidden cells set out"),
        (hidden_is_skipped, "counted as skipped"),
        (lambda t, h, g: pair_table(t, h, g) * [g, 1], "Off by one power"),
        (lambda t, h, g: pair_table(t, h, 1.0), "weigh the same"),
        (lambda t, h, g: pair_table(t, h, g) + pair_table(t, h, g).transpose(1, 0, 2) * [1, -1], "back in time"),
        (with_durations(lambda t, table: -table[..., 1]), "negative"),
        (with_durations(lambda t, table: t - t[:, None]), "where no pair is"),
        (
            with_durations(lambda t, table: np.subtract.outer(np.arange(6), np.arange(6)).T * (table[..., 0] > 0)),
            "count snapshots",
        ),
        (lambda t, h, g: pair_table(t, h, g)[..., 0], "Expected an array"),
    ],
    "stop-at": [
        (by_hidden, "rule follows their scores"),
        (last_weights, "last check are kept"),
        (of_all, "nobody trains any more"),
        (lambda k, h, p: [int(np.argmin(k)), len(k) - 1], "never stops"),
        (lambda k, h, p: stop_at(k, h, p + 1), "too late"),
        (lambda k, h, p: stop_at(k, h, p - 1), "too early"),
        (ties_improve, "equal score"),
        (counts_all, "in a row"),
        (lambda k, h, p: stop_at(k, h, p)[::-1], "exchanged"),
        (lambda k, h, p: stop_at((k + h) / 2, h, p), "mixed in"),
        (lambda k, h, p: stop_at(k, h, p)[0], "Expected an array"),
    ],
    "taught-operator": [
        (as_they_come, "row i"),
        (matched(lambda x0, x1: linear_sum_assignment(cdist(x0, x1))[1]), "least total distance"),
        (matched(lambda x0, x1: cdist(x0, x1).argmin(axis=1)), "goes to the nearest"),
        (lambda x0, x1, a, b, t: taught_operator(x0, x1, 0, 1, (t - a) / (b - a)), "not divided by the duration"),
        (lambda x0, x1, a, b, t: taught_operator(x0, x1, a, b, a), "of the start"),
        (lambda x0, x1, a, b, t: taught_operator(x0, x1, a, b, b), "of the end"),
        (lambda x0, x1, a, b, t: taught_operator(x0, x1, a, b, a + b - t), "backwards"),
        (lambda x0, x1, a, b, t: taught_operator(x0, x1, a, b, a + t * (b - a)), "share of the way; the share is"),
        (lambda x0, x1, a, b, t: taught_operator(x0, x1, a, b, t)[:, [2, 0, 1]], "first column"),
        (transposed, "transposed"),
        (lambda x0, x1, a, b, t: taught_operator(x0, x1, a, b, t)[:, :-1], "Expected an array"),
    ],
    "verdict": [
        (
            plus_minus(lambda a, b: np.hypot(stats.sem(a), stats.sem(b)), lambda n: 2 * n - 2),
            "as independent",
        ),
        (plus_minus(lambda a, b: np.hypot(stats.sem(a), stats.sem(b)), lambda n: n - 1), "both methods are added up"),
        (plus_minus(lambda a, b: np.std(a - b, ddof=1), lambda n: n - 1), "one difference"),
        (plus_minus(lambda a, b: np.std(a - b) / len(a) ** 0.5, lambda n: n - 1), "ddof=1"),
        (
            with_ends(
                lambda a, b: ((a - b).mean() - 1.96 * stats.sem(a - b), (a - b).mean() + 1.96 * stats.sem(a - b))
            ),
            "1.96",
        ),
        (plus_minus(error_of_pairs, lambda n: n), "one is used up"),
        (lambda a, b, floor: np.array(verdict(a, b, floor)) * [-1, -1, -1, 1], "turned round: a - b"),
        (lambda a, b, floor: verdict(b, a, floor), "compares b with a"),
        (one_is_enough, "One of the two means"),
        (both_wanted, "follows the mean alone"),
        (lambda a, b, floor: verdict(a, b, floor)[:3], "Expected an array"),
    ],
    "my-runs": [
        (changed(other_time), "another hidden time"),
        (changed(swap_ends), "are exchanged"),
        (changed(in_leaky_coordinates), "fitted on all times"),
        (changed(one_seed), "every seed"),
        (changed(turned_round), "turned round"),
        (changed(in_words), "-1, 0 or 1"),
        (changed(by_the_mean), "follows the mean alone"),
        (lambda: runs(Variant(STUDENT))[:4], "Expected numbers of shape"),
    ],
}

MUTANTS = {
    "mmd-gradient": [
        (0, spoilt(mmd_gradient, lambda x, y, s: len(x) > 1 and len(x) != len(y) and x.dtype == float)),
        (1, spoilt(mmd_gradient, lambda x, y, s: len(x) == len(y))),
        (2, lambda x, y, s: np.squeeze(mmd_gradient(x, y, s))),
        (3, lambda x, y, s: mmd_gradient(x.astype(float), y.astype(float), s)),
    ],
    "kinetic": [
        (0, spoilt(kinetic, lambda p, h: len(h) > 2 and np.ptp(np.diff(h)) < 1e-9)),
        (0, lambda p, h: kinetic(p, 24 * h)),  # the unit has a line of its own
        (1, unequal_pieces),
        (2, spoilt(kinetic, lambda p, h: len(h) == 2, lambda out: out * np.nan)),
    ],
    "pair-table": [
        (0, spoilt(pair_table, lambda t, h, g: g > 0 and h.sum() == 1, part_off(np.s_[0, 0, 0]))),
        (1, with_durations(lambda t, table: -table[..., 1])),
        (2, by_logarithm),
        (3, next_unless_hidden),
    ],
    "stop-at": [
        (0, spoilt(stop_at, lambda k, h, p: len(k) == 24 and np.isfinite(k).all() and np.allclose(h, 0.8 * k + 0.05))),
        (1, by_hidden),
        (2, explodes),
        (3, forgets_the_end),
    ],
    "taught-operator": [
        (
            0,
            spoilt(
                taught_operator,
                lambda x0, x1, a, b, t: (transport_plan(x0, x1, 2).argmax(1) == np.arange(len(x0))).all(),
            ),
        ),
        (1, spoilt(taught_operator, lambda x0, x1, a, b, t: a == 0 and len(x0) == 12 and not in_order(x0, x1))),
        (2, lambda x0, x1, a, b, t: np.squeeze(taught_operator(x0, x1, a, b, t))),
        (3, share_of_the_end),
    ],
    "verdict": [
        (0, spoilt(verdict, lambda a, b, floor: floor == 0.4, part_off(0))),
        (1, one_is_enough),
        (2, floor_forgotten),
        (3, spread_must_be_there),
    ],
    "my-runs": [
        (0, changed(lambda scale, crowds, velocities, verdicts: scale.__setitem__(0, 9.0))),
        (1, changed(lambda scale, crowds, velocities, verdicts: scale.__setitem__(2, 0.0))),
        (2, changed(one_seed)),
        (3, changed(turned_round)),
    ],
}


def in_order(x0, x1):
    return bool((transport_plan(x0, x1, 2).argmax(1) == np.arange(len(x0))).all())


def check_variant(variant):
    """Standing still is far above the floor, and straight lines lie clearly between them."""
    race = own_race(*variant)
    still, lines, low, high = scale = own_scale(variant)
    assert race.index in (1, 2)
    assert len({len(cells) for cells in race.snaps.states}) == 1
    assert 100 <= len(race.snaps.states[0]) <= 130
    assert np.diff(race.snaps.times).min() > 0.4
    assert len(set(np.diff(race.snaps.times).round(2))) > 1
    assert 0 <= low < high < lines < still
    assert still > 2.4 * high
    assert 1.1 * high < lines < 0.8 * still
    return scale


# Whole submissions


def _source(*functions):
    return "\n\n\n".join(textwrap.dedent(inspect.getsource(function)).rstrip() for function in functions)


HEAD = f'''\
import numpy as np
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

STUDENT = "{STUDENT}"
TERM = "open"


'''

RUNS = [float(f"{value:.4g}") for value in runs(Variant(STUDENT))]

FULL = (
    HEAD
    + f"""\
def kernel(a, b, s):
    return torch.exp(-(a[:, None] - b).abs().mean(-1) / s)


def mmd_gradient(x, y, s):
    x, y = torch.tensor(x, requires_grad=True), torch.tensor(y)
    loss = kernel(x, x, s).mean() + kernel(y, y, s).mean() - 2 * kernel(x, y, s).mean()
    loss.backward()
    return x.grad.numpy()


def kinetic(path, hours):
    days = np.diff(hours) / 24
    speed = np.diff(path, axis=0) / days[:, None, None]
    return ((speed**2).mean(axis=(1, 2)) * days).sum() / days.sum()


{_source(pair_table, stop_at)}


def taught_operator(x0, x1, t0, t1, t):
    way = x1[linear_sum_assignment(cdist(x0, x1, "sqeuclidean"))[1]] - x0
    z = x0 + (t - t0) / (t1 - t0) * way
    return np.linalg.lstsq(np.column_stack([z, np.ones(len(z))]), way / (t1 - t0), rcond=None)[0].T


{_source(verdict)}


def my_runs():
    scale = {RUNS[:4]}
    crowds = {RUNS[4:9]}
    velocities = {RUNS[9:14]}
    words = {RUNS[14:]}
    return scale + crowds + velocities + words
"""
)

# Half right: a gradient n times too large, pieces that count alike, the hidden time as skipped, a rule that follows the
# hidden cells, a share counted from time 0, no pairs and no floor, and verdicts by the mean alone.
HALF = (
    HEAD
    + f"""\
def kernel(a, b, s):
    return torch.exp(-(a[:, None] - b).abs().mean(-1) / s)


def mmd_gradient(x, y, s):
    x, y = torch.tensor(x, requires_grad=True), torch.tensor(y)
    loss = kernel(x, x, s).mean() + kernel(y, y, s).mean() - 2 * kernel(x, y, s).mean()
    loss.backward()
    return len(x) * x.grad.numpy()


{_source(unequal_pieces).replace("unequal_pieces", "kinetic")}


{_source(pair_table)}


{_source(hidden_is_skipped).replace("pair_table", "allowed").replace("hidden_is_skipped", "pair_table")}


{_source(stop_at).replace("kept[", "hidden[").replace("argmin(kept)", "argmin(hidden)")}


def taught_operator(x0, x1, t0, t1, t):
    way = x1[linear_sum_assignment(cdist(x0, x1, "sqeuclidean"))[1]] - x0
    z = x0 + t / t1 * way
    return np.linalg.lstsq(np.column_stack([z, np.ones(len(z))]), way / (t1 - t0), rcond=None)[0].T


def verdict(a, b, floor):
    gap = a - b
    half = 1.96 * gap.std() / len(gap) ** 0.5
    return [gap.mean(), gap.mean() - half, gap.mean() + half, np.sign(gap.mean())]


def my_runs():
    scale = {RUNS[:2]} + [0.0, 1.0]
    crowds = {RUNS[4:9]}
    velocities = {RUNS[9:14]}
    words = [-1, 1, -1]
    return scale + crowds + velocities + words
"""
).replace("def pair_table(times, hidden, gamma):\n    answer", "def allowed(times, hidden, gamma):\n    answer")

NONE = (
    HEAD
    + """\
def mmd_gradient(x, y, s):
    return np.tile(y.mean(axis=0) - x.mean(axis=0) + 1.0, (len(x), 1))


def kinetic(path, hours):
    return np.mean(np.diff(path, axis=0) ** 2)


def pair_table(times, hidden, gamma):
    steps = np.arange(len(times)) - np.arange(len(times))[:, None]
    return np.stack([gamma ** np.abs(steps), steps], axis=2)


def stop_at(kept, hidden, patience):
    return [int(np.argmin(hidden)), 0]


def taught_operator(x0, x1, t0, t1, t):
    return np.linalg.lstsq(x0, x1, rcond=None)[0]


def verdict(a, b, floor):
    return [a.mean(), b.mean(), floor, 5.0]


def my_runs():
    return [1.0, 0.5, 0.1, 0.2]
"""
)

MARKS = {"FULL": ASSIGNMENT.points, "HALF": 39, "NONE": 0}
