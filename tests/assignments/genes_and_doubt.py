"""Assignment 4: right answers by another road, wrong ones with a word of the message, and whole submissions."""

import inspect
import textwrap
from functools import cache

import numpy as np
import torch
from scipy.linalg import expm
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from cellmnn_edu import grn
from cellmnn_edu.coursework.assignment import Variant
from cellmnn_edu.coursework.assignments.genes_and_doubt import ASSIGNMENT
from cellmnn_edu.coursework.given import own_network

STUDENT = "ada"
CLASS = 8  # variants looked at in each term: each simulates circuits and rewires a network 99 times


# Right answers: cell by cell, automatic differentiation, a library's AUROC, a search, Runge and Kutta.


def pushes(A, b, V, scale, centre, x):
    S, answers = np.diag(scale), []
    for operator, offset, cell in zip(A, b, x, strict=True):
        W = V @ S @ operator @ np.linalg.inv(S) @ V.T
        answers.append(np.column_stack([W @ np.diag(cell - centre), V @ S @ offset]))
    return np.array(answers)


def push_gene(law, z, V, scale, gene):
    states = torch.tensor(z, dtype=torch.float64)
    J = torch.func.vmap(torch.func.jacrev(lambda state: law(state[None])[0]))(states).numpy()
    return np.array([np.diag(scale) @ j @ (V[gene] / scale) for j in J]) @ V.T


def auroc(W, network):
    """By ranks, quick enough for a class."""
    off = ~np.eye(len(W), dtype=bool)
    ranks, edge = rankdata(np.abs(W[off])), network[off] != 0
    return (ranks[edge].mean() - (edge.sum() + 1) / 2) / (~edge).sum()


def existence(W, network, others):
    off = ~np.eye(len(W), dtype=bool)
    seen, null = roc_auc_score(network[off] != 0, np.abs(W[off])), [auroc(W, one) for one in others]
    as_good = sum(one >= seen - 1e-12 for one in null)
    return [seen, sum(null) / len(null), (as_good + 1) / (len(null) + 1)]


def reread(f1, n_activate, n_repress, n_called):
    def printed(hits):
        rest = n_activate + n_repress - n_called
        return 1.0 if rest == 0 else 2 * hits / (2 * hits + rest)

    hits = min(range(n_activate + 1), key=lambda h: (round(abs(printed(h) - f1), 9), -h))
    correct = n_repress - n_called + hits
    n = n_activate + n_repress
    a, c = n_activate / n, n_called / n
    balanced = (hits / n_activate + correct / n_repress) / 2
    return [(hits + correct) / n, balanced, max(a, 1 - a), a * c + (1 - a) * (1 - c)]


def hold_gene(A, b, x, gene, level, t):
    """Runge and Kutta, with the speed of the gene set to zero."""
    now = np.array(x, dtype=float)
    now[:, gene] = level
    h = t / 200

    def speed(cells):
        out = cells @ A.T + b
        out[:, gene] = 0
        return out

    for _ in range(200):
        one = speed(now)
        two = speed(now + h / 2 * one)
        three = speed(now + h / 2 * two)
        now = now + h / 6 * (one + 2 * two + 2 * three + speed(now + h * three))
    return now


def undisturbed(A, b, x, t):
    """By the variation of constants; A of a student's law has an inverse."""
    rest = np.linalg.solve(A, -b)
    return rest + (x - rest) @ expm(A * t).T


def rows(variant):
    """The three matrices to be scored."""
    mine = own_network(*variant)
    J, keep = grn.mean_jacobian(mine.circuit, mine.snaps), grn.no_dynamics(mine.snaps)
    return [keep @ J @ keep, keep, np.corrcoef(np.concatenate(mine.snaps.raw), rowvar=False)]


@cache
def own_scores(variant):
    mine = own_network(*variant)
    scored = [existence(W.round(12), mine.circuit.network, mine.rewired) for W in rows(variant)]
    return [(auroc, p) for auroc, _, p in scored]


