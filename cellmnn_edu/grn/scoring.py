"""Is a gene network right? Two questions against a reference, each beside what it must beat.

*Sign*: how many of the known edges are called with the right sign? It must beat "always activation" and permuted
signs. *Existence*: do the known edges have the largest weights, of whichever sign? It must beat permuted labels, and
a rewired reference in which every gene keeps its number of targets and of regulators: hubs alone rank well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from ..simulate import GeneCircuit
from .tables import edges as edges_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

_PAIR = ["regulator", "target"]
_MODES = {"Activation": 1, "Repression": -1, "Unknown": 0}
_SCORES = (
    *("accuracy", "accuracy_low", "accuracy_high", "null_mean", "p_value", "balanced_accuracy", "sign_auroc"),
    *("true_activation", "false_activation", "true_repression", "false_repression", "f1_activation"),
    *("auroc", "auroc_low", "auroc_high", "auprc", "auprc_ratio"),
    *("existence_null_mean", "existence_p_value", "degree_null_mean", "degree_p_value"),
)
_LARGEST_P = 0.05  # a score with a larger p-value lies inside its null


def reference(
    source: pd.DataFrame | GeneCircuit, genes: Iterable[str] | None = None, upper: bool = False
) -> pd.DataFrame:
    """A clean reference network, one row a pair.

    Parameters
    ----------
    source : DataFrame or GeneCircuit
        A table with the columns regulator, target and mode (Activation, Repression, Unknown, as `datasets.trrust`
        gives it) or sign (1, -1, 0), in which a pair may stand several times; or a simulated circuit.
    genes : iterable of str, optional
        Keep the pairs whose two genes are among these.
    upper : bool
        Compare upper-cased symbols and answer in the spelling of ``genes``: mouse genes against a human table. This
        takes genes of one name for orthologs, which most but not all of them are.

    Returns
    -------
    DataFrame
        Columns regulator, target, sign, sorted by pair. sign is 1 (activation), -1 (repression) or 0, an edge of
        unknown sign: listed as Unknown alone, or both as activation and as repression. A known sign outweighs
        Unknown. ``attrs`` counts the rows dropped: "outside" (a gene not in ``genes``), "self_loops", "duplicates"
        (all rows of a pair but one); and the pairs of sign 0: "conflicts", "unknown".

    Raises
    ------
    ValueError
        For missing columns or symbols, other modes or signs, ``upper`` without ``genes`` or with two genes that
        differ in case alone, or where no pair is left.
    """
    listed = _listed(source)
    genes = None if genes is None else list(dict.fromkeys(genes))
    table = listed if genes is None and not upper else _spelled_as(listed, genes, upper)
    pairs = table[table["regulator"] != table["target"]]
    if pairs.empty:
        raise ValueError("The reference has no pair of two different genes left. " + _unmatched(listed, genes or ()))
    signs = pairs.groupby(_PAIR)["sign"].agg(["min", "max"])
    # From the extremes: (-1, 1) is a conflict and gives 0; beside an Unknown (0) the other sign stands.
    clean = np.sign(signs["min"] + signs["max"]).rename("sign").reset_index()
    clean.attrs = {
        "outside": len(listed) - len(table),
        "self_loops": len(table) - len(pairs),
        "duplicates": len(pairs) - len(clean),
        "conflicts": int(((signs["min"] < 0) & (signs["max"] > 0)).sum()),
        "unknown": int(((signs["min"] == 0) & (signs["max"] == 0)).sum()),
    }
    return clean


_cleaned = reference  # below, arguments are called reference, too


def score(
    edges: pd.DataFrame,
    reference: pd.DataFrame | GeneCircuit,
    n_permutations: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """Score a network against a reference: signs of the known edges, and which pairs are edges at all.

    Parameters
    ----------
    edges : DataFrame
        Columns regulator, target, weight; each pair once, self-loops are ignored. Only the pairs in it are scored:
        give all pairs, with weight 0 where the method sees no edge. Where ``edges.attrs["signed"]`` is False
        (importances), the scores of the sign task are nan.
    reference : DataFrame or GeneCircuit
        What `reference` returns, or takes: it is cleaned here in any case.
    n_permutations : int
        Number of permutations, of rewired references and of bootstrap draws.
    seed : int
    level : float
        Of the intervals. They are percentiles of a bootstrap over regulators, as the edges of one regulator are not
        independent; nan for fewer than three regulators, and too narrow for few.

    Returns
    -------
    dict
        Sign task, over the reference edges of known sign in ``edges``. A weight of exactly 0 counts as half right.

        - n_edges; accuracy, accuracy_low, accuracy_high.
        - base_rate: accuracy of "always activation", the share of activations.
        - null_mean, p_value: accuracy with the signs of the reference permuted among these edges.
        - balanced_accuracy: mean of the accuracies on activations and on repressions.
        - sign_auroc: probability that an activation has a larger weight than a repression.
        - true_activation, false_activation (it is a repression), true_repression, false_repression (it is an
          activation): the confusion counts; a weight of 0 adds a half to each call.
        - f1_activation: 2 ta / (2 ta + fa + fr). "Always activation" scores high here.

        Existence task, over the pairs whose regulator has a reference edge in ``edges``, with any target there.
        Edges of unknown sign count.

        - n_pairs, n_true: pairs, and reference edges among them.
        - auroc, auroc_low, auroc_high: probability that an edge has a larger absolute weight than another pair.
        - auprc: average precision; auprc_ratio: auprc / (n_true / n_pairs), 1 for random weights.
        - existence_null_mean, existence_p_value: auroc with the labels permuted among these pairs.
        - degree_null_mean, degree_p_value: auroc against the rewired reference, see `rewire`.

        p-values are one-sided, (1 + permutations that do as well) / (1 + permutations). And ``warning``: sentences
        that say which score lies inside its null (p > 0.05), does not beat the base rate, or does not exist as a
        class is missing (nan); "" if none.

    Raises
    ------
    ValueError
        For missing columns, a pair that stands twice, weights that are not finite, no reference edge among the
        pairs, or options out of range.

    Notes
    -----
    Permuted signs are as independent as coins. Where a regulator's edges share a sign in truth and in the call, the
    p-value of the signs is too small; look at the interval, too.
    """
    if n_permutations < 1 or not 0 < level < 1:
        raise ValueError(f"Expected n_permutations >= 1 and level in (0, 1), got {n_permutations} and {level}.")
    truth, pairs = _cleaned(reference), _pairs(edges)
    pairs = pairs.merge(truth, how="left", on=_PAIR)
    known = pairs[pairs["sign"].notna()]
    if known.empty:
        raise ValueError(
            "No edge of the reference is among the edges to score. "
            + _unmatched(truth, np.unique(edges[_PAIR].astype(str)))
        )
    sign_known, asked = known[known["sign"] != 0], pairs[pairs["regulator"].isin(known["regulator"])]
    base_rate = float((sign_known["sign"] > 0).mean())
    result = {"n_edges": len(sign_known), "n_pairs": len(asked), "n_true": len(known), "base_rate": base_rate}
    result |= dict.fromkeys(_SCORES, np.nan)
    signed, options = edges.attrs.get("signed", True), (n_permutations, level)
    sign_rng, existence_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    if signed and len(sign_known):
        result |= _score_signs(sign_known, *options, sign_rng)
    if len(known) < len(asked):
        result |= _score_existence(asked, *options, existence_rng)
    counted = {key: value if isinstance(value, int) else float(value) for key, value in result.items()}
    return counted | {"warning": " ".join(_doubts(result, signed))}


def compare(
    tables: Mapping[str, pd.DataFrame | ArrayLike],
    reference: pd.DataFrame | GeneCircuit,
    genes: Sequence[str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Scores of several methods on the pairs that all of them give.

    Parameters
    ----------
    tables : dict of str to DataFrame or array (G, G)
        For each method its edges as in `score` (``attrs["signed"] = False`` for importances), or its matrix, rows
        = targets, columns = regulators.
    reference : DataFrame or GeneCircuit
    genes : sequence of str (G,), optional
        Names of the rows and columns of the matrices.
    **options
        Of `score`. The seed is the same for each method, and so are the permuted and the rewired references.

    Returns
    -------
    DataFrame
        Index method, in the order given; columns as the keys of `score`.

    Raises
    ------
    ValueError
        For no table, a matrix without its G names, tables without a common pair, and as `score`.
    """
    matrices = [name for name, table in tables.items() if not isinstance(table, pd.DataFrame)]
    if not tables or (matrices and genes is None):
        fault = f"a matrix without names for {matrices[0]!r}: pass genes=" if tables else "none"
        raise ValueError(f"Expected at least one method, each as a table or as a matrix with genes; got {fault}.")
    named = {name: edges_of(table, genes) if name in matrices else table for name, table in tables.items()}
    each = {name: _pairs(table).set_index(_PAIR) for name, table in named.items()}
    common = next(iter(each.values())).index
    for table in each.values():
        common = common.intersection(table.index)
    if common.empty:
        raise ValueError(f"The tables of {', '.join(named)} have no pair in common: do they spell genes alike?")
    truth, rows = _cleaned(reference), {}
    for name, table in each.items():
        shared = table.loc[common].reset_index()
        shared.attrs["signed"] = named[name].attrs.get("signed", True)
        rows[name] = score(shared, truth, **options)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def rewire(
    regulator: np.ndarray, target: np.ndarray, allowed: np.ndarray, rounds: int, rng: np.random.Generator
) -> np.ndarray:
    """Random network in which every gene keeps its number of targets and of regulators.

    Each round pairs the edges at random, and a -> b, c -> d become a -> d, c -> b, with probability 1/2 and where
    nothing forbids it. A pair of edges steps aside in any round in which one of its four cells (old or new) is also a
    cell of another pair. This rule is the same before and after a swap, so that a swap and its reverse are equally
    likely, and all networks that swaps can reach are equally likely in the long run.

    Parameters
    ----------
    regulator, target : ndarray of int (E,)
        The edges, each once, as indices into the rows and the columns of ``allowed``.
    allowed : ndarray of bool (R, T)
        Pairs that may be edges; False for self-loops.
    rounds : int
    rng : Generator

    Returns
    -------
    ndarray of int (E,)
        New targets of the same regulators.

    Notes
    -----
    Swaps alone cannot turn a directed ring of three genes around, so that in very small networks they reach only
    part of what the degrees permit.
    """
    target, half, width = target.copy(), len(target) // 2, allowed.shape[1]
    owner = np.empty(allowed.size, dtype=np.intp)  # who names a cell of the matrix: a number, or -1 for several
    for _ in range(rounds):
        order = rng.permutation(len(target))
        one, two, unpaired = order[:half], order[half : 2 * half], order[2 * half :]
        cells = regulator[[one, two, one, two]] * width + target[[one, two, two, one]]
        named = np.append(cells, regulator[unpaired] * width + target[unpaired])
        number = np.arange(len(named))
        owner[named] = number
        owner[named[owner[named] != number]] = -1
        alone = owner[cells] == number[: cells.size].reshape(cells.shape)
        swap = alone.all(0) & allowed.ravel()[cells[2:]].all(0) & (rng.random(half) < 0.5)
        one, two = one[swap], two[swap]
        target[one], target[two] = target[two], target[one]
    return target


