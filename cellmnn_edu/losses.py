"""What training minimises: crowds that do not match, needless speed, a basis that cannot be inverted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from .metrics import kernel_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence


def mmd_loss(
    moved: Tensor,
    targets: Tensor,
    arrival: Tensor,
    weight: Tensor,
    bandwidth: float | Sequence[float] = 1.0,
    kernel: str = "laplace",
    unbiased: bool = False,
) -> Tensor:
    """Weighted sum of squared MMD between moved and observed cells, over ordered pairs of times.

    Parameters
    ----------
    moved : Tensor (pairs, n, D)
        Cells of the source time of each pair, moved to its target time.
    targets : Tensor (K, m, D)
        Observed cells of the target times.
    arrival : Tensor (pairs,)
        Row of `targets` of each pair.
    weight : Tensor (pairs,)
        Of each pair; the paper takes gamma^k where k training snapshots are skipped.
    bandwidth : float or sequence of float
        Of the kernel; several give the mean of their kernels.
    kernel : {"laplace", "gaussian", "energy"}
        See `cellmnn_edu.metrics.kernel_matrix`.
    unbiased : bool
        Leave out each cell's similarity to itself.

    Returns
    -------
    Tensor
        Sum over pairs of weight * MMD^2.
    """
    how = (bandwidth, kernel)
    within = [_mean_within(kernel_matrix(cells, cells, *how), unbiased) for cells in (moved, targets)]
    across = kernel_matrix(moved, targets[arrival], *how).mean((-2, -1))
    return (weight * (within[0] + within[1][arrival] - 2 * across)).sum()


def _mean_within(similarity: Tensor, unbiased: bool) -> Tensor:
    """Mean over the pairs of one crowd (..., n, n), with or without the pairs of a cell with itself."""
    if not unbiased:
        return similarity.mean((-2, -1))
    n = similarity.shape[-1]
    itself = similarity.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (similarity.sum((-2, -1)) - itself) / (n * (n - 1))


def kinetic_energy(velocity: Tensor, counts: Tensor | None = None) -> Tensor:
    """Mean squared speed per dimension.

    Parameters
    ----------
    velocity : Tensor (..., D)
        dz/dt of any number of cells and times.
    counts : Tensor (...), optional
        Which of them count, 1 or 0; all by default.

    Returns
    -------
    Tensor
        Mean over the cells and times that count, and over dimensions.
    """
    squares = velocity.square().mean(-1)
    return squares.mean() if counts is None else (counts * squares).sum() / counts.sum()
