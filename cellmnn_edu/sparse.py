"""Sparse operators: an entry of A that is zero for every cell and time, because it has to be or because it pays.

In the dense head, A_ij(z, t) = w_ij . h(z, t) + c_ij, with h the last hidden layer: the weights w_ij and c_ij are one
row of the last layer. A row of zeros is an interaction that is nowhere. `restrict` fixes such rows beforehand; `fit`
charges the length of every row off the diagonal and takes a proximal step for it, which makes rows exactly zero. This
is the group lasso of Yuan and Lin 2006 (doi:10.1111/j.1467-9868.2005.00532.x) with the cells as the group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from . import training

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .loop import History
    from .model import CellMNN
    from .snapshots import Snapshots


class _Masked(nn.Module):
    """Rows of a weight or a bias, times 1 or 0."""

    def __init__(self, keep: Tensor) -> None:
        super().__init__()
        self.register_buffer("keep", keep)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.keep.view(-1, *[1] * (weight.ndim - 1))


def restrict(model: CellMNN, allowed: ArrayLike) -> CellMNN:
    """Let only some interactions exist: the other entries of A are zero for every cell and time.

    An offset b(z, t) is not restricted: through it any gene may still speak, unless the model has affine=False.

    Parameters
    ----------
    model : CellMNN
        With the dense head, in gene space; changed in place, before training.
    allowed : array of bool (D, D)
        Rows are targets, columns are regulators. The diagonal is always allowed: everything decays.

    Returns
    -------
    CellMNN
        The same model.

    Raises
    ------
    ValueError
        For another head, another shape, or a model that is restricted already.
    """
    _check_dense(model)
    allowed = np.asarray(allowed)
    if allowed.shape != (model.dim, model.dim) or allowed.dtype != bool:
        raise ValueError(
            f"Expected allowed as booleans, ({model.dim}, {model.dim}), rows targets and columns regulators; "
            f"got {allowed.dtype} of shape {allowed.shape}."
        )
    last = model.network[-1]
    if parametrize.is_parametrized(last):
        raise ValueError("The model is restricted already: combine the masks, or build it anew.")
    keep = torch.ones(last.out_features)
    keep[: model.dim**2] = torch.as_tensor(allowed | np.eye(model.dim, dtype=bool)).flatten().to(keep)
    for name in ("weight", "bias"):
        parametrize.register_parametrization(last, name, _Masked(keep.to(last.bias)))
    return model


def fit(model: CellMNN, train: Snapshots, group: float, seed: int = 0, **options: Any) -> History:
    """Train with a charge of `group` times the length of every interaction's row in the last layer.

    After each step of the optimiser the row of every entry of A off the diagonal gets shorter by lr times `group`, and
    is zero where nothing would be left: the proximal step of the charge. Decay, on the diagonal, is free.

    Parameters
    ----------
    model : CellMNN
        With the dense head, in gene space; trained in place.
    train : Snapshots
        In the same space.
    group : float
        Weight of the charge; 0 for none.
    seed : int
        Of the batches.
    **options
        As in `training.fit`, with a constant learning rate and no ema: an average of nothing and something is no zero.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        For another head, a restricted model, a negative charge, or an option that does not go with it.
    """
    _check_dense(model)
    training.check_numbers(0, 1e12, group=group)
    if parametrize.is_parametrized(model.network[-1]):
        raise ValueError("Expected a model that is not restricted: choose what may exist, or let it be charged for.")
    if options.get("ema") or options.get("schedule", "constant") != "constant":
        raise ValueError("Expected a constant learning rate and ema=0 for a sparse fit: both would undo its zeros.")
    lr = options.get("lr") or training.PRESETS[options.get("preset", "default")]["lr"]

    def shrink(module: nn.Module, _: object = None) -> None:
        if module.training:
            _shorten(module, lr * group)

    # Before each forward pass is after each step of the optimiser.
    hook = model.register_forward_pre_hook(shrink)
    try:
        return training.fit(model, train, seed=seed, **options)
    finally:
        hook.remove()
        _shorten(model, lr * group)


@torch.no_grad()
def _shorten(model: CellMNN, by: float) -> None:
    last, n = model.network[-1], model.dim**2
    share = (1 - by / _lengths(model).clamp(min=1e-12)).clamp(min=0)
    share[:: model.dim + 1] = 1  # the diagonal
    last.weight[:n] *= share[:, None]
    last.bias[:n] *= share


def support(model: CellMNN) -> np.ndarray:
    """Which interactions the model can have, (D, D) of bool: the rows of its last layer that are not zero."""
    _check_dense(model)
    return (_lengths(model).detach().cpu().numpy() > 0).reshape(model.dim, model.dim)


def _check_dense(model: CellMNN) -> None:
    if model.head != "dense":
        raise ValueError(
            f"Expected the dense head, whose outputs are the entries of A; got {model.head!r}: "
            'build the model with CellMNN(dim, head="dense").'
        )


def _lengths(model: CellMNN) -> Tensor:
    """Length of the row of every entry of A, (D * D,)."""
    last, n = model.network[-1], model.dim**2
    return torch.cat([last.weight[:n], last.bias[:n, None]], dim=1).norm(dim=1)
