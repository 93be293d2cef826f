"""Exercises of the chapter "From a matrix of components to a matrix of genes"."""

from __future__ import annotations

import numpy as np

from ..exercise import Exercise, Mistake


def _axes(rng: np.random.Generator, n_genes: int, dim: int) -> np.ndarray:
    """Loadings: orthonormal columns."""
    return np.linalg.qr(rng.normal(size=(n_genes, dim)))[0]


def _scales(rng: np.random.Generator, dim: int) -> np.ndarray:
    # Far apart: with nearly equal scales nearly every order of the factors is right.
    return rng.permutation(np.linspace(1.0, 4.0, dim) * rng.uniform(0.8, 1.25, size=dim))


def _lift_inputs(rng: np.random.Generator) -> tuple:
    return rng.normal(size=(3, 3)), _axes(rng, 6, 3), _scales(rng, 3)


def _between(A: np.ndarray, V: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """V diag(left) A diag(right) V^T."""
    return (V * left) @ A @ (V * right).T


def _lift(A: np.ndarray, V: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return _between(A, V, scale, 1 / scale)


LIFT = Exercise(
    call="lift(A, V, scale)",
    inputs=_lift_inputs,
    truth=_lift,
    mistakes=(
        Mistake(
            lambda A, V, s: V @ A @ V.T,
            "This is V A V^T: A acts on states, in units of each component's spread, and the spreads are missing.",
        ),
        Mistake(
            lambda A, V, s: _between(A, V, 1 / s, s),
            "S and its inverse have changed places: on the way in a component is divided by its spread, on the "
            "way back multiplied.",
        ),
        Mistake(
            lambda A, V, s: _between(A, V, s, s),
            "Both sides are multiplied by the spread; on the way into A a component is divided by it.",
        ),
        Mistake(
            lambda A, V, s: _between(A, V, 1 / s, 1 / s),
            "Both sides are divided by the spread; on the way back to genes a component is multiplied by it.",
        ),
        Mistake(
            lambda A, V, s: _between(A, V, s, np.ones_like(s)),
            "S stands on the left, but S^-1 on the right is missing: what goes into A is a scaled state.",
        ),
        Mistake(
            lambda A, V, s: _between(A, V, np.ones_like(s), 1 / s),
            "S^-1 stands on the right, but S on the left is missing: what A gives is the speed of a scaled state.",
        ),
        Mistake(
            lambda A, V, s: _between(A, V, s**2, 1 / s**2),
            "These are variances: a state is divided by the standard deviation.",
        ),
        Mistake(
            lambda A, V, s: _between(A, V, np.sqrt(s), 1 / np.sqrt(s)),
            "These are roots of the spreads: `scale` already is a standard deviation.",
        ),
        Mistake(
            lambda A, V, s: _lift(A.T, V, s),
            "A is transposed: its rows are the components acted on, and so they stay.",
        ),
        Mistake(
            lambda A, V, s: _lift(A, V, s).T,
            "The answer is transposed: rows are targets, columns are regulators.",
        ),
        Mistake(
            lambda A, V, s: V @ V.T,
            "A is missing: V V^T knows nothing of the dynamics.",
        ),
    ),
    section="There and back",
    shapes="A is (D, D), V is (G, D), and `scale` (D,): the answer is (G, G). The diagonal matrix is np.diag(scale).",
)


def _strength_inputs(rng: np.random.Generator) -> tuple:
    x = rng.normal(3.0, 1.0, size=(7, 4))
    # W follows the cells, so that the mean of the products is not the product of the means.
    W = rng.normal(size=(4, 4)) + x[:, None, :] * rng.normal(size=(7, 4, 4))
    return W, x, rng.normal(2.0, 0.5, size=4)


def _strength(W: np.ndarray, x: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return (W * (x - centre)[:, None, :]).mean(0)


MEAN_STRENGTH = Exercise(
    call="mean_strength(W, x, centre)",
    inputs=_strength_inputs,
    truth=_strength,
    mistakes=(
        Mistake(
            lambda W, x, c: (W * x[:, None, :]).mean(0),
            "This multiplies by x_j itself: W acts on the distance from the centre, and only with it rows add up to "
            "velocities.",
        ),
        Mistake(
            lambda W, x, c: W.mean(0) * (x.mean(0) - c),
            "This is the product of two means. W differs from cell to cell: multiply in every cell, then average.",
        ),
        Mistake(
            lambda W, x, c: W.mean(0),
            "These are the mean interactions; how far each regulator is from its centre does not enter.",
        ),
        Mistake(
            lambda W, x, c: (W * (x - c)[:, :, None]).mean(0),
            "Rows are multiplied by the target's expression; it is the regulator, the column, that pushes.",
        ),
        Mistake(lambda W, x, c: _strength(W, x, c) * len(x), "This is the sum over the cells; take the mean."),
        Mistake(
            lambda W, x, c: -_strength(W, x, c),
            "The sign is turned round: x - centre is positive in a cell with more of the regulator than the average.",
        ),
        Mistake(
            lambda W, x, c: (W * np.abs(x - c)[:, None, :]).mean(0),
            "The distance from the centre has lost its sign: an activator that is low pulls its target down.",
        ),
        Mistake(
            lambda W, x, c: (np.abs(W) * (x - c)[:, None, :]).mean(0),
            "The interactions have lost their signs: activators and repressors look alike.",
        ),
        Mistake(lambda W, x, c: _strength(W, x, c).T, "The answer is transposed: rows are targets."),
        Mistake(
            lambda W, x, c: (W * (x - x.mean(0))[:, None, :]).mean(0),
            "This centres on the mean of these cells; the centre is that of the training cells, and is handed over.",
        ),
        Mistake(
            lambda W, x, c: (W * c).mean(0),
            "This multiplies by the centre; the cells themselves do not enter.",
        ),
    ),
    section="Pushes that add up",
    shapes="W is (n, G, G), x is (n, G): give x a middle axis, x[:, None, :], and average over the cells, axis 0.",
)


def _alike_inputs(rng: np.random.Generator) -> tuple:
    return _axes(rng, 6, 3), _scales(rng, 3)


def _cosine(M: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(M, axis=1)
    return M @ M.T / np.outer(size, size)


def _alike(V: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return _cosine(V / scale)


ALIKE = Exercise(
    call="alike(V, scale)",
    inputs=_alike_inputs,
    truth=_alike,
    mistakes=(
        Mistake(
            lambda V, s: _cosine(V),
            "These are cosines of the bare loadings: on its way into A each component is divided by its spread.",
        ),
        Mistake(
            lambda V, s: _cosine(V * s),
            "This multiplies by the spread, which tells genes apart as targets. Regulators pass through S^-1 V^T.",
        ),
        Mistake(
            lambda V, s: (V / s) @ (V / s).T,
            "These are dot products: divide by the lengths of both, or a long loading seems like everybody.",
        ),
        Mistake(
            lambda V, s: (V / s) @ (V / s).T / np.square(np.linalg.norm(V / s, axis=1))[:, None],
            "This divides by the squared length of one gene only; a cosine divides by both lengths.",
        ),
        Mistake(
            lambda V, s: np.corrcoef(V / s),
            "This is a correlation: it subtracts each gene's mean over the components, which means nothing here.",
        ),
        Mistake(
            lambda V, s: np.abs(_alike(V, s)),
            "The sign is lost: two genes with opposite loadings have opposite columns of W.",
        ),
        Mistake(lambda V, s: np.square(_alike(V, s)), "This is the squared cosine."),
        Mistake(lambda V, s: 1 - _alike(V, s), "This is a distance, 1 - cosine: a gene must be 1 like itself."),
        Mistake(
            lambda V, s: V @ V.T,
            "This is V V^T: the spreads are missing, or columns were divided by their lengths, which takes the spreads "
            "out again. Divide every row by its own length.",
        ),
        Mistake(
            lambda V, s: _cosine(V / s**2),
            "This divides by the variances; a state is divided by the standard deviation.",
        ),
    ),
    section="What the loadings decide",
    shapes="One row and one column for each gene: compare rows of V / scale, not its columns.",
)


def _basis_inputs(rng: np.random.Generator) -> tuple:
    V, turn = _axes(rng, 6, 3), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return rng.normal(size=(3, 3)), V, _scales(rng, 3), V @ turn, _scales(rng, 3)


def _turned(A: np.ndarray, T: np.ndarray) -> np.ndarray:
    return T @ A @ np.linalg.inv(T)


def _passage(V: np.ndarray, s: np.ndarray, V2: np.ndarray, s2: np.ndarray) -> np.ndarray:
    """From states in the first components to states in the second."""
    return (V2 / s2).T @ (V * s)


def _other_basis(A: np.ndarray, V: np.ndarray, s: np.ndarray, V2: np.ndarray, s2: np.ndarray) -> np.ndarray:
    return _turned(A, _passage(V, s, V2, s2))


OTHER_BASIS = Exercise(
    call="other_basis(A, V, scale, V2, scale2)",
    inputs=_basis_inputs,
    truth=_other_basis,
    mistakes=(
        Mistake(lambda A, V, s, V2, s2: A, "This is A itself: the same matrix on other components is another motion."),
        Mistake(
            lambda A, V, s, V2, s2: _turned(A, V2.T @ V),
            "The components are turned, but the spreads are missing: states are scaled, each set by its own spreads.",
        ),
        Mistake(
            lambda A, V, s, V2, s2: _turned(A, V.T @ V2),
            "The components are turned the wrong way, and the spreads are missing.",
        ),
        Mistake(
            lambda A, V, s, V2, s2: _turned(A, np.diag(s / s2)),
            "The spreads are exchanged, but the components are not turned.",
        ),
        Mistake(
            lambda A, V, s, V2, s2: _turned(A, np.linalg.inv(_passage(V, s, V2, s2))),
            "T and its inverse have changed places: on the right stands the way from the new states to the old.",
        ),
        Mistake(
            lambda A, V, s, V2, s2: _turned(A, (V2 * s2).T @ (V / s)),
            "Spreads are multiplied where they should divide: a state times its spread is a component.",
        ),
        Mistake(
            lambda A, V, s, V2, s2: _passage(V, s, V2, s2) @ A @ _passage(V, s, V2, s2).T,
            "T A T^T: with spreads T is no pure turn, and its transpose is not its inverse.",
        ),
        Mistake(
            lambda A, V, s, V2, s2: _passage(V, s, V2, s2) @ A,
            "Only the answer of A is carried over; its question, the new state, has to be carried back first: T^-1 on "
            "the right.",
        ),
        Mistake(
            lambda A, V, s, V2, s2: A @ np.linalg.inv(_passage(V, s, V2, s2)),
            "Only the question is carried back; the answer of A has to be carried over too: T on the left.",
        ),
        Mistake(
            lambda A, V, s, V2, s2: _passage(V, s, V2, s2),
            "This is T, the way from the old states to the new; A goes between T and its inverse.",
        ),
    ),
    section="Whose components?",
    shapes="The answer acts on the new states: (D, D).",
)


EXERCISES = {"lift": LIFT, "mean-strength": MEAN_STRENGTH, "alike": ALIKE, "other-basis": OTHER_BASIS}
