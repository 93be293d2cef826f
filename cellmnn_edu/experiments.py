"""The runs that take too long for a page: their settings, and what makes one row of each. `results` stores them."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from .datasets import embryoid_body, guo2010, hsmm
from .evaluation import FLOOR, SCORING, leave_one_out, score, with_floors
from .metrics import mmd, wasserstein
from .model import CellMNN
from .simulate import gene_circuit
from .snapshots import Snapshots
from .training import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from .operators import EigenOperator


class Experiment(NamedTuple):
    """A grid of settings, what makes one row of each, and what decides the numbers.

    Attributes
    ----------
    settings : list of dict
        Arguments of each row.
    row : callable
        A function of this module that gives a dict of plain values, with the ``seconds`` it took.
    modules : tuple of str
        Modules of the package whose code decides the numbers.
    parts : tuple
        What `row` uses of this module: functions, and plain values.
    replicates : tuple of str
        Settings that differ in nothing but these are one way; `confirm` computes one row of each way.
    tidy : callable, optional
        Makes the table that `load` gives from the stored one.
    """

    settings: list[dict[str, Any]]
    row: Callable[..., dict[str, Any]]
    modules: tuple[str, ...]
    parts: tuple[Any, ...] = ()
    replicates: tuple[str, ...] = ("seed", "index", "repeat")
    tidy: Callable[[pd.DataFrame], pd.DataFrame] | None = None


def _rotation_row(per_period: int, seed: int, method: str, **options: Any) -> dict[str, Any]:
    """Hold out one snapshot of a turning circuit; the seed also chooses the cells and the phase that is hidden."""
    circuit = gene_circuit("repressilator")
    times = [circuit.period() * k / per_period for k in range(per_period + 1)]
    snaps = Snapshots.from_anndata(circuit.snapshots(times, 300, seed=seed), n_components=None)
    index = per_period // 2 + seed - 1
    quiet = {"progress": False} if method == "cell-mnn" else {}
    score = leave_one_out(snaps, method, index, seed=seed, **quiet, **options)
    kept = {key: score[key] for key in ("w1", "floor", "seconds", "steps")}
    return {"per_period": per_period, "seed": seed, "method": method, "index": index, **options, **kept}


ROTATION_WAYS = [
    {"method": "persistence"},
    {"method": "ot-interpolation"},
    *({"method": "cell-mnn", "head": h, "l_kin": k} for h in ("eigen", "rotational", "dense") for k in (0.1, 0.01)),
]
ROTATION = Experiment(
    settings=[{"per_period": n, "seed": s, **way} for n in (12, 8, 5) for s in range(3) for way in ROTATION_WAYS],
    row=_rotation_row,
    modules=("simulate", *SCORING),
)

# Benchmarks: label -> method and options, name -> snapshots. `_benchmark` makes the experiment of some of them.

# Chosen once, on HSMM and the circuits, for all data sets. What regresses on velocities or positions of paths gets one
# recipe, whether its network writes operators or velocities; what compares crowds gets the defaults.
REGRESSION = {"batch_size": 256, "schedule": "cosine", "ema": 0.99}
FROZEN = {"head": "dense", "objective": "frozen-matching", **REGRESSION}
PAPER = {"preset": "paper"}

METHOD_SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "persistence": ("persistence", {}),
    "mean-shift": ("mean-shift", {}),
    "ot-interpolation": ("ot-interpolation", {}),
    "neural-ode": ("neural-ode", {}),
    **{name: (name, REGRESSION) for name in ("i-cfm", "ot-cfm", "ot-cfm-full", "sf2m")},
    "ot-cfm-spline": ("ot-cfm", {"path": "spline", **REGRESSION}),
    "mfm": ("mfm", {"gamma": 1.0, **REGRESSION}),
    "cell-mnn-paper": ("cell-mnn", PAPER),
    "eigen": ("cell-mnn", {"head": "eigen"}),
    "dense": ("cell-mnn", {"head": "dense"}),
    "rotational": ("cell-mnn", {"head": "rotational"}),
    "affine": ("cell-mnn", {"head": "eigen", "affine": True}),
    "matching": ("cell-mnn", {**FROZEN, "objective": "flow-matching"}),
    "frozen": ("cell-mnn", FROZEN),
    "frozen-spline": ("cell-mnn", {**FROZEN, "path": "spline"}),
    "cell-mnn-paper-leaky": ("cell-mnn", {**PAPER, "leaky_stopping": True}),
}
RACE = [label for label in METHOD_SETTINGS if label != "cell-mnn-paper-leaky"]


def _embryoid_body() -> Snapshots:
    return Snapshots.from_anndata(embryoid_body(), use_rep="X_pca")


def _hsmm() -> Snapshots:
    return Snapshots.from_anndata(hsmm(), n_components=5)


def _guo() -> Snapshots:
    return Snapshots.from_anndata(guo2010(repair=True), n_components=5)


def _myeloid() -> Snapshots:
    """From a progenitor to four fates; half of the way is done at time 1."""
    adata = gene_circuit("myeloid").snapshots([0, 1, 2, 4, 8], 600, seed=0)
    return Snapshots.from_anndata(adata, n_components=5)


DATASETS = {"embryoid-body": _embryoid_body, "hsmm": _hsmm, "guo": _guo, "myeloid": _myeloid}


@cache
def _snapshots(dataset: str) -> Snapshots:
    return DATASETS[dataset]()


def _benchmark_row(dataset: str, label: str, index: int, seed: int) -> dict[str, Any]:
    """Hold out one time of one data set; the label "floor" measures the noise floor alone."""
    name, options = METHOD_SETTINGS.get(label, (label, {}))
    row = score(_snapshots(dataset), name, index, seed, options)
    return {"dataset": dataset, "label": label, **row, "method": label}


def _benchmark(
    datasets: dict[str, Sequence[int]], labels: Sequence[str], seeds: Sequence[int] = (0, 1, 2)
) -> Experiment:
    """The experiment of these labels on these data sets, given with the positions of their held-out times."""
    places = [{"dataset": dataset, "index": index} for dataset, held in datasets.items() for index in held]
    floors = [{**place, "label": FLOOR, "seed": 0} for place in places]
    scores = [{**place, "label": label, "seed": seed} for label in labels for place in places for seed in seeds]
    used = {label: METHOD_SETTINGS[label] for label in labels}
    return Experiment(
        settings=floors + scores,
        row=_benchmark_row,
        modules=("datasets", "simulate", *SCORING),
        parts=(used, *(DATASETS[dataset] for dataset in datasets)),
        tidy=with_floors,
    )


# label -> what differs from the recipe: options of `fit`, of `CellMNN` (head, affine), and n_components, zero, luck.
ABLATION: dict[str, dict[str, Any]] = {
    "recipe": {},
    "recipe, other seeds": {"luck": 100},
    "2 components": {"n_components": 2},
    "3 components": {"n_components": 3},
    "10 components": {"n_components": 10},
    "30 components": {"n_components": 30},
    "bandwidth 0.1": {"bandwidth": 0.1},
    "bandwidth 3": {"bandwidth": 3.0},
    "bandwidths 0.3, 1, 3": {"bandwidth": [0.3, 1.0, 3.0]},
    "bandwidth: median": {"bandwidth": "median"},
    "gaussian kernel": {"kernel": "gaussian"},
    "energy distance": {"kernel": "energy"},
    "unbiased MMD": {"unbiased": True},
    "gamma 0": {"gamma": 0.0},
    "gamma 0.5": {"gamma": 0.5},
    "gamma 1": {"gamma": 1.0},
    "l_kin 0": {"l_kin": 0.0},
    "l_kin 0.01": {"l_kin": 0.01},
    "l_kin 0.03": {"l_kin": 0.03},
    "l_kin 0.3": {"l_kin": 0.3},
    "l_kin 1": {"l_kin": 1.0},
    "no barrier": {"l_barrier": 0.0},
    "dense head": {"head": "dense"},
    "rotational head": {"head": "rotational"},
    "affine": {"affine": True},
    "one eigenvalue zero": {"zero": True},
}
ABLATION_STEPS = 700
ABLATION_HELD = {"hsmm": (1, 2), "myeloid": (2, 3)}


def _ablation_row(dataset: str, label: str, index: int, seed: int) -> dict[str, Any]:
    """As `_benchmark_row`, but judged in the first five components, whatever the number that the model sees.

    W1 in spaces of different dimension cannot be compared. In components that the model does not see the cells stand
    still; ``w1_own`` and ``still_own`` (nothing moves) are measured in the components that it sees.
    """
    if label not in ABLATION:
        return {**_benchmark_row(dataset, label, index, seed), "w1_own": math.nan, "still_own": math.nan}
    options = dict(ABLATION[label])
    dim, luck, zero = options.pop("n_components", 5), options.pop("luck", 0), options.pop("zero", False)
    shape = {name: options.pop(name) for name in ("head", "affine") if name in options}
    snaps = _snapshots(dataset)
    five, held = snaps.hold_out(index)
    train, own = replace(snaps, n_components=dim).hold_out(index)  # which fits the components anew
    start = time.perf_counter()
    model = _one_stands_still(dim, seed + luck) if zero else CellMNN(dim, seed=seed + luck, **shape)
    fit(model, train, ABLATION_STEPS, seed + luck, progress=False, **options)
    moved = model.propagate(own.previous, own.previous_time, own.time)
    seconds = time.perf_counter() - start
    # Through the genes: this does not depend on the signs of components, and adds nothing that was not seen.
    predicted = held.previous + five.encode(train.decode(moved)) - five.encode(train.decode(own.previous))
    return {
        "dataset": dataset,
        "label": label,
        "method": label,
        "index": index,
        "time": held.time,
        "seed": seed,
        "w1": wasserstein(predicted, held.state),
        "mmd": mmd(predicted, held.state),
        "w1_own": wasserstein(moved, own.state),
        "still_own": wasserstein(own.previous, own.state),
        "seconds": seconds,
        "steps": ABLATION_STEPS,
        "protocol": f"held out time {held.time:g}; {train.protocol}; judged in 5 components",
    }


def _one_stands_still(dim: int, seed: int) -> CellMNN:
    """Eigen head whose last eigenvalue is zero: one combination of components, a row of P, keeps its value."""

    class OneStandsStill(CellMNN):
        def forward(self, z: torch.Tensor, t: torch.Tensor) -> EigenOperator:
            operator = super().forward(z, t)
            moving = (torch.arange(self.dim, device=z.device) < self.dim - 1).to(z)
            return replace(operator, values=operator.values * moving)

    return OneStandsStill(dim, seed=seed)


def _with_floors_and_own(rows: pd.DataFrame) -> pd.DataFrame:
    scores = rows[rows["method"] != FLOOR].reset_index(drop=True)
    return with_floors(rows).assign(w1_own=scores["w1_own"], still_own=scores["still_own"])


def _ablation() -> Experiment:
    places = [{"dataset": dataset, "index": index} for dataset, held in ABLATION_HELD.items() for index in held]
    settings = [{**place, "label": FLOOR, "seed": 0} for place in places]
    for label in ("persistence", "ot-interpolation", *ABLATION):
        # The circuit has 11 genes.
        fits = [p for p in places if p["dataset"] != "myeloid" or ABLATION.get(label, {}).get("n_components", 5) <= 11]
        settings += [{**place, "label": label, "seed": seed} for place in fits for seed in range(3)]
    parts = (ABLATION, ABLATION_STEPS, _benchmark_row, _one_stands_still, _with_floors_and_own)
    return Experiment(
        settings=settings,
        row=_ablation_row,
        modules=("datasets", "simulate", *SCORING),
        parts=(*parts, *(DATASETS[dataset] for dataset in ABLATION_HELD)),
        replicates=("seed", "index", "dataset"),
        tidy=_with_floors_and_own,
    )


def _second_way_row(seed: int, way: str, deviation: float, **options: Any) -> dict[str, Any]:
    """A linear truth of eight genes: what the mean operator says of it, and how near the moved crowds come."""
    circuit = gene_circuit("linear", n_genes=8, seed=seed)
    times, hidden = [0, 0.25, 0.5, 0.75, 1], [0.125, 0.375, 0.625, 0.875]
    train = Snapshots.from_anndata(circuit.snapshots(times, 400, seed=seed), n_components=None, rescale=False)
    photos = circuit.snapshots(hidden, 400, seed=seed + 1000)
    head = options.pop("head", "dense")
    model, start = CellMNN(8, head=head, seed=seed), time.perf_counter()
    fit(model, train, 800, seed, batch_size=128, deviation=deviation, progress=False, **options)
    seconds = time.perf_counter() - start
    matrices = [model.operator(state, t) for state, t in zip(train.states, train.times, strict=True)]
    mean, truth = np.concatenate(matrices).mean(0), circuit.jacobian(np.zeros(8))
    off = ~np.eye(8, dtype=bool)
    n_steps = 20 if options.get("objective") == "flow-matching" else 1
    w1 = [
        wasserstein(model.propagate(train.states[k], times[k], t, n_steps), photos.X[photos.obs["time"] == t])
        for k, t in enumerate(hidden)
    ]
    return {
        "seed": seed, "way": way, "deviation": deviation, "head": head, **options,
        "correlation": float(np.corrcoef(mean[off], truth[off])[0, 1]),
        "slope": float((mean[off] * truth[off]).sum() / (truth[off] ** 2).sum()),
        "spread": float(np.sqrt(((np.concatenate(matrices) - mean) ** 2).mean())),
        "w1": float(np.mean(w1)), "seconds": seconds,
    }  # fmt: skip


SECOND_WAYS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "crowds, eigen": ({"head": "eigen"}, (0,)),
    "crowds": ({}, (0, 10)),
    "crowds, speed free": ({"l_kin": 0.0}, (0, 1, 10, 100)),
    "velocities, straight": ({"objective": "flow-matching"}, (0, 10)),
    "velocities, spline": ({"objective": "flow-matching", "path": "spline"}, (0, 1, 10, 100)),
    "frozen, spline": ({"objective": "frozen-matching", "path": "spline"}, (0, 1, 10, 100)),
}
SECOND_WAY = Experiment(
    settings=[
        {"seed": seed, "way": way, "deviation": c, **options}
        for way, (options, weights) in SECOND_WAYS.items()
        for c in weights
        for seed in range(5)
    ],
    row=_second_way_row,
    modules=("simulate", *SCORING),
)

EXPERIMENTS = {
    "rotation": ROTATION,
    "embryoid-body": _benchmark({"embryoid-body": (1, 2, 3)}, RACE),
    "hsmm": _benchmark({"hsmm": (1, 2)}, RACE),
    "myeloid": _benchmark({"myeloid": (2,)}, RACE),
    "ablation": _ablation(),
    "second-way": SECOND_WAY,
    "leak": _benchmark({"hsmm": (1, 2)}, ["cell-mnn-paper", "cell-mnn-paper-leaky"], seeds=range(8)),
    # Its leak-free partner is the label cell-mnn-paper of "embryoid-body".
    "leak-embryoid-body": _benchmark({"embryoid-body": (1, 2, 3)}, ["cell-mnn-paper-leaky"]),
}
