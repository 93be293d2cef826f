"""Networks read in many ways from the same cells: on circuits whose network is known, and against TRRUST."""

from __future__ import annotations

import json
import math
import time
import warnings
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from . import baselines, sparse
from .datasets import embryoid_body, guo2010, hsmm, trrust
from .evaluation import SCORING
from .experiments import Experiment
from .grn import (
    compare,
    correlation,
    edges,
    field_jacobian,
    fluctuation_operator,
    lagged_regression,
    mean_jacobian,
    no_dynamics,
    partial_correlation,
    read,
    reference,
    trees,
)
from .grn.limits import score_matrix
from .linearize import jacobian
from .model import CellMNN
from .perturb import attractors, circuit_knock, fate_shift, knock, nearest_fate
from .simulate import gene_circuit
from .snapshots import Snapshots
from .training import fit

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from .simulate import GeneCircuit

GENE_MODULES = ("datasets", "simulate", *SCORING, "sparse", "grn", "perturb")

# circuit -> times of its snapshots; 5 x 1000 cells unless a way says otherwise.
CIRCUITS = {"linear": [0, 0.25, 0.5, 0.75, 1], "myeloid": [0, 1, 2, 4, 8]}
N_CELLS, STEPS = 1000, 800

# What differs from: dense head, affine, z-scored genes, crowds, l_kin 0.1. Keys that are none of `fit` or CellMNN:
# rescale, more_times, rich, ensemble, group, prior, plus (added to the mean operator).
TRAINED_WAYS: dict[str, dict[str, Any]] = {
    "crowds, eigen head": {"head": "eigen"},
    "crowds, no offset": {"affine": False},
    "crowds": {},
    "crowds, l_kin .01": {"l_kin": 0.01},
    "crowds, l_kin 0": {"l_kin": 0.0},
    "crowds, l_kin .01, l1": {"l_kin": 0.01, "l1": 0.01},
    "crowds, l_kin 0, deviation 10": {"l_kin": 0.0, "deviation": 10.0},
    "crowds, l_kin 0, deviation 10, not scaled": {"l_kin": 0.0, "deviation": 10.0, "rescale": False},
    "velocities": {"objective": "flow-matching"},
    "velocities, deviation 10": {"objective": "flow-matching", "deviation": 10.0},
    "velocities, spline, deviation 10": {"objective": "flow-matching", "path": "spline", "deviation": 10.0},
    "frozen, spline, deviation 10": {"objective": "frozen-matching", "path": "spline", "deviation": 10.0},
    "velocities, group": {"objective": "flow-matching", "group": 0.3},
    "velocities, noisy prior": {"objective": "flow-matching", "prior": True},
    "velocities, ensemble of 3": {"objective": "flow-matching", "ensemble": 3},
    "velocities, 9 times": {"objective": "flow-matching", "more_times": True},
    "velocities, rich starts": {"objective": "flow-matching", "rich": True},
    "velocities + spread": {"objective": "flow-matching", "plus": True},
}
PEER_WAYS = {
    "correlation": correlation,
    "partial correlation": partial(partial_correlation, alpha=0.0),
    "partial correlation, lasso": partial_correlation,
    "lagged regression": lagged_regression,
    "trees": trees,
    "spread within groups": fluctuation_operator,
}
RIVAL_WAYS = {"Jacobian of neural-ode": "neural-ode", "Jacobian of ot-cfm": "ot-cfm"}
TRUTH_WAYS = ("true Jacobian", "noisy prior alone")


