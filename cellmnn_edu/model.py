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

    from .operators import DenseOperator, EigenOperator, RotationalOperator

Array = TypeVar("Array", np.ndarray, Tensor)


class CellMNN(nn.Module):
    """Operator hypernetwork: (z, t) -> A(z, t), and cells moved by exp(A dt).

    States ``z`` have shape (n, D); times are a float or (n,). NumPy arrays come back as NumPy arrays (no
    gradients), tensors as tensors (differentiable); what comes back has the dtype and device of `z`.

    Parameters
    ----------
    dim : int
        Dimension D of the state.
    head : {"eigen", "dense", "rotational"}
        Parametrisation of A. The eigen head is the paper's: D real eigenvalues and P = I + output,
        A = P^-1 diag(l) P. The rotational head has a 2 x 2 block for each pair of coordinates instead, so that
        eigenvalues may be complex; the dense head gives every entry of A.
    affine : bool
        Add an offset: velocity A z + b, so that a cell at z = 0 can move.
    width, depth : int
        Units per hidden layer and number of hidden layers (LeakyReLU).
    seed : int
        Of the initial weights.
    time_range : (float, float), optional
        First and last time, which the network then sees as 0 and 1. By default it sees the times as they are.
        Operators are per unit of real time either way.

    Raises
    ------
    ValueError
        For an unknown head, sizes below 1, or a range that is none.

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
        time_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        check_integers(1, dim=dim, width=width, depth=depth)
        check_integers(0, seed=seed)
        self.dim, self.head, self.affine, self.time_range = int(dim), head, affine, _checked_range(time_range)
        self.width, self.depth, self.seed = int(width), int(depth), int(seed)
        self.network = mlp(dim + 1, head_size(head, dim, affine), width, depth, seed)

    @classmethod
    def paper(cls, dim: int, seed: int = 0) -> CellMNN:
        """The model of the paper: eigen head without offset, 4 x 96 units, time as it is labelled."""
        return cls(dim, head="eigen", affine=False, width=96, depth=4, seed=seed)

    def extra_repr(self) -> str:
        """What was chosen: for `print`, and for checkpoints, which refuse another model."""
        names = ("dim", "head", "affine", "width", "depth", "seed", "time_range")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def forward(self, z: Tensor, t: Tensor) -> EigenOperator | DenseOperator | RotationalOperator:
        """Operators of the cells z (n, D) at the times t (n,): the one place where A is built."""
        if self.time_range is not None:
            first, last = self.time_range
            t = (t - first) / (last - first)
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
        check_integers(1, n_steps=n_steps)

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
            if targets.ndim != 1 or not torch.isfinite(targets).all():
                raise ValueError(f"Expected times of shape (K,), all finite; got shape {tuple(targets.shape)}.")
            return self(x, start).flow(x, targets[:, None] - start)

        return self._answer(z, follow)

    def _answer(self, z: Array, compute: Callable[[Tensor], Tensor]) -> Array:
        """Run `compute` on z in the model's dtype and device; give back what came in."""
        weight = self.network[0].weight
        is_tensor = isinstance(z, Tensor)
        values = z if is_tensor else np.ascontiguousarray(z)
        if not is_tensor and values.dtype.kind not in "fiub":
            raise ValueError(f"Expected states as an array of real numbers, got {type(z).__name__} of {values.dtype}.")
        # A copy of an array: those that are mapped from a file cannot be written.
        x = values.to(weight) if is_tensor else torch.tensor(values).to(weight)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"Expected states of shape (n, {self.dim}), got {tuple(x.shape)}: this model was built for "
                f"{self.dim} dimensions; use the Snapshots it was trained on, or CellMNN(dim={x.shape[-1]})."
            )
        if is_tensor:
            return compute(x).to(z if z.is_floating_point() else x)
        with torch.no_grad():
            result = compute(x).cpu().numpy()
        return result.astype(np.result_type(np.asarray(z), np.float32), copy=False)

    @staticmethod
    def _times(t: float | Array, x: Tensor) -> Tensor:
        try:
            times = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"Expected a time as a number, or one per cell; got {t!r}.") from None
        if times.ndim > 1 or (times.ndim == 1 and len(times) != len(x)):
            raise ValueError(f"Expected one time, or {len(x)} times (one per cell); got shape {tuple(times.shape)}.")
        if not torch.isfinite(times).all():
            raise ValueError("Expected finite times, got NaN or inf.")
        return times.expand(len(x))


def mlp(n_in: int, n_out: int, width: int = 96, depth: int = 4, seed: int = 0) -> nn.Sequential:
    """The network of every method that learns: LeakyReLU layers whose first answers are close to zero.

    Parameters
    ----------
    n_in, n_out : int
        Numbers that go in and come out.
    width, depth : int
        Units per hidden layer and number of hidden layers.
    seed : int
        Of the initial weights (Kaiming; biases zero; the last layer times 0.01).

    Returns
    -------
    Sequential
    """
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        for before, after in pairwise([n_in, *[width] * depth]):
            layers += [_kaiming(nn.Linear(before, after)), nn.LeakyReLU()]
        last = _kaiming(nn.Linear(width, n_out))
    # Start small: at first almost no cell moves.
    last.weight.data *= 0.01
    return nn.Sequential(*layers, last)


def check_integers(least: int, **values: object) -> None:
    """Raise ValueError unless every value is an integer (no bool) of at least `least`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"Expected {name} to be an integer of at least {least}, got {value!r}.")


def _kaiming(layer: nn.Linear) -> nn.Linear:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")
    nn.init.zeros_(layer.bias)
    return layer


def _checked_range(time_range: tuple[float, float] | None) -> tuple[float, float] | None:
    if time_range is None:
        return None
    first, last = (float(t) for t in time_range)
    if not -float("inf") < first < last < float("inf"):
        raise ValueError(f"Expected time_range as (first, last) with first < last, got {time_range!r}.")
    return first, last
