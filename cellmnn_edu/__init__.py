"""Cell-MNN for teaching: single-cell dynamics as a field of local linear operators.

The names a notebook needs stand here; every module also stands on its own, in the order data flows:
``datasets``, ``snapshots``, ``metrics``, ``operators``, ``model``, ``losses``, ``training``, ``baselines``,
``evaluation``. Drawing (``plotting``, ``widgets``) is imported only when it is used.
"""

from importlib import import_module
from types import ModuleType

from . import baselines, datasets
from .evaluation import leave_one_out
from .metrics import mmd, noise_floor, wasserstein
from .model import CellMNN
from .snapshots import HeldOut, Snapshots
from .training import History, fit

__version__ = "0.1.0"

__all__ = [
    "CellMNN",
    "HeldOut",
    "History",
    "Snapshots",
    "baselines",
    "datasets",
    "fit",
    "leave_one_out",
    "mmd",
    "noise_floor",
    "wasserstein",
]


def __getattr__(name: str) -> ModuleType:
    # Matplotlib and ipywidgets load only for those who draw.
    if name in {"plotting", "widgets", "coursework", "cli"}:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
