"""Time and memory of a training step when there are more cells: each size in a process of its own."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .._progress import progress_bar
from ..model import CellMNN
from .clocks import in_turn, middle, n_threads
from .steps import adamw, clouds, objective_of, step_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..snapshots import Snapshots

TIMES = 5
MEGABYTE = 2**20


def cells_speed(
    sizes: Sequence[int] = (10_000, 100_000, 1_000_000),
    objectives: Sequence[str] = ("mmd", "flow-matching"),
    seconds: float = 3.0,
    progress: bool = True,
) -> pd.DataFrame:
    """Time and memory of one training step by the number of cells: 5 dimensions, 5 times, batch 200, one thread.

    Parameters
    ----------
    sizes : sequence of int
        Cells in all.
    objectives : sequence of str
        As in `fit`.
    seconds : float
        CPU time for each.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        A row for each size and objective. ``milliseconds``: median CPU time of a step; ``step_megabytes``: how far
        the resident memory of the process rises above what it holds before the first step (its peak, counted by the
        kernel; NaN where there is no /proc); ``copy_megabytes``: the same for the making of the objective, which
        keeps the cells in single precision; ``data_megabytes``: of the cells, in single precision.
    """
    grid = [(objective, size) for objective in objectives for size in sizes]
    rows = [
        _in_its_own_process(objective, size, seconds)
        for objective, size in progress_bar(grid, show=progress, desc="cells", unit="size")
    ]
    return pd.DataFrame(rows)


def _in_its_own_process(objective: str, size: int, seconds: float) -> dict[str, float]:
    code = f"from {__name__} import measure; import json; print(json.dumps(measure({objective!r}, {size}, {seconds})))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"A training step with {size} cells failed:\n{done.stderr}")
    return json.loads(done.stdout)


def measure(objective: str, size: int, seconds: float) -> dict[str, float]:
    """One row of `cells_speed`, in this process."""
    snaps, model = _snapshots(size), CellMNN.paper(5)
    small = CellMNN.paper(5)
    step_of(objective_of(objective, small, _snapshots(50), batch=4), adamw(small))()  # loads what a step needs
    before = start_of_peak()
    terms = objective_of(objective, model, snaps)
    copied, before = peak() - before, start_of_peak()
    with n_threads(1):
        step = step_of(terms, adamw(model))
        start = time.process_time()
        for _ in range(20):
            step()
        risen = peak() - before
        left = max(seconds - (time.process_time() - start), 0.0)
        taken = middle(in_turn({"step": step}, left))["step"]
    return {
        "objective": objective,
        "cells": size,
        "milliseconds": 1000 * taken,
        "step_megabytes": risen / MEGABYTE,
        "copy_megabytes": copied / MEGABYTE,
        "data_megabytes": 4 * sum(state.size for state in snaps.states) / MEGABYTE,
    }


def _snapshots(size: int) -> Snapshots:
    return clouds([(float(k), size // TIMES) for k in range(TIMES)])


def start_of_peak() -> float:
    """Forget the highest resident memory so far; what is resident now, in bytes, free memory given back first."""
    if sys.platform != "linux":
        return float("nan")
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def peak() -> float:
    """Highest resident memory since `start_of_peak`, in bytes."""
    return _status("VmHWM") if sys.platform == "linux" else float("nan")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(field))
