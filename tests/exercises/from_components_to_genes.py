"""Answers to the exercises of "From a matrix of components to a matrix of genes": right ones, and wrong ones.

The right ones take another road than the check: pushing one gene at a time, loops over cells, a
library's cosine, the gene operator seen from the new components.
"""

import numpy as np
from scipy.spatial.distance import cdist


def lift_by_pushing(A, V, scale):
    W = np.empty((len(V), len(V)))
    for j in range(len(V)):
        state = [V[j, a] / scale[a] for a in range(len(scale))]
        speed = A @ state
        for i in range(len(V)):
            W[i, j] = sum(V[i, a] * scale[a] * speed[a] for a in range(len(scale)))
    return W


def strength_in_loops(W, x, centre):
    total = np.zeros_like(W[0])
    for w, cell in zip(W, x, strict=True):
        total += w @ np.diag(cell - centre)
    return total / len(x)


def alike_by_scipy(V, scale):
    handed = np.linalg.solve(np.diag(scale), V.T).T  # what one unit of each gene hands to A
    return 1 - cdist(handed, handed, "cosine")


def basis_from_the_gene_operator(A, V, scale, V2, scale2):
    W = lift_by_pushing(A, V, scale)
    return np.diag(1 / scale2) @ V2.T @ W @ V2 @ np.diag(scale2)


SOLUTIONS = {
    "lift": lift_by_pushing,
    "mean-strength": strength_in_loops,
    "alike": alike_by_scipy,
    "other-basis": basis_from_the_gene_operator,
}


def normalised(rows):
    return rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))


def passage(V, scale, V2, scale2):
    return np.diag(1 / scale2) @ V2.T @ V @ np.diag(scale)


def turned_with(A, T):
    return np.linalg.solve(T.T, (T @ A).T).T


