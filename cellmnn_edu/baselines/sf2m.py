"""SF2M: flow matching for noisy cells, which move by a Schroedinger bridge between snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..model import check_integers
from ..paths import RENEW, PathSampler
from ..training import check_numbers, one_of
from .field import TRAINING_OPTIONS, Training, VelocityField, as_arrays, move

if TYPE_CHECKING:
    import numpy as np

    from ..snapshots import Snapshots

# Known names of the couplings, as PathSampler calls them.
COUPLINGS = {"exact": "minibatch", "entropic": "entropic", "independent": "independent"}
DYNAMICS = ("sde", "ode")
# A bridge is infinitely steep at its two ends: no points are drawn within this share of a gap.
END = 1e-3


class SF2M:
    """Two networks, the velocity and the score of Brownian bridges between matched cells.

    Cells follow dx = (v + sigma^2 / 2 grad log p) dt + sigma dW, or dx = v dt, which has the same snapshots.

    Parameters
    ----------
    sigma : float
        Diffusion, per square root of a unit of time: over a gap h, a bridge has the variance sigma^2 h s (1 - s) at the
        share s of the gap. 0.1 is the setting of the examples released with the method.
    coupling : {"exact", "entropic", "independent"}
        Between the cells drawn. "entropic", with regularisation 2 sigma^2 h, gives the Schroedinger bridge; "exact"
        (SF2M-Exact) is its limit for small sigma, where the entropic plan takes very long to compute.
    dynamics : {"sde", "ode"}
        How `propagate` moves cells.
    n_steps : int
        Of each call of `propagate`: Euler-Maruyama steps of the SDE, Runge-Kutta steps of the ODE.
    **training
        Options of `Training`.

    Raises
    ------
    ValueError
        For settings out of range.

    Notes
    -----
    Source: Tong et al. 2024, "Simulation-free Schroedinger bridges via score and flow matching", arXiv:2307.03672,
    whose weighting of the score we take.
    """

    OPTIONS = TRAINING_OPTIONS

    def __init__(
        self, *, sigma: float = 0.1, coupling: str = "exact", dynamics: str = "sde", n_steps: int = 50, **training: Any
    ) -> None:
        check_numbers(1e-6, 1e6, sigma=sigma)
        check_integers(1, n_steps=n_steps)
        self.coupling = COUPLINGS[one_of("coupling", coupling, COUPLINGS)]
        self.dynamics = one_of("dynamics", dynamics, DYNAMICS)
        self.sigma, self.n_steps, self.training = sigma, n_steps, Training(**training)

    def fit(self, train: Snapshots, seed: int = 0) -> SF2M:
        """Train both networks together; one seed for initial weights and batches."""
        self.bridge = Bridge(self.training.field(train.dim, seed), self.training.field(train.dim, seed))
        like = next(self.bridge.parameters())
        options = {"diffusion": self.sigma, "renew": RENEW}
        paths = PathSampler(train, self.training.batch_size, seed, like, self.coupling, **options)
        self.history = self.training.run(self.bridge, BridgeMatching(self.bridge, paths, self.sigma))
        self.steps = self.history.steps
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1; the SDE takes its noise from the seed. Backward works, too.

        To draw a path, go on from point to point with new seeds: calls with one seed and other durations share their
        noise at another scale.
        """
        if self.dynamics == "ode":
            return move(self.bridge.flow, z, t0, t1, self.n_steps)
        rng = torch.Generator().manual_seed(int(seed))
        return as_arrays(self.bridge.flow, z, lambda x: self._diffuse(x, t0, t1, rng))

    def _diffuse(self, x: Tensor, t0: float, t1: float, rng: torch.Generator) -> Tensor:
        dt = (t1 - t0) / self.n_steps
        for k in range(self.n_steps):
            t = torch.as_tensor(t0 + k * dt, dtype=x.dtype, device=x.device)
            noise = torch.randn(x.shape, generator=rng).to(x)
            # Backward in time the velocity turns round, and the score does not.
            x = x + dt * self.bridge.flow(x, t) + abs(dt) * self.bridge.pull(x, t) + self.sigma * abs(dt) ** 0.5 * noise
        return x


class Bridge(nn.Module):
    """The velocity `flow` and the `pull` of the score, sigma^2 / 2 grad log p, as one module to train."""

    def __init__(self, flow: VelocityField, pull: VelocityField) -> None:
        super().__init__()
        self.flow, self.pull = flow, pull


class BridgeMatching:
    """Regress both networks on Brownian bridges around the lines between matched cells."""

    def __init__(self, bridge: Bridge, paths: PathSampler, sigma: float) -> None:
        self.bridge, self.paths, self.sigma, self.rng = bridge, paths, sigma, paths.rng

    def __call__(self) -> dict[str, Tensor]:
        """One batch."""
        z, t, velocity, noise, spread = self.points()
        flow_miss = (self.bridge.flow(z, t) - velocity).square().mean()
        # The score of a bridge is -noise / spread; times spread, it is of order 1 everywhere.
        score_miss = (2 * spread / self.sigma**2 * self.bridge.pull(z, t) + noise).square().mean()
        return {"flow": flow_miss, "score": score_miss}

    def points(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Cells (M, D), times (M,), velocities (M, D), noise (M, D) and its standard deviation (M, 1)."""
        paths, chain = self.paths, self.paths.draw()
        gap = torch.arange(len(chain) - 1, device=chain.device)
        s = END + (1 - 2 * END) * paths.uniform(len(gap), paths.n)
        line, pace = paths.at(chain, gap, s)
        length = (paths.times[1:] - paths.times[:-1])[:, None, None]
        noise, share = paths.normal(*line.shape), s[..., None]
        spread = self.sigma * (length * share * (1 - share)).sqrt()
        # A bridge keeps its noise and widens, then narrows: d(spread)/dt / spread = (1 - 2 s) / (2 h s (1 - s)).
        velocity = pace + (1 - 2 * share) / (2 * length * share * (1 - share)) * spread * noise
        parts = line + spread * noise, paths.clock(gap, s), velocity, noise, spread
        return tuple(part.flatten(0, 1) for part in parts)