def _listed(source: pd.DataFrame | GeneCircuit) -> pd.DataFrame:
    """Regulator, target, sign as the source lists them."""
    if isinstance(source, GeneCircuit):
        to, by = np.nonzero(source.network)
        signs = source.network[to, by].astype(int)
        return pd.DataFrame({"regulator": source.genes[by], "target": source.genes[to], "sign": signs})
    if not isinstance(source, pd.DataFrame) or not {*_PAIR} < {*source} or not {"sign", "mode"} & {*source}:
        raise ValueError(f"Expected a circuit or a table with regulator, target and mode or sign, got {_kind(source)}.")
    signs = source["sign"] if "sign" in source else source["mode"].map(_MODES)
    if not signs.isin([-1, 0, 1]).all():
        column = source["sign" if "sign" in source else "mode"]
        raise ValueError(
            f"Expected mode in {', '.join(_MODES)} or sign in 1, -1, 0; got {sorted(map(str, set(column)))}."
        )
    if source[_PAIR].isna().any(axis=None):
        raise ValueError("The reference has a missing gene symbol: read it with na_filter=False, or drop the row.")
    return source[_PAIR].astype(str).assign(sign=signs.astype(int))


def _spelled_as(table: pd.DataFrame, genes: list[str] | None, upper: bool) -> pd.DataFrame:
    """The rows whose two genes are among ``genes``, in their spelling."""
    if genes is None:
        raise ValueError("upper=True answers in the spelling of genes: pass genes=.")
    spelling = {gene.upper() if upper else gene: gene for gene in genes}
    if len(spelling) < len(genes):
        twin = next(gene for gene in genes if spelling[gene.upper()] != gene)
        raise ValueError(f"upper=True cannot tell {twin} from {spelling[twin.upper()]}: rename or leave out one.")
    names = {column: table[column].str.upper() if upper else table[column] for column in _PAIR}
    return table.assign(**{column: name.map(spelling) for column, name in names.items()}).dropna()


