"""Neural ODE: Cell-MNN's objective with a free velocity field and a solver in place of operators in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..losses import kinetic_energy, mmd_loss
from ..metrics import KERNELS, check_bandwidth, median_bandwidth
from ..model import check_integers
from ..objectives import CrowdMatching, Penalties
from ..training import check_numbers, one_of
from .field import TRAINING_OPTIONS, Training, VelocityField, follow, move

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..snapshots import Snapshots


class NeuralODE:
    """A velocity field trained through a Runge-Kutta solver, on the batches, MMD and kinetic energy of `fit`.

    Parameters
    ----------
    l_kin, gamma, bandwidth, kernel, unbiased
        As in `cellmnn_edu.fit`, with the same defaults.
    kinetic_times : int
        Moments between each cell's start and the last time at which speed is charged, drawn anew for every batch, one
        in each of as many equal spans: a free field learns to be slow at moments that it knows, and fast between.
    solver_steps : int
        Least number of Runge-Kutta steps in training, from each cell's start to the last time; every time and every
        point at which speed is charged is a stop as well.
    n_steps : int
        Runge-Kutta steps of each call of `propagate`.
    **training
        Options of `Training`. ``batch_size`` is as in `fit`: source cells in all, and target cells per time.

    Raises
    ------
    ValueError
        For settings out of range.

    Notes
    -----
    Source of the idea: Chen et al. 2018, arXiv:1806.07366. Gradients go through the steps of the solver.
    """

    OPTIONS = TRAINING_OPTIONS

    def __init__(
        self,
        *,
        l_kin: float = 0.1,
        gamma: float = 0.1,
        bandwidth: float | Sequence[float] | str = 1.0,
        kernel: str = "laplace",
        unbiased: bool = False,
        kinetic_times: int = 2,
        solver_steps: int = 4,
        n_steps: int = 20,
        **training: Any,
    ) -> None:
        check_numbers(0, 1e12, l_kin=l_kin)
        check_numbers(0, 1, gamma=gamma)
        check_integers(1, kinetic_times=kinetic_times, solver_steps=solver_steps, n_steps=n_steps)
        one_of("kernel", kernel, KERNELS)
        if bandwidth != "median":
            check_bandwidth(bandwidth)
        self.bandwidth, self.n_steps, self.training = bandwidth, n_steps, Training(**training)
        self.terms = {"l_kin": l_kin, "gamma": gamma, "kernel": kernel, "unbiased": unbiased}
        self.terms |= {"kinetic_times": kinetic_times, "solver_steps": solver_steps}

    def fit(self, train: Snapshots, seed: int = 0) -> NeuralODE:
        """Train; one seed for initial weights and batches."""
        self.field = self.training.field(train.dim, seed)
        bandwidth = self.bandwidth
        if bandwidth == "median":
            bandwidth = median_bandwidth(np.concatenate(train.states))
        crowds = SolvedCrowdMatching(
            self.field, train, self.training.batch_size, seed, bandwidth=bandwidth, **self.terms
        )
        self.history = self.training.run(self.field, crowds)
        self.steps = self.history.steps
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1; deterministic, and possible outside the training times."""
        return move(self.field, z, t0, t1, self.n_steps)


class SolvedCrowdMatching(CrowdMatching):
    """`CrowdMatching` for a velocity field: the same cells and terms, moved by a solver.

    Every cell's clock runs from its start (0) to the last time (1), so that one call of the solver moves all of them
    and stops wherever a later time or a point of the kinetic energy is due.
    """

    def __init__(
        self,
        field: VelocityField,
        train: Snapshots,
        batch_size: int,
        seed: int,
        solver_steps: int,
        kinetic_times: int,
        **terms: Any,
    ) -> None:
        super().__init__(field, train, batch_size, seed, Penalties(), kinetic_times=kinetic_times, **terms)
        left = self.times[-1] - self.times[:-1]
        landings = (self.times[self.arrival + 1] - self.times[self.departure]) / left[self.departure]
        self.stops = torch.cat([landings, torch.linspace(0, 1, solver_steps + 1).to(landings)])
        self.n_moments = kinetic_times if self.l_kin else 0

    def __call__(self) -> dict[str, Tensor]:
        """One batch."""
        (z, t), later = self.sources(), self.targets()
        stops = torch.cat([self.moments(), self.stops])
        # Rounded, so that stops that differ by float error only are one.
        fractions, where = torch.unique((stops * 1e5).round() / 1e5, return_inverse=True)
        metered, landing = where[: self.n_moments], where[self.n_moments :][: len(self.arrival)]
        path = follow(self.model, z, t, self.times[-1], fractions)
        moved = path.view(len(path), -1, self.n_source, self.model.dim)[landing, self.departure]
        terms = {"mmd": mmd_loss(moved, later, self.arrival, self.weight, **self.distance)}
        if self.l_kin:
            cells = path[metered]
            clock = t + fractions[metered, None] * (self.times[-1] - t)
            velocity = self.model(cells.flatten(0, 1), clock.flatten())
            terms["kinetic"] = self.l_kin * kinetic_energy(velocity)
        return terms

    def moments(self) -> Tensor:
        """Random fractions (kinetic_times,) of the way to the last time, one in each of as many equal spans."""
        # From a copy of the generator, so that the cells drawn are those that Cell-MNN sees.
        rng = torch.Generator()
        rng.set_state(self.rng.get_state())
        spans = torch.arange(self.n_moments) + torch.rand(self.n_moments, generator=rng)
        return (spans / max(1, self.n_moments)).to(self.times)
