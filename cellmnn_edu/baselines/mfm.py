"""Metric flow matching: paths between matched cells bend to where cells have been seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..model import check_integers
from ..paths import COUPLINGS, RENEW, PathSampler
from ..training import check_numbers, one_of
from .field import TRAINING_OPTIONS, Training, move
from .flow_matching import FieldMatching

if TYPE_CHECKING:
    from ..snapshots import Snapshots


class MetricFlowMatching:
    """OT-MFM with the LAND metric: curved paths first, then flow matching on them.

    Parameters
    ----------
    gamma : float
        Width of the Gaussian kernel that says which cells are near, in units of the coordinates.
    rho : float
        What the metric takes for spread where there are no cells: the smaller, the more is paid for leaving the data.
    n_anchors : int
        Training cells, drawn at random over all training times, that stand for all of them in the metric.
    bend : bool
        Switch off for straight paths (OT-CFM), to see what the metric is worth.
    coupling : {"independent", "minibatch", "full"}
        As in `FlowMatching`.
    noise_std : float
        Standard deviation of the noise around the paths of the second stage.
    n_steps : int
        Runge-Kutta steps of each call of `propagate`.
    **training
        Options of `Training`, for both stages.

    Raises
    ------
    ValueError
        For settings out of range.

    Notes
    -----
    Source: Kapusniak et al. 2024, "Metric flow matching for smooth interpolations on the data manifold",
    arXiv:2405.14780. There the metric of a gap is made of cells of its two ends, and adds up over cells; here it is
    made of all training cells, as a mean, so that `n_anchors` does not change its scale. The network does not see the
    moment within a gap, so each path is a parabola (we have not seen the authors' own code). The default of `gamma`
    was chosen on the myoblasts, `cellmnn_edu.datasets.hsmm`.
    """

    OPTIONS = TRAINING_OPTIONS

    def __init__(
        self,
        *,
        gamma: float = 1.0,
        rho: float = 1e-3,
        n_anchors: int = 1000,
        bend: bool = True,
        coupling: str = "minibatch",
        noise_std: float = 0.1,
        n_steps: int = 20,
        **training: Any,
    ) -> None:
        check_numbers(1e-6, 1e6, gamma=gamma, rho=rho)
        check_numbers(0, 1e12, noise_std=noise_std)
        check_integers(1, n_anchors=n_anchors, n_steps=n_steps)
        one_of("coupling", coupling, COUPLINGS[:3])
        self.gamma, self.rho, self.n_anchors, self.bend = gamma, rho, n_anchors, bend
        self.coupling, self.noise_std, self.n_steps = coupling, noise_std, n_steps
        self.training = Training(**training)

    def fit(self, train: Snapshots, seed: int = 0) -> MetricFlowMatching:
        """Train the paths, then the field; one seed for initial weights, anchors and batches."""
        self.field = self.training.field(train.dim, seed)
        self.bends = self.training.network(2 * train.dim + 1, train.dim, seed) if self.bend else None
        like = next(self.field.parameters())
        paths = CurvedPaths(self.bends, train, self.training.batch_size, seed, like, self.coupling)
        self.steps = 0
        if self.bend:
            metric = LandMetric(self._anchors(train, seed).to(like), self.gamma, self.rho)
            self.path_history = self.training.run(self.bends, PathEnergy(paths, metric))
            self.steps += self.path_history.steps
            self.bends.requires_grad_(False)
        paths.noise_std = self.noise_std
        self.history = self.training.run(self.field, FieldMatching(self.field, paths))
        self.steps += self.history.steps
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1; deterministic, and possible outside the training times."""
        return move(self.field, z, t0, t1, self.n_steps)

    def _anchors(self, train: Snapshots, seed: int) -> Tensor:
        cells = np.concatenate(train.states)
        return torch.as_tensor(np.random.default_rng(seed).permutation(cells)[: self.n_anchors])


class CurvedPaths(PathSampler):
    """Lines with a learned bend: x = (1 - s) x0 + s x1 + 2 s (1 - s) bend(x0, x1, t0), a parabola for each pair."""

    def __init__(
        self, bends: nn.Sequential | None, train: Snapshots, batch_size: int, seed: int, like: Tensor, coupling: str
    ) -> None:
        super().__init__(train, batch_size, seed, like, coupling, renew=RENEW)
        self.bends = bends

    def at(self, chain: Tensor, gap: Tensor, fraction: Tensor) -> tuple[Tensor, Tensor]:
        """Points of the paths and their velocities, as `PathSampler.at`."""
        position, velocity = super().at(chain, gap, fraction)
        if self.bends is None:
            return position, velocity
        start, end = self.times[gap, None, None], self.times[gap + 1, None, None]
        pairs = torch.cat([chain[gap], chain[gap + 1], start.expand(-1, self.n, 1)], dim=-1)
        bend, s = 2 * self.bends(pairs), fraction[..., None]
        return position + s * (1 - s) * bend, velocity + (1 - 2 * s) / (end - start) * bend


class LandMetric:
    """Diagonal metric that is small near cells: G_d(x) = rho / (h_d(x) + rho), h_d the local spread along d.

    h_d(x) = mean over cells c of (c_d - x_d)^2 exp(-|c - x|^2 / (2 gamma^2)). The factor rho changes no geodesic; with
    it G is 1 where there are no cells.
    """

    def __init__(self, anchors: Tensor, gamma: float, rho: float) -> None:
        self.gamma, self.rho = gamma, rho
        one = torch.ones_like(anchors[:, :1])
        # As products of matrices, so that the cloud of differences, points x anchors x D, is never made.
        self.keys = torch.cat([anchors, -anchors.square().sum(1, keepdim=True) / 2, one], dim=1).T / gamma**2
        self.moments = torch.cat([one, anchors, anchors.square()], dim=1) / len(anchors)

    def __call__(self, x: Tensor) -> Tensor:
        """Diagonal entries (n, D) at the points x (n, D)."""
        one = torch.ones_like(x[:, :1])
        weights = torch.exp(torch.cat([x, one, -x.square().sum(1, keepdim=True) / 2], dim=1) @ self.keys)
        total, first, second = (weights @ self.moments).split([1, x.shape[1], x.shape[1]], dim=1)
        spread = (second - 2 * x * first + x.square() * total).clamp(min=0)
        return self.rho / (spread + self.rho)


class PathEnergy:
    """Mean kinetic energy of the paths in the metric: what geodesics make as small as can be."""

    def __init__(self, paths: CurvedPaths, metric: LandMetric) -> None:
        self.paths, self.metric, self.rng = paths, metric, paths.rng

    def __call__(self) -> dict[str, Tensor]:
        """One batch."""
        z, _, velocity = self.paths.points()
        return {"energy": (self.metric(z) * velocity.square()).mean()}