def _pairs(edges: pd.DataFrame) -> pd.DataFrame:
    """Regulator, target, weight without self-loops; sorted, so that the order of rows changes nothing."""
    if not isinstance(edges, pd.DataFrame) or not {*_PAIR, "weight"} <= {*edges}:
        raise ValueError(f"Expected edges as a table with regulator, target and weight, got {_kind(edges)}.")
    edges = edges[[*_PAIR, "weight"]].astype(dict.fromkeys(_PAIR, str) | {"weight": float})
    twice = edges.duplicated(_PAIR)
    if twice.any():
        first = " -> ".join(edges.loc[twice, _PAIR].iloc[0])
        raise ValueError(f"Expected each pair once, but {twice.sum()} rows repeat one ({first}): take their mean.")
    if not np.isfinite(edges["weight"]).all():
        raise ValueError(f"Expected finite weights, got {(~np.isfinite(edges['weight'])).sum()} NaN or infinite ones.")
    return edges[edges["regulator"] != edges["target"]].sort_values(_PAIR, ignore_index=True)


def _score_signs(known: pd.DataFrame, n: int, level: float, rng: np.random.Generator) -> dict[str, float]:
    sign, call = known["sign"].to_numpy(float), np.sign(known["weight"].to_numpy(float))
    right = (1 + sign * call) / 2  # 1, 0, and a half for a weight of 0
    true_activation, true_repression = right[sign > 0].sum(), right[sign < 0].sum()
    false_repression, false_activation = (1 - right[sign > 0]).sum(), (1 - right[sign < 0]).sum()
    wrong = false_activation + false_repression
    null = np.array([rng.permutation(sign) @ call for _ in range(n)])  # whole numbers: ties are exact
    both = len(np.unique(sign)) == 2
    low, high = _accuracy_interval(right, known["regulator"], n, level, rng)
    return {
        "accuracy": right.mean(),
        "accuracy_low": low,
        "accuracy_high": high,
        "null_mean": (1 + null.mean() / len(sign)) / 2,
        "p_value": _p_value(null, sign @ call),
        "balanced_accuracy": (right[sign > 0].mean() + right[sign < 0].mean()) / 2 if both else np.nan,
        "sign_auroc": roc_auc_score(sign > 0, known["weight"]) if both else np.nan,
        "true_activation": true_activation,
        "false_activation": false_activation,
        "true_repression": true_repression,
        "false_repression": false_repression,
        "f1_activation": 2 * true_activation / max(2 * true_activation + wrong, 1),
    }


