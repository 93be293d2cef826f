"""Results that take too long for a page: stored with the command, the versions and the code that made them.

``cellmnn-edu reproduce NAME`` makes one again; `load` refuses a table that other code has made, unless that code was
shown to give the same numbers (``cellmnn-edu reproduce NAME --confirm``).
"""

from __future__ import annotations

import inspect
import json
import math
import os
import platform
import random
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._grid import code_of, code_text, run_grid, write_whole
from .datasets import shipped
from .experiments import EXPERIMENTS as RACES
from .experiments import Experiment
from .gene_experiments import GENE_EXPERIMENTS

if TYPE_CHECKING:
    import pandas as pd


EXPERIMENTS = RACES | GENE_EXPERIMENTS
# Largest relative difference between a stored number and the same number computed again.
TOLERANCE = 1e-5


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
    if code_hash(experiment) not in _accepted(origin):
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
    name: str,
    folder: Path,
    n_jobs: int = 1,
    cluster: str | None = None,
    progress: bool = True,
    against: Path | None = None,
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
    against : Path, optional
        A checkout of the code that made or last confirmed the result (``git worktree add FOLDER COMMIT``). The rows are
        then computed by both, here, and compared with each other: needed on another kind of processor than the stored
        run's, where training ends elsewhere, as rounding in the last digit grows.

    Returns
    -------
    dict
        ``code``, ``date``, ``rows`` (how many), ``versions``, ``largest_difference`` (relative), and ``against`` (the
        hash of the other code) if it was computed too.

    Raises
    ------
    ValueError
        If there is no stored result, the settings have changed, the code in `against` is not that of the result, or a
        number differs by more than 1e-5 of its size: with both values.
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
    expected = [table.iloc[i].to_dict() for i in chosen]
    if against is not None:
        other, expected = _rows_by(Path(against), name, settings, n_jobs, progress)
        if other not in _accepted(origin):
            raise ValueError(
                f"The code in {against} ({other}) neither made nor last confirmed {name!r} ({origin['date']}): "
                "check out the commit that did."
            )
    desc = f"confirm {name}"
    rows = run_grid(experiment.row, settings, partial, code, experiment.modules, n_jobs, cluster, progress, desc)
    partial.unlink(missing_ok=True)
    largest = _agreement(name, settings, expected, rows, origin)
    entry = {"code": code, "date": date.today().isoformat(), "rows": len(rows), "versions": _versions()}
    entry["largest_difference"] = float(f"{largest:.2g}")
    if against is not None:
        entry["against"] = other
    _write_origin(folder, name, {**origin, "confirmed": [*origin.get("confirmed", []), entry]})
    return entry


def _accepted(origin: dict[str, Any]) -> list[str]:
    """Hashes of the code that made a result, and that last confirmed it."""
    return [origin["code"], *(entry["code"] for entry in origin.get("confirmed", [])[-1:])]


# Run in another checkout: rows of its experiment, by its code.
_OTHER_CODE = """
import json, sys
from cellmnn_edu import _grid, results
name, settings, n_jobs, progress = json.load(sys.stdin)
experiment = results.EXPERIMENTS[name]
options = {"modules": experiment.modules, "n_jobs": n_jobs, "progress": progress, "desc": "the other code"}
rows = _grid.run_grid(experiment.row, settings, **options)
json.dump([results.code_hash(experiment), rows], sys.stdout)
"""


def _rows_by(
    checkout: Path, name: str, settings: list[dict[str, Any]], n_jobs: int, progress: bool
) -> tuple[str, list[dict[str, Any]]]:
    """Hash of an experiment's code in another checkout, and rows computed by it."""
    if not (checkout / "cellmnn_edu" / "results.py").is_file():
        raise ValueError(f"Expected a checkout of this project, with a folder cellmnn_edu, got {checkout}.")
    paths = [str(checkout.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_CODE],
        input=json.dumps([name, settings, n_jobs, progress]),
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(f"The code in {checkout} could not compute rows of {name!r}: its message stands above.")
    return tuple(json.loads(done.stdout))


def _agreement(
    name: str,
    settings: list[dict[str, Any]],
    expected: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    origin: dict[str, Any],
) -> float:
    """Largest relative difference of two lists of rows; raise ValueError where one is too large."""
    differences = [_differences(a, b) for a, b in zip(expected, rows, strict=True)]
    if other := [f"{settings[k]}: {words}" for k, (_, words) in enumerate(differences) if words]:
        raise ValueError(
            f"{len(other)} of {len(rows)} rows of {name!r} are not the stored ones:\n"
            + "\n".join(other)
            + f"\nMake it again: {origin['command']}\nOr, where all rows that were trained differ, as on another kind "
            "of processor than the stored run's, compare with the code that made them: --confirm --against CHECKOUT"
        )
    return max(largest for largest, _ in differences)


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
    part = inspect.unwrap(part) if callable(part) else part  # what @cache wraps
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
