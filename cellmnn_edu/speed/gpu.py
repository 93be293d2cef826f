"""A GPU against the CPU: the same numbers, how long a step takes, and runs that move from one to the other."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from .. import datasets
from .._grid import code_of, write_whole
from .._progress import progress_bar
from ..evaluation import SCORING
from ..metrics import wasserstein
from ..model import CellMNN
from ..operators import HEADS
from ..training import OBJECTIVES, fit
from .clocks import in_turn, middle, wall_clock
from .steps import PUBLISHED, adamw, clouds, copy_of, gradient_of, objective_of, relative, step_of, step_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..snapshots import Snapshots

# Whose code decides the numbers.
MODULES = (*SCORING, "checkpoint")
COMMAND = "cellmnn-edu gpu-check"
ABSENT = f"Not measured on a GPU: PyTorch finds none here. Where there is one: {COMMAND}"
# Largest difference to the CPU, relative to its value; W1 is the distance of the moved cells, in units of the cells.
TOLERANCES = {
    ("float64", "loss"): 1e-9,
    ("float64", "gradient"): 1e-7,
    ("float32", "loss"): 1e-4,
    ("float32", "gradient"): 1e-2,
    ("float64", "trained weights"): 1e-4,
    ("float64", "W1 of moved cells"): 1e-3,
    ("resumed", "trained weights"): 1e-2,
}
BATCHES = (200, 2000, 20_000)
# All pairs of 20 000 cells take a CPU minutes a step, and tens of gigabytes.
MOST_ON_CPU = 2000


def gpu_check(
    out: str | Path | None = "data/results", device: str | None = None, seconds: float = 60.0, progress: bool = True
) -> pd.DataFrame | None:
    """Compare a GPU with the CPU of the same machine, and store what was found; less than five minutes.

    On clouds of the sizes of EB. For every head and objective: loss and gradient of one batch, and weights and moved
    cells after 100 steps. Then checkpoints written on one device and read on the other, times of a step by batch,
    memory, and what torch.compile and bfloat16 are worth.

    Parameters
    ----------
    out : path, optional
        Folder for ``gpu.csv`` and ``gpu.json`` (device, versions, date, hash of the code); None stores nothing.
    device : str, optional
        By default cuda.
    seconds : float
        To spend on timing.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame or None
        Columns check, setting, quantity, value, limit (NaN where there is none) and ok. None, and nothing stored,
        where there is no GPU.
    """
    if device is None:
        if not torch.cuda.is_available():
            return None
        device = "cuda"
    start = time.perf_counter()
    table = compare(clouds(PUBLISHED["EB"]), device, seconds, progress=progress)
    if out is not None:
        _store(table, Path(out), device, time.perf_counter() - start)
    return table


def compare(snaps: Snapshots, device: str, seconds: float, steps: int = 100, progress: bool = False) -> pd.DataFrame:
    """What `gpu_check` finds, on any snapshots and with any number of training steps."""
    pairs = [(head, objective) for head in HEADS for objective in OBJECTIVES]
    rows = []
    for head, objective in progress_bar(pairs, show=progress, desc="comparing", unit="pair"):
        rows += _one_batch(snaps, head, objective, device)
        rows += _trained(snaps, head, objective, device, steps)
    rows += _resumed(snaps, device, steps)
    rows += _step_times(snaps, device, seconds / 2)
    settings = step_settings(snaps, seconds / 2, device, compiled=torch.device(device).type != "cpu")
    for found in settings.itertuples():
        rows += [_row("settings", found.setting, name, getattr(found, name)) for name in ("milliseconds", "ratio")]
    return pd.DataFrame(rows)


def gpu_result() -> pd.DataFrame | None:
    """The stored table of `gpu_check`; None where this code has not been measured on a GPU.

    Returns
    -------
    DataFrame or None
        ``attrs`` holds the device, versions, date and command.
    """
    try:
        origin = json.loads(datasets.shipped("results/gpu.json").read_text(encoding="utf-8"))
        table = pd.read_csv(datasets.shipped("results/gpu.csv"))
    except ValueError:
        return None
    if origin["code"] != code_of((*MODULES, "speed")):
        return None
    table.attrs.update(origin)
    return table


def gpu_report(table: pd.DataFrame | None) -> str:
    """The table of `gpu_check` as text with how many limits were kept; a sentence where there is none."""
    if table is None:
        return ABSENT
    judged = table["limit"].notna()
    shown = table.assign(value=table["value"].map("{:.3g}".format), limit=table["limit"].map("{:.0e}".format))
    shown = shown.astype({"ok": object})
    shown.loc[~judged, ["limit", "ok"]] = ""
    kept = int(table.loc[judged, "ok"].sum())
    return f"{shown.to_string(index=False)}\n{kept} of {int(judged.sum())} limits are kept."


def _row(check: str, setting: str, quantity: str, value: float, limit: float | None = None) -> dict[str, Any]:
    ok = limit is None or value <= limit
    return {"check": check, "setting": setting, "quantity": quantity, "value": value, "limit": limit, "ok": ok}


def _one_batch(snaps: Snapshots, head: str, objective: str, device: str) -> Iterator[dict[str, Any]]:
    """Loss and gradient of the same batch on both."""
    start = CellMNN(snaps.dim, head)
    with torch.no_grad():
        start.network[-1].weight *= 30  # operators that do something
    for dtype, name in ((torch.float64, "float64"), (torch.float32, "float32")):
        losses, gradients = [], []
        for place in ("cpu", device):
            model = copy_of(start, place, dtype)
            loss = sum(objective_of(objective, model, snaps)().values())
            loss.backward()
            losses.append(loss.item())
            gradients.append(gradient_of(model))
        found = {"loss": abs(losses[1] / losses[0] - 1), "gradient": relative(gradients[1], gradients[0])}
        for quantity, value in found.items():
            setting = f"{head}, {objective}, {name}"
            yield _row("one batch", setting, quantity, value, TOLERANCES[name, quantity])


def _trained(snaps: Snapshots, head: str, objective: str, device: str, steps: int) -> Iterator[dict[str, Any]]:
    """Weights, and cells moved by them, after the same steps on both, in float64: what rounding leaves apart."""
    models = []
    for place in ("cpu", device):
        models.append(CellMNN(snaps.dim, head).double())
        fit(models[-1], snaps, steps, lr=1e-3, objective=objective, device=place, progress=False)
    cpu, gpu = models
    cells = snaps.states[0][:500]
    moved = [model.propagate(cells, snaps.times[0], snaps.times[1]) for model in models]
    found = {"trained weights": relative(_weights(gpu), _weights(cpu)), "W1 of moved cells": wasserstein(*moved)}
    for quantity, value in found.items():
        limit = TOLERANCES["float64", quantity]
        yield _row(f"after {steps} steps", f"{head}, {objective}, float64", quantity, value, limit)


def _resumed(snaps: Snapshots, device: str, steps: int) -> Iterator[dict[str, Any]]:
    """A run that is saved half-way on one device and ends on another, against one that never moved."""
    whole = {place: _weights(_run(snaps, (place,), steps)) for place in ("cpu", device)}
    for first, second in (("cpu", device), (device, "cpu"), (device, device)):
        moved = _weights(_run(snaps, (first, second), steps))
        value, limit = relative(moved, whole[second]), TOLERANCES["resumed", "trained weights"]
        yield _row("resumed", f"{first}, then {second}", "trained weights", value, limit)
        if first == second:
            yield _row("resumed", f"{first}, then {second}", "same bits", float(torch.equal(moved, whole[second])))


def _run(snaps: Snapshots, places: tuple[str, ...], steps: int) -> CellMNN:
    """Train in equal parts, each in a model of its own, which knows of the part before only by the checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        for part, place in enumerate(places, start=1):
            model = CellMNN.paper(snaps.dim)
            steps_so_far = steps * part // len(places)
            fit(
                model, snaps, steps_so_far, lr=1e-3, device=place, progress=False,
                checkpoint=Path(folder) / "run.pt", resume=part > 1,
            )  # fmt: skip
    return model