@cache
def own_shares(variant):
    """Shares of directions by name."""
    mine = own_network(*variant)
    (A, b), start, g = mine.law, mine.snaps.raw[0], mine.gene
    control = undisturbed(A, b, start, 4.0).mean(axis=0)
    left = sorted((i for i in range(10) if i != g), key=lambda i: -abs(mine.shift[i]))
    said = {
        "law": hold_gene(A, b, start, g, 0.0, 4.0).mean(axis=0) - control,
        "column": -A[:, g],
        "correlation": -rows(variant)[2][g],
    }

    def share(name, among):
        return float(np.mean([np.sign(said[name][i]) == np.sign(mine.shift[i]) for i in among]))

    return {name: share(name, left[:6]) for name in said} | {"all nine": [share(name, left) for name in said]}


def in_order(shares):
    return [shares["law"], shares["column"], shares["correlation"]]


def own_solutions(variant):
    return {"my-scores": lambda: own_scores(variant), "my-knock": lambda: in_order(own_shares(variant))}


SOLUTIONS = {
    "pushes": lambda A, b, V, scale, centre, x: pushes(A, b, V, scale, centre, x).astype(x.dtype),
    "push-gene": push_gene,
    "existence": existence,
    "reread": reread,
    "hold-gene": hold_gene,
    **own_solutions(Variant(STUDENT)),
}


# Wrong answers


def paper(A, b, V, scale, centre, x):
    return np.stack([pushes(a[None], o[None], V, np.ones_like(scale), centre, c[None])[0] for a, o, c in zip(A, b, x)])  # noqa: B905


def bare_offset(A, b, V, scale, centre, x):
    out = pushes(A, b, V, scale, centre, x)
    out[:, :, -1] = b @ V.T
    return out


def without_spreads_inside(A, b, V, scale, centre, x):
    W = V @ A @ V.T
    return np.concatenate([W * (x - centre)[:, None], ((b * scale) @ V.T)[:, :, None]], axis=2)


def no_distance(A, b, V, scale, centre, x):
    return pushes(A, b, V, scale, centre, centre + np.ones_like(x))


def by_target(A, b, V, scale, centre, x):
    out = no_distance(A, b, V, scale, centre, x)
    out[:, :, :-1] *= (x - centre)[:, :, None]
    return out


def swapped(A, b, V, scale, centre, x):
    out = pushes(A, b, V, scale, centre, x)
    out[:, :, :-1] = out[:, :, :-1].transpose(0, 2, 1)
    return out


def column_of_the_operator(law, z, V, scale, gene):
    S = np.diag(scale)
    return (V @ S @ law.operator(z) @ np.linalg.inv(S) @ V.T)[:, :, gene]


def tiny_step(law, z, V, scale, gene):
    """As accurate as the digits of z let it be."""
    push = np.asarray(1e-6 * V[gene] / scale, dtype=z.dtype)
    return (law(z + push) - law(z - push)) / 2e-6 * scale @ V.T


def relative_step(law, z, V, scale, gene):
    z, step = z.astype(float), 1e-4 * np.abs(z.astype(float)).sum(axis=1, keepdims=True)
    push = step * V[gene] / scale
    with np.errstate(all="ignore"):
        return (law(z + push) - law(z - push)) / (2 * step) * scale @ V.T


def ranked(W, network, others, size=np.abs, diagonal=False, ties=0.5, count=lambda null, seen: None):
    off = np.ones_like(W, dtype=bool) if diagonal else ~np.eye(len(W), dtype=bool)

    def auroc(one):
        strong, weak = size(W[off])[one[off] != 0], size(W[off])[one[off] == 0]
        ahead = strong[:, None] - weak
        return (ahead > 0).mean() + ties * (ahead == 0).mean()

    seen, null = auroc(network), np.array([auroc(other) for other in others])
    p = count(null, seen)
    return np.array([seen, null.mean(), (1 + (null >= seen - 1e-12).sum()) / (1 + len(null)) if p is None else p])


def judged(hits, n_activate, n_repress, n_called):
    n, correct = n_activate + n_repress, n_repress - n_called + hits
    a, c = n_activate / n, n_called / n
    balanced = (hits / n_activate + correct / n_repress) / 2
    return np.array([(hits + correct) / n, balanced, max(a, 1 - a), a * c + (1 - a) * (1 - c)])


