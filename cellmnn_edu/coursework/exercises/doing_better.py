"""Exercises of the chapter "Doing better"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable


def _shrink_inputs(rng: np.random.Generator) -> tuple:
    # Lengths on both sides of the threshold, and one row that is zero already.
    arrows = rng.normal(size=(6, 3))
    lengths = np.array([0.3, 0.7, 1.3, 2.0, 3.5, 0.0])
    arrows *= (lengths / np.linalg.norm(arrows, axis=1))[:, None]
    return rng.permutation(arrows), float(rng.uniform(0.8, 1.1))


def _lengths(w: np.ndarray, axis: int = 1) -> np.ndarray:
    return np.maximum(np.linalg.norm(w, axis=axis, keepdims=True), 1e-12)


def _shrink(w: np.ndarray, by: float) -> np.ndarray:
    return w * np.maximum(1 - by / _lengths(w), 0)


SHRINK_ROWS = Exercise(
    call="shrink_rows(W, by)",
    inputs=_shrink_inputs,
    truth=_shrink,
    mistakes=(
        Mistake(
            lambda w, by: np.sign(w) * np.maximum(np.abs(w) - by, 0),
            "Every entry is shortened on its own: this turns the arrow. The charge is on the length of the whole row.",
        ),
        Mistake(
            lambda w, by: w * (1 - by / _lengths(w)),
            "Rows shorter than the charge are flipped and come out on the other side of zero: they must stop there.",
        ),
        Mistake(
            lambda w, by: w * (_lengths(w) > by),
            "Short rows are dropped, but long ones keep their full length: they are charged, too.",
        ),
        Mistake(
            lambda w, by: w / (1 + by),
            "All rows shrink by one factor and none becomes zero: this is the charge on the square of the length.",
        ),
        Mistake(
            lambda w, by: w * np.maximum(1 - by, 0),
            "All rows shrink by one factor: every row must lose the same *length*, so short ones lose a larger share.",
        ),
        Mistake(
            lambda w, by: w * np.maximum(1 - by / _lengths(w, axis=0), 0),
            "Columns are shortened; a row is an interaction.",
        ),
        Mistake(
            lambda w, by: w * np.maximum(1 - by / np.linalg.norm(w), 0),
            "The length of the whole matrix is taken; every row has its own.",
        ),
        Mistake(
            lambda w, by: w * np.maximum(1 - by / _lengths(w) ** 2, 0),
            "The charge is divided by the squared length; divide by the length, so that a row loses `by` of it.",
        ),
        Mistake(
            lambda w, by: w * np.maximum(1 - by / (2 * _lengths(w)), 0),
            "Rows lose half the charge: with the misfit halved, as here, slope meets slope at `by` itself.",
        ),
        Mistake(
            lambda w, by: np.maximum(_lengths(w) - by, 0) * np.sign(w),
            "The right lengths, but the direction is lost: multiply the row by new length / old length.",
        ),
    ),
    section="A charge that makes zeros",
    shapes="The answer has the shape of W: take lengths along axis 1 with keepdims=True.",
)


def _inside_inputs(rng: np.random.Generator) -> tuple:
    n = 9
    network = np.where(rng.random((n, n)) < 0.3, rng.choice([-1, 1], (n, n)), 0)
    off = ~np.eye(n, dtype=bool)
    np.fill_diagonal(network, -1)  # decay, as in the linear circuit
    # A data base holds most edges and about as many wrong pairs; decay is always allowed.
    allowed = np.where(network != 0, rng.random((n, n)) < 0.85, rng.random((n, n)) < 0.3) | ~off
    # Weights that know a little, both inside and out, and that repeat (rounded), so that ties count.
    w = np.round(rng.normal(size=(n, n)) + 0.7 * network, 1)
    np.fill_diagonal(w, rng.uniform(-4, -3, n).round(1))
    return w, network, allowed


def _auroc(yes: np.ndarray, no: np.ndarray) -> float:
    ahead = yes[:, None] - no
    return float((ahead > 0).mean() + (ahead == 0).mean() / 2)


def _on(pairs: np.ndarray, size: np.ndarray, network: np.ndarray) -> float:
    return _auroc(size[pairs & (network != 0)], size[pairs & (network == 0)])


def _off(w: np.ndarray) -> np.ndarray:
    return ~np.eye(len(w), dtype=bool)


def _inside(w: np.ndarray, network: np.ndarray, allowed: np.ndarray) -> float:
    return _on(allowed & _off(w), np.abs(w), network)


def _ties_as(count: float) -> Callable:
    def compute(w: np.ndarray, network: np.ndarray, allowed: np.ndarray) -> float:
        pairs, size = allowed & _off(w), np.abs(w)
        ahead = size[pairs & (network != 0)][:, None] - size[pairs & (network == 0)]
        return float((ahead > 0).mean() + count * (ahead == 0).mean())

    return compute


INSIDE = Exercise(
    call="inside(W, network, allowed)",
    inputs=_inside_inputs,
    truth=_inside,
    mistakes=(
        Mistake(
            lambda w, n, a: _on(_off(w), np.abs(w), n),
            "All pairs are counted: most of that score is the prior's own work. Look at the allowed ones only.",
        ),
        Mistake(
            lambda w, n, a: _on(_off(w), np.abs(w) * a, n),
            "Pairs outside the prior are set to zero and still counted: this is the score of prior and training "
            "together. Leave them out.",
        ),
        Mistake(
            lambda w, n, a: _on(_off(w), a * 1.0, n),
            "This is the score of the prior alone, among all pairs; W does not appear in it.",
        ),
        Mistake(
            lambda w, n, a: _on(a, np.abs(w), n),
            "The diagonal is counted: every gene decays, so it is an easy edge. Count pairs of two genes only.",
        ),
        Mistake(
            lambda w, n, a: _on(a & _off(w), w, n),
            "Signed weights are ranked, so that strong repressions come last. Rank by the absolute value.",
        ),
        Mistake(
            lambda w, n, a: 1 - _inside(w, n, a),
            "The other way round: this is the share in which an edge has the *smaller* weight.",
        ),
        Mistake(
            lambda w, n, a: _inside(w.T, n, a),
            "Rows and columns of W are exchanged: in W, network and allowed rows are targets.",
        ),
        Mistake(
            lambda w, n, a: _auroc(
                np.abs(w)[a & _off(w) & (n > 0)],
                np.abs(w)[a & _off(w) & (n <= 0)],
            ),
            "Repressions are counted as no edges: an edge is where the network is not 0, whatever its sign.",
        ),
        Mistake(_ties_as(0.0), "A tie counts as lost; it counts one half."),
        Mistake(_ties_as(1.0), "A tie counts as won; it counts one half."),
        Mistake(
            lambda w, n, a: float(((np.abs(w) > np.median(np.abs(w)[a & _off(w)])) == (n != 0))[a & _off(w)].mean()),
            "This is the accuracy at one threshold; the AUROC compares every edge with every other pair.",
        ),
    ),
    section="A prior, and who did the work",
    shapes="The answer is one number: a share of combinations of an edge and another pair.",
)


def _unrest_inputs(rng: np.random.Generator) -> tuple:
    root = rng.normal(size=(4, 4))
    return rng.normal(size=(4, 4)) - np.eye(4), root @ root.T / 4 + np.eye(4), rng.uniform(0.4, 1.8, size=4)


def _unrest(a: np.ndarray, c: np.ndarray, noise_std: np.ndarray) -> np.ndarray:
    return a @ c + c @ a.T + np.diag(noise_std**2)


UNREST = Exercise(
    call="unrest(A, C, noise_std)",
    inputs=_unrest_inputs,
    truth=_unrest,
    mistakes=(
        Mistake(
            lambda a, c, s: a @ c + c @ a.T + np.diag(s),
            "Standard deviations are added; variances add up: D is the square of noise_std.",
        ),
        Mistake(
            lambda a, c, s: a @ c + c @ a.T + s**2,
            "D is added to every entry. Each gene has its own noise: D stands on the diagonal only.",
        ),
        Mistake(
            lambda a, c, s: a @ c + c @ a.T + np.outer(s, s),
            "This is the noise of one coin that kicks all genes at once; here each gene has its own: off the diagonal "
            "D is 0.",
        ),
        Mistake(
            lambda a, c, s: a @ c + c @ a.T + np.diag(s**2) / 2,
            "Half the noise: the factor 1/2 belongs to the wind, D/2 grad log p; the covariance gains all of D.",
        ),
        Mistake(
            lambda a, c, s: a @ c + c @ a.T - np.diag(s**2),
            "The noise is subtracted: kicks make the crowd wider.",
        ),
        Mistake(lambda a, c, s: a @ c + c @ a.T, "This is the motion without noise; where are the kicks?"),
        Mistake(
            lambda a, c, s: a @ c + c @ a + np.diag(s**2),
            "The second term is C A without the transpose: the result is not symmetric, as a covariance has to stay.",
        ),
        Mistake(
            lambda a, c, s: a.T @ c + c @ a + np.diag(s**2),
            "A is transposed: rows are targets, so a cell moves by A x, and the first term is A C.",
        ),
        Mistake(
            lambda a, c, s: 2 * a @ c + np.diag(s**2),
            "The first term is taken twice; the second one is its transpose, C A^T.",
        ),
        Mistake(
            lambda a, c, s: a @ c @ a.T + np.diag(s**2),
            "This is the covariance after one step x -> A x + noise. Here A is a rate: A C + C A^T.",
        ),
        Mistake(
            lambda a, c, s: a * c + (a * c).T + np.diag(s**2),
            "`*` multiplies entry by entry; the product of matrices is `@`.",
        ),
    ),
    section="What the spread knows",
    shapes="A and C are (G, G), noise_std is (G,); the answer is (G, G).",
)


def _within_inputs(rng: np.random.Generator) -> tuple:
    # Groups of different size and different means, not sorted, one law within them.
    sizes = [30, 18, 12]
    labels = rng.permutation(np.repeat([2, 0, 5], sizes))
    mix = np.eye(4) + 0.5 * rng.normal(size=(4, 4))
    centres = {k: rng.normal(0, 3, size=4) for k in (0, 2, 5)}
    cells = rng.normal(size=(len(labels), 4)) @ mix.T
    return cells + np.stack([centres[int(k)] for k in labels]), labels


def _rest(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    rest = x.copy()
    for k in np.unique(labels):
        rest[labels == k] -= x[labels == k].mean(0)
    return rest


def _hollow(w: np.ndarray) -> np.ndarray:
    return w - np.diag(np.diag(w))


def _scaled(p: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.diag(p))
    return p / np.outer(size, size)


def _partial(cells: np.ndarray) -> np.ndarray:
    return _hollow(-_scaled(np.linalg.inv(np.cov(cells.T))))


def _within(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return _partial(_rest(x, labels))


def _mean_of_groups(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.mean([_partial(x[labels == k]) for k in np.unique(labels)], axis=0)


def _precision(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.linalg.inv(np.cov(_rest(x, labels).T))


WITHIN_GROUPS = Exercise(
    call="within_groups(x, labels)",
    inputs=_within_inputs,
    truth=_within,
    mistakes=(
        Mistake(
            lambda x, k: _partial(x),
            "This is the pooled partial correlation: genes that differ between groups look connected. Subtract each "
            "group's own mean first.",
        ),
        Mistake(
            lambda x, k: -_within(x, k),
            "The sign is turned round: a positive interaction is a negative entry of the inverse covariance.",
        ),
        Mistake(
            lambda x, k: _hollow(_scaled(np.cov(_rest(x, k).T))),
            "This is the plain correlation within groups: it also holds what two genes share through a third. Take "
            "the inverse of the covariance.",
        ),
        Mistake(
            lambda x, k: -_scaled(_precision(x, k)),
            "The diagonal is -1; a gene is no edge to itself: set it to 0.",
        ),
        Mistake(
            lambda x, k: _within(x, k) + np.eye(x.shape[1]),
            "The diagonal is 1; a gene is no edge to itself: set it to 0.",
        ),
        Mistake(
            lambda x, k: _hollow(-_precision(x, k)),
            "Not scaled yet: entries of the inverse depend on the units of the genes. Divide by sqrt(P_ii P_jj).",
        ),
        Mistake(
            lambda x, k: _hollow(-_precision(x, k) / np.diag(_precision(x, k))[:, None]),
            "Divided by P_ii alone: these are the weights of regressions, which depend on units. Divide by "
            "sqrt(P_ii P_jj).",
        ),
        Mistake(
            lambda x, k: _hollow(
                -_precision(x, k) / np.outer(np.diag(_precision(x, k)), np.diag(_precision(x, k))),
            ),
            "The square root is missing: divide by sqrt(P_ii P_jj).",
        ),
        Mistake(
            _mean_of_groups,
            "This is the mean of one network for each group, where ten cells count as much as a thousand. Put all "
            "that remains into one covariance.",
        ),
        Mistake(
            lambda x, k: _hollow(_scaled(np.cov(np.stack([x[k == g].mean(0) for g in np.unique(k)]).T))),
            "This compares the means of the groups, which is what had to be taken out.",
        ),
        Mistake(
            lambda x, k: _hollow(_scaled(np.cov(x.T))),
            "This is the pooled correlation: neither groups nor the other genes are taken out.",
        ),
    ),
    section="Break it: two kinds of cells",
    shapes="x is (cells, genes), so its covariance is np.cov(x.T); the answer is (genes, genes).",
)


EXERCISES = {
    "shrink-rows": SHRINK_ROWS,
    "inside": INSIDE,
    "unrest": UNREST,
    "within-groups": WITHIN_GROUPS,
}
