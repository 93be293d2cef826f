"""What training minimises: crowds that do not match, needless speed, a basis that cannot be inverted."""

from __future__ import annotations

import torch
from torch import Tensor

from .metrics import laplace_kernel


def mmd_loss(moved: Tensor, targets: Tensor, skipped: Tensor, gamma: float, bandwidth: float) -> Tensor:
    """Discounted squared MMD between moved and observed cells, over all ordered pairs of times.

    Parameters
    ----------
    moved : Tensor (K, S, n, D)
        Cells of each of S source times, moved to each of K target times.
    targets : Tensor (K, m, D)
        Observed cells of the target times.
    skipped : Tensor (K, S)
        Number of training snapshots skipped between source and target; negative where the target is not later.
    gamma : float
        Discount per skipped snapshot.
    bandwidth : float
        Of the Laplace kernel.

    Returns
    -------
    Tensor
        Sum over ordered pairs of gamma^skipped MMD^2 (biased V-statistic).
    """
    within_moved = laplace_kernel(moved, moved, bandwidth).mean((-2, -1))
    within_target = laplace_kernel(targets, targets, bandwidth).mean((-2, -1))
    across = laplace_kernel(moved, targets[:, None], bandwidth).mean((-2, -1))
    squared = within_moved + within_target[:, None] - 2 * across
    weight = torch.where(skipped >= 0, gamma ** skipped.clamp(min=0).to(squared), 0.0)
    return (weight * squared).sum()


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