def standard(f1, n_activate, n_repress, n_called):
    return judged(round(f1 * (n_activate + n_called) / 2), n_activate, n_repress, n_called)


def not_whole(f1, n_activate, n_repress, n_called):
    rest = n_activate + n_repress - n_called
    hits = n_activate if rest == 0 else f1 * rest / (2 - 2 * f1)
    return judged(hits, n_activate, n_repress, n_called)


def divides_by_zero(f1, n_activate, n_repress, n_called):
    rest = n_activate + n_repress - n_called
    with np.errstate(all="ignore"):
        hits = np.rint(np.float64(f1) * rest / (2 - 2 * np.float64(f1)))
    return judged(hits, n_activate, n_repress, n_called)


def lifted(A, b, x, t):
    M = np.block([[A, b[:, None]], [np.zeros((1, len(A) + 1))]])
    return (np.column_stack([x, np.ones(len(x))]) @ expm(M * t).T)[:, :-1]


def let_go(A, b, x, gene, level, t):
    x = x.copy()
    x[:, gene] = level
    return lifted(A, b, x, t)


def overwritten(A, b, x, gene, level, t):
    out = lifted(A, b, x, t)
    out[:, gene] = level
    return out


def offset_stays(A, b, x, gene, level, t):
    A = A.copy()
    A[gene] = 0
    return let_go(A, b, x, gene, level, t)


def mute(A, b, x, gene, level, t):
    A, b = A.copy(), b.copy()
    A[gene], A[:, gene], b[gene] = 0, 0, 0
    return let_go(A, b, x, gene, level, t)


def by_the_inverse(A, b, x, gene, level, t):
    """Solves for the rest of the other genes, which need not exist."""
    free = np.delete(np.arange(len(A)), gene)
    inner, push = A[np.ix_(free, free)], b[free] + A[free, gene] * level
    try:
        rest = np.linalg.solve(inner, -push)
    except np.linalg.LinAlgError:
        return np.full(x.shape, np.nan)
    out = np.full(x.shape, float(level))
    out[:, free] = rest + (x[:, free] - rest) @ expm(inner * t).T
    return out


def spoilt(right, where, how=lambda out: out + 1.0):
    """The right answer, made wrong where `where(*inputs)` says so."""

    def answer(*inputs):
        out = np.asarray(right(*inputs))
        return how(out) if where(*inputs) else out

    return answer


def with_wrong(index, right):
    """Typed numbers, of which those at the index are wrong."""

    def answer():
        numbers = np.array(right())
        numbers[index] = 0.417  # no number of sixths
        return numbers

    return answer


def part_off(index):
    def how(out):
        out = out.copy()
        out[index] += 0.3
        return out

    return how


def always(*inputs):
    return True


def scores():
    return np.array(SOLUTIONS["my-scores"]())


def shares(*names):
    found = own_shares(Variant(STUDENT))
    return [found[name] for name in names]


def slipped(**slip):
    mine = own_network(STUDENT)
    scored = [ranked(W.round(12), mine.circuit.network, mine.rewired, **slip) for W in rows(Variant(STUDENT))]
    return np.array(scored)[:, [0, 2]]


def not_projected():
    mine, out = own_network(STUDENT), scores()
    out[0] = existence(mine.law[0].round(12), mine.circuit.network, mine.rewired)[::2]
    return out


