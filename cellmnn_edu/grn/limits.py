"""How much of a known network can be seen through a few principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from ..snapshots import Snapshots
from .peers import expression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from anndata import AnnData
    from torch import Tensor

    from ..simulate import GeneCircuit

SCORES = ("auroc", "auprc", "sign_accuracy")
# Steps of the searches of the oracle.
STEPS = 600
# Edges, and pairs without, that are compared in one step; of more than these, so many are drawn.
COMPARED = 150


def projection_limits(circuit: GeneCircuit, snaps: Snapshots, n_restarts: int = 8, seed: int = 0) -> dict:
    """Score the true Jacobian of a circuit, what components keep of it, and the best that components could hold.

    A matrix W (G, G) is scored off its diagonal: its absolute value ranks pairs for the edges of ``circuit.network``
    (``auroc``, ``auprc``), and ``sign_accuracy`` is the share of true edges whose sign W has (an entry of 0 has none).

    * ``unprojected``: J, the mean of the true Jacobian over the cells of the snapshots, in the units of the data
      (of log1p(x) for Hill circuits). What a perfect answer in gene space scores.
    * ``projected_truth``: V V^T J V V^T. What perfect knowledge of the dynamics scores once it has passed through the
      components. In states it is S^-1 V^T J V S, and lifting by V S and S^-1 V^T takes the scales S out again. It is
      no bound: a wrong operator may score better, and so may V V^T, which knows no dynamics at all.
    * ``oracle``: the best V M V^T that was found over all D x D matrices M, one M for the ranking and another
      one for the signs. It looks at the answer, so no method can be expected to reach it; what it does not reach, no
      operator of these components is likely to. Both searches climb a smooth stand-in for their score from several
      starts, that for signs also from a logistic regression of the true signs (W is linear in M). They may miss the
      best M: the oracle is what can be reached at least, and runs with other seeds differ by a few hundredths.

    Parameters
    ----------
    circuit : GeneCircuit
        With at least one edge, and one pair without, off the diagonal.
    snaps : Snapshots
        Drawn from it, in principal components fitted there; in gene space all three are J.
    n_restarts : int
        Random starts of each search, and as many that are the best of 50 times as many, beside V^T J V and V^T N V (N
        the network).
    seed : int
        Of the random starts.

    Returns
    -------
    dict
        ``n_components`` (None in gene space), ``projected_truth``, ``oracle``, ``unprojected``: each of the three a
        dict of ``auroc``, ``auprc``, ``sign_accuracy``. The oracle is never below the projected truth.

    Raises
    ------
    ValueError
        For snapshots of other genes or without loadings, or a network in which there is nothing to rank.
    """
    jacobian = mean_jacobian(circuit, snaps)
    network = _rankable(circuit.network)
    axes = np.eye(len(jacobian)) if snaps.loadings is None else snaps.loadings
    rng = np.random.default_rng(seed)
    starts = [axes.T @ jacobian @ axes, axes.T @ network @ axes]
    ranked = _climb(axes, starts, *_ranking(network, rng), n_restarts, rng)
    signed = _climb(axes, [*starts, _logistic(axes, network)], *_signs(network), n_restarts, rng)
    found = [score_matrix(axes @ m @ axes.T, network) for m in (*starts, ranked, signed)]
    projected = found[0]
    return {
        "n_components": snaps.n_components,
        "projected_truth": projected,
        "oracle": {name: max(score[name] for score in found) for name in SCORES},
        "unprojected": score_matrix(jacobian, network),
    }


def limits_table(
    circuit: GeneCircuit,
    data: AnnData | Callable[[int | None], Snapshots],
    components: Iterable[int | None] = range(2, 12),
    n_restarts: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """`projection_limits` for several numbers of components.

    Parameters
    ----------
    circuit : GeneCircuit
    data : AnnData or callable
        Cells drawn from it, as `circuit.snapshots` gives them; or what makes Snapshots of a number of components.
    components : iterable of int or None
        Numbers of components; None is gene space.
    n_restarts, seed
        As in `projection_limits`.

    Returns
    -------
    DataFrame
        One row for each number: ``n_components`` and ``projected_truth_auroc``, ``oracle_auroc``, ... for each of the
        three matrices and scores.

    Raises
    ------
    ValueError
        As in `projection_limits` and `Snapshots.from_anndata`.
    """
    rows = []
    for n_components in components:
        snaps = data(n_components) if callable(data) else Snapshots.from_anndata(data, n_components=n_components)
        limits = projection_limits(circuit, snaps, n_restarts, seed)
        row = {"n_components": limits.pop("n_components")}
        rows.append(row | {f"{what}_{name}": limits[what][name] for what in limits for name in SCORES})
    return pd.DataFrame(rows)


def mean_jacobian(circuit: GeneCircuit, snaps: Snapshots) -> np.ndarray:
    """Mean true Jacobian over the cells of all snapshots, (G, G), in the units of ``snaps.raw``.

    Raises
    ------
    ValueError
        For snapshots of other genes than the circuit's, or in another order, or without genes.
    """
    cells = np.concatenate(expression(snaps))
    if list(snaps.genes) != list(circuit.genes):
        raise ValueError(
            f"Expected snapshots of the circuit's {len(circuit.genes)} genes in their order, got "
            f"{len(snaps.genes)}: {', '.join(map(str, snaps.genes[:5]))} ... Draw them with circuit.snapshots."
        )
    positive = circuit.kinetics.positive  # Hill circuits are measured as log1p(x), the linear one as x
    cells = np.expm1(cells).clip(min=0) if positive else cells
    total = np.zeros((len(circuit.genes),) * 2)
    for some in np.array_split(cells, -(-len(cells) // 512)):
        total += circuit.jacobian(some, log=positive).sum(0)
    return total / len(cells)


def score_matrix(w: np.ndarray, network: np.ndarray) -> dict[str, float]:
    """How one matrix (G, G) fares against a signed network, off the diagonal: auroc, auprc, sign_accuracy."""
    off = _off_diagonal(network)
    values, truth = w[off], network[off]
    # Digits that are rounding must neither break ties nor count as signs.
    values = np.round(values / max(np.abs(values).max(), np.finfo(float).tiny), 12)
    edge = truth != 0
    return {
        "auroc": float(roc_auc_score(edge, np.abs(values))),
        "auprc": float(average_precision_score(edge, np.abs(values))),
        "sign_accuracy": float(np.mean(np.sign(values[edge]) == truth[edge])),
    }


def _rankable(network: np.ndarray) -> np.ndarray:
    there = (network != 0)[_off_diagonal(network)]
    if there.all() or not there.any():
        raise ValueError(
            f"Expected a network with edges and with pairs that have none, got {there.sum()} edges among {there.size} "
            "ordered pairs of different genes: there is nothing to rank."
        )
    return network


def _off_diagonal(network: np.ndarray) -> np.ndarray:
    return ~np.eye(len(network), dtype=bool)


def _ranking(network: np.ndarray, rng: np.random.Generator) -> tuple[Callable, Callable]:
    """AUROC of each of several W (k, G, G), and the share of pairs in the wrong order, made smooth."""
    off = _off_diagonal(network)
    edges, others = (np.argwhere(off & there) for there in (network != 0, network == 0))
    n_edges, is_edge = len(edges), torch.from_numpy((network != 0)[off])

    def auroc(w: Tensor) -> Tensor:
        ranks = w[:, off].abs().argsort(1).argsort(1)[:, is_edge].double()
        return (ranks.sum(1) - n_edges * (n_edges - 1) / 2) / (n_edges * len(others))

    def wrong(w: Tensor) -> Tensor:
        edge, other = (
            w[:, some[:, 0], some[:, 1]].square()
            for some in (pairs[rng.permutation(len(pairs))[:COMPARED]] for pairs in (edges, others))
        )
        return torch.sigmoid(other[:, None, :] - edge[:, :, None]).mean((1, 2))

    return auroc, wrong


def _signs(network: np.ndarray) -> tuple[Callable, Callable]:
    """Share of true edges with the right sign in each of several W (k, G, G), and of wrong ones, made smooth."""
    target, regulator = np.nonzero(network * _off_diagonal(network))
    signs = torch.from_numpy(network[target, regulator].astype(float))

    def right(w: Tensor) -> Tensor:
        return (torch.sign(w[:, target, regulator]) == signs).double().mean(1)

    def wrong(w: Tensor) -> Tensor:
        return torch.sigmoid(-signs * w[:, target, regulator]).mean(1)

    return right, wrong


def _logistic(axes: np.ndarray, network: np.ndarray) -> np.ndarray:
    """M (D, D) of a logistic regression of the signs of the true edges."""
    target, regulator = np.nonzero(network * _off_diagonal(network))
    # w_ij = sum_ab V_ia M_ab V_jb is linear in M.
    features = np.einsum("ea,eb->eab", axes[target], axes[regulator]).reshape(len(target), -1)
    features = features / max(features.std(), 1e-12)
    signs = network[target, regulator]
    # Without an intercept the mirror image changes nothing, but there are always two classes.
    model = LogisticRegression(C=1e4, fit_intercept=False, max_iter=10_000)
    model.fit(np.concatenate([features, -features]), np.concatenate([signs, -signs]))
    return model.coef_.reshape(axes.shape[1], -1)


def _climb(
    axes: np.ndarray,
    starts: list[np.ndarray],
    score: Callable,
    wrong: Callable,
    n_restarts: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """The M with the best score of V M V^T that was met while all of them went down `wrong` together, by Adam."""
    v = torch.from_numpy(np.ascontiguousarray(axes))
    drawn = torch.from_numpy(rng.standard_normal((50 * n_restarts, v.shape[1], v.shape[1])))
    # The best ones, and as many others: they lie in other valleys.
    top = torch.argsort(score(v @ drawn @ v.T), descending=True, stable=True)[:n_restarts]
    m = torch.cat([torch.from_numpy(np.stack(starts)), drawn[top], drawn[:n_restarts]])
    # The size of W is the sharpness of the sigmoids: all start alike.
    m = (m / (v @ m @ v.T).abs().mean((1, 2), keepdim=True)).requires_grad_()
    optimiser = torch.optim.Adam([m], lr=0.1)
    best, height = m[0].detach().clone(), -1.0
    for step in range(STEPS + 1):
        w = v @ m @ v.T
        if step % 10 == 0:
            heights = score(w.detach())
            if (top := heights.max().item()) > height:
                best, height = m[heights.argmax()].detach().clone(), top
            if height == 1:
                break
        optimiser.zero_grad()
        wrong(w).sum().backward()
        optimiser.step()
    return best.numpy()