def _network_row(circuit: str, way: str, seed: int) -> dict[str, Any]:
    """One way to a network of one circuit; the seed draws the cells, the weights, and the linear world."""
    options = dict(TRAINED_WAYS.get(way, {}))
    world = gene_circuit(circuit, n_genes=8 if circuit == "linear" else None, seed=seed)
    snaps = _cells(
        world, seed, **{key: options.pop(key) for key in ("rescale", "more_times", "rich") if key in options}
    )
    start = time.perf_counter()
    readings = _networks(world, snaps, way, seed, options)
    seconds = time.perf_counter() - start
    truth, off = mean_jacobian(world, snaps), ~np.eye(snaps.dim, dtype=bool)
    row = {"circuit": circuit, "way": way, "seed": seed}
    for which in ("operator", "jacobian"):
        w = readings.get(which)
        for key, value in _compared(w, truth, world.network, off).items():
            row[f"{which}_{key}"] = value
    return row | {"seconds": seconds}


def _compared(w: np.ndarray | None, truth: np.ndarray, network: np.ndarray, off: np.ndarray) -> dict[str, float]:
    """Scores of one network, and its correlation with the true mean Jacobian off the diagonal; nan for none."""
    if w is None:
        return dict.fromkeys(("auroc", "auprc", "sign_accuracy", "correlation"), np.nan)
    found = score_matrix(w, network)
    if (w >= 0).all():  # importances have no signs
        found["sign_accuracy"] = np.nan
    return found | {"correlation": float(np.corrcoef(w[off], truth[off])[0, 1])}


def _cells(
    world: GeneCircuit, seed: int, rescale: bool = True, more_times: bool = False, rich: bool = False
) -> Snapshots:
    """Snapshots in gene space. Rich: every gene in turn is set high or low in the progenitor."""
    times, n_cells = CIRCUITS[world.name], N_CELLS
    if more_times:
        middle = [(a + b) / 2 for a, b in pairwise(times)]
        times, n_cells = sorted([*times, *middle]), N_CELLS * len(times) // (2 * len(times) - 1)
    adata = world.snapshots(times, n_cells, seed=seed, initial=_rich_starts(world) if rich else None)
    return Snapshots.from_anndata(adata, n_components=None, rescale=rescale)


def _rich_starts(world: GeneCircuit) -> np.ndarray:
    """The progenitor, and the progenitor with each gene in turn absent or high, (2 G + 1, G)."""
    progenitor = world.initial[0]
    starts = np.repeat(progenitor[None], 2 * len(progenitor) + 1, axis=0)
    for gene in range(len(progenitor)):
        starts[2 * gene + 1, gene], starts[2 * gene + 2, gene] = 0.0, max(1.0, 2 * progenitor[gene])
    return starts