WRONG = {
    "pushes": [
        (paper, "missing everywhere"),
        (without_spreads_inside, "V A V"),
        (bare_offset, "V b"),
        (lambda A, b, V, s, c, x: pushes(A, 0 * b, V, s, c, x), "offset b pushes"),
        (lambda A, b, V, s, c, x: pushes(A, b, V, s, 0 * c, x), "x_j itself"),
        (lambda A, b, V, s, c, x: pushes(A, b, V, s, x.mean(axis=0), x), "cells at hand"),
        (no_distance, "push of one unit"),
        (by_target, "target's expression"),
        (swapped, "Targets and regulators"),
        (lambda A, b, V, s, c, x: pushes(np.transpose(A, (0, 2, 1)), b, V, s, c, x), "A is transposed"),
        (lambda A, b, V, s, c, x: pushes(A, b, V, 1 / s, c, x), "all columns but the last"),
        (lambda A, b, V, s, c, x: pushes(A, b, V, s, c, x)[:, :, :-1], "Expected an array of shape"),
    ],
    "push-gene": [
        (column_of_the_operator, "cell before the push"),
        (lambda law, z, V, s, g: (V @ law.operator(z) @ V.T)[:, :, g], "operator does not answer"),
        (lambda law, z, V, s, g: push_gene(law, z, V, np.ones_like(s), g), "push enters in units"),
        (
            lambda law, z, V, s, g: push_gene(law, z, V * s, s, g) @ np.linalg.pinv((V * s).T) @ V.T,
            "one unit of the state",
        ),
        (lambda law, z, V, s, g: law(z) * s @ V.T, "velocity of the cells"),
        (lambda law, z, V, s, g: -push_gene(law, z, V, s, g), "sign is turned round"),
        (lambda law, z, V, s, g: push_gene(law, np.tile(z.mean(axis=0), (len(z), 1)), V, s, g), "average cell"),
        (lambda law, z, V, s, g: push_gene(law, z, V, s, g) @ V, "Expected an array"),
        (relative_step, "NaN"),
    ],
    "existence": [
        (lambda W, n, o: ranked(W, n, o, diagonal=True), "diagonal"),
        (lambda W, n, o: ranked(W, n, o, size=lambda w: w), "strong repressions come last"),
        (lambda W, n, o: existence(np.transpose(W), n, o), "transposed"),
        (lambda W, n, o: existence(W, np.maximum(n, 0), o), "Only activations"),
        (lambda W, n, o: ranked(W, n, o, count=lambda null, seen: (null >= seen - 1e-12).mean()), "add 1"),
        (
            lambda W, n, o: ranked(
                W, n, o, count=lambda null, seen: (1 + (null < seen + 1e-12).sum()) / (1 + len(null))
            ),
            "do worse",
        ),
        (
            lambda W, n, o: ranked(W, n, o, count=lambda null, seen: (1 + (null > seen).sum()) / (1 + len(null))),
            "better",
        ),
        (lambda W, n, o: np.array(existence(W, n, o)) * [1, 1, 1 + 1 / len(o)], "divide by 1"),
        (lambda W, n, o: [*existence(W, n, o)[:2], min(1, 2 * existence(W, n, o)[2])], "two sides"),
        (lambda W, n, o: [existence(W, n, o)[k] for k in (0, 2, 1)], "exchanged"),
        (lambda W, n, o: [existence(W, n, o)[0], 0.5, existence(W, n, o)[2]], "not one half"),
        (lambda W, n, o: existence(W, n, o)[:1], "Expected an array"),
    ],
    "my-scores": [
        (lambda: slipped(diagonal=True), "diagonal"),
        (lambda: slipped(size=lambda w: w), "with their signs"),
        (not_projected, "before any projection"),
        (lambda: scores()[:, ::-1], "columns are exchanged"),
        (lambda: scores()[[1, 0, 2]], "order is projected truth"),
        (lambda: scores()[[1, 0, 2]] * [1, 0] + [0, 0.97], "is STUDENT still"),
        (lambda: scores()[:, 0], "Expected numbers of shape"),
    ],
    "reread": [
        (standard, "standard F1"),
        (lambda f, a, r, c: judged(f * (a + c) / 2, a, r, c), "leaves a count that is not whole"),
        (lambda f, a, r, c: judged(round(f * a), a, r, c), "share of activations"),
        (lambda f, a, r, c: np.array(reread(f, a, r, c))[[1, 0, 2, 3]], "balanced accuracy are exchanged"),
        (lambda f, a, r, c: [*reread(f, a, r, c)[:3], 0.5], "Luck is not one half"),
        (lambda f, a, r, c: [*reread(f, a, r, c)[:2], c / (a + r), reread(f, a, r, c)[3]], "fixed sentence"),
        (lambda f, a, r, c: [*reread(f, a, r, c)[:3], a * c / (a + r) ** 2], "about repressions"),
        (lambda f, a, r, c: np.array(reread(f, a, r, c))[[0, 1, 3, 2]], "Base rate and luck are exchanged"),
        (lambda f, a, r, c: reread(f, a, r, c)[:2], "Expected an array"),
    ],
    "hold-gene": [
        (lambda A, b, x, g, c, t: lifted(A, b, x, t), "not held"),
        (let_go, "initial knock"),
        (overwritten, "Only the gene itself"),
        (offset_stays, "offset b must be zero"),
        (mute, "Row and column have gone"),
        (lambda A, b, x, g, c, t: hold_gene(np.transpose(A), b, x, g, c, t), "transposed"),
        (lambda A, b, x, g, c, t: hold_gene(A, 0 * b, x, g, c, t), "other genes is missing"),
        (lambda A, b, x, g, c, t: hold_gene(A, b, x, g, c, 1.0), "not used"),
        (lambda A, b, x, g, c, t: hold_gene(A, b, x, g, c, t).mean(axis=0), "Expected an array"),
    ],
    "my-knock": [
        (lambda: [6 * share for share in in_order(own_shares(Variant(STUDENT)))], "numbers of genes"),
        (lambda: [1 - shares("law")[0], *shares("column", "correlation")], "direction is turned round"),
        (lambda: shares("all nine")[0], "all nine others"),
        (lambda: [0.417, 0.417, 0.417], "is STUDENT still"),
        (lambda: shares("law", "column"), "Expected numbers of shape"),
    ],
}

