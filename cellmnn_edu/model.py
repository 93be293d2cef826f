"""Cell-MNN: a network that looks at a cell and a time and answers with a linear operator."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from .operators import build, head_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from .operators import DenseOperator, EigenOperator

Array = TypeVar("Array", np.ndarray, Tensor)


class CellMNN(nn.Module):
    """Operator hypernetwork: (z, t) -> A(z, t), and cells moved by exp(A dt).

    States ``z`` have shape (n, D); times are a float or (n,). NumPy arrays come back as NumPy arrays (no
    gradients), tensors as tensors (differentiable); what comes back has the dtype and device of `z`.

    Parameters
    ----------
    dim : int
        Dimension D of the state.
    head : {"eigen", "dense"}
        Parametrisation of A. The eigen head is the paper's: D real eigenvalues and P = I + output,
        A = P^-1 diag(l) P.
    affine : bool
        Add an offset: velocity A z + b, so that a cell at z = 0 can move.
    width, depth : int
        Units per hidden layer and number of hidden layers (LeakyReLU).
    seed : int
        Of the initial weights.

    Raises
    ------
    ValueError
        For an unknown head or sizes below 1.

    Notes
    -----
    Source: von Bassewitz et al. 2026, arXiv:2510.02903; sizes, activation and initial weights as in the code
    released with it. The affine lift is ours.
    """

    def __init__(
        self,
        dim: int,
        head: str = "eigen",
        affine: bool = False,
        width: int = 96,
        depth: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(dim, width, depth) < 1:
            raise ValueError(f"Expected dim, width and depth of at least 1, got {dim}, {width} and {depth}.")
        self.dim, self.head, self.affine = dim, head, affine
        sizes = [dim + 1, *[width] * depth]
        layers: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for n_in, n_out in pairwise(sizes):
                layers += [_kaiming(nn.Linear(n_in, n_out)), nn.LeakyReLU()]
            last = _kaiming(nn.Linear(width, head_size(head, dim, affine)))
        # Operators start small: at first almost no cell moves.
        last.weight.data *= 0.01
        self.network = nn.Sequential(*layers, last)

    def forward(self, z: Tensor, t: Tensor) -> EigenOperator | DenseOperator:
        """Operators of the cells z (n, D) at the times t (n,): the one place where A is built."""
        return build(self.head, self.network(torch.cat([z, t[:, None]], dim=1)), self.dim)

    def operator(self, z: Array, t: float | Array) -> Array:
        """A(z, t), shape (n, D, D): row i, column j is the influence of coordinate j on the change of i."""
        return self._answer(z, lambda x: self(x, self._times(t, x)).matrix())

    def offset(self, z: Array, t: float | Array) -> Array:
        """b(z, t), shape (n, D); zero without the affine lift."""
        return self._answer(z, lambda x: self(x, self._times(t, x)).offset())

    def velocity(self, z: Array, t: float | Array) -> Array:
        """dz/dt = A(z, t) z + b(z, t), shape (n, D)."""
        return self._answer(z, lambda x: self(x, self._times(t, x)).apply(x))

    def propagate(self, z: Array, t0: float | Array, t1: float | Array, n_steps: int = 1) -> Array:
        """Move cells from t0 to t1 in closed form, the operator frozen during each step.

        Parameters
        ----------
        z : array (n, D)
            Cells at `t0`.
        t0, t1 : float or array (n,)
            Start and end.
        n_steps : int
            Equal steps; the operator is evaluated anew at the start of each. The paper uses one.

        Returns
        -------
        array (n, D)

        Raises
        ------
        ValueError
            For `n_steps` below 1, or states of another dimension.
        """
        if n_steps < 1:
            raise ValueError(f"Expected n_steps of at least 1, got {n_steps}.")

        def move(x: Tensor) -> Tensor:
            start, end = self._times(t0, x), self._times(t1, x)
            dt = (end - start) / n_steps
            for k in range(n_steps):
                x = self(x, start + k * dt).flow(x, dt)
            return x

        return self._answer(z, move)

    def trajectory(self, z: Array, t0: float | Array, times: Array) -> Array:
        """Follow cells through many times with one operator per cell, frozen at the start.

        Parameters
        ----------
        z : array (n, D)
            Cells at `t0`.
        t0 : float or array (n,)
            Start.
        times : array (K,)
            Where to look.

        Returns
        -------
        array (K, n, D)
        """

        def follow(x: Tensor) -> Tensor:
            start = self._times(t0, x)
            targets = torch.as_tensor(times, dtype=x.dtype, device=x.device)
            return self(x, start).flow(x, targets[:, None] - start)

        return self._answer(z, follow)

    def _answer(self, z: Array, compute: Callable[[Tensor], Tensor]) -> Array:
        """Run `compute` on z in the model's dtype and device; give back what came in."""
        weight = self.network[0].weight
        is_tensor = isinstance(z, Tensor)
        x = (z if is_tensor else torch.as_tensor(np.ascontiguousarray(z))).to(weight)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"Expected states of shape (n, {self.dim}), got {tuple(x.shape)}: this model was built for "
                f"{self.dim} dimensions; use the Snapshots it was trained on, or CellMNN(dim={x.shape[-1]})."
            )
        if is_tensor:
            return compute(x).to(z)
        with torch.no_grad():
            result = compute(x).cpu().numpy()
        return result.astype(np.result_type(np.asarray(z), np.float32), copy=False)

    @staticmethod
    def _times(t: float | Array, x: Tensor) -> Tensor:
        return torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))


def _kaiming(layer: nn.Linear) -> nn.Linear:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")
    nn.init.zeros_(layer.bias)
    return layer
