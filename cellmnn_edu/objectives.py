"""What one training step adds up, for each way to train an operator: crowds, velocities, or frozen moves.

An objective is called once a step and answers with its weighted terms. Its `rng` is all that is random in it, so that
a stored generator is enough to go on exactly where a run stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .losses import kinetic_energy, mmd_loss
from .paths import PathSampler, draw_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import CellMNN
    from .operators import Operator
    from .snapshots import Snapshots


@dataclass(frozen=True)
class Penalties:
    """Weights of what is charged for the operators themselves, whatever they are trained on.

    Attributes
    ----------
    l_barrier : float
        Of the determinant barrier, mean ``1 / (|det P| + 1e-4)``; no head without a P is charged.
    l1 : float
        Of the mean absolute entry of A.
    deviation : float
        Of the mean squared deviation of A from its mean over the batch, a mean over cells and entries. An offset is not
        charged: with the affine lift it can take over what A would have to say.
    """

    l_barrier: float = 1.0
    l1: float = 0.0
    deviation: float = 0.0

    def __call__(self, operator: Operator) -> dict[str, Tensor]:
        """The weighted penalties of a batch of operators."""
        terms = {"barrier": self.l_barrier * operator.barrier()}
        if self.l1 or self.deviation:
            matrix = operator.matrix()
            if self.l1:
                terms["l1"] = self.l1 * matrix.abs().mean()
            if self.deviation:
                terms["deviation"] = self.deviation * (matrix - matrix.mean(0)).square().mean()
        return terms


class CrowdMatching:
    """MMD between moved and observed crowds, and kinetic energy: the objective of the paper.

    Each call moves `batch_size` cells, spread evenly over all times but the last, to every later time: operators once,
    all pairs of times at once.
    """

    def __init__(
        self,
        model: CellMNN,
        train: Snapshots,
        batch_size: int,
        seed: int,
        penalties: Penalties,
        l_kin: float = 0.1,
        gamma: float = 0.1,
        bandwidth: float | Sequence[float] = 1.0,
        kernel: str = "laplace",
        unbiased: bool = False,
        kinetic_times: float = 5,
    ) -> None:
        like = next(model.parameters())
        self.model, self.penalties, self.l_kin = model, penalties, l_kin
        self.distance = {"bandwidth": bandwidth, "kernel": kernel, "unbiased": unbiased}
        self.rng = torch.Generator().manual_seed(int(seed))  # on the CPU: the same batches on every device
        self.states = [torch.tensor(state, dtype=like.dtype, device=like.device) for state in train.states]
        self.times = torch.as_tensor(train.times).to(like)
        gaps = len(self.times) - 1
        self.n_source, self.n_target = max(1, batch_size // gaps), batch_size
        if unbiased and min(self.n_source, self.n_target) < 2:
            raise ValueError(
                f"Expected at least two cells per time for the unbiased MMD, got batch_size={batch_size} for {gaps} "
                "source times: it compares different cells."
            )
        # Ordered pairs: source time s = departure, target time k + 1 with k = arrival >= s.
        self.departure, self.arrival = torch.triu_indices(gaps, gaps, device=like.device)
        self.weight = gamma ** (self.arrival - self.departure).to(like)
        self.kinetic_dt, self.kinetic_counts = self._kinetic_grid(kinetic_times)

    def __call__(self) -> dict[str, Tensor]:
        """One batch."""
        z, t = self.sources()
        operator = self.model(z, t)
        later = self.times[1:]
        # Earlier targets are not used; staying put there keeps their exponentials harmless.
        dt = (later[:, None] - t).clamp(min=0)
        moved = operator.flow(z, dt).view(len(later), len(later), self.n_source, self.model.dim)
        moved = moved[self.arrival, self.departure]
        terms = {"mmd": mmd_loss(moved, self.targets(), self.arrival, self.weight, **self.distance)}
        if self.l_kin:
            velocity = operator.velocities(z, self.kinetic_dt)
            terms["kinetic"] = self.l_kin * kinetic_energy(velocity, self.kinetic_counts)
        return terms | self.penalties(operator)

    def sources(self) -> tuple[Tensor, Tensor]:
        """Cells (S * n, D) of all times but the last, and their times (S * n,)."""
        cells = torch.cat([draw_cells(state, self.n_source, self.rng) for state in self.states[:-1]])
        return cells, self._departures()

    def targets(self) -> Tensor:
        """Cells (K, m, D) of all times but the first."""
        return torch.stack([draw_cells(state, self.n_target, self.rng) for state in self.states[1:]])

    def _departures(self) -> Tensor:
        return self.times[:-1].repeat_interleave(self.n_source)

    def _kinetic_grid(self, kinetic_times: float) -> tuple[Tensor, Tensor | None]:
        """Durations (K, n) at which speed is charged, and which of them lie before the last time (None: all)."""
        left = self.times[-1] - self._departures()
        if isinstance(kinetic_times, (int, np.integer)):
            return torch.linspace(0, 1, int(kinetic_times), dtype=left.dtype, device=left.device)[:, None] * left, None
        n_points = round(float(left.max()) / kinetic_times) + 1
        dt = (kinetic_times * torch.arange(n_points, device=left.device).to(left))[:, None].expand(-1, len(left))
        within = dt <= left + 1e-3 * kinetic_times
        return torch.where(within, dt, 0), within.to(left)


class VelocityMatching:
    """Flow matching: A(z, t) z (+ b) is regressed on the velocities of paths between matched cells."""

    def __init__(self, model: CellMNN, paths: PathSampler, penalties: Penalties) -> None:
        self.model, self.paths, self.penalties, self.rng = model, paths, penalties, paths.rng

    def __call__(self) -> dict[str, Tensor]:
        """One batch."""
        z, t, velocity = self.paths.points()
        operator = self.model(z, t)
        miss = (operator.apply(z) - velocity).square().mean()
        return {"velocity": miss, **self.penalties(operator)}


class FrozenMatching:
    """One operator per cell, frozen at a snapshot, must carry the cell along its path to the next snapshot."""

    N_TARGETS = 4  # random moments of each path

    def __init__(self, model: CellMNN, paths: PathSampler, penalties: Penalties) -> None:
        self.model, self.paths, self.penalties, self.rng = model, paths, penalties, paths.rng

    def __call__(self) -> dict[str, Tensor]:
        """One batch."""
        paths, chain = self.paths, self.paths.draw()
        gap = torch.arange(len(chain) - 1, device=chain.device)
        lengths = (paths.times[1:] - paths.times[:-1]).repeat_interleave(paths.n)
        z, t = chain[:-1].flatten(0, 1), paths.times[:-1].repeat_interleave(paths.n)
        fractions = paths.uniform(self.N_TARGETS, len(gap), paths.n)
        aims = torch.stack([paths.at(chain, gap, fraction)[0].flatten(0, 1) for fraction in fractions])
        operator = self.model(z, t)
        moved = operator.flow(z, fractions.flatten(1) * lengths)
        return {"position": (moved - aims).square().mean(), **self.penalties(operator)}