def _score_existence(pairs: pd.DataFrame, n: int, level: float, rng: np.random.Generator) -> dict[str, float]:
    exists, strength = pairs["sign"].notna().to_numpy(), pairs["weight"].abs().to_numpy()
    regulator, target = (pd.factorize(pairs[column])[0] for column in _PAIR)
    n_true, n_false = exists.sum(), (~exists).sum()
    # The AUROC is the sum of the edges' ranks, shifted and scaled (Mann-Whitney): a permutation costs one sum.
    ranks = rankdata(strength)
    labels = np.array([ranks[rng.choice(len(ranks), n_true, replace=False, shuffle=False)].sum() for _ in range(n)])
    wiring = _rewired_sums(ranks, exists, regulator, target, n, rng)
    low, high = _auroc_interval(strength, exists, regulator, n, level, rng)
    auprc = average_precision_score(exists, strength)
    return {
        "auroc": roc_auc_score(exists, strength),
        "auroc_low": low,
        "auroc_high": high,
        "auprc": auprc,
        "auprc_ratio": auprc / exists.mean(),
        "existence_null_mean": (labels.mean() - n_true * (n_true + 1) / 2) / (n_true * n_false),
        "existence_p_value": _p_value(labels, ranks[exists].sum()),
        "degree_null_mean": (wiring.mean() - n_true * (n_true + 1) / 2) / (n_true * n_false),
        "degree_p_value": _p_value(wiring, ranks[exists].sum()),
    }


