"""Distances between clouds of cells, and how far apart two samples of one cloud already are."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# POT's default of 1e5 pivots does not converge for a few thousand cells: it warns and returns a wrong value.
MAX_PIVOTS = 2_000_000


class NoiseFloor(NamedTuple):
    """W1 between two samples of the same population: mean, and the range of 95 % of the pairs."""

    mean: float
    low: float
    high: float


def _clouds(x: ArrayLike | torch.Tensor, y: ArrayLike | torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Check two clouds before any distance: POT returns 0, not an error, for NaN."""
    clouds = []
    for name, cloud in (("first", x), ("second", y)):
        values = cloud.detach().cpu().double().numpy() if isinstance(cloud, torch.Tensor) else np.asarray(cloud)
        if values.dtype.kind not in "fiub":
            raise ValueError(f"Expected the {name} cloud as an array of real numbers, got {values.dtype}.")
        if values.ndim != 2 or values.size == 0:
            raise ValueError(
                f"Expected the {name} cloud as a non-empty array (cells, dimensions), got shape {values.shape}."
            )
        if not np.isfinite(values).all():
            raise ValueError(
                f"The {name} cloud holds NaN or inf in {(~np.isfinite(values)).any(1).sum()} of {len(values)} cells: "
                "a distance to them does not exist. Look where they arose (an exploding model?)."
            )
        clouds.append(np.ascontiguousarray(values, dtype=float))
    if clouds[0].shape[1] != clouds[1].shape[1]:
        raise ValueError(
            f"Expected two clouds in the same space, got {clouds[0].shape[1]} and {clouds[1].shape[1]} dimensions: "
            "encode both with the same Snapshots."
        )
    return clouds[0], clouds[1]