def _weights(model: CellMNN) -> torch.Tensor:
    return torch.cat([weight.detach().cpu().double().flatten() for weight in model.parameters()])


def _step_times(snaps: Snapshots, device: str, seconds: float) -> Iterator[dict[str, Any]]:
    """Milliseconds of wall time, and peak memory on the GPU, by batch."""
    tries = [(place, batch) for batch in BATCHES for place in ("cpu", device)]
    for place, batch in tries:
        if place == "cpu" and batch > MOST_ON_CPU:
            continue
        model = CellMNN.paper(snaps.dim).to(place)
        try:
            step = step_of(objective_of("mmd", model, snaps, batch), adamw(model))
            taken = middle(in_turn({"step": step}, seconds / len(tries), wall_clock(place)))["step"]
            yield _row("step", f"{place}, batch {batch}", "milliseconds", 1000 * taken)
            if torch.device(place).type == "cuda":
                torch.cuda.reset_peak_memory_stats()
                step()
                yield _row("step", f"{place}, batch {batch}", "megabytes", torch.cuda.max_memory_allocated() / 2**20)
        except torch.OutOfMemoryError:
            yield _row("step", f"{place}, batch {batch}: too little memory", "milliseconds", float("nan"))


def _store(table: pd.DataFrame, folder: Path, device: str, seconds: float) -> None:
    name = torch.cuda.get_device_name() if torch.device(device).type == "cuda" else device
    origin = {
        "command": COMMAND,
        "device": name,
        "date": date.today().isoformat(),
        "minutes": round(seconds / 60, 1),
        "code": code_of((*MODULES, "speed")),
        "modules": [*MODULES, "speed"],
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__.split("+")[0],
            "cuda": str(torch.version.cuda),
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "gpu.csv", table.to_csv(index=False, float_format="%.6g"))
    write_whole(folder / "gpu.json", json.dumps(origin, indent=1) + "\n")
