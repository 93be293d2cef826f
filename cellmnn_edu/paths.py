"""Lines through snapshots: cells of neighbouring times are matched, and a path is laid through each chain of partners.

Regressing on the velocities of such paths is flow matching; it needs no solver and no distance between crowds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from .metrics import transport_plan

if TYPE_CHECKING:
    from .snapshots import Snapshots

COUPLINGS = ("independent", "minibatch", "full", "entropic")
PATHS = ("straight", "spline")
# Largest error of the marginals of an entropic plan (root of the sum of squares), and rounds to reach it.
SINKHORN_ERROR = 1e-5
MAX_SINKHORN = 10_000
# Training steps for which partners found by a plan are kept: to find them takes longer than all the rest of a step.
# Moments and noise are new in every step.
RENEW = 4


class PathSampler:
    """Draws chains of matched cells through all training times, and points on their paths.

    Parameters
    ----------
    train : Snapshots
        At least two times; nothing else is looked at.
    batch_size : int
        Chains per draw.
    seed : int
        Of the draws.
    like : Tensor
        Dtype and device of what is drawn.
    coupling : {"independent", "minibatch", "full", "entropic"}
        Partners at random; by the exact plan between the cells drawn; from the exact plan between the whole
        snapshots, computed once; or from the entropic plan between the cells drawn, which is the Schroedinger bridge
        of a Brownian motion with this `diffusion`. Plans are for the squared Euclidean cost.
    path : {"straight", "spline"}
        Straight lines from time to time, or one natural cubic spline through all times.
    noise_std : float
        Standard deviation of Gaussian noise on the points (not on the velocities).
    diffusion : float
        Of the entropic coupling: sigma in dx = sigma dW, per square root of a unit of time. Its regularisation is
        2 sigma^2 (t_next - t), so that a longer gap blurs partners more.
    renew : int
        Draws for which chains are kept where a plan is solved for them ("minibatch", "entropic").

    Raises
    ------
    ValueError
        For an unknown coupling or path, an entropic coupling without diffusion, or fewer than two times.

    Notes
    -----
    Sources: Lipman et al. 2023, arXiv:2210.02747, and Tong et al. 2024, arXiv:2302.00482, for the straight paths;
    the spline is as in multi-marginal flow matching (Rohbeck et al. 2025).
    """

    def __init__(
        self,
        train: Snapshots,
        batch_size: int,
        seed: int,
        like: Tensor,
        coupling: str = "minibatch",
        path: str = "straight",
        noise_std: float = 0.0,
        diffusion: float = 0.0,
        renew: int = 1,
    ) -> None:
        if coupling not in COUPLINGS or path not in PATHS:
            raise ValueError(
                f"Expected coupling one of {', '.join(COUPLINGS)} and path one of {', '.join(PATHS)}; got {coupling!r} "
                f"and {path!r}."
            )
        if len(train.times) < 2:
            raise ValueError("Expected snapshots of at least two times: one snapshot has no partner.")
        if coupling == "entropic" and not diffusion > 0:
            raise ValueError(f"Expected a positive diffusion for the entropic coupling, got {diffusion!r}.")
        self.rng, self.seed = torch.Generator().manual_seed(int(seed)), int(seed)
        # Chains follow from the seed and the number of draws, so that a resumed run draws those that it had.
        self.renew, self.draws, self.kept = renew, 0, (-1, None)
        self.states = [torch.tensor(state, dtype=like.dtype, device=like.device) for state in train.states]
        self.times = torch.as_tensor(train.times).to(like)
        self.n, self.coupling, self.noise_std = batch_size, coupling, noise_std
        self.knot_weights = torch.as_tensor(_spline_slopes(train.times)).to(like) if path == "spline" else None
        self.reg = 2 * diffusion**2 * np.diff(train.times)
        self.plans = [_row_plan(x, y) for x, y in pairwise(train.states)] if coupling == "full" else []

    def draw(self) -> Tensor:
        """Chains (T, n, D): row k of every time belongs to the same chain."""
        block, self.draws = self.draws // self.renew, self.draws + 1
        if self.renew == 1 or self.coupling not in ("minibatch", "entropic"):
            return self._draw(self.rng)
        if block != self.kept[0]:
            own = int(np.random.SeedSequence((self.seed, block)).generate_state(1)[0])
            self.kept = block, self._draw(torch.Generator().manual_seed(own))
        return self.kept[1]

    def _draw(self, rng: torch.Generator) -> Tensor:
        if self.coupling == "full":
            rows = [torch.randint(len(self.states[0]), (self.n,), generator=rng)]
            for plan in self.plans:
                rows.append(_walk(plan, rows[-1], torch.rand(self.n, generator=rng, dtype=torch.float64)))
            return torch.stack([state[row.to(state.device)] for state, row in zip(self.states, rows, strict=True)])
        chain = [draw_cells(state, self.n, rng) for state in self.states]
        if self.coupling != "independent":
            for k in range(1, len(chain)):
                chain[k] = chain[k][self._partners(k - 1, chain[k - 1], chain[k], rng).to(chain[k].device)]
        return torch.stack(chain)

    def _partners(self, gap: int, x: Tensor, y: Tensor, rng: torch.Generator) -> Tensor:
        """Row of y for each row of x, by a plan between these cells."""
        if self.coupling == "minibatch":
            # Between equally many cells the exact plan is an assignment, for which this is the quicker solver.
            return torch.as_tensor(linear_sum_assignment(_costs(x, y))[1])
        plan = torch.as_tensor(_entropic_plan(x, y, self.reg[gap]))
        return torch.multinomial(plan, 1, generator=rng).squeeze(1)

    def at(self, chain: Tensor, gap: Tensor, fraction: Tensor) -> tuple[Tensor, Tensor]:
        """Points of the paths, and their velocities.

        Parameters
        ----------
        chain : Tensor (T, n, D)
            From `draw`.
        gap : Tensor (M,)
            Between the times `gap` and `gap` + 1.
        fraction : Tensor (M, n)
            How far, from 0 to 1.

        Returns
        -------
        position, velocity : Tensor (M, n, D)
            Velocity per unit of time.
        """
        length = (self.times[gap + 1] - self.times[gap])[:, None, None]
        s = fraction[..., None]
        start, way = chain[gap], chain[gap + 1] - chain[gap]
        if self.knot_weights is None:
            return start + s * way, (way / length).expand_as(start + s)
        slopes = torch.einsum("ij,jnd->ind", self.knot_weights, chain)
        # Cubic Hermite form: the straight line, and a bend that vanishes at both ends.
        first, second = slopes[gap] * length - way, slopes[gap + 1] * length - way
        bend = s * (1 - s) * ((1 - s) * first - s * second)
        turn = (1 - s) * (1 - 3 * s) * first - s * (2 - 3 * s) * second
        return start + s * way + bend, (way + turn) / length

    def points(self) -> tuple[Tensor, Tensor, Tensor]:
        """One random point in every gap of every chain: cells (M, D), times (M,), velocities (M, D)."""
        chain, gap = self.draw(), torch.arange(len(self.times) - 1, device=self.times.device)
        fraction = self.uniform(len(gap), self.n)
        position, velocity = self.at(chain, gap, fraction)
        if self.noise_std > 0:
            position = position + self.noise_std * self.normal(*position.shape)
        return position.flatten(0, 1), self.clock(gap, fraction).flatten(), velocity.flatten(0, 1)

    def clock(self, gap: Tensor, fraction: Tensor) -> Tensor:
        """Times (M, n) of the points at these fractions (M, n) of the gaps (M,)."""
        start, end = self.times[gap, None], self.times[gap + 1, None]
        return start + fraction * (end - start)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal random numbers, drawn on the CPU as well."""
        return torch.randn(shape, generator=self.rng).to(self.times)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform random numbers; drawn on the CPU, so that every device sees the same ones."""
        return torch.rand(shape, generator=self.rng).to(self.times)


def draw_cells(state: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """N different cells of one snapshot, with replacement only where there are too few.

    The cost does not grow with the size of a large snapshot.
    """
    size = len(state)
    if n > size:
        rows = torch.randint(size, (n,), generator=rng)
    elif size <= 20 * n:
        rows = torch.randperm(size, generator=rng)[:n]
    else:
        rows = torch.randint(size, (n,), generator=rng).unique()
        while len(rows) < n:  # a few were drawn twice
            rows = torch.cat([rows, torch.randint(size, (n - len(rows),), generator=rng)]).unique()
        # unique() sorts, and partners at random must not be partners by their place in the file.
        rows = rows[torch.randperm(n, generator=rng)]
    return state[rows.to(state.device)]


def _spline_slopes(times: np.ndarray) -> np.ndarray:
    """Matrix (T, T) that turns the values of a natural cubic spline at `times` into its slopes there."""
    from scipy.interpolate import CubicSpline

    return CubicSpline(times, np.eye(len(times)), bc_type="natural")(times, 1)


def _row_plan(x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
    """Exact plan between whole snapshots: partners of each row and their cumulative shares, (n, most partners)."""
    plan = transport_plan(x, y, power=2)
    most = int((plan > 0).sum(1).max())
    partners = np.argsort(-plan, axis=1, kind="stable")[:, :most]
    shares = np.cumsum(np.take_along_axis(plan, partners, axis=1), axis=1)
    return torch.as_tensor(shares / shares[:, -1:]), torch.as_tensor(partners)


def _costs(x: Tensor, y: Tensor) -> np.ndarray:
    """Squared Euclidean distances (n, m)."""
    return cdist(*(cells.double().cpu().numpy() for cells in (x, y)), "sqeuclidean")


def _entropic_plan(x: Tensor, y: Tensor, reg: float) -> np.ndarray:
    """Plan (n, m) that minimises mean squared distance minus `reg` times its entropy."""
    import ot

    weights = [np.full(len(cells), 1 / len(cells)) for cells in (x, y)]
    with np.errstate(over="ignore"):  # in the scalings that POT reports beside the plan, unused here
        plan, log = ot.bregman.sinkhorn_log(
            *weights, _costs(x, y), reg, numItermax=MAX_SINKHORN, stopThr=SINKHORN_ERROR, log=True,
            warn=False,
        )  # fmt: skip
    if not log["err"][-1] <= SINKHORN_ERROR:
        raise RuntimeError(
            f"The entropic plan of {len(x)} cells with regularisation {reg:g} did not converge in {MAX_SINKHORN} "
            'rounds: take a larger diffusion, or the coupling "minibatch", which is the limit for small ones.'
        )
    return plan


def _walk(plan: tuple[Tensor, Tensor], rows: Tensor, drawn: Tensor) -> Tensor:
    """One partner of every row, with its share of the plan as its probability; `drawn` is uniform."""
    shares, partners = plan
    picks = (drawn[:, None] >= shares[rows]).sum(1)
    return partners[rows, picks]
