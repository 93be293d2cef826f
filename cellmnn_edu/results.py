"""Results that take too long for a page: stored with the command, the versions and the code that made them.

``cellmnn-edu reproduce NAME`` makes one again; `load` refuses a table that other code has made, unless that code was
shown to give the same numbers (``cellmnn-edu reproduce NAME --confirm``).
"""

from __future__ import annotations

import inspect
import json
import math
import platform
import random
import textwrap
import time
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ._grid import code_of, code_text, run_grid, write_whole
from .datasets import embryoid_body, guo2010, hsmm, shipped
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

# Largest relative difference between a stored number and the same number computed again.
TOLERANCE = 1e-5


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


def load(name: str) -> pd.DataFrame:
    """Read a stored result.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.

    Returns
    -------
    DataFrame
        One row for each setting (for a benchmark: for each score, the floor beside it); ``attrs`` holds the command,
        date, versions, hash of the code, and the confirmations.

    Raises
    ------
    ValueError
        For an unknown name, or if the code has changed since the result was made or last confirmed.
    """
    experiment = _experiment(name)
    table, origin = _stored(shipped(f"results/{name}.json").parent, name)
    if code_hash(experiment) not in (origin["code"], *(entry["code"] for entry in origin.get("confirmed", [])[-1:])):
        raise ValueError(
            f"The result {name!r} of {origin['date']} was made by other code than this. If the change cannot have "
            f"changed the numbers, let one row of each way show it: {origin['command']} --confirm. Otherwise make it "
            f"again (about {origin['minutes']:.0f} minutes): {origin['command']}"
        )
    if experiment.tidy is not None:
        table = experiment.tidy(table)
    table.attrs.update(origin)
    return table