def _networks(
    world: GeneCircuit, snaps: Snapshots, way: str, seed: int, options: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The mean operator and the mean Jacobian of a way; peers have one matrix, which stands under "operator"."""
    if way in PEER_WAYS:
        return {"operator": PEER_WAYS[way](snaps)}
    if way == "true Jacobian":
        return {"jacobian": mean_jacobian(world, snaps)}
    if way == "noisy prior alone":
        return {"operator": noisy_prior(world.network, seed).astype(float)}
    if way in RIVAL_WAYS:
        method = baselines.get(RIVAL_WAYS[way], steps=STEPS, progress=False).fit(snaps, seed=seed)
        each = [field_jacobian(method, snaps, z, t) for z, t in zip(snaps.states, snaps.times, strict=True)]
        return {"jacobian": np.mean(each, axis=0)}
    members, plus = options.pop("ensemble", 1), options.pop("plus", False)
    models = [_trained(world, snaps, seed * members + k, dict(options)) for k in range(members)]
    found = {
        which: np.mean([read(model, snaps, which=which).mean() for model in models], axis=0)
        for which in ("operator", "jacobian")
    }
    if plus:
        spread = fluctuation_operator(snaps)
        found = {which: w + spread for which, w in found.items()}
    return found


def _trained(world: GeneCircuit, snaps: Snapshots, seed: int, options: dict[str, Any]) -> CellMNN:
    shape = {"head": options.pop("head", "dense"), "affine": options.pop("affine", True)}
    group, prior = options.pop("group", None), options.pop("prior", False)
    model = CellMNN(snaps.dim, seed=seed, **shape)
    if prior:
        sparse.restrict(model, noisy_prior(world.network, seed))
    options = {"steps": STEPS, "progress": False, **options}
    if group is None:
        fit(model, snaps, seed=seed, **options)
    else:
        sparse.fit(model, snaps, group, seed=seed, **options)
    return model


def noisy_prior(network: np.ndarray, seed: int) -> np.ndarray:
    """What a data base might say: all true edges, as many that are not, no signs; (G, G) of bool."""
    rng = np.random.default_rng([seed, 1])
    off = ~np.eye(len(network), dtype=bool)
    allowed = (network != 0) & off
    wrong = np.flatnonzero(off & ~allowed)
    allowed.flat[rng.choice(wrong, min(int(allowed.sum()), len(wrong)), replace=False)] = True
    return allowed


NETWORK_WAYS = (*TRUTH_WAYS, *PEER_WAYS, *RIVAL_WAYS, *TRAINED_WAYS)
# The starts of the linear circuit are rich as they are.
NETWORK_SETTINGS = [
    {"circuit": circuit, "way": way, "seed": seed}
    for circuit in CIRCUITS
    for way in NETWORK_WAYS
    if circuit == "myeloid" or way != "velocities, rich starts"
    for seed in range(3)
]
NETWORK_PARTS = (
    _compared, _cells, _rich_starts, _networks, _trained, noisy_prior, CIRCUITS, N_CELLS, STEPS, TRAINED_WAYS,
    list(PEER_WAYS), RIVAL_WAYS,
)  # fmt: skip

# The linear circuit once more: one setting that finds its network, and what each of its choices does.
DOCUMENTED = {"l_kin": 0.0, "deviation": 10.0, "rescale": False, "affine": False}
LINEAR_WAYS: dict[str, dict[str, Any]] = {
    "documented": DOCUMENTED,
    "with an offset": {**DOCUMENTED, "affine": True},
    "z-scored, with an offset": {**DOCUMENTED, "affine": True, "rescale": True},
    "l_kin .01": {**DOCUMENTED, "l_kin": 0.01},
    "l_kin .1": {**DOCUMENTED, "l_kin": 0.1},
    "no deviation": {**DOCUMENTED, "deviation": 0.0},
    "l1 instead of deviation": {**DOCUMENTED, "deviation": 0.0, "l1": 0.01},
    "eigen head": {**DOCUMENTED, "head": "eigen"},
    "velocities, spline": {**DOCUMENTED, "objective": "flow-matching", "path": "spline"},
    "velocities, spline, deviation 100": {
        **DOCUMENTED, "objective": "flow-matching", "path": "spline", "deviation": 100.0,
    },
    "frozen, spline": {**DOCUMENTED, "objective": "frozen-matching", "path": "spline"},
}  # fmt: skip


def _linear_row(way: str, seed: int) -> dict[str, Any]:
    """The mean operator of one way, against the truth; the seed draws the world, the cells and the weights."""
    options = dict(LINEAR_WAYS[way])
    world = gene_circuit("linear", n_genes=8, seed=seed)
    snaps = _cells(world, seed, rescale=options.pop("rescale"))
    start = time.perf_counter()
    found = _networks(world, snaps, way, seed, options)["operator"]
    seconds = time.perf_counter() - start
    truth, off = mean_jacobian(world, snaps), ~np.eye(8, dtype=bool)
    slope = float((found[off] * truth[off]).sum() / (truth[off] ** 2).sum())
    scores = _compared(found, truth, world.network, off)
    return {"way": way, "seed": seed, **scores, "slope": slope, "seconds": seconds}


LINEAR_SETTINGS = [{"way": way, "seed": seed} for way in LINEAR_WAYS for seed in range(3)]
LINEAR_PARTS = (_compared, _cells, _networks, _trained, CIRCUITS, N_CELLS, STEPS, LINEAR_WAYS)

# Signs and edges on real cells, against TRRUST.
REAL = {"guo": lambda: guo2010(repair=True), "hsmm": hsmm}
REAL_WAYS: dict[str, dict[str, Any]] = {
    "paper's recipe": {"preset": "paper"},
    "eigen": {},
    "dense, affine": {"head": "dense", "affine": True},
    "velocities": {"head": "dense", "affine": True, "objective": "flow-matching"},
}
REAL_SEEDS = (0, 1, 2)


def _trrust_row(dataset: str, table: str, way: str) -> dict[str, Any]:
    """Score one way against one table; a trained way is the mean of three models."""
    snaps = _real_snapshots(dataset)
    species, source = table.split(", ")
    known = reference(trrust(species, source=source), genes=snaps.genes, upper=dataset == "guo" and species == "human")
    start = time.perf_counter()
    w = _real_network(dataset, way)
    named = set(known["regulator"]) | set(known["target"])
    some = np.flatnonzero(np.isin(snaps.genes.astype(str), list(named)))
    listed = edges(w[np.ix_(some, some)], snaps.genes[some])
    listed.attrs["signed"] = way != "trees"
    scores = compare({way: listed}, known, n_permutations=1000).iloc[0].to_dict()
    return {"dataset": dataset, "table": table, "way": way, **scores, "seconds": time.perf_counter() - start}


def _real_network(dataset: str, way: str) -> np.ndarray:
    snaps = _real_snapshots(dataset)
    if way in REAL_PEERS:
        return REAL_PEERS[way](snaps)
    recipe, _, reading = way.partition(" | ")
    models = _real_models(dataset, recipe)
    read_one = _votes if reading == "votes" else lambda model, snaps: read(model, snaps, which=reading).mean()
    return np.mean([read_one(model, snaps) for model in models], axis=0)


@cache
def _real_snapshots(dataset: str) -> Snapshots:
    return Snapshots.from_anndata(REAL[dataset](), n_components=5)


@cache
def _real_models(dataset: str, recipe: str) -> list[CellMNN]:
    """Models of one recipe, one for each seed, trained on all times."""
    options = dict(REAL_WAYS[recipe])
    shape = {name: options.pop(name) for name in ("head", "affine") if name in options}
    models = [CellMNN(5, seed=seed, **shape) for seed in REAL_SEEDS]
    for seed, model in zip(REAL_SEEDS, models, strict=True):
        fit(model, _real_snapshots(dataset), seed=seed, progress=False, **options)
    return models


def _votes(model: CellMNN, snaps: Snapshots) -> np.ndarray:
    """Mean sign of w_ij over the cells in which gene j is above its mean, as the paper counts it."""
    operators = read(model, snaps)
    up = operators.states @ operators.left.T > 0  # (n, G)
    votes = np.zeros((len(snaps.genes),) * 2)
    for j in range(len(snaps.genes)):
        cells = up[:, j]
        if cells.any():
            acted = operators.core[cells] @ operators.right[:, j]
            votes[:, j] = np.sign(acted @ operators.left.T).mean(0)
    return votes


REAL_PEERS: dict[str, Callable[[Snapshots], np.ndarray]] = {
    "no dynamics": no_dynamics,
    "correlation": correlation,
    "partial correlation": partial_correlation,
    "lagged regression": lagged_regression,
    "spread within groups": fluctuation_operator,
}
REAL_READINGS = [f"{way} | {reading}" for way in REAL_WAYS for reading in ("operator", "jacobian")]
REAL_READINGS.insert(2, "paper's recipe | votes")
TRRUST_SETTINGS = [
    {"dataset": dataset, "table": table, "way": way}
    for dataset, tables in {
        "guo": ("human, shipped", "mouse, official"),
        "hsmm": ("human, shipped", "human, official"),
    }.items()
    for table in tables
    for way in (*REAL_PEERS, *REAL_READINGS)
]
TRRUST_PARTS = (
    _real_network,
    _real_snapshots,
    _real_models,
    _votes,
    REAL_WAYS,
    REAL_SEEDS,
    list(REAL_PEERS),
)

# Knocks of single genes: the circuit's own answer, and that of models trained on its undisturbed cells (rich: on cells
# some of which had started with one gene high or low). Circuit -> times of the snapshots; looked at in the last one.
KNOCK_TIMES = {"toggle": [0, 0.5, 1, 2, 4], "myeloid": [0, 1, 2, 4, 8]}
KNOCK_WAYS: dict[str, dict[str, Any]] = {
    "crowds": {},
    "velocities": {"objective": "flow-matching"},
    "frozen": {"objective": "frozen-matching"},
    "crowds_rich": {"rich": True},
    "velocities_rich": {"objective": "flow-matching", "rich": True},
    "frozen_rich": {"objective": "frozen-matching", "rich": True},
}
FACTORS = (0.0, 4.0)


@cache
def _knock_world(circuit: str, seed: int) -> tuple[GeneCircuit, Snapshots, Callable]:
    """A circuit, its undisturbed cells, and the rule that tells fates."""
    world = gene_circuit(circuit)
    adata = world.snapshots(KNOCK_TIMES[circuit], N_CELLS, seed=seed)
    return world, Snapshots.from_anndata(adata, n_components=None), nearest_fate(attractors(world))


@cache
def _knock_model(circuit: str, way: str, seed: int) -> tuple[CellMNN, Snapshots]:
    options = dict(KNOCK_WAYS[way])
    world, snaps, _ = _knock_world(circuit, seed)
    if options.pop("rich", False):
        adata = world.snapshots(KNOCK_TIMES[circuit], N_CELLS, seed=seed, initial=_rich_starts(world))
        snaps = Snapshots.from_anndata(adata, n_components=None)
    return _trained(world, snaps, seed, options), snaps


def _knock_row(circuit: str, gene: str, factor: float, mode: str, seed: int) -> dict[str, Any]:
    """Shift of the fate that truly shifts most: in the circuit, and as each model says."""
    start = time.perf_counter()
    world, snaps, classify = _knock_world(circuit, seed)
    end, cells = float(KNOCK_TIMES[circuit][-1]), snaps.raw[0]
    true = fate_shift(
        circuit_knock(world, gene, factor, 0.0, end, mode=mode, seed=seed, cells=np.expm1(cells).clip(min=0)), classify
    )
    most = true.loc[true["shift"].abs().idxmax()]
    row = {"circuit": circuit, "gene": gene, "factor": factor, "mode": mode, "seed": seed, "fate": most["fate"]}
    row |= {"truth": most["shift"], "truth_low": most["low"], "truth_high": most["high"]}
    for way in KNOCK_WAYS:
        row[way] = _predicted(*_knock_model(circuit, way, seed), gene, factor, end, mode, cells, classify, most["fate"])
    return row | {"seconds": time.perf_counter() - start}


def _predicted(
    model: CellMNN, snaps: Snapshots, gene: str, factor: float, end: float, mode: str, cells: np.ndarray,
    classify: Callable, fate: str,
) -> float:  # fmt: skip
    """Shift of one fate as a model says; nan where it carries cells to infinity."""
    try:
        said = fate_shift(knock(model, snaps, gene, factor, 0.0, end, mode=mode, cells=cells), classify)
    except FloatingPointError:
        return math.nan
    found = said.loc[said["fate"] == fate, "shift"]
    return float(found.iloc[0]) if len(found) else 0.0


KNOCK_SETTINGS = [
    {"circuit": circuit, "gene": gene, "factor": factor, "mode": mode, "seed": seed}
    for seed in range(3)
    for circuit in KNOCK_TIMES
    for mode in ("initial", "clamped")
    for gene in gene_circuit(circuit).genes.tolist()
    for factor in FACTORS
]
KNOCK_PARTS = (
    _predicted,
    _knock_world,
    _knock_model,
    _trained,
    _rich_starts,
    KNOCK_TIMES,
    KNOCK_WAYS,
    FACTORS,
    N_CELLS,
    STEPS,
)

# Operators as cell states: what the neighbours of a cell say of its time and of its type, in several representations.
STATE_DATASETS = ("guo", "hsmm", "embryoid-body")
REPRESENTATIONS = (
    "cells", "cells and time", "velocity", "operator", "jacobian", "operator, one time", "operator, times shuffled",
    "operator, untrained",
)  # fmt: skip
STATE_CELLS, NEIGHBOURS = 3000, 15


@cache
def _state_model(dataset: str, seed: int) -> tuple[Snapshots, CellMNN]:
    if dataset == "embryoid-body":
        snaps = Snapshots.from_anndata(embryoid_body(), use_rep="X_pca")
    else:
        snaps = _real_snapshots(dataset)
    model = CellMNN(5, seed=seed)
    fit(model, snaps, seed=seed, progress=False)
    return snaps, model


def represented(model: CellMNN, z: np.ndarray, t: np.ndarray, what: str, seed: int) -> np.ndarray:
    """Features of cells (n, d): one of REPRESENTATIONS."""
    if what == "cells":
        return z
    if what == "cells and time":
        return np.column_stack([z, t])
    if what == "velocity":
        return model.velocity(z, t)
    if what == "jacobian":
        return jacobian(model, z, t).reshape(len(z), -1)
    if what == "operator, one time":
        t = np.full(len(z), np.median(t))
    if what == "operator, times shuffled":
        t = np.random.default_rng(seed).permutation(t)
    if what == "operator, untrained":
        model = CellMNN(model.dim, head=model.head, affine=model.affine, seed=seed + 1000)
    return model.operator(z, t).reshape(len(z), -1)


def marker_positive(dataset: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Cells that a rule on markers calls positive, and which cells it is asked about; None without genes.

    Guo: primitive endoderm, Sox17 and Gata4 both within 7 cycles of their highest value, at 32 and 64 cells. HSMM:
    fusing muscle, MYH3 above 1, after day 0.
    """
    if dataset not in REAL:
        return None
    adata = REAL[dataset]()
    x, t = adata.to_df(), adata.obs["time"].to_numpy()
    if dataset == "guo":
        high = [x[gene] > x[gene].max() - 7 for gene in ("Sox17", "Gata4")]
        return (high[0] & high[1]).to_numpy(), t >= 5
    return (x["MYH3"] > 1).to_numpy(), t > 0


def _state_row(dataset: str, representation: str, seed: int) -> dict[str, Any]:
    """Balanced accuracy of 15 neighbours in five folds, and clusters against times."""
    start = time.perf_counter()
    snaps, model = _state_model(dataset, seed)
    z = np.concatenate(snaps.states)
    t = np.repeat(snaps.times, [len(state) for state in snaps.states])
    some = np.sort(np.random.default_rng(0).permutation(len(z))[:STATE_CELLS])
    x = StandardScaler().fit_transform(represented(model, z, t, representation, seed)[some])
    stage = np.searchsorted(snaps.times, t[some])
    row = {"dataset": dataset, "representation": representation, "seed": seed, "n_cells": len(some)}
    row["time_accuracy"] = _neighbour_accuracy(x, stage, seed)
    row["marker_accuracy"] = math.nan
    if (marker := marker_positive(dataset)) is not None:
        # The snapshots are sorted by time, and keep the order of the file within one.
        order = np.argsort(REAL[dataset]().obs["time"].to_numpy(), kind="stable")
        positive, asked = (label[order][some] for label in marker)
        row["marker_accuracy"] = _neighbour_accuracy(x[asked], positive[asked], seed)
    clusters = KMeans(len(snaps.times), n_init=10, random_state=seed).fit_predict(x)
    row["time_ari"] = float(adjusted_rand_score(stage, clusters))
    return row | {"seconds": time.perf_counter() - start}


def _neighbour_accuracy(x: np.ndarray, label: np.ndarray, seed: int) -> float:
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    said = cross_val_predict(KNeighborsClassifier(NEIGHBOURS), x, label, cv=folds)
    return float(balanced_accuracy_score(label, said))


STATE_SETTINGS = [
    {"dataset": dataset, "representation": what, "seed": seed}
    for dataset in STATE_DATASETS
    for seed in range(3)
    for what in REPRESENTATIONS
]
STATE_PARTS = (
    _state_model,
    _real_snapshots,
    represented,
    marker_positive,
    _neighbour_accuracy,
    STATE_CELLS,
    NEIGHBOURS,
)

# Pictures of the embryoid bodies, which are a download: the cells, and the operators of one model.
PICTURES = ("cells", "operator", "operator, untrained", "operator, times shuffled")
PICTURE_CELLS = 1200


def _picture_row(representation: str) -> dict[str, Any]:
    """Places of cells in a UMAP, to two decimals, and what neighbours say of the time, in it and before it was drawn.

    Another kind of processor gives another picture, as rounding grows: there only the two accuracies are comparable.
    """
    start = time.perf_counter()
    snaps, model = _state_model("embryoid-body", 0)
    z = np.concatenate(snaps.states)
    t = np.repeat(snaps.times, [len(state) for state in snaps.states])
    some = np.sort(np.random.default_rng(0).permutation(len(z))[:PICTURE_CELLS])
    features = StandardScaler().fit_transform(represented(model, z, t, representation, 0)[some])
    stage, where = np.searchsorted(snaps.times, t[some]), _umap(features).round(2)
    row = {"representation": representation, "n_cells": len(some)}
    row["time_accuracy"] = _neighbour_accuracy(features, stage, 0)
    row["picture_accuracy"] = _neighbour_accuracy(where, stage, 0)
    row |= dict(zip(("time", "x", "y"), (t[some].tolist(), *where.T.tolist()), strict=True))
    return row | {"seconds": time.perf_counter() - start}


def _umap(features: np.ndarray) -> np.ndarray:
    """Two coordinates of each row, (n, 2), always the same ones on the same machine."""
    distance, near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(features).kneighbors(features)
    n_threads = torch.get_num_threads()
    with warnings.catch_warnings(action="ignore"):  # of what is not installed; that new cells cannot be placed
        from umap import UMAP  # slow, and few need it

        # Given the neighbours it has less to compile: half the time.
        mapper = UMAP(n_neighbors=NEIGHBOURS, random_state=0, n_jobs=1, precomputed_knn=(near, distance))
        where = mapper.fit_transform(features)
    torch.set_num_threads(n_threads)  # its compiled code changes that
    return where.astype(float)


def _row_of_each_cell(table: pd.DataFrame) -> pd.DataFrame:
    """The table that readers get: the lists of a row's cells become rows."""
    places = ["time", "x", "y"]
    table = table.assign(**{name: table[name].map(json.loads) for name in places})
    return table.explode(places, ignore_index=True).astype(dict.fromkeys(places, float))


PICTURE_SETTINGS = [{"representation": what} for what in PICTURES]
PICTURE_PARTS = (_state_model, represented, _umap, _neighbour_accuracy, PICTURE_CELLS, NEIGHBOURS)

GENE_EXPERIMENTS = {
    "networks": Experiment(NETWORK_SETTINGS, _network_row, GENE_MODULES, NETWORK_PARTS),
    "linear-network": Experiment(LINEAR_SETTINGS, _linear_row, GENE_MODULES, LINEAR_PARTS),
    "trrust": Experiment(TRRUST_SETTINGS, _trrust_row, GENE_MODULES, TRRUST_PARTS, replicates=("table",)),
    "knocks": Experiment(KNOCK_SETTINGS, _knock_row, GENE_MODULES, KNOCK_PARTS, replicates=("seed", "gene", "factor")),
    "states": Experiment(STATE_SETTINGS, _state_row, GENE_MODULES, STATE_PARTS),
    "states-picture": Experiment(PICTURE_SETTINGS, _picture_row, GENE_MODULES, PICTURE_PARTS, tidy=_row_of_each_cell),
}
