"""Score methods on snapshots that they never saw: one, a whole table, and what the table says."""

from __future__ import annotations

import hashlib
import json
import time
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import baselines
from ._grid import RowsFailed, run_grid
from .metrics import NoiseFloor, mmd, noise_floor, wasserstein
from .snapshots import Snapshots

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

__all__ = ["RowsFailed", "benchmark", "leave_one_out", "run_grid", "summary"]

# The modules whose code decides a score.
SCORING = (
    "snapshots",
    "metrics",
    "operators",
    "model",
    "losses",
    "paths",
    "objectives",
    "loop",
    "training",
    "baselines",
    "evaluation",
)
FLOOR = "floor"
FLOOR_COLUMNS = ["floor", "floor_low", "floor_high"]
COLUMNS = ["dataset", "method", "index", "time", "seed", "w1", "mmd", *FLOOR_COLUMNS, "seconds", "steps", "protocol"]


def leave_one_out(
    snaps: Snapshots,
    method: str,
    index: int,
    seed: int = 0,
    floor: NoiseFloor | None = None,
    leaky_stopping: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Hold out one inner snapshot, train on the others, predict it from all cells of the preceding one.

    Parameters
    ----------
    snaps : Snapshots
        At least three times.
    method : str
        A name `baselines.get` knows.
    index : int
        Position of the held-out time in ``snaps.times``.
    seed : int
        Of the method.
    floor : NoiseFloor, optional
        The noise floor of this snapshot where it is known already; measured otherwise (12 s for 4000 cells).
    leaky_stopping : bool
        Let the method choose its stopping point by the held-out cells, as published code does: only to measure
        what that is worth. ``protocol`` then begins with LEAKY.
    **options
        Settings of the method, for example ``steps=500`` for "cell-mnn".

    Returns
    -------
    dict
        ``method``, ``index``, ``time``, ``seed``; ``w1`` (exact W1) and ``mmd`` (squared MMD, bandwidth 1) between
        prediction and held-out cells; ``floor``, ``floor_low``, ``floor_high`` (`noise_floor` at the sizes compared: a
        method within it cannot be told from a perfect one); ``seconds`` for training and prediction; ``steps``;
        ``protocol``: what the coordinates were fitted on and which time was held out.

    Raises
    ------
    ValueError
        For an index that is not an inner one, an unknown method or option, or `leaky_stopping` of a method that
        does not stop by a score.
    """
    train, held = snaps.hold_out(index)
    if floor is None:
        floor = noise_floor(held.state, len(held.previous), len(held.state))  # first: it may refuse too few cells
    start = time.perf_counter()
    rival = baselines.get(method, **options)
    fitted = rival.fit(train, seed=seed, **_leak(rival, method, held if leaky_stopping else None))
    predicted = fitted.propagate(held.previous, held.previous_time, held.time, seed=seed)
    seconds = time.perf_counter() - start
    warning = "LEAKY: stopping looked at the held-out cells; " if leaky_stopping else ""
    return {
        "method": method,
        "index": index,
        "time": held.time,
        "seed": seed,
        "w1": wasserstein(predicted, held.state),
        "mmd": mmd(predicted, held.state),
        "floor": floor.mean,
        "floor_low": floor.low,
        "floor_high": floor.high,
        "seconds": seconds,
        "steps": fitted.steps,
        "protocol": f"{warning}held out time {held.time:g}; {train.protocol}",
    }


def _leak(rival: baselines.Method, name: str, held: Any) -> dict[str, Any]:
    if held is None:
        return {}
    if "leak" not in signature(rival.fit).parameters:
        raise ValueError(f"{name} does not stop by a score, so there is no leak to measure: leave leaky_stopping out.")
    return {"leak": held}


def benchmark(
    snaps: Snapshots | Mapping[str, Snapshots],
    methods: Sequence[str] | Mapping[str, tuple[str, dict[str, Any]]],
    seeds: Sequence[int] = (0, 1, 2),
    n_jobs: int = 1,
    indices: Sequence[int] | None = None,
    cluster: str | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score every method on every held-out time with every seed.

    Parameters
    ----------
    snaps : Snapshots or mapping
        One data set, or several by name.
    methods : sequence of str, or mapping
        Names that `baselines.get` knows; or label -> (name, options), to compare settings of one method:
        ``{"slow": ("cell-mnn", {"lr": 2e-4}), "fast": ("cell-mnn", {"lr": 1e-3})}``. The options are those of
        `leave_one_out`.
    seeds : sequence of int
        Also for methods without randomness, whose rows then repeat.
    n_jobs, cluster, store, progress
        As in `run_grid`: processes or a Dask cluster, and the file from which a stopped run goes on. Kept rows are
        used again for the same data, settings and code.
    indices : sequence of int, optional
        Positions of the times to hold out, one after the other; all inner ones by default.

    Returns
    -------
    DataFrame
        One row per data set, method, held-out time and seed: dataset, method (the label), index, time, seed, w1, mmd,
        floor, floor_low, floor_high, seconds, steps, protocol. The same whatever `n_jobs` and `cluster`, but for the
        seconds (and, on other processors, the last digits).

    Raises
    ------
    ValueError
        For unknown methods or options, indices that are not inner ones, snapshots too small for a noise floor, or
        nothing to do: before anything is computed.
    RowsFailed
        If rows failed; the others are finished and kept first. More in `run_grid`.
    """
    datasets = {"snapshots": snaps} if isinstance(snaps, Snapshots) else dict(snaps)
    variants = _checked_methods(methods)
    if not (datasets and variants and len(seeds)):
        raise ValueError("Expected at least one data set, one method and one seed: otherwise there is nothing to do.")
    settings = []
    for dataset, data in datasets.items():
        held = _checked_indices(dataset, data, indices)
        base = {"dataset": dataset, "data": _data_hash(data)}
        # The floors take longest on large data, so they go first.
        settings += [{**base, "label": FLOOR, "name": FLOOR, "options": {}, "index": i, "seed": 0} for i in held]
        settings += [
            {**base, "label": label, "name": name, "options": options, "index": i, "seed": int(seed)}
            for label, (name, options) in variants.items()
            for i in held
            for seed in seeds
        ]
    row = partial(_benchmark_row, datasets)
    rows = run_grid(row, settings, store, "", SCORING, n_jobs, cluster, progress, desc="benchmark")
    return with_floors(pd.DataFrame(rows))


def score(
    snaps: Snapshots, name: str, index: int, seed: int = 0, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One row of a benchmark: the noise floor alone for the name "floor", else a score with the floor left open.

    Parameters
    ----------
    snaps, index, seed
        As in `leave_one_out`.
    name : str
        "floor" or a method.
    options : mapping, optional
        Of the method; its progress bar is off unless they ask for it.

    Returns
    -------
    dict
        As `leave_one_out`, with NaN for what was not measured. `with_floors` joins a table of both kinds.
    """
    if name != FLOOR:
        options = {**_accepted(name, progress=False), **(options or {})}
        return leave_one_out(snaps, name, index, seed, floor=NoiseFloor(np.nan, np.nan, np.nan), **options)
    _, held = snaps.hold_out(index)
    start = time.perf_counter()
    floor = noise_floor(held.state, len(held.previous), len(held.state))
    row = dict.fromkeys(COLUMNS[1:], np.nan) | {"method": FLOOR, "index": index, "time": held.time, "seed": seed}
    row |= dict(zip(FLOOR_COLUMNS, floor, strict=True))
    return row | {"seconds": time.perf_counter() - start, "steps": 0, "protocol": FLOOR}


def with_floors(rows: pd.DataFrame) -> pd.DataFrame:
    """Join the floors, which are rows of the method "floor", to the scores of their data set and index.

    Parameters
    ----------
    rows : DataFrame
        Rows of `score` with a column ``dataset``.

    Returns
    -------
    DataFrame
        The scores, in their order, with the columns that `benchmark` lists.
    """
    is_floor = rows["method"] == FLOOR
    floors = rows.loc[is_floor, ["dataset", "index", *FLOOR_COLUMNS]]
    scores = rows[~is_floor].drop(columns=FLOOR_COLUMNS).astype({"time": float})  # whole times, read from a file
    return scores.merge(floors, on=["dataset", "index"], how="left", validate="many_to_one")[COLUMNS]


def summary(table: pd.DataFrame, against: str | None = None) -> pd.DataFrame:
    """What a benchmark says: each method's mean W1 over the held-out times, with an interval over the seeds.

    Parameters
    ----------
    table : DataFrame
        Of `benchmark`: every method of a data set with the same times and seeds.
    against : str, optional
        A method to compare all others with, pair by pair (same data set, time and seed).

    Returns
    -------
    DataFrame
        One row per data set and method: ``w1`` with ``low`` and ``high`` (95 %); ``best_time`` and ``worst_time``, the
        means of the easiest and the hardest held-out time; ``persistence`` and ``ot-interpolation``, their W1 beside
        it (NaN if they did not run); ``floor``; ``steps`` and ``seconds`` (means); ``n_times`` and ``n_seeds``. With
        `against` also ``difference`` (negative: better than it), ``difference_low``, ``difference_high`` (95 %), and
        ``better_at``, the number of times at which the mean over seeds is lower.

    Raises
    ------
    ValueError
        If seeds or times are missing for some method, or `against` is not in the table.

    Notes
    -----
    The intervals are Student's, from the spread of the seeds within each time, pooled over the times: T (S - 1)
    degrees of freedom, NaN for one seed. They cover what another set of seeds could change. They do not cover other
    cells (for that see the floor) nor other times: the held-out times are those there are, not a sample, and three of
    them say little about a fourth. Methods without randomness get an interval of no width.
    """
    rows = []
    for dataset, scores in table.groupby("dataset", sort=False):
        pairs = _pairs(scores, dataset)
        if against is not None and against not in pairs:
            raise ValueError(f"Expected one of the methods {', '.join(pairs)} of {dataset!r}, got against={against!r}.")
        beside = {name: pairs[name].to_numpy().mean() for name in ("persistence", "ot-interpolation") if name in pairs}
        for method, w1 in pairs.items():
            mean, low, high = _interval(w1)
            means = scores.loc[scores["method"] == method, ["floor", "steps", "seconds"]].mean()
            row = {"dataset": dataset, "method": method, "w1": mean, "low": low, "high": high}
            row |= {"best_time": w1.mean(axis=1).min(), "worst_time": w1.mean(axis=1).max()}
            row |= {name: beside.get(name, np.nan) for name in ("persistence", "ot-interpolation")}
            row |= {**means, "n_times": w1.shape[0], "n_seeds": w1.shape[1]}
            if against is not None:
                gap = w1 - pairs[against]
                row |= dict(zip(("difference", "difference_low", "difference_high"), _interval(gap), strict=True))
                row |= {"better_at": int((gap.mean(axis=1) < 0).sum())}
            rows.append(row)
    return pd.DataFrame(rows)


def _pairs(scores: pd.DataFrame, dataset: str) -> dict[str, pd.DataFrame]:
    """W1 of each method of one data set, times x seeds."""
    pairs = {}
    for method, rows in scores.groupby("method", sort=False):
        if rows.duplicated(["index", "seed"]).any():
            raise ValueError(f"{method!r} on {dataset!r} has several rows of one time and seed: keep one of them.")
        pairs[method] = rows.pivot(index="index", columns="seed", values="w1")
    first = next(iter(pairs.values()))
    for method, w1 in pairs.items():
        if w1.isna().any(axis=None) or not (w1.index.equals(first.index) and w1.columns.equals(first.columns)):
            raise ValueError(
                f"Expected the same times and seeds for every method of {dataset!r}, and {method!r} has others: means "
                "over different times cannot be compared. Run what is missing, or drop that method."
            )
    return pairs


def _interval(values: pd.DataFrame) -> tuple[float, float, float]:
    """Mean of a table times x seeds, and Student's 95 % interval for fixed times and random seeds."""
    from scipy.stats import t

    cells = values.to_numpy()
    n_free = cells.shape[0] * (cells.shape[1] - 1)
    if n_free == 0:
        return float(cells.mean()), np.nan, np.nan
    variance = ((cells - cells.mean(axis=1, keepdims=True)) ** 2).sum() / n_free
    half = t.ppf(0.975, n_free) * np.sqrt(variance / cells.size)
    return float(cells.mean()), float(cells.mean() - half), float(cells.mean() + half)


def _benchmark_row(
    datasets: Mapping[str, Snapshots],
    dataset: str,
    data: str,
    label: str,
    name: str,
    options: dict[str, Any],
    index: int,
    seed: int,
) -> dict[str, Any]:
    """Of its arguments `data`, the hash, only tells stored rows apart."""
    return {"dataset": dataset, **score(datasets[dataset], name, index, seed, options), "method": label}


def _accepted(name: str, **wanted: Any) -> dict[str, Any]:
    """Those of the wanted options that the method takes."""
    known = baselines.options_of(name)
    return {key: value for key, value in wanted.items() if key in known}


def _checked_methods(
    methods: Sequence[str] | Mapping[str, tuple[str, dict[str, Any]]],
) -> dict[str, tuple[str, dict[str, Any]]]:
    if isinstance(methods, str):
        raise ValueError(f"Expected a list of methods, got the text {methods!r}: write [{methods!r}].")
    variants = dict(methods) if hasattr(methods, "items") else {name: (name, {}) for name in methods}
    for label, variant in variants.items():
        if label == FLOOR or isinstance(variant, str) or len(variant) != 2:
            raise ValueError(
                f"Expected label: (name, options) with a label other than 'floor', got {label}: {variant}."
            )
        name, options = variant
        rival = baselines.get(name, **{key: value for key, value in options.items() if key != "leaky_stopping"})
        _leak(rival, name, options.get("leaky_stopping") or None)
    return variants


def _checked_indices(dataset: str, snaps: Snapshots, indices: Sequence[int] | None) -> list[int]:
    held = range(1, max(2, len(snaps.times) - 1)) if indices is None else indices
    for index in held:
        snaps._check_inner(index)
        if len(snaps.raw[index]) < 8:
            raise ValueError(
                f"Expected at least 8 cells at time {snaps.times[index]:g} of {dataset!r} for a noise floor, got "
                f"{len(snaps.raw[index])}: choose other indices."
            )
    return [int(index) for index in held]


def _data_hash(snaps: Snapshots) -> str:
    """Of all that decides the coordinates, so that kept rows of other data are not used."""
    how = [snaps.times.tolist(), snaps.n_components, snaps.use_rep, snaps.rescale, [len(raw) for raw in snaps.raw]]
    digest = hashlib.sha256(json.dumps(how).encode())
    for raw in snaps.raw:
        digest.update(np.ascontiguousarray(raw).data)
    return digest.hexdigest()[:16]
