"""Flow matching: a velocity field regressed on the velocities of lines between matched cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model import check_integers
from ..paths import COUPLINGS, PATHS, RENEW, PathSampler
from ..training import check_numbers, one_of
from .field import TRAINING_OPTIONS, Training, VelocityField, move

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..snapshots import Snapshots


class FlowMatching:
    """I-CFM and OT-CFM: no solver in training, and no distance between crowds.

    Parameters
    ----------
    coupling : {"independent", "minibatch", "full"}
        Who is matched with whom: anybody (I-CFM), by the exact plan between the cells drawn (OT-CFM), or by the exact
        plan between the whole snapshots, made once (full OT-CFM; minutes and gigabytes beyond 10,000 cells a time).
        Moments and noise are drawn anew in every step, partners too (those of OT-CFM every `paths.RENEW` steps); the
        code released with Cell-MNN draws all three once for its full OT-CFM, which can make that rival weaker.
    noise_std : float
        Standard deviation of the noise around each line. 0.1, the published setting, is small beside z-scored cells.
    path : {"straight", "spline"}
        Straight lines from time to time, or a natural cubic spline through all times.
    n_steps : int
        Runge-Kutta steps of each call of `propagate`.
    **training
        Options of `Training`.

    Raises
    ------
    ValueError
        For settings out of range.

    Notes
    -----
    Source: Tong et al. 2024, "Improving and generalizing flow-based generative models with minibatch optimal
    transport", arXiv:2302.00482.
    """

    OPTIONS = TRAINING_OPTIONS

    def __init__(
        self, coupling: str, *, noise_std: float = 0.1, path: str = "straight", n_steps: int = 20, **training: Any
    ) -> None:
        check_numbers(0, 1e12, noise_std=noise_std)
        check_integers(1, n_steps=n_steps)
        self.coupling, self.path = one_of("coupling", coupling, COUPLINGS[:3]), one_of("path", path, PATHS)
        self.noise_std, self.n_steps = noise_std, n_steps
        self.training = Training(**training)

    def fit(self, train: Snapshots, seed: int = 0) -> FlowMatching:
        """Train; one seed for initial weights and batches."""
        self.field = self.training.field(train.dim, seed)
        like = next(self.field.parameters())
        options = {"noise_std": self.noise_std, "renew": RENEW}
        paths = PathSampler(train, self.training.batch_size, seed, like, self.coupling, self.path, **options)
        self.history = self.training.run(self.field, FieldMatching(self.field, paths))
        self.steps = self.history.steps
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1; deterministic, and possible outside the training times."""
        return move(self.field, z, t0, t1, self.n_steps)


class FieldMatching:
    """Mean squared difference between the field and the velocities of random points of the paths.

    Its minimum is the mean velocity of the paths that pass through z at t, E[u | z, t].
    """

    def __init__(self, field: VelocityField, paths: PathSampler) -> None:
        self.field, self.paths, self.rng = field, paths, paths.rng

    def __call__(self) -> dict[str, Tensor]:
        """One batch."""
        z, t, velocity = self.paths.points()
        return {"velocity": (self.field(z, t) - velocity).square().mean()}