def _rewired_sums(
    ranks: np.ndarray, exists: np.ndarray, regulator: np.ndarray, target: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Sum of the edges' ranks in n rewired references, one chain of swaps that starts at the reference."""
    table = np.full((regulator.max() + 1, target.max() + 1), np.nan)
    table[regulator, target] = ranks
    regulator, target, allowed = regulator[exists], target[exists], np.isfinite(table)
    # Measured: neighbours in the chain correlate by 0.1 to 0.3 with these rounds (8 genes, 11 genes, TRRUST; 0.6 in a
    # network that holds 60 % of all pairs), and 20 times as many forget the start.
    sums, rounds = np.empty(n), 3 + 200 // len(target)
    for i in range(n):
        target = rewire(regulator, target, allowed, rounds if i else 20 * rounds, rng)
        sums[i] = table[regulator, target].sum()
    return sums


def _accuracy_interval(
    right: np.ndarray, regulators: pd.Series, n: int, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    regulator = pd.factorize(regulators)[0]
    times = _times_drawn(regulator.max() + 1, n, rng)
    return _interval(times @ np.bincount(regulator, right), times @ np.bincount(regulator), level, times)


def _auroc_interval(
    strength: np.ndarray, exists: np.ndarray, regulator: np.ndarray, n: int, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Bootstrap from wins[r, s], the (edge of r, other pair of s) where the edge is stronger; ties count half."""
    size = regulator.max() + 1
    edges, others = np.bincount(regulator[exists], minlength=size), np.bincount(regulator[~exists], minlength=size)
    wins = np.empty((size, size))
    for s, weaker in enumerate(np.split(strength[~exists], others.cumsum()[:-1])):  # the pairs are sorted by regulator
        weaker = np.sort(weaker)
        beaten = sum(np.searchsorted(weaker, strength[exists], side) for side in ("left", "right")) / 2
        wins[:, s] = np.bincount(regulator[exists], beaten, minlength=size)
    times = _times_drawn(size, n, rng)
    return _interval(((times @ wins) * times).sum(1), (times @ edges) * (times @ others), level, times)


def _times_drawn(n_regulators: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """How often each regulator is drawn in n bootstrap samples, (n, R)."""
    return rng.multinomial(n_regulators, np.full(n_regulators, 1 / n_regulators), size=n).astype(float)


def _interval(top: np.ndarray, bottom: np.ndarray, level: float, times: np.ndarray) -> tuple[float, float]:
    if times.shape[1] < 3 or not bottom.any():
        return np.nan, np.nan
    drawn = bottom > 0  # a draw without one of the classes has no score
    low, high = np.quantile(top[drawn] / bottom[drawn], [(1 - level) / 2, (1 + level) / 2])
    return low, high


def _p_value(null: np.ndarray, observed: float) -> float:
    return (1 + (null >= observed).sum()) / (1 + len(null))


def _doubts(result: dict[str, Any], signed: bool) -> Iterator[str]:
    """The sentences of the warning."""
    if signed and result["n_edges"] == 0:
        yield "No edge of known sign is among the pairs: no sign task."
    elif signed:
        accuracy = f"The sign accuracy of {result['accuracy']:.3f}"
        if result["p_value"] > _LARGEST_P:
            yield f"{accuracy} lies inside its null (mean {result['null_mean']:.3f}, p = {result['p_value']:.2g})."
        if result["accuracy"] <= result["base_rate"]:
            yield f'{accuracy} does not beat "always activation" ({result["base_rate"]:.3f}).'
        if result["base_rate"] in (0, 1):
            yield "All known signs are alike: no balanced accuracy and no sign AUROC."
    if np.isnan(result["auroc"]):
        yield "Every pair to score is an edge of the reference: no AUROC; give the other pairs, too."
        return
    for null, meaning in (("existence", "permuted labels"), ("degree", "references rewired with the same degrees")):
        mean, p = result[f"{null}_null_mean"], result[f"{null}_p_value"]
        if p > _LARGEST_P:
            auroc = f"The AUROC of {result['auroc']:.3f}"
            yield f"{auroc} lies inside its null of {meaning} (mean {mean:.3f}, p = {p:.2g})."


def _unmatched(listed: pd.DataFrame, came: Collection[str]) -> str:
    """What two sets of symbols look like that have no pair in common."""
    expected, came = set(listed["regulator"]) | set(listed["target"]), set(came)
    shown = [", ".join(sorted(names)[:5]) or "none" for names in (expected, came)]
    alike = {name.upper() for name in expected} & {name.upper() for name in came}
    hint = " They agree in upper case: clean it with reference(..., genes=..., upper=True)."
    spelled_apart = alike and not expected & came
    return f"It names {shown[0]}, ...; the genes asked for are {shown[1]}, ....{hint if spelled_apart else ''}"


def _kind(value: object) -> str:
    columns = getattr(value, "columns", None)
    return type(value).__name__ if columns is None else f"a table with {', '.join(map(str, columns))}"
