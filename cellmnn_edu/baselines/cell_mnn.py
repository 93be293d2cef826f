"""Cell-MNN under the protocol of its rivals."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import training
from ..loop import finished
from ..model import CellMNN, check_integers

if TYPE_CHECKING:
    from ..snapshots import HeldOut, Snapshots

MODEL_OPTIONS = tuple(signature(CellMNN).parameters)[1:]
FIT_OPTIONS = tuple(signature(training.fit).parameters)[2:]
# What `fit` and `leave_one_out` give themselves.
NOT_OPTIONS = {"dim", "seed", "leaky_stopping"}
# Steps of a move where operators were trained on velocities: they hold for a moment, not for a gap.
MATCHING_STEPS = 20


class CellMNNMethod:
    """Builds a CellMNN of the snapshots' dimension, trains it and moves cells with it.

    Parameters
    ----------
    n_steps : int, optional
        Steps of `CellMNN.propagate`. By default what the last objective has trained for: 20 for "flow-matching",
        else 1.
    finetune_steps : int
        Steps of the objective "mmd", with the same other settings, after those of `objective`.
    n_models : int
        Models of an ensemble, whose displacements are averaged. Seed s trains with the seeds s * n_models,
        s * n_models + 1, and so on, so that ensembles of different seeds share no model.
    **options
        head, affine, width, depth, time_range of `CellMNN`; everything `fit` takes except seed and leaky_stopping.

    Raises
    ------
    ValueError
        For an unknown option, or a checkpoint where more than one run would have to share it.

    Notes
    -----
    Source: von Bassewitz et al. 2026, arXiv:2510.02903. Fine-tuning and ensembles are ours.
    """

    OPTIONS = tuple(name for name in (*MODEL_OPTIONS, *FIT_OPTIONS) if name not in NOT_OPTIONS)

    def __init__(
        self, *, n_steps: int | None = None, finetune_steps: int = 0, n_models: int = 1, **options: Any
    ) -> None:
        check_integers(1, n_models=n_models, n_steps=1 if n_steps is None else n_steps)
        check_integers(0, finetune_steps=finetune_steps)
        if unknown := set(options) - set(self.OPTIONS):
            raise ValueError(
                f"Unknown options {sorted(unknown)} for cell-mnn; expected some of {sorted(self.OPTIONS)}."
            )
        if options.get("checkpoint") is not None and (n_models > 1 or finetune_steps):
            raise ValueError(
                "Expected no checkpoint for an ensemble or with fine-tuning: several runs cannot share one file."
            )
        self.n_models, self.finetune_steps = n_models, finetune_steps
        self.model_options = {key: options[key] for key in options if key in MODEL_OPTIONS}
        self.fit_options = {key: options[key] for key in options if key in FIT_OPTIONS}
        last = "mmd" if finetune_steps else self.fit_options.get("objective", "mmd")
        self.n_steps = n_steps or (MATCHING_STEPS if last == "flow-matching" else 1)

    def fit(self, train: Snapshots, seed: int = 0, leak: HeldOut | None = None) -> CellMNNMethod:
        """Train; one seed for initial weights and batches.

        With `leak`, stopping watches the W1 on these held-out cells, as published code does (patience 10 unless
        another one was chosen): only to measure what that is worth.
        """
        settings = dict(self.fit_options)
        if leak is not None:
            settings = {"patience": training.PRESETS["paper"]["patience"], **settings, "leaky_stopping": leak}
        self.models, self.histories = [], []
        for own in range(seed * self.n_models, (seed + 1) * self.n_models):
            model = CellMNN(train.dim, seed=own, **self.model_options)
            self.histories.append(finished(training.fit(model, train, seed=own, **settings)))
            if self.finetune_steps:
                tuned = {**settings, "objective": "mmd", "steps": self.finetune_steps}
                self.histories.append(finished(training.fit(model, train, seed=own, **tuned)))
            self.models.append(model)
        self.model, self.history = self.models[0], self.histories[0]
        self.steps = sum(history.steps for history in self.histories)
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1; deterministic."""
        # The mean displacement is the mean of the places, as all start from z.
        return np.mean([model.propagate(z, t0, t1, n_steps=self.n_steps) for model in self.models], axis=0)
