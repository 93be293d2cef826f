"""Cell-MNN under the protocol of its rivals."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from .. import training
from ..model import CellMNN

if TYPE_CHECKING:
    import numpy as np

    from ..snapshots import Snapshots

MODEL_OPTIONS = tuple(signature(CellMNN).parameters)[1:-1]  # without dim and seed
FIT_OPTIONS = tuple(signature(training.fit).parameters)[2:]


class CellMNNMethod:
    """Builds a CellMNN of the snapshots' dimension, trains it and moves cells with it.

    Parameters
    ----------
    n_steps : int
        Steps of `CellMNN.propagate`.
    **options
        head, affine, width, depth of `CellMNN`; everything `fit` takes except seed.

    Raises
    ------
    ValueError
        For an option that neither `CellMNN` nor `fit` knows.
    """

    def __init__(self, n_steps: int = 1, **options: Any) -> None:
        known = {*MODEL_OPTIONS, *FIT_OPTIONS} - {"seed"}
        if unknown := set(options) - known:
            raise ValueError(f"Unknown options {sorted(unknown)} for cell-mnn; expected some of {sorted(known)}.")
        self.n_steps = n_steps
        self.model_options = {key: options[key] for key in options if key in MODEL_OPTIONS}
        self.fit_options = {key: options[key] for key in options if key in FIT_OPTIONS}

    def fit(self, train: Snapshots, seed: int = 0) -> CellMNNMethod:
        """Train; one seed for initial weights and batches."""
        self.model = CellMNN(train.dim, seed=seed, **self.model_options)
        self.history = training.fit(self.model, train, seed=seed, **self.fit_options)
        self.steps = self.history.steps
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1; deterministic."""
        return self.model.propagate(z, t0, t1, n_steps=self.n_steps)
