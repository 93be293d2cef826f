"""Rivals of Cell-MNN under one protocol: ``fit(train, seed).propagate(z, t0, t1, seed)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .cell_mnn import CellMNNMethod
from .ot_interpolation import OTInterpolation
from .persistence import Persistence

if TYPE_CHECKING:
    import numpy as np

    from ..snapshots import Snapshots

METHODS = {
    "persistence": Persistence,
    "ot-interpolation": OTInterpolation,
    "cell-mnn": CellMNNMethod,
}


class Method(Protocol):
    """What every method can do; `steps` is the number of optimiser steps its fit took."""

    steps: int

    def fit(self, train: Snapshots, seed: int = 0) -> Method:
        """Learn from the training snapshots."""
        ...

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1."""
        ...


def get(name: str, **options: Any) -> Method:
    """One method by name.

    Parameters
    ----------
    name : {"persistence", "ot-interpolation", "cell-mnn"}
        Which.
    **options
        Settings of the method; for "cell-mnn" those of `CellMNN` and `fit`.

    Returns
    -------
    Method
        Not yet fitted.

    Raises
    ------
    ValueError
        For an unknown name or option.
    """
    if name not in METHODS:
        raise ValueError(f"Expected one of the methods {', '.join(METHODS)}; got {name!r}.")
    if options and name != "cell-mnn":
        raise ValueError(f"{name} takes no options, got {sorted(options)}: leave them out.")
    return METHODS[name](**options)
