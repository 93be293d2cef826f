"""What the spread of a crowd says about interactions, which the flow of the crowd does not.

Cells that follow dx = f(x) dt + sqrt(D) dW, with independent noise in every gene, form a crowd of density p that
flows with the velocity v = f - D grad log p / 2 (the probability flow of the Fokker-Planck equation). A method that
moves crowds without noise learns v. Where the crowd is close to a Gaussian of covariance C, grad grad log p = -C^-1, so

    J_f = J_v - D C^-1 / 2.

In a crowd that stands still, J_v says nothing and the second term everything. D is not in the snapshots: it has to be
assumed (Weinreb et al. 2018, doi:10.1073/pnas.1714723115).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.mixture import GaussianMixture

from .peers import expression

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..snapshots import Snapshots


def drift_jacobian(flow: ArrayLike, precision: ArrayLike, diffusion: ArrayLike) -> np.ndarray:
    """J_f = J_v - D C^-1 / 2: from the flow of a crowd to what drives its cells.

    Parameters
    ----------
    flow : array (..., G, G)
        Jacobian of the velocity of the crowd.
    precision : array (..., G, G)
        C^-1, inverse covariance of the crowd around the same place.
    diffusion : float or array (G,)
        D: variance of the noise of each gene per unit of time.

    Returns
    -------
    ndarray (..., G, G)
    """
    diffusion = np.asarray(diffusion, dtype=float)
    return np.asarray(flow) - diffusion[..., None] / 2 * np.asarray(precision)


def groups(snaps: Snapshots, most: int = 5, least: int = 50, seed: int = 0) -> list[np.ndarray]:
    """Split every snapshot into roundish groups of cells: a Gaussian mixture, its size chosen by the BIC.

    Parameters
    ----------
    snaps : Snapshots
        With genes (not `use_rep`).
    most : int
        Groups in a snapshot.
    least : int
        Cells of a group; smaller ones are left out, as their covariance is a guess.
    seed : int
        Of the mixtures.

    Returns
    -------
    list of ndarray (n_k, G)
        Expression of the cells of each group.
    """
    found = []
    for cells, state in zip(expression(snaps), snaps.states, strict=True):
        sizes = range(1, min(most, max(1, len(cells) // least)) + 1)
        # Mixtures see the states, which are few and scaled; a tenth of a per cent keeps them from collapsing.
        fits = [GaussianMixture(k, reg_covar=1e-3, random_state=seed).fit(state) for k in sizes]
        label = min(fits, key=lambda fit: fit.bic(state)).predict(state)
        found += [cells[label == k] for k in np.unique(label) if (label == k).sum() >= least]
    if not found:
        raise ValueError(
            f"Expected at least one group of {least} cells, got snapshots of {[len(s) for s in snaps.states]}: "
            "their covariance says little; lower `least` only with few genes."
        )
    return found


def fluctuation_operator(snaps: Snapshots, decay: float = 1.0, **how: int) -> np.ndarray:
    """Interactions from the spread within groups of cells, -D C^-1 / 2, with a noise that is assumed.

    D is what makes every gene relax to what its regulators ask of it at the rate `decay`: D_i = 2 decay / (C^-1)_ii.
    Then an entry off the diagonal is `decay` times the weight of gene j in the regression of gene i on all others.

    Parameters
    ----------
    snaps : Snapshots
        With genes, at least some tens of cells for each.
    decay : float
        Rate at which a gene forgets, per unit of time. One number for all genes: only ratios within a row can be told.
    **how
        As in `groups`.

    Returns
    -------
    ndarray (G, G)
        Mean over the groups, weighted by their cells; -decay on the diagonal. Covariances are shrunk as in Ledoit and
        Wolf 2004. Genes that never change get a row and a column of zeros.

    Notes
    -----
    Near a standing crowd this is the partial correlation within groups, up to scales of rows and columns; it is
    symmetric in its support, and cannot say who regulates whom.
    """
    total, n_cells = 0.0, 0
    for cells in groups(snaps, **how):
        total = total + len(cells) * _regressions(cells)
        n_cells += len(cells)
    return decay * total / n_cells


def _regressions(cells: np.ndarray) -> np.ndarray:
    """-C^-1 / diag(C^-1), from the standardised genes that vary."""
    spread = cells.std(0)
    vary = spread > 1e-9
    scaled = (cells[:, vary] - cells[:, vary].mean(0)) / spread[vary]
    precision = np.linalg.inv(ledoit_wolf(scaled)[0])
    found = np.zeros((cells.shape[1],) * 2)
    weights = -precision / np.diag(precision)[:, None]
    found[np.ix_(vary, vary)] = weights * spread[vary][:, None] / spread[vary]
    return found