def transport_plan(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Exact optimal coupling of two clouds for the Euclidean cost, uniform weights.

    Parameters
    ----------
    x : array_like (n, D)
        Cells that give the mass 1/n each.
    y : array_like (m, D)
        Cells that receive the mass 1/m each.

    Returns
    -------
    ndarray (n, m)
        Plan whose rows sum to 1/n and columns to 1/m.

    Raises
    ------
    ValueError
        For empty, non-finite or mismatched clouds.
    RuntimeError
        If the network simplex did not converge.
    """
    plan, _ = _solve(*_clouds(x, y))
    return plan


def wasserstein(x: ArrayLike, y: ArrayLike) -> float:
    """W1, the exact earth mover's distance: Euclidean ground cost, uniform weights.

    Parameters
    ----------
    x, y : array_like (n, D), (m, D)
        Two clouds of cells in the same coordinates.

    Returns
    -------
    float
        In the unit of the coordinates. Two clouds in differently fitted coordinates have different units.

    Raises
    ------
    ValueError
        For empty, non-finite or mismatched clouds.
    RuntimeError
        If the network simplex did not converge.
    """
    _, cost = _solve(*_clouds(x, y))
    return cost


def _solve(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    import ot  # slow to import, and only distances need it
    from scipy.spatial.distance import cdist  # ot.dist is off by 1e-8 for cells that coincide

    with warnings.catch_warnings():
        # Reported below, as an error: a distance that did not converge is no distance.
        warnings.simplefilter("ignore")
        plan, log = ot.emd([], [], cdist(x, y), numItermax=MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(
            f"Optimal transport between {len(x)} and {len(y)} cells did not converge in {MAX_PIVOTS} pivots "
            f"({log['warning']}). Compare random subsets of at most 10 000 cells."
        )
    return plan, float(log["cost"])


def laplace_kernel(x: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
    """Laplace kernel exp(-mean_d |x_d - y_d| / bandwidth) of every pair.

    Parameters
    ----------
    x, y : Tensor (..., n, D), (..., m, D)
        Clouds; leading dimensions are broadcast.
    bandwidth : float
        Mean absolute difference per dimension at which the kernel has fallen to 1/e.

    Returns
    -------
    Tensor (..., n, m)
    """
    return torch.exp(torch.cdist(x, y, p=1) * (-1 / (x.shape[-1] * bandwidth)))


def mmd(x: ArrayLike, y: ArrayLike, bandwidth: float = 1.0) -> float:
    """Squared maximum mean discrepancy, biased V-statistic, Laplace kernel: the quantity the loss adds up.

    Parameters
    ----------
    x, y : array_like (n, D), (m, D)
        Two clouds of cells in the same coordinates.
    bandwidth : float
        Width of the kernel, see `laplace_kernel`.

    Returns
    -------
    float
        mean k(x,x') + mean k(y,y') - 2 mean k(x,y), zero for identical clouds and never negative.

    Raises
    ------
    ValueError
        For empty, non-finite or mismatched clouds, or a bandwidth that is not positive.

    Notes
    -----
    Source: Gretton et al. 2012, JMLR 13:723, equation 5, for the biased statistic.
    """
    if not 0 < bandwidth < np.inf:
        raise ValueError(f"Expected a positive bandwidth, got {bandwidth}.")
    a, b = (torch.from_numpy(cloud) for cloud in _clouds(x, y))
    within = _mean_kernel(a, a, bandwidth) + _mean_kernel(b, b, bandwidth)
    return max(0.0, within - 2 * _mean_kernel(a, b, bandwidth))


def _mean_kernel(x: torch.Tensor, y: torch.Tensor, bandwidth: float) -> float:
    # In slices, so that 100 000 cells need megabytes and not gigabytes.
    sums = [laplace_kernel(part, y, bandwidth).sum().item() for part in x.split(1024)]
    return sum(sums) / (len(x) * len(y))


def noise_floor(truth: ArrayLike, n_first: int, n_second: int, n_repeats: int = 20, seed: int = 0) -> NoiseFloor:
    """W1 that two samples of the truth would have: below it no method can be told from a perfect one.

    The truth is known only through one sample, so two samples of the full size cannot be drawn from it.
    Disjoint halves and quarters can: their mean W1 gives a power law in the sample size, which is followed out
    to the sizes of the comparison (for unequal sizes, to their harmonic mean).

    Parameters
    ----------
    truth : array_like (n, D)
        The observed cells, at least 8.
    n_first, n_second : int
        Sizes of the two samples to imagine: of the prediction and of the truth.
    n_repeats : int
        Random splits.
    seed : int
        Of the splits.

    Returns
    -------
    NoiseFloor
        mean, low, high: the extrapolated mean, and the range for 95 % of such pairs, from the spread of the
        quarters. (A test draws fresh pairs of small samples in 5 dimensions: at least 85 % must fall inside.)

    Raises
    ------
    ValueError
        For fewer than 8 cells, or sizes or repeats below 1.
    """
    cells, _ = _clouds(truth, truth)
    if len(cells) < 8 or min(n_first, n_second, n_repeats) < 1:
        raise ValueError(
            f"Expected at least 8 cells and positive sample sizes, got {len(cells)} cells, {n_first} and {n_second}, "
            f"{n_repeats} repeats: "
            "with fewer cells there are no quarters to compare."
        )
    # Beyond 1000 cells a half the power law is well known and the exact solution is slow.
    half = min(len(cells) // 2, 1000)
    quarter = half // 2
    rng = np.random.default_rng(seed)
    halves, quarters = [], []
    for _ in range(n_repeats):
        shuffled = rng.permutation(cells)
        halves.append(wasserstein(shuffled[:half], shuffled[half : 2 * half]))
        parts = [shuffled[k * quarter : (k + 1) * quarter] for k in range(4)]
        quarters += [wasserstein(parts[0], parts[1]), wasserstein(parts[2], parts[3])]
    if not np.mean(halves) * np.mean(quarters) > 0:
        return NoiseFloor(0.0, 0.0, 0.0)
    rate = np.log(np.mean(quarters) / np.mean(halves)) / np.log(half / quarter)
    size = 2 / (1 / n_first + 1 / n_second)
    mean = float(np.mean(halves) * (half / size) ** rate)
    # Variances fall like 1 / size. Two quarters use half of the cells, which halves what their pairs show.
    spread = float(np.std(quarters) * np.sqrt(2 * quarter / size))
    return NoiseFloor(mean, max(0.0, mean - 1.96 * spread), mean + 1.96 * spread)
