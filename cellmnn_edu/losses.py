"""What training minimises: crowds that do not match, needless speed, a basis that cannot be inverted."""

from __future__ import annotations

from torch import Tensor

from .metrics import laplace_kernel


def mmd_loss(moved: Tensor, targets: Tensor, arrival: Tensor, weight: Tensor, bandwidth: float) -> Tensor:
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
    bandwidth : float
        Of the Laplace kernel.

    Returns
    -------
    Tensor
        Sum over pairs of weight * MMD^2 (biased V-statistic).
    """
    within_moved = laplace_kernel(moved, moved, bandwidth).mean((-2, -1))
    within_target = laplace_kernel(targets, targets, bandwidth).mean((-2, -1))
    across = laplace_kernel(moved, targets[arrival], bandwidth).mean((-2, -1))
    return (weight * (within_moved + within_target[arrival] - 2 * across)).sum()


def kinetic_energy(velocity: Tensor) -> Tensor:
    """Mean squared speed per dimension.

    Parameters
    ----------
    velocity : Tensor (..., D)
        dz/dt of any number of cells and times.

    Returns
    -------
    Tensor
        Mean over cells, times and dimensions.
    """
    return velocity.square().mean()
