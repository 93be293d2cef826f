"""Distances between clouds of cells, and how far apart two samples of one cloud already are."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

# POT's default of 1e5 pivots does not converge for a few thousand cells: it warns and returns a wrong value.
MAX_PIVOTS = 2_000_000

KERNELS = ("laplace", "gaussian", "energy")


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


def transport_plan(x: ArrayLike, y: ArrayLike, power: int = 1) -> np.ndarray:
    """Exact optimal coupling of two clouds, uniform weights.

    Parameters
    ----------
    x : array_like (n, D)
        Cells that give the mass 1/n each.
    y : array_like (m, D)
        Cells that receive the mass 1/m each.
    power : {1, 2}
        Cost of a pair: their Euclidean distance to this power. With 2, straight lines between partners are the
        path of least energy.

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
    plan, _ = _solve(*_clouds(x, y), power)
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
    _, cost = _solve(*_clouds(x, y), 1)
    return cost


def _solve(x: np.ndarray, y: np.ndarray, power: int) -> tuple[np.ndarray, float]:
    import ot  # slow to import, and only distances need it
    from scipy.spatial.distance import cdist  # ot.dist is off by 1e-8 for cells that coincide

    with warnings.catch_warnings():
        # Reported below, as an error: a distance that did not converge is no distance.
        warnings.simplefilter("ignore")
        plan, log = ot.emd([], [], cdist(x, y) ** power, numItermax=MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(
            f"Optimal transport between {len(x)} and {len(y)} cells did not converge in {MAX_PIVOTS} pivots "
            f"({log['warning']}). Compare random subsets of at most 10 000 cells."
        )
    return plan, float(log["cost"])


def kernel_matrix(
    x: torch.Tensor, y: torch.Tensor, bandwidth: float | Sequence[float] = 1.0, kernel: str = "laplace"
) -> torch.Tensor:
    """Similarity of every pair of cells.

    Parameters
    ----------
    x, y : Tensor (..., n, D), (..., m, D)
        Clouds; leading dimensions are broadcast.
    bandwidth : float or sequence of float
        Difference per dimension at which the kernel has fallen to 1/e (laplace) or exp(-1/2) (gaussian). Several
        bandwidths give the mean of their kernels.
    kernel : {"laplace", "gaussian", "energy"}
        ``exp(-mean_d |x_d - y_d| / s)``, ``exp(-mean_d (x_d - y_d)^2 / (2 s^2))``, or ``-|x - y|``, which turns the
        MMD into the energy distance and has no bandwidth.

    Returns
    -------
    Tensor (..., n, m)

    Raises
    ------
    ValueError
        For an unknown kernel.
    """
    if kernel == "energy":
        return -torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    widths = [bandwidth] if isinstance(bandwidth, (int, float, np.number)) else bandwidth
    if kernel == "laplace":
        far = torch.cdist(x, y, p=1)
        kernels = [torch.exp(far * (-1 / (width * x.shape[-1]))) for width in widths]
    elif kernel == "gaussian":
        # Not through cdist: its square root has no gradient where two cells coincide.
        far = (x[..., :, None, :] - y[..., None, :, :]).square().mean(-1)
        kernels = [torch.exp(far * (-0.5 / width**2)) for width in widths]
    else:
        raise ValueError(f"Expected kernel to be one of {', '.join(KERNELS)}; got {kernel!r}.")
    return kernels[0] if len(kernels) == 1 else torch.stack(kernels).mean(0)


def median_bandwidth(x: ArrayLike, seed: int = 0) -> float:
    """Median over pairs of cells of the mean absolute difference per dimension, from at most 1000 cells.

    Parameters
    ----------
    x : array_like (n, D)
        Cells; not those that are held out.
    seed : int
        Of the choice of 1000.

    Returns
    -------
    float
        A bandwidth for the Laplace kernel, the "median heuristic".
    """
    from scipy.spatial.distance import pdist

    cells, _ = _clouds(x, x)
    cells = np.random.default_rng(seed).permutation(cells)[:1000]
    median = float(np.median(pdist(cells, "cityblock"))) / cells.shape[1] if len(cells) > 1 else 0.0
    if median == 0:
        raise ValueError("At least half of the pairs of cells are equal: their median is no bandwidth, give one.")
    return median


def mmd(
    x: ArrayLike,
    y: ArrayLike,
    bandwidth: float | Sequence[float] = 1.0,
    kernel: str = "laplace",
    unbiased: bool = False,
) -> float:
    """Squared maximum mean discrepancy: the quantity the loss adds up.

    Parameters
    ----------
    x, y : array_like (n, D), (m, D)
        Two clouds of cells in the same coordinates.
    bandwidth : float or sequence of float
        Width of the kernel, see `kernel_matrix`.
    kernel : {"laplace", "gaussian", "energy"}
        See `kernel_matrix`.
    unbiased : bool
        Leave out each cell's similarity to itself (U-statistic). By default it is counted (V-statistic), as in the
        paper.

    Returns
    -------
    float
        mean k(x,x') + mean k(y,y') - 2 mean k(x,y). The V-statistic is zero for identical clouds and never negative;
        the U-statistic is zero on average for two samples of one population, and so at times negative.

    Raises
    ------
    ValueError
        For empty, non-finite or mismatched clouds, a bandwidth that is not positive, or one cell and ``unbiased``.

    Notes
    -----
    Source: Gretton et al. 2012, JMLR 13:723, equations 3 (unbiased) and 5 (biased).
    """
    check_bandwidth(bandwidth)
    a, b = (torch.from_numpy(cloud) for cloud in _clouds(x, y))
    if unbiased and min(len(a), len(b)) < 2:
        raise ValueError("Expected at least two cells in each cloud for the unbiased MMD: it compares different cells.")
    how = (bandwidth, kernel)
    within = sum(_mean_kernel(cloud, cloud, *how, without_self=unbiased) for cloud in (a, b))
    squared = within - 2 * _mean_kernel(a, b, *how)
    return squared if unbiased else max(0.0, squared)


def check_bandwidth(bandwidth: object) -> None:
    """Raise ValueError unless this is a positive number or a non-empty sequence of them."""
    widths = [bandwidth] if np.ndim(bandwidth) == 0 else list(bandwidth)
    real = all(isinstance(w, (int, float, np.number)) and not isinstance(w, bool) and 0 < w < np.inf for w in widths)
    if not widths or not real:
        raise ValueError(f"Expected a positive bandwidth, or several of them; got {bandwidth!r}.")


def _mean_kernel(
    x: torch.Tensor, y: torch.Tensor, bandwidth: float | Sequence[float], kernel: str, without_self: bool = False
) -> float:
    # In slices, so that 100 000 cells need megabytes and not gigabytes.
    total = sum(kernel_matrix(part, y, bandwidth, kernel).sum().item() for part in x.split(1024))
    if not without_self:
        return total / (len(x) * len(y))
    itself = 0.0 if kernel == "energy" else 1.0
    return (total - itself * len(x)) / (len(x) * (len(x) - 1))


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
