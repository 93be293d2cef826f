"""Other ways to a gene network from the same snapshots: what a network read off operators has to beat.

Each gives a matrix W (G, G) for the genes ``snaps.genes``, rows are targets, columns are regulators. Except for
`no_dynamics` and `field_jacobian` they see the expression of all genes as measured, not what the components keep of it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.covariance import graphical_lasso, ledoit_wolf, log_likelihood
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from ..linearize import jacobian
from ..metrics import transport_plan
from .genes import lifting

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..snapshots import Snapshots

# Genes up to which the graphical lasso takes its own regularisation by cross-validation (a minute for 200).
LASSO_GENES = 200
# Cells whose Jacobians are held at once.
BATCH = 1024


def expression(snaps: Snapshots) -> list[np.ndarray]:
    """Measured expression of the genes ``snaps.genes``, one array (n_i, G) for each time.

    Raises
    ------
    ValueError
        For coordinates taken from ``obsm``: the genes behind them are not kept.
    """
    if snaps.use_rep is not None:
        raise ValueError(
            f"Expected snapshots that hold the genes, got coordinates from obsm[{snaps.use_rep!r}]: "
            "build Snapshots without use_rep."
        )
    return snaps.raw


def correlation(snaps: Snapshots) -> np.ndarray:
    """Pearson correlation of genes over the cells of all times.

    Parameters
    ----------
    snaps : Snapshots

    Returns
    -------
    ndarray (G, G)
        Symmetric, so it knows no direction; the diagonal, and genes that never change, are 0.

    Raises
    ------
    ValueError
        As in `expression`.
    """
    x, _ = _standardised(snaps)
    return _off_diagonal(x.T @ x / len(x))


def partial_correlation(snaps: Snapshots, alpha: float | str = "cv") -> np.ndarray:
    """Correlation of two genes given all others, -P_ij / sqrt(P_ii P_jj), over the cells of all times.

    Parameters
    ----------
    snaps : Snapshots
    alpha : float or "cv"
        Regularisation of the graphical lasso that estimates the precision P of the standardised genes; 0 inverts
        their correlation. "cv" takes, of 14 values, the one with the best likelihood in five folds of shuffled cells,
        passing over those for which the lasso does not converge; for more than 200 varying genes this would take too
        long, and P is the inverse of the covariance shrunk by Ledoit and Wolf.

    Returns
    -------
    ndarray (G, G)
        Symmetric; the diagonal, and genes that never change, are 0.

    Raises
    ------
    ValueError
        For a negative `alpha`, one too small for the lasso to converge (copies of one gene, fewer cells than
        genes), and as in `expression`.

    Notes
    -----
    Sources: Friedman, Hastie, Tibshirani 2008, doi:10.1093/biostatistics/kxm045; Ledoit, Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4.
    """
    if alpha != "cv" and (isinstance(alpha, str) or not 0 <= alpha < np.inf):
        raise ValueError(f"Expected alpha to be a finite number >= 0 or 'cv', got {alpha!r}.")
    x, varies = _standardised(snaps)
    x = x[:, varies]
    full = np.zeros((len(varies), len(varies)))
    if x.shape[1] < 2:
        return full
    if alpha == "cv" and x.shape[1] > LASSO_GENES:
        precision = np.linalg.inv(ledoit_wolf(x, assume_centered=True)[0])
    else:
        precision = _lasso_by_likelihood(x) if alpha == "cv" else _lasso(_second_moments(x), alpha)
    size = np.sqrt(np.diag(precision))
    full[np.ix_(varies, varies)] = _off_diagonal(-precision / np.outer(size, size))
    return full


def no_dynamics(snaps: Snapshots) -> np.ndarray:
    """V V^T, what the loadings alone say of pairs of genes: a control in which nothing was learned from time.

    It is what `read` gives for operators that are the identity, and does not depend on the signs, the order or a
    rotation of the components. An operator that ranks pairs no better has added nothing.

    Parameters
    ----------
    snaps : Snapshots
        Of principal components.

    Returns
    -------
    ndarray (G, G)
        Symmetric, with its diagonal.

    Raises
    ------
    ValueError
        In gene space, where V V^T is the identity and says nothing, and for coordinates without loadings.
    """
    expression(snaps)
    if snaps.loadings is None:
        raise ValueError(
            "Expected snapshots of principal components, got gene space: there V V^T is the identity, which ranks no "
            "pairs. Leave this control out, or give n_components."
        )
    return snaps.loadings @ snaps.loadings.T


def lagged_regression(snaps: Snapshots, alpha: float = 1.0, n_cells: int = 1000, seed: int = 0) -> np.ndarray:
    """Ridge regression of the change of cells between neighbouring snapshots on their expression.

    An exact plan of least squared distance, between the states (components or genes, scaled as they are in `snaps`),
    gives each cell x a mean partner y in the next snapshot. All genes of (y - x) / (t' - t), in their own units and
    from all pairs of snapshots together, are then an affine function W x + b of all genes of x.

    Parameters
    ----------
    snaps : Snapshots
    alpha : float
        Penalty on the squares of W, beside the sum of squared errors over cells.
    n_cells : int
        Cells of each snapshot at most, drawn without replacement: the plan of 1000 takes half a second.
    seed : int
        Of the draw.

    Returns
    -------
    ndarray (G, G)
        W, per unit of time, with its diagonal. Over long gaps it is nearer to (exp(A dt) - I) / dt than to A.

    Raises
    ------
    ValueError
        For a negative `alpha` or no cells, and as in `expression`.
    """
    raw = expression(snaps)
    if not 0 <= alpha < np.inf or n_cells < 1:
        raise ValueError(f"Expected a finite alpha >= 0 and n_cells >= 1, got alpha={alpha}, n_cells={n_cells}.")
    rng = np.random.default_rng(seed)
    rows = [np.sort(rng.permutation(len(x))[:n_cells]) for x in raw]
    genes = [x[some] for x, some in zip(raw, rows, strict=True)]
    states = [z[some] for z, some in zip(snaps.states, rows, strict=True)]
    change = []
    for k, dt in enumerate(np.diff(snaps.times)):
        plan = transport_plan(states[k], states[k + 1], power=2)
        partner = plan @ genes[k + 1] / plan.sum(1, keepdims=True)
        change.append((partner - genes[k]) / dt)
    return Ridge(alpha=alpha).fit(np.concatenate(genes[:-1]), np.concatenate(change)).coef_


def trees(snaps: Snapshots, n_estimators: int = 100, seed: int = 0) -> np.ndarray:
    """Importance of each gene in a forest that predicts a target from all other genes, cells of all times together.

    Extremely randomised trees, grown to the end, with the square root of the number of genes to choose from at each
    split, as in GENIE3 with its option "ET". No time enters. Minutes for a few hundred genes.

    Parameters
    ----------
    snaps : Snapshots
    n_estimators : int
        Trees for each target.
    seed : int
        Of the trees.

    Returns
    -------
    ndarray (G, G)
        Shares of the target's variance, >= 0 and without a sign; each row adds up to 1, except for genes that never
        change, which have 0, also as regulators. The order of the genes does not matter.

    Raises
    ------
    ValueError
        As in `expression`.

    Notes
    -----
    Sources: GENIE3, Huynh-Thu et al. 2010, doi:10.1371/journal.pone.0012776; GRNBoost2 takes boosted trees, Moerman
    et al. 2019, doi:10.1093/bioinformatics/bty916.
    """
    x, varies = _standardised(snaps)
    # Trees draw genes by position. With the positions sorted by name, the answer belongs to the genes.
    order = [k for k in np.argsort(snaps.genes.astype(str), kind="stable") if varies[k]]
    full = np.zeros((len(varies), len(varies)))
    if len(order) < 2:
        return full
    for target in order:
        others = [k for k in order if k != target]
        forest = ExtraTreesRegressor(n_estimators, max_features="sqrt", random_state=seed, n_jobs=1)
        full[target, others] = forest.fit(x[:, others], x[:, target]).feature_importances_
    return full


def field_jacobian(method: Any, snaps: Snapshots, z: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """Mean Jacobian of a rival's velocity field in gene space, V S J S^-1 V^T.

    Parameters
    ----------
    method : fitted method
        One of `baselines` that keeps a velocity field: "neural-ode", "i-cfm", "ot-cfm", "ot-cfm-full", "mfm", and
        "sf2m", whose field is the drift of the dynamics it moves cells with. Or a field(z, t) itself.
    snaps : Snapshots
        Those it was fitted on.
    z : ndarray (n, D)
        Cells to average over.
    t : float or ndarray (n,)
        Their times.

    Returns
    -------
    ndarray (G, G)
        Per unit of time, between genes in the units of ``snaps.raw``.

    Raises
    ------
    ValueError
        For a method without a field or not yet fitted, and for coordinates without loadings.
    """
    left, right = lifting(snaps)
    field, like = _field(method)
    z = np.asarray(z, dtype=float)
    if z.ndim != 2 or len(z) == 0 or z.shape[1] != snaps.dim or getattr(like, "dim", snaps.dim) != snaps.dim:
        raise ValueError(
            f"Expected cells of shape (n, {snaps.dim}) and a field of that dimension, got cells {z.shape} and a field "
            f"of {getattr(like, 'dim', 'unknown')} dimensions: use the Snapshots the method was fitted on."
        )
    t = np.broadcast_to(np.asarray(t, dtype=float), len(z)).copy()
    # In the dtype and on the device of the network, if it is one.
    weight = next(like.parameters()) if isinstance(like, torch.nn.Module) else torch.zeros((), dtype=torch.float64)
    total = np.zeros((snaps.dim, snaps.dim))
    with torch.no_grad():
        for start in range(0, len(z), BATCH):
            some, times = (torch.as_tensor(v[start : start + BATCH]).to(weight) for v in (z, t))
            total += jacobian(field, some, times).double().sum(0).cpu().numpy()
    return left @ (total / len(z)) @ right


# What needs nothing but the snapshots; "no-dynamics" only where they are components.
PEERS: dict[str, Callable[[Snapshots], np.ndarray]] = {
    "correlation": correlation,
    "partial-correlation": partial_correlation,
    "no-dynamics": no_dynamics,
    "lagged-regression": lagged_regression,
    "trees": trees,
}


def _standardised(snaps: Snapshots) -> tuple[np.ndarray, np.ndarray]:
    """Genes of all cells with mean 0 and standard deviation 1, or 0 throughout; and which ones vary."""
    x = np.concatenate(expression(snaps))
    # Rounding must not count as variation.
    varies = np.ptp(x, axis=0) > 1e-12 * np.abs(x).max(0)
    spread = np.where(varies, x.std(0), 1.0)
    return np.where(varies, (x - x.mean(0)) / spread, 0.0), varies


def _off_diagonal(w: np.ndarray) -> np.ndarray:
    return w - np.diag(np.diag(w))


def _second_moments(x: np.ndarray) -> np.ndarray:
    return x.T @ x / len(x)


def _lasso_by_likelihood(x: np.ndarray) -> np.ndarray:
    """Precision under the regularisation that is best on held-out cells; those that do not converge are passed over."""
    # scikit-learn's own GraphicalLassoCV gives up all small values once one of its path fails, as happens for strongly
    # correlated genes. Shuffled, as snapshots lie one after the other: plain folds would be times.
    whole = _second_moments(x)
    grid = np.abs(_off_diagonal(whole)).max() * np.append(np.geomspace(1, 1e-4, 13), 0)
    likelihood = np.zeros(len(grid))
    for rows, rest in KFold(min(5, len(x)), shuffle=True, random_state=0).split(x):
        train, test = _second_moments(x[rows]), _second_moments(x[rest])
        for k, alpha in enumerate(grid):
            try:
                likelihood[k] += log_likelihood(test, _lasso(train, alpha))
            except ValueError:
                likelihood[k] = -np.inf
    for alpha in grid[np.argsort(-likelihood)]:
        try:
            return _lasso(whole, alpha)
        except ValueError:
            continue
    raise ValueError("The graphical lasso did not converge for any regularisation: drop genes that are alike.")


def _lasso(moments: np.ndarray, alpha: float) -> np.ndarray:
    """Precision, or a ValueError where the lasso did not converge or there is no inverse."""
    try:
        if alpha == 0:
            if np.linalg.matrix_rank(moments, tol=1e-10, hermitian=True) < len(moments):
                raise np.linalg.LinAlgError("the correlation of the genes has no inverse")
            return np.linalg.inv(moments)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            return graphical_lasso(moments, alpha, tol=1e-5, enet_tol=1e-6)[1]
    except (ConvergenceWarning, FloatingPointError, np.linalg.LinAlgError) as reason:
        raise ValueError(
            f"The graphical lasso found no precision with alpha={alpha:.3g} ({reason}): take a larger one, 'cv', or "
            "fewer genes."
        ) from reason


def _field(method: Any) -> tuple[Any, Any]:
    """The velocity field, and what tells its dtype, device and dimension."""
    if hasattr(method, "bridge"):  # SF2M moves cells by flow + pull and noise, or by flow alone
        flow, pull = method.bridge.flow, method.bridge.pull
        return (flow if method.dynamics == "ode" else lambda z, t: flow(z, t) + pull(z, t)), flow
    field = getattr(method, "field", method)
    if not callable(getattr(field, "velocity", field)):
        raise ValueError(
            f"Expected a fitted method that keeps a velocity field, got {type(method).__name__}: fit it first. For "
            "Cell-MNN take read(model, snaps, which='jacobian'); persistence and OT interpolation have no field."
        )
    return field, field
