"""Operators in gene space: what the matrix of components says of genes, with the right units.

A state is z = S^-1 V^T (x - centre), with V the loadings and S = diag(scale), and a cell comes back as
x = V S z + centre. An operator A of states is therefore W = V S A S^-1 V^T for genes, row i, column j: how gene j acts
on the change of gene i. W has rank D at most, so it is kept as its factors: thousands of cells times thousands of genes
squared are never held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..linearize import jacobian

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..model import CellMNN
    from ..snapshots import Snapshots

WHICH = ("operator", "jacobian")
# Numbers held at once where cells x genes have to be looked at: 160 MB in float64.
BLOCK = 20_000_000
# Cells whose operators are evaluated at once.
BATCH = 2048
# Largest (n, G, G) that `full` gives without being told to.
LARGEST = 100_000_000


@dataclass(frozen=True, eq=False)
class GeneOperators:
    """Operators of n cells in gene space, W = left A right, kept as factors; make them with `read`.

    Attributes
    ----------
    core : ndarray (n, D, D)
        A, or its Jacobian, of every cell, in the coordinates of the model.
    left : ndarray (G, D)
        V S: from the change of a state to the change of genes.
    right : ndarray (D, G)
        S^-1 V^T: from genes to a state.
    states : ndarray (n, D)
        The cells.
    times : ndarray (n,)
        Their times.
    genes : ndarray of str (G,)
    which : str
        "operator" or "jacobian".
    """

    core: np.ndarray
    left: np.ndarray
    right: np.ndarray
    states: np.ndarray
    times: np.ndarray
    genes: np.ndarray
    which: str

    def __len__(self) -> int:
        return len(self.core)

    def at(self, cells: np.ndarray) -> GeneOperators:
        """Those of some cells: positions or a mask (n,)."""
        return replace(self, core=self.core[cells], states=self.states[cells], times=self.times[cells])

    def full(self, force: bool = False) -> np.ndarray:
        """W of every cell, (n, G, G); ValueError where that would be huge, unless forced."""
        size = len(self) * len(self.genes) ** 2
        if size > LARGEST and not force:
            raise ValueError(
                f"{len(self)} cells x {len(self.genes)} x {len(self.genes)} genes are {8e-9 * size:.0f} GB: take "
                "mean(), pairs() or quantiles(), fewer cells with at(), or force=True."
            )
        return self.left @ self.core @ self.right

    def mean(self) -> np.ndarray:
        """Mean of W over the cells, (G, G): the mean of A is lifted, since lifting is linear."""
        return self.left @ self.core.mean(0) @ self.right

    def mean_strength(self) -> np.ndarray:
        """Mean over the cells of the interaction strength w_ij (x_j - centre_j), (G, G).

        Row i adds up to the mean change of gene i (without an offset; of the operator, not of the Jacobian). The paper
        multiplies by x_j itself; then a row adds up to nothing in particular. x is what the components keep of it.
        """
        # mean of A_ab z_c is all that the cells contribute
        moments = np.einsum("nab,nc->abc", self.core, self.states) / len(self)
        by_regulator = np.einsum("abc,jc->jab", moments, self.left, optimize=True)
        return self.left @ np.einsum("jab,bj->aj", by_regulator, self.right, optimize=True)

    def pairs(self, targets: Sequence[str], regulators: Sequence[str]) -> np.ndarray:
        """W[target, regulator] of every cell for pairs of genes given by two lists, (n, number of pairs)."""
        rows, columns = self.left[self.positions(targets)], self.right[:, self.positions(regulators)]
        return np.einsum("pa,nab,bp->np", rows, self.core, columns, optimize=True)

    def quantiles(
        self, q: Sequence[float], targets: Sequence[str] | None = None, regulators: Sequence[str] | None = None
    ) -> np.ndarray:
        """Quantiles of W over the cells, for the pairs of some targets with some regulators.

        Parameters
        ----------
        q : sequence of float
            Probabilities.
        targets, regulators : sequence of str, optional
            All genes by default; name at least one of the two.

        Returns
        -------
        ndarray (len(q), targets, regulators)
            Computed regulator by regulator: memory holds cells x targets.
        """
        if targets is None and regulators is None:
            raise ValueError("Expected some targets or some regulators: the quantiles of all pairs take hours.")
        rows, columns = (
            np.arange(len(self.genes)) if names is None else self.positions(names) for names in (targets, regulators)
        )
        found = np.empty((len(q), len(rows), len(columns)))
        step = max(1, BLOCK // max(1, len(self)))
        for k, column in enumerate(columns):
            acted = self.core @ self.right[:, column]  # (n, D)
            for start in range(0, len(rows), step):
                some = rows[start : start + step]
                found[:, start : start + step, k] = np.quantile(acted @ self.left[some].T, q, axis=0)
        return found

    def positions(self, names: Sequence[str]) -> np.ndarray:
        """Rows of genes; ValueError for one that is not there."""
        place = {gene: k for k, gene in enumerate(self.genes)}
        missing = [name for name in names if name not in place]
        if missing:
            raise ValueError(
                f"Unknown genes {', '.join(missing[:5])}: there are {len(self.genes)}, such as "
                f"{', '.join(map(str, self.genes[:5]))}."
            )
        return np.array([place[name] for name in names], dtype=int)


def read(
    model: CellMNN,
    snaps: Snapshots,
    z: np.ndarray | None = None,
    t: float | np.ndarray | None = None,
    which: str = "operator",
) -> GeneOperators:
    """Read the operators of cells in gene space.

    Parameters
    ----------
    model : CellMNN
        Anything with ``dim``, ``operator(z, t)`` and, for the Jacobian, ``velocity(z, t)`` in torch operations.
    snaps : Snapshots
        The coordinates the model was trained in: of components fitted here, or of genes.
    z : ndarray (n, D), optional
        Cells; all cells of `snaps` at their own times by default.
    t : float or ndarray (n,), optional
        Their times; needed with `z`.
    which : {"operator", "jacobian"}
        A(z, t), which moves cells, or d(A z + b)/dz, which says what a change of a cell does. They differ wherever A
        depends on z.

    Returns
    -------
    GeneOperators
        Of the dynamics per unit of time, between genes in the units of ``snaps.raw``.

    Raises
    ------
    ValueError
        For coordinates without loadings (`use_rep`), a model of another dimension, or an unknown `which`.
    """
    left, right = lifting(snaps)
    if which not in WHICH:
        raise ValueError(f"Expected which to be one of {', '.join(WHICH)}; got {which!r}.")
    if model.dim != snaps.dim:
        raise ValueError(
            f"Expected a model of the snapshots' dimension {snaps.dim}, got one of {model.dim}: "
            "read it in the Snapshots it was trained on."
        )
    if (z is None) != (t is None):
        raise ValueError("Expected cells and their times, or neither (then all cells of the snapshots): got one.")
    if z is None:
        z = np.concatenate(snaps.states)
        t = np.repeat(snaps.times, [len(state) for state in snaps.states])
    z = np.asarray(z)
    t = np.broadcast_to(np.asarray(t, dtype=float), len(z)).copy()
    core = np.concatenate([_core(model, z[rows], t[rows], which) for rows in _batches(len(z))])
    return GeneOperators(core, left, right, z, t, snaps.genes, which)


def gene_operator(
    model: CellMNN, snaps: Snapshots, z: np.ndarray | Tensor, t: float | np.ndarray | Tensor, which: str = "operator"
) -> np.ndarray | Tensor:
    """W = V S A S^-1 V^T of every cell: dx_i/dt = sum_j W_ij (x_j - centre_j), without an offset.

    Parameters
    ----------
    model, snaps, z, t, which
        As in `read`; a tensor z gives a tensor.

    Returns
    -------
    array (n, G, G)
        Rows are targets, columns are regulators. For many cells or genes take `read`, which holds the factors only.

    Raises
    ------
    ValueError
        As in `read`, and where the answer would be huge.

    Notes
    -----
    Source: von Bassewitz et al. 2026, arXiv:2510.02903, reads V A V^T; on z-scored components the scales belong in it.
    """
    if not isinstance(z, Tensor):
        return read(model, snaps, z, t, which).full()
    times = t.detach().cpu().numpy() if isinstance(t, Tensor) else t
    return torch.as_tensor(read(model, snaps, z.detach().cpu().numpy(), times, which).full()).to(z)


def lifting(snaps: Snapshots) -> tuple[np.ndarray, np.ndarray]:
    """V S (G, D) and S^-1 V^T (D, G): from states to genes and back, for changes; ValueError without loadings."""
    if snaps.use_rep is not None:
        raise ValueError(
            f"Cannot read genes: the coordinates were taken from obsm[{snaps.use_rep!r}], whose loadings are not "
            "known. Build Snapshots without use_rep so that the PCA is fitted here."
        )
    axes = np.eye(snaps.dim) if snaps.loadings is None else snaps.loadings
    return axes * snaps.scale, (axes / snaps.scale).T


def _core(model: CellMNN, z: np.ndarray, t: np.ndarray, which: str) -> np.ndarray:
    return model.operator(z, t) if which == "operator" else jacobian(model, z, t)


def _batches(n: int) -> Iterator[slice]:
    return (slice(start, start + BATCH) for start in range(0, max(n, 1), BATCH))
