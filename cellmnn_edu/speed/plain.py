"""The training objective as one would write it down while reading the paper: the measure of what our engine saves.

A is assembled as a matrix, matrix exponentials carry the cells over the kinetic time grid, and the pairs of times are
visited one by one. It draws the same batches as our engine, so its losses and gradients must be the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..objectives import CrowdMatching
from ..operators import EigenOperator, by_matrix_exp

if TYPE_CHECKING:
    from torch import Tensor

GRID = 0.1  # step of the time grid, which must hold every time


class PlainReading(CrowdMatching):
    """`CrowdMatching` of the eigen head with loops and dense matrix exponentials; one Laplace kernel, V-statistic.

    It is plain but not wasteful: the exponentials of the kinetic grid also give the moved cells, and all cells and
    times of the grid of one source time are one batch.
    """

    def kernel(self, x: Tensor, y: Tensor) -> Tensor:
        """exp(-mean_d |x_d - y_d|) of every pair, as the formula stands."""
        return torch.exp(-(x[:, None] - y[None]).abs().mean(-1))

    def __call__(self) -> dict[str, Tensor]:
        """One batch, with the terms of `CrowdMatching`."""
        cells, targets = self.sources()[0], self.targets()
        gaps = len(self.times) - 1
        mmd = squares = barrier = count = 0
        for s, z in enumerate(cells.view(gaps, self.n_source, -1)):
            t = self.times[s]
            operator = self.model(z, t.expand(len(z)))
            a = _dense(operator)
            n_points = round(float(self.times[-1] - t) / GRID) + 1
            grid = GRID * torch.arange(n_points, device=z.device).to(z)
            path = by_matrix_exp(a, z, grid[:, None].expand(-1, len(z)))
            speed = torch.einsum("nij,knj->kni", a, path)
            squares, count = squares + speed.square().sum(), count + speed.numel()
            barrier = barrier + (1 / (torch.linalg.det(operator.basis).abs() + 1e-4)).sum() / len(cells)
            for k in range(s + 1, gaps + 1):
                moved, seen = path[round(float(self.times[k] - t) / GRID)], targets[k - 1]
                weight = self.weight[(self.departure == s) & (self.arrival == k - 1)].squeeze()
                within, across = self.kernel(moved, moved).mean(), self.kernel(moved, seen).mean()
                mmd = mmd + weight * (within + self.kernel(seen, seen).mean() - 2 * across)
        return {"mmd": mmd, "kinetic": self.l_kin * squares / count, "barrier": self.penalties.l_barrier * barrier}


def _dense(operator: EigenOperator) -> Tensor:
    """P^-1 diag(values) P, factor by factor."""
    return torch.linalg.inv(operator.basis) @ torch.diag_embed(operator.values) @ operator.basis


class WithQuickDistances(PlainReading):
    """The same, distances by torch.cdist."""

    def kernel(self, x: Tensor, y: Tensor) -> Tensor:
        """exp(-mean_d |x_d - y_d|) of every pair."""
        return torch.exp(-torch.cdist(x, y, p=1) / x.shape[1])
