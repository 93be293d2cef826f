"""Cell-MNN for teaching: single-cell dynamics as a field of local linear operators.

The names a notebook needs stand here; every module also stands on its own, in the order data flows: ``datasets``,
``simulate``, ``snapshots``, ``metrics``, ``operators``, ``linearize``, ``model``, ``losses``, ``training``, ``sparse``,
``baselines``, ``evaluation``, ``grn``, ``perturb``. What only some need (``grn``, ``perturb``, ``sparse``, and drawing
with ``plotting``, ``widgets``) is imported only when it is used.
"""

from importlib import import_module
from types import ModuleType

from . import baselines, datasets, linearize, simulate
from .evaluation import benchmark, leave_one_out, summary
from .metrics import mmd, noise_floor, wasserstein
from .model import CellMNN
from .snapshots import HeldOut, Snapshots
from .training import History, fit

__version__ = "0.6.0"

__all__ = [
    "CellMNN",
    "HeldOut",
    "History",
    "Snapshots",
    "baselines",
    "benchmark",
    "datasets",
    "fit",
    "leave_one_out",
    "linearize",
    "mmd",
    "noise_floor",
    "simulate",
    "summary",
    "wasserstein",
]


def __getattr__(name: str) -> ModuleType:
    # Matplotlib and ipywidgets load only for those who draw; the others are rarely needed.
    if name in {"grn", "perturb", "sparse", "plotting", "widgets", "coursework", "cli", "results", "speed"}:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
