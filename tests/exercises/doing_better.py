"""Answers to the exercises of "Doing better": right ones, and wrong ones with a word of the expected message.

The right ones take another road than the check: a numerical minimum, ranks, sums, regressions.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import rankdata


def shrink_by_search(W, by):
    """The direction stays, so only a length is searched for."""
    out = np.zeros_like(W)
    for row, arrow in enumerate(W):
        length = np.sqrt(arrow @ arrow)
        if length == 0:
            continue

        def cost(share, length=length):
            return (share - 1) ** 2 * length**2 / 2 + by * share * length

        best = minimize_scalar(cost, bounds=(0, 1), method="bounded", options={"xatol": 1e-9}).x
        out[row] = arrow * (best if best > 1e-6 else 0)
    return out


def inside_by_ranks(W, network, allowed):
    keep = [(i, j) for i in range(len(W)) for j in range(len(W)) if i != j and allowed[i, j]]
    ranks = rankdata([abs(W[pair]) for pair in keep])
    edge = np.array([network[pair] != 0 for pair in keep])
    n = edge.sum()
    return (ranks[edge].sum() - n * (n + 1) / 2) / (n * (len(keep) - n))


def unrest_by_sums(A, C, noise_std):
    rate = np.einsum("ij,jk->ik", A, C)
    rate = rate + rate.T
    for gene, spread in enumerate(noise_std):
        rate[gene, gene] += spread * spread
    return rate


def within_by_regression(x, labels):
    """Partial correlation as the correlation of two residuals."""
    groups = np.stack([labels == k for k in np.unique(labels)], axis=1).astype(float)
    n_genes = x.shape[1]
    found = np.zeros((n_genes, n_genes))
    for i in range(n_genes):
        for j in range(i):
            others = np.column_stack([groups, np.delete(x, [i, j], axis=1)])
            pair = x[:, [i, j]]
            left = pair - others @ np.linalg.lstsq(others, pair, rcond=None)[0]
            found[i, j] = found[j, i] = (left[:, 0] @ left[:, 1]) / np.sqrt((left**2).sum(axis=0).prod())
    return found


SOLUTIONS = {
    "shrink-rows": shrink_by_search,
    "inside": inside_by_ranks,
    "unrest": unrest_by_sums,
    "within-groups": within_by_regression,
}


def entry_by_entry(W, by):
    return np.clip(W - by, 0, None) + np.clip(W + by, None, 0)


def flips(W, by):
    length = np.sqrt((W**2).sum(axis=1, keepdims=True)) + 1e-15
    return W - by * W / length


def hard(W, by):
    out = W.copy()
    out[np.linalg.norm(W, axis=1) <= by] = 0
    return out


def no_guard(W, by):
    length = np.linalg.norm(W, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return W / length * np.maximum(length - by, 0)


def lengths_only(W, by):
    return np.maximum(np.linalg.norm(W, axis=1) - by, 0)


def in_place(W, by):
    for row in W:
        length = np.linalg.norm(row)
        row *= max(1 - by / length, 0) if length else 0
    return W


def all_pairs(W, network, allowed):
    return inside_by_ranks(W, network, np.ones_like(allowed))


def zeroed(W, network, allowed):
    return inside_by_ranks(np.where(allowed, W, 0.0), network, np.ones_like(allowed))


def prior_alone(W, network, allowed):
    return inside_by_ranks(allowed.astype(float), network, np.ones_like(allowed))


def with_diagonal(W, network, allowed):
    size, edge = np.abs(W[allowed]), network[allowed] != 0
    return np.mean([(y > n) + (y == n) / 2 for y in size[edge] for n in size[~edge]])


def signed(W, network, allowed):
    return inside_by_ranks(W - W.min() + 1, network, allowed)


def one_threshold(W, network, allowed):
    pairs = allowed & ~np.eye(len(W), dtype=bool)
    size = abs(W[pairs])
    return np.mean((size > np.median(size)) == (network[pairs] != 0))


def activations_only(W, network, allowed):
    return inside_by_ranks(W, np.maximum(network, 0), allowed)


def strict(W, network, allowed):
    pairs = allowed & ~np.eye(len(W), dtype=bool)
    size, edge = abs(W[pairs]), network[pairs] != 0
    return np.mean([y > n for y in size[edge] for n in size[~edge]])


def generous(W, network, allowed):
    pairs = allowed & ~np.eye(len(W), dtype=bool)
    size, edge = abs(W[pairs]), network[pairs] != 0
    return np.mean([y >= n for y in size[edge] for n in size[~edge]])


def remains(x, labels):
    return np.array([cell - x[labels == k].mean(axis=0) for cell, k in zip(x, labels, strict=True)])


def from_cells(cells):
    P = np.linalg.pinv(np.cov(cells, rowvar=False))
    d = 1 / np.sqrt(np.diag(P))
    found = -d[:, None] * P * d
    np.fill_diagonal(found, 0)
    return found


def plain_correlation(cells):
    found = np.corrcoef(cells, rowvar=False)
    np.fill_diagonal(found, 0)
    return found


def not_scaled(x, labels):
    P = np.linalg.inv(np.cov(remains(x, labels), rowvar=False))
    return np.diag(np.diag(P)) - P


def regression_weights(x, labels):
    P = np.linalg.inv(np.cov(remains(x, labels), rowvar=False))
    return np.eye(len(P)) - np.diag(1 / np.diag(P)) @ P


def no_root(x, labels):
    P = np.linalg.inv(np.cov(remains(x, labels), rowvar=False))
    found = -P / np.diag(P) / np.diag(P)[:, None]
    np.fill_diagonal(found, 0)
    return found


def group_by_group(x, labels):
    return sum(from_cells(x[labels == k]) for k in set(labels)) / len(set(labels))


def means_only(x, labels):
    return plain_correlation(np.array([x[labels == k].mean(axis=0) for k in sorted(set(labels))]))


WRONG = {
    "shrink-rows": [
        (entry_by_entry, "turns the arrow"),
        (flips, "flipped"),
        (hard, "full length"),
        (lambda W, by: (1 / (1 + by)) * W, "square of the length"),
        (lambda W, by: max(1 - by, 0) * W, "larger share"),
        (lambda W, by: shrink_by_search(W.T, by).T, "Columns"),
        (lambda W, by: max(0, 1 - by / np.sqrt((W**2).sum())) * W, "whole matrix"),
        (lambda W, by: shrink_by_search(W, by / 2), "half the charge"),
        (
            lambda W, by: np.sign(W) * np.linalg.norm(shrink_by_search(W, by), axis=1)[:, None],
            "direction is lost",
        ),
        (no_guard, "division by zero"),
        (lengths_only, "shape of W"),
        (in_place, "in place"),
        (lambda W, by: shrink_by_search(W, by) + 17, "wrong numbers"),
    ],
    "inside": [
        (all_pairs, "prior's own work"),
        (zeroed, "together"),
        (prior_alone, "prior alone"),
        (with_diagonal, "diagonal is counted"),
        (signed, "Signed weights"),
        (lambda W, network, allowed: 1 - inside_by_ranks(W, network, allowed), "other way round"),
        (lambda W, network, allowed: inside_by_ranks(W.T, network, allowed), "exchanged"),
        (activations_only, "Repressions"),
        (strict, "counts as lost"),
        (generous, "counts as won"),
        (one_threshold, "one threshold"),
        (lambda W, network, allowed: abs(W)[allowed], "one number"),
        (lambda W, network, allowed: inside_by_ranks(W, network, allowed) + 17, "wrong numbers"),
    ],
    "unrest": [
        (lambda A, C, noise_std: unrest_by_sums(A, C, np.sqrt(noise_std)), "Standard deviations"),
        (lambda A, C, noise_std: unrest_by_sums(A, C, 0 * noise_std) + noise_std**2, "every entry"),
        (lambda A, C, s: unrest_by_sums(A, C, 0 * s) + s[:, None] * s, "one coin"),
        (lambda A, C, noise_std: unrest_by_sums(A, C, noise_std / 2**0.5), "Half the noise"),
        (lambda A, C, s: 2 * unrest_by_sums(A, C, 0 * s) - unrest_by_sums(A, C, s), "subtracted"),
        (lambda A, C, noise_std: np.dot(A, C) + np.dot(C, A.T), "without noise"),
        (lambda A, C, s: np.dot(A, C) + np.dot(C, A) + np.diag(s * s), "without the transpose"),
        (lambda A, C, noise_std: unrest_by_sums(A.T, C, noise_std), "A is transposed"),
        (lambda A, C, s: np.dot(A, C) + np.dot(A, C) + np.diag(s * s), "taken twice"),
        (lambda A, C, s: np.dot(np.dot(A, C), A.T) + np.diag(s * s), "one step"),
        (lambda A, C, s: A * C + C * A.T + np.diag(s * s), "entry by entry"),
        (lambda A, C, s: np.diag(unrest_by_sums(A, C, s)), "the answer is"),
        (lambda A, C, noise_std: unrest_by_sums(A, C, noise_std) + 17, "wrong numbers"),
    ],
    "within-groups": [
        (lambda x, labels: from_cells(x), "pooled partial"),
        (lambda x, labels: -within_by_regression(x, labels), "sign is turned round"),
        (lambda x, labels: plain_correlation(remains(x, labels)), "plain correlation"),
        (lambda x, labels: from_cells(remains(x, labels)) - np.eye(4), "diagonal is -1"),
        (lambda x, labels: from_cells(remains(x, labels)) + np.eye(4), "diagonal is 1"),
        (not_scaled, "Not scaled"),
        (regression_weights, "weights of regressions"),
        (no_root, "square root is missing"),
        (group_by_group, "each group"),
        (means_only, "means of the groups"),
        (lambda x, labels: plain_correlation(x), "pooled correlation"),
        (lambda x, labels: np.cov(remains(x, labels)), "the answer is"),
        (lambda x, labels: within_by_regression(x, labels) + 17, "wrong numbers"),
    ],
}