MUTANTS = {
    "pushes": [
        (
            0,
            spoilt(
                SOLUTIONS["pushes"], lambda A, b, V, s, c, x: len(x) > 1 and x.dtype == float, part_off(np.s_[..., :-1])
            ),
        ),
        (
            1,
            spoilt(
                SOLUTIONS["pushes"], lambda A, b, V, s, c, x: len(x) > 1 and x.dtype == float, part_off(np.s_[..., -1])
            ),
        ),
        (2, lambda A, b, V, s, c, x: np.squeeze(SOLUTIONS["pushes"](A, b, V, s, c, x))),
        (3, lambda A, b, V, s, c, x: pushes(A, b, V, s, c, x).astype(float)),
    ],
    "push-gene": [
        (0, spoilt(push_gene, lambda law, z, V, s, g: len(z) > 1 and z.dtype == float and z.all())),
        (1, relative_step),
        (2, tiny_step),
        (3, lambda law, z, V, s, g: np.squeeze(push_gene(law, z, V, s, g))),
    ],
    "existence": [
        (0, spoilt(existence, lambda W, n, o: len(o) > 1 and W[0, 1] != round(W[0, 1]), part_off(0))),
        (1, spoilt(existence, lambda W, n, o: len(o) > 1 and W[0, 1] != round(W[0, 1]), part_off(1))),
        (2, lambda W, n, o: ranked(W, n, o, ties=0.0)),
        (3, lambda W, n, o: spoilt(existence, lambda *inputs: len(o) < 2)(W, n, o)),
    ],
    "my-scores": [(k, with_wrong((k, 0), SOLUTIONS["my-scores"])) for k in range(3)],
    "reread": [
        (0, spoilt(reread, lambda f, a, r, c: f < 1 and f != round(f, 3), part_off(0))),
        (1, spoilt(reread, lambda f, a, r, c: f < 1 and f != round(f, 3), part_off(3))),
        (2, divides_by_zero),
        (3, not_whole),
    ],
    "hold-gene": [
        (0, spoilt(hold_gene, lambda A, b, x, g, c, t: len(x) > 1 and t > 0 and np.count_nonzero(A) == A.size)),
        (1, spoilt(hold_gene, lambda A, b, x, g, c, t: t == 0)),
        (2, by_the_inverse),
        (3, lambda A, b, x, g, c, t: np.squeeze(hold_gene(A, b, x, g, c, t))),
    ],
    "my-knock": [(k, with_wrong(k, SOLUTIONS["my-knock"])) for k in range(3)],
}


