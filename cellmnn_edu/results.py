"""Results that take too long for a page: stored with the command, the versions and the code that made them.

``cellmnn-edu reproduce NAME`` makes one again; `load` refuses a table that other code has made.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import platform
import tokenize
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._progress import progress_bar
from .datasets import shipped
from .evaluation import leave_one_out
from .simulate import gene_circuit
from .snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

_HERE = Path(__file__).parent
TRAINING = ("snapshots", "metrics", "operators", "model", "losses", "training", "baselines", "evaluation")


class Experiment(NamedTuple):
    """A grid of settings, what makes one row of each, and the modules whose code decides the numbers."""

    settings: list[dict[str, Any]]
    row: Callable[..., dict[str, Any]]
    modules: tuple[str, ...]


def load(name: str) -> pd.DataFrame:
    """Read a stored result.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.

    Returns
    -------
    DataFrame
        One row for each setting; ``attrs`` holds the command, date, versions and hash of the code.

    Raises
    ------
    ValueError
        For an unknown name, or if the code has changed since the result was made.
    """
    import pandas as pd

    experiment = _experiment(name)
    origin = json.loads(shipped(f"results/{name}.json").read_text(encoding="utf-8"))
    if origin["code"] != code_hash(experiment):
        raise ValueError(
            f"The result {name!r} of {origin['date']} was made by other code than this. "
            f"Make it again (about {origin['minutes']:.0f} minutes): {origin['command']}"
        )
    table = pd.read_csv(shipped(f"results/{name}.csv"))
    table.attrs.update(origin)
    return table


def reproduce(name: str, folder: Path, n_jobs: int = 1, progress: bool = True) -> pd.DataFrame:
    """Compute a result and store it as ``name.csv`` and ``name.json``.

    Finished rows are kept in ``name.partial.csv``, so that an interrupted run goes on where it stopped.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    folder : Path
        Where to write.
    n_jobs : int
        Processes, one thread each.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        The rows, in the order of the settings.
    """
    import pandas as pd
    from joblib import Parallel, delayed

    experiment = _experiment(name)
    code, partial = code_hash(experiment), Path(folder) / f"{name}.partial.csv"
    partial.parent.mkdir(parents=True, exist_ok=True)
    done = pd.read_csv(partial) if partial.exists() else pd.DataFrame(columns=["code", "setting"])
    done = done[done["code"] == code]
    todo = [i for i in range(len(experiment.settings)) if i not in set(done["setting"])]
    jobs = (delayed(_row)(name, i) for i in todo)
    rows = done.to_dict("records")
    with Parallel(n_jobs=n_jobs, return_as="generator_unordered") as run:
        for row in progress_bar(run(jobs), show=progress, desc=name, unit="row", total=len(todo)):
            rows.append({"code": code, **row})
            # Replaced in one go, so that an interruption leaves the old file or the new one.
            pd.DataFrame(rows).to_csv(partial.with_suffix(".new"), index=False)
            partial.with_suffix(".new").replace(partial)
    table = pd.DataFrame(rows).sort_values("setting").drop(columns=["code", "setting"]).reset_index(drop=True)
    table.to_csv(Path(folder) / f"{name}.csv", index=False, float_format="%.6g")
    origin = {
        "command": f"cellmnn-edu reproduce {name}",
        "date": date.today().isoformat(),
        "minutes": round(float(table["seconds"].sum() / 60), 1),
        "code": code,
        "modules": list(experiment.modules),
        "versions": _versions(),
    }
    (Path(folder) / f"{name}.json").write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    partial.unlink(missing_ok=True)
    return table


def code_hash(experiment: Experiment) -> str:
    """Hash of what decides the numbers: the settings, and the code of this module and the experiment's."""
    digest = hashlib.sha256(json.dumps(experiment.settings, sort_keys=True).encode())
    for module in ("results", *experiment.modules):
        path = _HERE / module
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            digest.update(_code(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def _code(source: str) -> str:
    """The source without docstrings, comments and blank lines."""
    lines = [list(line) for line in source.splitlines()]
    spans = [
        (*t.start, *t.end) for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        holds_docstring = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if holds_docstring and ast.get_docstring(node) is not None:
            words = node.body[0]
            spans.append((words.lineno, words.col_offset, words.end_lineno, words.end_col_offset))
    for top, left, bottom, right in spans:
        for i in range(top - 1, bottom):
            begin, end = left if i == top - 1 else 0, right if i == bottom - 1 else len(lines[i])
            lines[i][begin:end] = " " * (end - begin)
    return "\n".join(text for line in lines if (text := "".join(line).rstrip()))


def _row(name: str, setting: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    experiment = EXPERIMENTS[name]
    return {"setting": setting, **experiment.row(**experiment.settings[setting])}


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
    modules=("simulate", *TRAINING),
)

EXPERIMENTS = {"rotation": ROTATION}