WRONG = {
    "lift": [
        (lambda A, V, scale: np.einsum("ia,ab,jb->ij", V, A, V), "spreads are missing"),
        (lambda A, V, scale: lift_by_pushing(A, V, 1 / scale), "changed places"),
        (lambda A, V, scale: V @ np.diag(scale) @ A @ np.diag(scale) @ V.T, "Both sides are multiplied"),
        (lambda A, V, scale: (V / scale) @ A @ (V / scale).T, "Both sides are divided"),
        (lambda A, V, scale: V @ np.diag(scale) @ A @ V.T, "on the right is missing"),
        (lambda A, V, scale: V @ A @ np.linalg.inv(np.diag(scale)) @ V.T, "on the left is missing"),
        (lambda A, V, scale: lift_by_pushing(A, V, scale * scale), "variances"),
        (lambda A, V, scale: lift_by_pushing(A, V, scale**0.5), "roots"),
        (lambda A, V, scale: lift_by_pushing(np.transpose(A), V, scale), "A is transposed"),
        (lambda A, V, scale: np.transpose(lift_by_pushing(A, V, scale)), "answer is transposed"),
        (lambda A, V, scale: np.einsum("ia,ja->ij", V, V), "A is missing"),
        (lambda A, V, scale: V * scale * A / scale * V.T, "do not fit together"),
        (lambda A, V, scale: V.T @ V @ A, r"the answer is \(G, G\)"),
        (lambda A, V, scale: lift_by_pushing(A, V, scale) + 17, "wrong numbers"),
    ],
    "mean-strength": [
        (lambda W, x, centre: strength_in_loops(W, x, 0 * centre), "x_j itself"),
        (lambda W, x, centre: np.mean(W, axis=0) * np.mean(x - centre, axis=0), "product of two means"),
        (lambda W, x, centre: np.average(W, axis=0), "does not enter"),
        (
            lambda W, x, centre: np.mean([np.diag(c - centre) @ w for w, c in zip(W, x, strict=True)], axis=0),
            "Rows are",
        ),
        (lambda W, x, centre: np.einsum("nij,nj->ij", W, x - centre), "sum over the cells"),
        (lambda W, x, centre: np.einsum("nij,nj->ij", W, centre - x) / len(x), "sign is turned round"),
        (lambda W, x, centre: np.einsum("nij,nj->ij", W, abs(x - centre)) / len(x), "lost its sign"),
        (lambda W, x, centre: np.einsum("nij,nj->ij", abs(W), x - centre) / len(x), "lost their signs"),
        (lambda W, x, centre: strength_in_loops(W, x, centre).T, "transposed"),
        (lambda W, x, centre: strength_in_loops(W, x, np.mean(x, axis=0)), "these cells"),
        (lambda W, x, centre: W.mean(axis=0) @ np.diag(centre), "by the centre"),
        (lambda W, x, centre: np.einsum("nij,nj->ni", W, x - centre), "middle axis"),
        (lambda W, x, centre: (W * (x - centre)).mean(axis=0), "do not fit together"),
        (lambda W, x, centre: strength_in_loops(W, x, centre) + 17, "wrong numbers"),
    ],
    "alike": [
        (lambda V, scale: normalised(V) @ normalised(V).T, "bare loadings"),
        (lambda V, scale: normalised(V * scale) @ normalised(V * scale).T, "as targets"),
        (lambda V, scale: V @ np.diag(scale**-2.0) @ V.T, "dot products"),
        (
            lambda V, scale: (V @ np.diag(scale**-2.0) @ V.T) / ((V / scale) ** 2).sum(axis=1, keepdims=True),
            "one gene only",
        ),
        (lambda V, scale: 1 - cdist(V / scale, V / scale, "correlation"), "correlation"),
        (lambda V, scale: abs(alike_by_scipy(V, scale)), "sign is lost"),
        (lambda V, scale: alike_by_scipy(V, scale) ** 2, "squared cosine"),
        (lambda V, scale: cdist(V / scale, V / scale, "cosine"), "distance"),
        (lambda V, scale: np.einsum("ia,ja->ij", V, V), r"V V\^T"),
        (lambda V, scale: normalised(V / scale**2) @ normalised(V / scale**2).T, "variances"),
        (lambda V, scale: normalised(V.T) @ normalised(V.T).T, "not its columns"),
        (lambda V, scale: normalised(V / scale[:, None]) @ V.T, "do not fit together"),
        (lambda V, scale: alike_by_scipy(V, scale) + 17, "wrong numbers"),
    ],
    "other-basis": [
        (lambda A, V, scale, V2, scale2: A, "A itself"),
        (lambda A, V, scale, V2, scale2: V2.T @ V @ A @ V.T @ V2, "spreads are missing"),
        (lambda A, V, scale, V2, scale2: V.T @ V2 @ A @ V2.T @ V, "wrong way"),
        (lambda A, V, scale, V2, scale2: A * np.outer(scale / scale2, scale2 / scale), "not turned"),
        (lambda A, V, scale, V2, scale2: np.linalg.solve(T := passage(V, scale, V2, scale2), A @ T), "changed places"),
        (
            lambda A, V, scale, V2, scale2: turned_with(A, passage(V, 1 / scale, V2, 1 / scale2)),
            "where they should divide",
        ),
        (lambda A, V, scale, V2, scale2: (T := passage(V, scale, V2, scale2)) @ A @ T.T, r"T A T\^T"),
        (lambda A, V, scale, V2, scale2: passage(V, scale, V2, scale2) @ A, "Only the answer"),
        (
            lambda A, V, scale, V2, scale2: np.linalg.solve(passage(V, scale, V2, scale2).T, A.T).T,
            "Only the question",
        ),
        (lambda A, V, scale, V2, scale2: passage(V, scale, V2, scale2), "This is T"),
        (lambda A, V, scale, V2, scale2: lift_by_pushing(A, V, scale), "acts on the new states"),
        (lambda A, V, scale, V2, scale2: V2 @ A @ V, "do not fit together"),
        (
            lambda A, V, scale, V2, scale2: basis_from_the_gene_operator(A, V, scale, V2, scale2) + 17,
            "wrong numbers",
        ),
    ],
}
