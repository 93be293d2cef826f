"""Gene operators as tables of edges: ranked, over an ensemble, between groups; and out to networkx and AnnData.

Everywhere in this module an operator W (G, G) has rows = targets and columns = regulators, dx_i/dt = sum_j W_ij x_j.
An ensemble (m, G, G) holds one mean operator for each member, that is for each seed or held-out time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse, stats

from .._grid import write_whole
from ..datasets import obs_times
from ..model import check_integers

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import networkx as nx
    from anndata import AnnData
    from numpy.typing import ArrayLike

    from ..model import CellMNN
    from ..snapshots import Snapshots

# Where results stand in an AnnData: varp, obsm, obsm, uns.
OPERATOR, STATES, VELOCITY, ABOUT = "cellmnn_operator", "X_cellmnn", "cellmnn_velocity", "cellmnn"
ORIENTATION = "rows = targets, columns = regulators: dx_i/dt = sum_j W_ij x_j"
# Up to this many genes a stored operator is an array, above it scipy's csr.
DENSE_GENES = 500


def edges(W: ArrayLike, genes: Sequence[str], self_loops: bool = False, top: int | None = None) -> pd.DataFrame:
    """Table of edges from an operator, the strongest ``|weight|`` first.

    Parameters
    ----------
    W : array, tensor or sparse matrix (G, G)
        Rows = targets, columns = regulators.
    genes : sequence of str (G,)
        Names, in the order of the rows and columns.
    self_loops : bool
        Keep the diagonal: what a gene does to itself, decay above all.
    top : int, optional
        Keep this many edges; the others are never sorted (5,000 genes have 25 million pairs).

    Returns
    -------
    DataFrame
        Columns regulator, target, weight. Without `top`, every pair has its row, those of weight 0 too. Edges equally
        strong stand in the order of the rows of W, then of its columns.

    Raises
    ------
    ValueError
        For a W that is not square or not finite, or names that repeat or are not G.
    """
    W, names = _checked(W, genes, n_axes=2)
    strength = np.abs(W) if self_loops else _strength(W)
    return _table(names, _strongest(strength, _count(W, top, self_loops)), weight=W)


def matrix(edges: pd.DataFrame, genes: Sequence[str]) -> np.ndarray:
    """Operator from a table of edges: the inverse of `edges`.

    Parameters
    ----------
    edges : DataFrame
        Columns regulator, target, weight.
    genes : sequence of str (G,)
        Names, in the order that the rows and columns shall have.

    Returns
    -------
    ndarray (G, G)
        Rows = targets, columns = regulators; 0 where the table has no edge.

    Raises
    ------
    ValueError
        For missing columns, weights that are not finite, a pair that stands twice, or a gene that is not in `genes`.
    """
    names = _names(genes)
    _check_table(edges)
    index = pd.Index(names)
    target, regulator = index.get_indexer(edges["target"]), index.get_indexer(edges["regulator"])
    unknown = np.flatnonzero((target < 0) | (regulator < 0))
    if unknown.size:
        pair = edges[["regulator", "target"]].iloc[unknown[0]].tolist()
        raise ValueError(
            f"Expected edges between the given genes, got {pair[0]!r} -> {pair[1]!r} ({unknown.size} such edges in "
            "all): add the genes, or drop those edges: table[table[['regulator', 'target']].isin(genes).all(axis=1)]."
        )
    W = np.zeros((len(names), len(names)))
    W[target, regulator] = edges["weight"]
    return W


def ensemble(W: ArrayLike, genes: Sequence[str], top: float = 0.1, level: float = 0.95) -> pd.DataFrame:
    """Table of edges over an ensemble: the mean, how far members differ, and how stable an edge is.

    Parameters
    ----------
    W : array or tensor (m, G, G), or a list of m operators
        One operator for each member; m >= 2.
    genes : sequence of str (G,)
        Names.
    top : float
        Share of the G (G - 1) pairs that a member selects: its strongest ones.
    level : float
        Of the interval.

    Returns
    -------
    DataFrame
        One row for each pair of two genes (no self loops), the strongest mean first:

        * regulator, target, weight: mean over the members;
        * low, high: t-interval of that mean, with m - 1 degrees of freedom, for each edge alone (of 100 edges without
          effect about 5 miss 0 by chance at level 0.95);
        * agreement: share of members whose sign is that of the mean;
        * selected: share of members in which the edge is among the strongest, other than 0, and has the mean's sign.

        ``attrs`` holds members, top, level, n_selected (mean number of edges that a member selects, of either sign),
        n_pairs, and false_selections: for every share above 1/2 that `selected` can have, the bound of
        `false_selections` on the expected number of false edges among those selected at least so often.

    Raises
    ------
    ValueError
        For one member, one gene, a `top` or `level` outside (0, 1], (0, 1), and as in `edges`.

    Notes
    -----
    Members trained on the same cells with other seeds differ by training alone: neither the interval nor the share
    tells what other cells would have given, and they are not the subsamples for which the bound on false selections
    was proved. A bias that all members share (a projection, above all) is seen by none of these columns.
    """
    W, names = _members(W, genes, level)
    if not 0 < top <= 1:
        raise ValueError(f"Expected top as a share of all pairs, above 0 and at most 1, got {top!r}.")
    mean, n_pairs = W.mean(0), _count(W[0], None)
    n_top = max(1, round(top * n_pairs))
    sign, half = np.sign(mean), _half_width(W, level)
    agreement, selected, n_selected = np.zeros_like(mean), np.zeros_like(mean), 0
    for w in W:
        agrees, strong = np.sign(w) == sign, _among(w, n_top)
        agreement += agrees
        selected += agrees & strong
        n_selected += strong.sum()
    columns = {"low": mean - half, "high": mean + half, "agreement": agreement / len(W), "selected": selected / len(W)}
    table = _table(names, _strongest(_strength(mean), n_pairs), weight=mean, **columns)
    # Plain numbers only: pandas copies, compares and stores attrs.
    table.attrs |= {"members": len(W), "top": float(top), "level": float(level)}
    table.attrs |= {"n_selected": float(n_selected / len(W)), "n_pairs": n_pairs}
    shares = [k / len(W) for k in range(len(W) // 2 + 1, len(W) + 1)]
    table.attrs["false_selections"] = {s: false_selections(table.attrs["n_selected"], n_pairs, s) for s in shares}
    return table


def false_selections(n_selected: float, n_pairs: int, threshold: float) -> float:
    """Bound on the expected number of false edges that are selected in at least the share `threshold` of subsamples.

    Parameters
    ----------
    n_selected : float
        q, the mean number of edges that one subsample selects.
    n_pairs : int
        p, the number of edges there are to select from.
    threshold : float
        pi, above 1/2 and at most 1.

    Returns
    -------
    float
        E[V] <= q^2 / ((2 pi - 1) p). It may exceed the number of edges selected, and then says nothing.

    Raises
    ------
    ValueError
        For a threshold outside (1/2, 1], or counts that cannot be.

    Notes
    -----
    Source: Meinshausen & Buehlmann 2010, doi:10.1111/j.1467-9868.2010.00740.x, theorem 1. It is proved for random
    subsamples of half of the observations, under two assumptions: edges without effect are exchangeable, each as likely
    to be selected as another, and the selection is no worse than guessing. Models trained on the same cells with other
    seeds are no subsamples: they repeat each other's mistakes. For them the number is a guide only, and too small.
    """
    if not 0.5 < threshold <= 1:
        raise ValueError(f"Expected a threshold above 1/2 and at most 1 (the bound has no other), got {threshold!r}.")
    if not (n_pairs > 0 and 0 <= n_selected <= n_pairs):
        raise ValueError(f"Expected 0 <= n_selected <= n_pairs, n_pairs > 0, got {n_selected!r} and {n_pairs!r}.")
    return float(n_selected**2 / ((2 * threshold - 1) * n_pairs))


def differential(first: ArrayLike, second: ArrayLike, genes: Sequence[str], level: float = 0.95) -> pd.DataFrame:
    """Table of edges that differ between two readings: two groups of cells, or two times.

    Parameters
    ----------
    first, second : array or tensor (m, G, G), or a list of m operators
        Paired: member k of both is the same model, read twice; m >= 2.
    genes : sequence of str (G,)
        Names.
    level : float
        Of the interval.

    Returns
    -------
    DataFrame
        One row for each pair of two genes (no self loops): regulator, target, first and second (means over the
        members), difference (second - first), low, high (t-interval of the paired difference, m - 1 degrees of freedom,
        for each edge alone). Sorted by ``|difference|`` in units of the interval's half-width, the clearest first.

    Raises
    ------
    ValueError
        For other members on the two sides, one member, and as in `ensemble`.
    """
    (first, names), (second, _) = _members(first, genes, level), _members(second, genes, level)
    if len(first) != len(second):
        raise ValueError(
            f"Expected the same models on both sides, got {len(first)} and {len(second)}: member k of both must be one "
            "model, read in two groups or at two times."
        )
    change = second - first
    difference, half = change.mean(0), _half_width(change, level)
    # A width of 0, up to rounding, must not put a difference that is itself rounding in front.
    rounding = np.finfo(float).eps * max(np.abs(first).max(), np.abs(second).max())
    clarity = np.abs(difference) / np.maximum(half, max(rounding, np.finfo(float).tiny))
    columns = {"first": first.mean(0), "second": second.mean(0), "difference": difference}
    columns |= {"low": difference - half, "high": difference + half}
    return _table(names, _strongest(_strength(clarity), _count(difference, None)), **columns)


def to_networkx(edges: pd.DataFrame, top: int | None = None) -> nx.DiGraph:
    """Directed graph, regulator -> target.

    Parameters
    ----------
    edges : DataFrame
        Columns regulator, target, weight, in any order of rows; numeric columns beside them are taken along.
    top : int, optional
        Keep this many of the strongest ``|weight|``.

    Returns
    -------
    DiGraph
        Every edge has weight (float), sign (int, 1 or -1) and the other numeric columns, as plain Python numbers. Pairs
        of weight 0 are no edges, and genes without an edge are no nodes.

    Raises
    ------
    ValueError
        As in `matrix`, and for a `top` below 1. A table without weight (`differential`) needs one:
        ``table.assign(weight=table["difference"])``.
    """
    import networkx as nx  # few need it

    _check_table(edges)
    strength = np.abs(edges["weight"].to_numpy(dtype=float))
    n_edges = len(edges) if top is None else _at_most(top, len(edges))
    table = edges.iloc[_strongest(strength, n_edges)]
    table = table[table["weight"] != 0].astype({"weight": float})
    table = table.assign(sign=np.sign(table["weight"]).astype(int))
    # Columns of names are no attributes, and a regulator named 1 must stay a node.
    numbers = table.drop(columns=["regulator", "target"]).select_dtypes(["number", "bool"]).columns.tolist()
    return nx.from_pandas_edgelist(table, "regulator", "target", edge_attr=numbers, create_using=nx.DiGraph)


def write_graphml(edges: pd.DataFrame, path: str | os.PathLike[str], top: int | None = None) -> None:
    """Write the graph of `to_networkx` as GraphML, for Cytoscape, Gephi or igraph.

    The file is complete or not there: it is written under another name and then put in place.

    Parameters
    ----------
    edges, top
        As in `to_networkx`.
    path : path
        The file; one that exists is replaced.

    Raises
    ------
    ValueError
        As in `to_networkx`.
    OSError
        If the file cannot be written.
    """
    import networkx as nx

    write_whole(Path(path), "\n".join(nx.generate_graphml(to_networkx(edges, top))) + "\n")


def to_anndata(edges: pd.DataFrame, genes: Sequence[str]) -> AnnData:
    """Signed adjacency as an AnnData, genes x genes.

    Parameters
    ----------
    edges, genes
        As in `matrix`.

    Returns
    -------
    AnnData
        ``obs`` are the genes as targets, ``var`` the same genes as regulators; ``X`` and ``varp["cellmnn_operator"]``
        both hold the weights, rows = targets and columns = regulators (csr above 500 genes);
        ``uns["cellmnn"]`` says so.

    Raises
    ------
    ValueError
        As in `matrix`.
    """
    from anndata import AnnData

    names = _names(genes)
    W = _stored(matrix(edges, names), np.arange(len(names)), len(names))
    index = pd.DataFrame(index=pd.Index(names))
    about = {"version": _version(), "orientation": ORIENTATION}
    return AnnData(W, obs=index, var=index.copy(), varp={OPERATOR: W.copy()}, uns={ABOUT: about})


def write(
    adata: AnnData,
    snaps: Snapshots,
    W: ArrayLike | None,
    model: CellMNN | None = None,
    z: ArrayLike | None = None,
    top: int | None = None,
    time_key: str = "time",
    time_order: Mapping | Sequence | None = None,
    copy: bool = True,
) -> AnnData:
    """Write what was learned into an AnnData, under these keys (those of an earlier call are replaced).

    * ``obsm["X_cellmnn"]`` (n_obs, D): states of all cells, in the coordinates of `snaps`.
    * ``obsm["cellmnn_velocity"]`` (n_obs, D): with `model`, dz/dt of each cell at its own time, in those coordinates
      per unit of time.
    * ``varp["cellmnn_operator"]`` (n_vars, n_vars): W, signed. Rows are targets and columns regulators: scverse has no
      fixed rule for directed pairs, and a tool that expects source x target needs the transpose. Genes that are not in
      `snaps` have rows and columns of 0. An array for up to 500 variables, csr above.
    * ``uns["cellmnn"]``: plain values: version, orientation, genes (in the order of `snaps`), protocol, times (on which
      `snaps` was fitted), and, where given, model (its settings), time_key, top.

    All of it outlives ``write_h5ad`` and ``read_h5ad``.

    Parameters
    ----------
    adata : AnnData
        Cells x genes; must have all genes of `snaps` (in any order, beside others), on the same scale.
    snaps : Snapshots
        The coordinates of the model; after `hold_out`, those of the training part.
    W : array (G, G) or None
        Gene operator, in the order of ``snaps.genes``. None writes none: coordinates from ``obsm`` have none.
    model : CellMNN, or any object with velocity(z, t), optional
        Trained on `snaps`.
    z : array (n_obs, D), optional
        States of the cells of `adata`, where they are at hand; otherwise ``snaps.encode`` makes them.
    top : int, optional
        Keep the diagonal and this many of the strongest edges between two genes, and 0 elsewhere.
    time_key, time_order
        Times of the cells, as in `Snapshots.from_anndata`; only read with `model`.
    copy : bool
        Leave `adata` as it is and give back a copy; otherwise write into it.

    Returns
    -------
    AnnData
        The copy, or `adata` itself. Where an error is raised, nothing has been written.

    Raises
    ------
    ValueError
        For missing or repeated genes, states that are not finite, a model of another dimension, missing times, and
        as in `edges`.
    """
    rows = _rows_of(snaps.genes, adata)
    states = _cells(adata, snaps) if z is None else z
    states = _numbers(states, (adata.n_obs, snaps.dim), "states", "pass one row for each cell, or leave z out")
    about: dict[str, Any] = {"version": _version(), "orientation": ORIENTATION, "protocol": snaps.protocol}
    about |= {"genes": np.array(snaps.genes, dtype=str), "times": np.array(snaps.times)}
    entries = {("obsm", STATES): states, ("uns", ABOUT): about}
    if W is not None:
        W, _ = _checked(W, snaps.genes, n_axes=2)
        if top is not None:
            about["top"] = int(top)
            W = np.where(_among(W, _count(W, top)) | np.eye(len(W), dtype=bool), W, 0)
        entries["varp", OPERATOR] = _stored(W, rows, adata.n_vars)
    if model is not None:
        about |= {"model": _settings(model), "time_key": time_key}
        entries["obsm", VELOCITY] = np.asarray(model.velocity(states, obs_times(adata, time_key, time_order)))
    out = adata.copy() if copy else adata
    for slot, key in (("obsm", STATES), ("obsm", VELOCITY), ("varp", OPERATOR), ("uns", ABOUT)):
        getattr(out, slot).pop(key, None)  # nothing of an earlier model may stay beside this one
    for (slot, key), value in entries.items():
        getattr(out, slot)[key] = value
    return out


# --- operators, checked and ranked -----------------------------------------------------------------------------------


def _checked(W: ArrayLike, genes: Sequence[str], n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    names = _names(genes)
    square = (len(names), len(names))
    if n_axes == 2:
        return _numbers(W, square, "an operator", "pass one matrix, such as the mean over cells, and its genes"), names
    return _numbers(W, (None, *square), "an ensemble", "pass one matrix for each member, and their genes"), names


def _members(W: ArrayLike, genes: Sequence[str], level: float) -> tuple[np.ndarray, np.ndarray]:
    W, names = _checked(W, genes, n_axes=3)
    if len(W) < 2 or len(names) < 2:
        raise ValueError(
            f"Expected at least two members and two genes, got {len(W)} and {len(names)}: one member says nothing "
            "about spread. Train with other seeds; for a single operator use edges(W, genes)."
        )
    if not 0 < level < 1:
        raise ValueError(f"Expected a level between 0 and 1, such as 0.95, got {level!r}.")
    return W, names


def _numbers(x: ArrayLike, shape: tuple[int | None, ...], what: str, remedy: str) -> np.ndarray:
    """Finite float array of that shape (None: any length) from an array, tensor, sparse matrix, or a list of them."""
    values = np.array([_plain(part) for part in x]) if isinstance(x, (list, tuple)) else np.asarray(_plain(x))
    fits = values.ndim == len(shape) and all(b in (None, a) for a, b in zip(values.shape, shape, strict=True))
    if not fits or values.dtype.kind not in "fiub":
        wanted = ", ".join("m" if n is None else str(n) for n in shape)
        raise ValueError(
            f"Expected {what} of real numbers, shape ({wanted}), got shape {values.shape} of {values.dtype}: {remedy}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"Expected {what} of finite numbers, got NaN or inf: did training explode, or do values lack?")
    return values.astype(float, copy=False)


def _plain(x: Any) -> Any:
    x = x.detach().cpu().numpy() if hasattr(x, "detach") else x
    return x.toarray() if sparse.issparse(x) else x


def _names(genes: Sequence[str]) -> np.ndarray:
    names = np.array(genes, dtype=object)
    if names.ndim != 1 or not names.size or not all(isinstance(name, str) for name in names):
        raise ValueError(f"Expected genes as a sequence of names (text), got {genes!r}.")
    twice = pd.Index(names).duplicated()
    if twice.any():
        raise ValueError(
            f"Expected every gene once, got {names[twice][0]!r} more than once: merge or drop the copies, for a table "
            "that names genes could not tell them apart."
        )
    return np.array([str(name) for name in names], dtype=object)  # numpy's text is no plain text


def _check_table(edges: pd.DataFrame) -> None:
    missing = [name for name in ("regulator", "target", "weight") if name not in edges]
    if missing:
        raise ValueError(
            f"Expected a table with columns regulator, target and weight, got {list(edges)}: say which column is the "
            'weight, such as table.assign(weight=table["difference"]).'
        )
    if not np.isfinite(edges["weight"].to_numpy(dtype=float)).all():
        raise ValueError("Expected finite weights, got NaN or inf: drop those edges.")
    twice = edges.duplicated(["regulator", "target"])
    if twice.any():
        pair = edges.loc[twice, ["regulator", "target"]].iloc[0].tolist()
        raise ValueError(
            f"Expected every pair once, got {pair[0]!r} -> {pair[1]!r} more than once ({int(twice.sum())} rows too "
            "many): drop or average them."
        )


def _count(W: np.ndarray, top: int | None, self_loops: bool = False) -> int:
    """How many edges to keep."""
    n_pairs = W.size - (0 if self_loops else len(W))
    return n_pairs if top is None else _at_most(top, n_pairs)


def _at_most(top: int, n: int) -> int:
    check_integers(1, top=top)
    return min(int(top), n)


def _strength(W: np.ndarray) -> np.ndarray:
    """|W|, and -1 on the diagonal, so that self loops come last."""
    strength = np.abs(W)
    np.fill_diagonal(strength, -1)
    return strength


def _strongest(strength: np.ndarray, n: int) -> np.ndarray:
    """Flat positions of the n largest, largest first, equal ones in order of position. Sorts those n alone."""
    strength = strength.ravel()
    if n < strength.size:
        cut = np.partition(strength, -n)[-n] if n else np.inf
        above = np.flatnonzero(strength > cut)
        kept = np.concatenate([above, np.flatnonzero(strength == cut)[: n - len(above)]])
    else:
        kept = np.arange(n)
    return kept[np.argsort(-strength[kept], kind="stable")]


def _among(W: np.ndarray, n: int) -> np.ndarray:
    """Where the n strongest edges between two genes are, as a mask (G, G); an entry of 0 is no edge."""
    mask = np.zeros(W.size, dtype=bool)
    mask[_strongest(_strength(W), n)] = True
    return mask.reshape(W.shape) & (W != 0)


def _half_width(W: np.ndarray, level: float) -> np.ndarray:
    """Half the t-interval of the mean over the first axis."""
    n, mean = len(W), W.mean(0)
    squares = sum((w - mean) ** 2 for w in W)  # one member at a time: never a second copy of all
    return stats.t.ppf((1 + level) / 2, n - 1) * np.sqrt(squares / (n - 1) / n)


def _table(names: np.ndarray, positions: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    target, regulator = np.divmod(positions, len(names))
    values = {name: column.ravel()[positions] for name, column in columns.items()}
    return pd.DataFrame({"regulator": names[regulator], "target": names[target], **values})


# --- into an AnnData -------------------------------------------------------------------------------------------------


def _rows_of(genes: Sequence[str], adata: AnnData) -> np.ndarray:
    """Positions of the genes among the variables."""
    if not adata.var_names.is_unique:
        raise ValueError("Expected unique gene names in adata.var_names: call adata.var_names_make_unique().")
    rows = adata.var_names.get_indexer(genes)
    if (rows < 0).any():
        missing = np.asarray(genes)[rows < 0]
        raise ValueError(
            f"Expected an AnnData with all {len(rows)} genes of snaps, {len(missing)} are missing, {missing[0]!r} "
            "first: pass the AnnData that the Snapshots were made of, or one with the same genes beside others."
        )
    return rows


def _cells(adata: AnnData, snaps: Snapshots) -> np.ndarray:
    if snaps.use_rep is None:
        return snaps.encode(adata[:, snaps.genes].X)
    if snaps.use_rep not in adata.obsm:
        raise ValueError(f"Expected the coordinates of snaps in obsm[{snaps.use_rep!r}]; there are {list(adata.obsm)}.")
    return snaps.encode(_plain(adata.obsm[snaps.use_rep])[:, : snaps.dim])


def _stored(W: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray | sparse.csr_matrix:
    """W among n genes, its rows and columns at the positions `rows`."""
    if n > DENSE_GENES:
        target, regulator = np.nonzero(W)
        return sparse.csr_matrix((W[target, regulator], (rows[target], rows[regulator])), shape=(n, n))
    full = np.zeros((n, n))
    full[np.ix_(rows, rows)] = W
    return full


def _settings(model: Any) -> str:
    """What was chosen, in one line."""
    return f"{type(model).__name__}({model.extra_repr()})" if hasattr(model, "extra_repr") else repr(model)


def _version() -> str:
    from .. import __version__

    return __version__
