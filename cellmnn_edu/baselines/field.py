"""What every rival with a velocity field shares: the network, its training and its integration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from ..loop import SCHEDULES, History, finished, optimise
from ..model import check_integers, mlp
from ..training import check_numbers, one_of, pick_device

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Training:
    """Options that all rivals that learn take, with the same defaults as `cellmnn_edu.fit` and `CellMNN`.

    Attributes
    ----------
    steps : int
        Optimiser steps (of each stage, where a method has two).
    lr : float
        Learning rate of AdamW (weight decay 1e-5).
    schedule : {"constant", "cosine"}
        Of the learning rate; cosine falls to zero at the last step.
    ema : float
        Decay of an exponential moving average of the weights, which the field gets in the end; 0 for none.
    batch_size : int
        Cells drawn at every training time (Neural ODE: see there).
    width, depth : int
        Units per hidden layer and number of hidden layers of every network.
    device : str
        "auto" takes cuda where there is one, else cpu; or any name PyTorch knows.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ValueError
        For settings out of range.
    """

    steps: int = 1500
    lr: float = 1e-3
    schedule: str = "constant"
    ema: float = 0.0
    batch_size: int = 200
    width: int = 96
    depth: int = 4
    device: str = "auto"
    progress: bool = True

    def __post_init__(self) -> None:
        check_integers(0, steps=self.steps)
        check_integers(1, batch_size=self.batch_size, width=self.width, depth=self.depth)
        check_numbers(1e-12, 1e12, lr=self.lr)
        check_numbers(0, 1 - 1e-12, ema=self.ema)
        one_of("schedule", self.schedule, SCHEDULES)

    def network(self, n_in: int, n_out: int, seed: int) -> nn.Sequential:
        """A network of the size asked for, on the device asked for."""
        check_integers(0, seed=seed)
        return mlp(n_in, n_out, self.width, self.depth, seed).to(pick_device(self.device))

    def field(self, dim: int, seed: int) -> VelocityField:
        """An untrained velocity field."""
        return VelocityField(self.network(dim + 1, dim, seed))

    def run(self, module: nn.Module, terms: Callable[[], dict[str, Tensor]]) -> History:
        """Train the module in place through the one loop of the package."""
        return finished(
            optimise(module, terms, self.steps, self.lr, schedule=self.schedule, ema=self.ema, progress=self.progress)
        )


# What the methods take besides their own options.
TRAINING_OPTIONS = tuple(Training.__dataclass_fields__)


class VelocityField(nn.Module):
    """(z, t) -> dz/dt: a free velocity, where Cell-MNN answers with an operator."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network, self.dim = network, network[-1].out_features

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """Velocities (n, D) of the cells z (n, D) at the times t, one or (n,)."""
        return self.network(torch.cat([z, t.expand(len(z))[:, None]], dim=1))


def follow(field: VelocityField, z: Tensor, t0: float | Tensor, t1: float | Tensor, fractions: Tensor) -> Tensor:
    """Carry cells along a velocity field by the Runge-Kutta method of order 4, one step from fraction to fraction.

    Parameters
    ----------
    field : callable
        (z, t) -> velocities.
    z : Tensor (n, D)
        Cells at `t0`.
    t0, t1 : float or Tensor (n,)
        Start and end; they may differ from cell to cell, as each cell has a clock u that runs from 0 to 1:
        dz/du = (t1 - t0) f(z, t0 + u (t1 - t0)).
    fractions : Tensor (K,)
        The values of u to stop at, increasing, the first one 0.

    Returns
    -------
    Tensor (K, n, D)
    """
    start, end = (torch.as_tensor(t, dtype=z.dtype, device=z.device).expand(len(z)) for t in (t0, t1))
    length = end - start
    return odeint(lambda u, x: length[:, None] * field(x, start + u * length), z, fractions, method="rk4")


def move(field: VelocityField, z: np.ndarray, t0: float, t1: float, n_steps: int) -> np.ndarray:
    """Cells z (n, D) carried from t0 to t1, forward or backward, in `n_steps` equal Runge-Kutta steps."""

    def carry(x: Tensor) -> Tensor:
        fractions = torch.linspace(0, 1, n_steps + 1, dtype=x.dtype, device=x.device)
        return follow(field, x, t0, t1, fractions)[-1]

    return as_arrays(field, z, carry)


def as_arrays(field: VelocityField, z: np.ndarray, carry: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Run `carry` on the cells in the dtype and on the device of the field, without gradients."""
    cells = np.asarray(z)
    if cells.ndim != 2 or cells.shape[1] != field.dim:
        raise ValueError(
            f"Expected cells of shape (n, {field.dim}), got {cells.shape}: use the Snapshots this method was fitted on."
        )
    x = torch.as_tensor(np.ascontiguousarray(cells)).to(next(field.parameters()))
    with torch.no_grad():
        moved = carry(x).cpu().numpy()
    return moved.astype(np.result_type(cells, np.float32), copy=False)