def check_variant(variant):
    """Everybody's perfect network ranks perfectly, and like a coin after projection; and the law predicts the knock."""
    mine = own_network(*variant)
    network = mine.circuit.network
    assert (network != 0).sum() == 20
    assert (network > 0).sum() == 13
    assert (network != 0).sum(axis=0)[mine.gene] == 5
    assert [len(cells) for cells in mine.snaps.raw] == [150] * 5
    assert (mine.rewired.sum(axis=1) == (network != 0).sum(axis=0)).all()
    assert (mine.rewired.sum(axis=2) == (network != 0).sum(axis=1)).all()
    assert auroc(mine.law[0], network) > 0.97
    aurocs = [auroc(W, network) for W in rows(variant)]
    assert 0.22 < min(aurocs) < max(aurocs) < 0.8
    assert own_shares(variant)["law"] >= 0.6
    assert np.sort(np.abs(np.delete(mine.shift, mine.gene)))[-6] > 0.02
    return aurocs


# Whole submissions


def _source(*functions):
    return "\n\n\n".join(textwrap.dedent(inspect.getsource(function)).rstrip() for function in functions)


HEAD = f'''\
import numpy as np
from scipy.linalg import expm
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

STUDENT = "{STUDENT}"
TERM = "open"


'''

SCORES = [[round(float(value), 3) for value in row] for row in SOLUTIONS["my-scores"]()]
SHARES = [round(value, 2) for value in SOLUTIONS["my-knock"]()]

FULL = (
    HEAD
    + f"""\
def pushes(A, b, V, scale, centre, x):
    W = (V * scale) @ A @ (V / scale).T
    return np.concatenate([W * (x - centre)[:, None], (b @ (V * scale).T)[..., None]], axis=2)


def push_gene(law, z, V, scale, gene):
    z = np.asarray(z, dtype=float)
    push = 1e-4 * V[gene] / scale
    return (law(z + push) - law(z - push)) / 2e-4 * scale @ V.T


{_source(auroc, existence, reread, hold_gene)}


def my_scores():
    return {SCORES}


def my_knock():
    return {SHARES}
"""
)

# Half right: an offset without its unit, too few digits, ties and p by the wrong rule, the standard F1, a gene that is
# only overwritten at the end; of the typed numbers some are those of another matrix, or lack a sign.
HALF = (
    HEAD
    + f"""\
def pushes(A, b, V, scale, centre, x):
    answer = np.zeros((len(x), len(V), len(V) + 1))
    answer[:, :, :-1] = (V * scale) @ A @ (V / scale).T * (x - centre)[:, None]
    answer[:, :, -1] = b @ V.T
    return answer


{_source(tiny_step).replace("tiny_step", "push_gene")}


def existence(W, network, others):
    off = ~np.eye(len(W), dtype=bool)

    def auroc(one):
        size, edge = np.abs(W[off]), one[off] != 0
        return (size[edge][:, None] > size[~edge]).mean()

    null = np.array([auroc(other) for other in others])
    return auroc(network), null.mean(), (null >= auroc(network)).mean()


def my_scores():
    return [{SCORES[0]}, [0.987, 0.01], [0.987, 0.01]]


{_source(judged)}


{_source(standard).replace("standard", "reread")}


{_source(lifted)}


{_source(overwritten).replace("overwritten", "hold_gene")}


def my_knock():
    return [0.417, {SHARES[1]}, {SHARES[2]}]
"""
)

NONE = (
    HEAD
    + """\
def pushes(A, b, V, scale, centre, x):
    return V @ A @ V.T * x[:, None]


def push_gene(law, z, V, scale, gene):
    return (V @ law.operator(z) @ V.T)[:, :, gene]


def existence(W, network, others):
    return [0.5, 0.5, 1.0]


def my_scores():
    ...


def reread(f1, n_activate, n_repress, n_called):
    return [f1, f1, 0.5, 0.5]


def hold_gene(A, b, x, gene, level, t):
    return x @ expm(A * t).T + b * t


def my_knock():
    return "five of six"
"""
)

MARKS = {"FULL": ASSIGNMENT.points, "HALF": 34, "NONE": 0}
