"""Rivals of Cell-MNN under one protocol: ``fit(train, seed).propagate(z, t0, t1, seed)``.

Rivals that learn have the same network size, steps, learning rate and loop as Cell-MNN by default, and the same options
to change them (`field.Training`).
"""

from __future__ import annotations

from functools import partial
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Protocol

from .cell_mnn import CellMNNMethod
from .flow_matching import FlowMatching
from .mean_shift import MeanShift
from .mfm import MetricFlowMatching
from .neural_ode import NeuralODE
from .ot_interpolation import OTInterpolation
from .persistence import Persistence
from .sf2m import SF2M

if TYPE_CHECKING:
    import numpy as np

    from ..snapshots import Snapshots

METHODS = {
    "persistence": Persistence,
    "mean-shift": MeanShift,
    "ot-interpolation": OTInterpolation,
    "neural-ode": NeuralODE,
    "i-cfm": partial(FlowMatching, "independent"),
    "ot-cfm": partial(FlowMatching, "minibatch"),
    "ot-cfm-full": partial(FlowMatching, "full"),
    "sf2m": SF2M,
    "mfm": MetricFlowMatching,
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
    name : {"persistence", "mean-shift", "ot-interpolation", "neural-ode", "i-cfm", "ot-cfm", "ot-cfm-full", "sf2m", \
"mfm", "cell-mnn"}
        Which.
    **options
        Settings of the method, see `options_of`.

    Returns
    -------
    Method
        Not yet fitted.

    Raises
    ------
    ValueError
        For an unknown name or option, or a setting out of range.
    """
    known = options_of(name)
    if unknown := sorted(set(options) - set(known)):
        if not known:
            raise ValueError(f"{name} takes no options, got {unknown}: leave them out.")
        raise ValueError(f"Unknown options {unknown} for {name}; expected some of {', '.join(known)}.")
    return METHODS[name](**options)


def options_of(name: str) -> tuple[str, ...]:
    """Names of the options of one method: its own, and those of its training.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in METHODS:
        raise ValueError(f"Expected one of the methods {', '.join(METHODS)}; got {name!r}.")
    method = METHODS[name]
    own = [p.name for p in signature(method).parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    return (*own, *getattr(getattr(method, "func", method), "OPTIONS", ()))