def _stored(folder: Path, name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pandas as pd

    origin = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return pd.read_csv(folder / f"{name}.csv", float_precision="round_trip"), origin


def reproduce(
    name: str, folder: Path, n_jobs: int = 1, cluster: str | None = None, progress: bool = True
) -> pd.DataFrame:
    """Compute a result and store it as ``name.csv`` and ``name.json``.

    Finished rows are kept in ``name.partial.csv``, so that an interrupted run goes on where it stopped.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    folder : Path
        Where to write.
    n_jobs, cluster, progress
        As in `run_grid`.

    Returns
    -------
    DataFrame
        The rows, in the order of the settings.
    """
    import pandas as pd

    experiment, partial = _experiment(name), Path(folder) / f"{name}.partial.csv"
    code = code_hash(experiment)
    table = pd.DataFrame(
        run_grid(
            experiment.row, experiment.settings, partial, code, experiment.modules, n_jobs, cluster, progress, name
        )
    )
    origin = {
        "command": f"cellmnn-edu reproduce {name}",
        "date": date.today().isoformat(),
        "minutes": round(float(table["seconds"].sum() / 60), 1),
        "code": code,
        "modules": list(experiment.modules),
        "versions": _versions(),
    }
    partial.parent.mkdir(parents=True, exist_ok=True)
    write_whole(Path(folder) / f"{name}.csv", table.to_csv(index=False, float_format="%.8g"))
    _write_origin(folder, name, origin)
    partial.unlink(missing_ok=True)
    return table


def confirm(
    name: str, folder: Path, n_jobs: int = 1, cluster: str | None = None, progress: bool = True
) -> dict[str, Any]:
    """Show that the code of today gives the stored numbers: compute one row of every way again, at full settings.

    Which row of a way is taken changes with the code. If all agree, the confirmation is added to ``name.json``, and
    `load` accepts the table again; its date and hash stay those of the run that made it.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    folder : Path
        Where the result lies.
    n_jobs, cluster, progress
        As in `run_grid`. An interrupted confirmation goes on where it stopped.

    Returns
    -------
    dict
        ``code``, ``date``, ``rows`` (how many), ``versions``, ``largest_difference`` (relative).

    Raises
    ------
    ValueError
        If there is no stored result, the settings have changed, or a number differs by more than 1e-5 of its size:
        with both values.
    """
    experiment, folder = _experiment(name), Path(folder)
    if not (folder / f"{name}.json").is_file():
        raise ValueError(f"There is no {name}.json in {folder}: name the folder of the result, or reproduce it.")
    table, origin = _stored(folder, name)
    if not _same_settings(table, experiment.settings):
        raise ValueError(f"The settings of {name!r} are not those of its stored rows: {origin['command']}")
    code, partial = code_hash(experiment), folder / f"{name}.confirm.partial.csv"
    chosen = _one_of_each_way(experiment, code)
    settings = [experiment.settings[i] for i in chosen]
    rows = run_grid(
        experiment.row, settings, partial, code, experiment.modules, n_jobs, cluster, progress, f"confirm {name}"
    )
    partial.unlink(missing_ok=True)
    differences = [_differences(table.iloc[i].to_dict(), row) for i, row in zip(chosen, rows, strict=True)]
    if other := [f"{settings[k]}: {words}" for k, (_, words) in enumerate(differences) if words]:
        raise ValueError(
            f"{len(other)} of {len(rows)} rows of {name!r} are not the stored ones:\n"
            + "\n".join(other)
            + f"\nMake it again: {origin['command']}"
        )
    entry = {"code": code, "date": date.today().isoformat(), "rows": len(rows), "versions": _versions()}
    entry["largest_difference"] = float(f"{max(largest for largest, _ in differences):.2g}")
    _write_origin(folder, name, {**origin, "confirmed": [*origin.get("confirmed", []), entry]})
    return entry


def _same_settings(table: pd.DataFrame, settings: list[dict[str, Any]]) -> bool:
    rows = table.to_dict("records")
    return len(rows) == len(settings) and all(
        _difference(row.get(key), value) == 0
        for row, setting in zip(rows, settings, strict=True)
        for key, value in setting.items()
    )


def _one_of_each_way(experiment: Experiment, code: str) -> list[int]:
    """Positions of one setting of each way, drawn anew for every hash."""
    ways: dict[str, list[int]] = {}
    for i, setting in enumerate(experiment.settings):
        way = {key: value for key, value in setting.items() if key not in experiment.replicates}
        ways.setdefault(json.dumps(way, sort_keys=True), []).append(i)
    rng = random.Random(code)
    return sorted(rng.choice(members) for members in ways.values())


def _differences(stored: dict[str, Any], row: dict[str, Any]) -> tuple[float, str]:
    """Largest relative difference of a row's values, seconds aside, and those too large in words."""
    columns = [key for key in {**stored, **row} if key != "seconds"]
    gaps = {key: _difference(stored.get(key), row.get(key)) for key in columns}
    words = [f"{key} {stored.get(key)} stored, {row.get(key)} now" for key in columns if not gaps[key] <= TOLERANCE]
    return max(gaps.values()), "; ".join(words)


def _difference(a: Any, b: Any) -> float:
    """Relative for numbers, 0 for equal values and two missing ones, else infinite."""
    missing = [value is None or value == "" or value != value for value in (a, b)]
    if any(missing) or isinstance(a, str) or isinstance(b, str):
        return 0.0 if all(missing) or str(a) == str(b) else math.inf
    return 0.0 if a == b else abs(a - b) / max(abs(a), abs(b))


def _write_origin(folder: Path, name: str, origin: dict[str, Any]) -> None:
    write_whole(Path(folder) / f"{name}.json", json.dumps(origin, indent=1) + "\n")


def code_hash(experiment: Experiment) -> str:
    """Hash of what decides the numbers: the settings, the row and its parts, and the code of the modules."""
    return code_of(experiment.modules, *map(_text, (experiment.settings, experiment.row, *experiment.parts)))


def _text(part: Any) -> str:
    if inspect.isfunction(part):
        return code_text(textwrap.dedent(inspect.getsource(part)))
    return json.dumps(part, sort_keys=True)


def _experiment(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise ValueError(f"Expected one of the results {', '.join(EXPERIMENTS)}; got {name!r}.")
    return EXPERIMENTS[name]


def _versions() -> dict[str, str]:
    import numpy
    import torch

    versions = {"python": platform.python_version(), "numpy": numpy.__version__, "torch": torch.__version__}
    return {name: version.split("+")[0] for name, version in versions.items()}


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
    "mfm": ("mfm", {"gamma": 1.0, **REGRESSION}),
    "cell-mnn-paper": ("cell-mnn", PAPER),
    "eigen": ("cell-mnn", {"head": "eigen"}),
    "dense": ("cell-mnn", {"head": "dense"}),
    "rotational": ("cell-mnn", {"head": "rotational"}),
    "matching": ("cell-mnn", {**FROZEN, "objective": "flow-matching"}),
    "frozen": ("cell-mnn", FROZEN),
    "frozen-spline": ("cell-mnn", {**FROZEN, "path": "spline"}),
    "frozen-spline-tuned": ("cell-mnn", {**FROZEN, "path": "spline", "finetune_steps": 300}),
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
        tidy=_with_floors_and_own,
    )


EXPERIMENTS = {
    "rotation": ROTATION,
    "embryoid-body": _benchmark({"embryoid-body": (1, 2, 3)}, RACE),
    "hsmm": _benchmark({"hsmm": (1, 2)}, RACE),
    "myeloid": _benchmark({"myeloid": (1, 2, 3)}, RACE),
    "ablation": _ablation(),
    "leak": _benchmark({"embryoid-body": (1, 2, 3)}, ["cell-mnn-paper-leaky"]),
}
