"""Train a CellMNN on snapshots: settings, what is minimised, and when to stop. The loop itself is in `loop`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .checkpoint import Checkpoint, fingerprint
from .loop import SCHEDULES, History, Watch, optimise
from .metrics import KERNELS, check_bandwidth, median_bandwidth, mmd, wasserstein
from .model import check_integers
from .objectives import CrowdMatching, FrozenMatching, Penalties, VelocityMatching
from .paths import PATHS, RENEW, PathSampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from .model import CellMNN
    from .snapshots import HeldOut, Snapshots

OBJECTIVES = ("mmd", "flow-matching", "frozen-matching")
# What `fit` takes where nothing else is said. "epochs" and "check_epochs" count passes of batch_size cells.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {"steps": 1500, "lr": 1e-3, "kinetic_times": 5, "patience": 0, "check_every": 100},
    "paper": {"epochs": 1000, "lr": 2e-4, "kinetic_times": 0.1, "patience": 10, "check_epochs": 10},
}
# Cells of a snapshot that a check looks at: enough for a score, and quick.
CHECKED_CELLS = 1000
# Moves of a model that was trained on velocities are made of this many steps when it is checked.
CHECK_STEPS = 20


def fit(
    model: CellMNN,
    train: Snapshots,
    steps: int | None = None,
    seed: int = 0,
    lr: float | None = None,
    l_kin: float = 0.1,
    gamma: float = 0.1,
    bandwidth: float | Sequence[float] | str = 1.0,
    batch_size: int = 200,
    l1: float = 0.0,
    deviation: float = 0.0,
    objective: str = "mmd",
    path: str = "straight",
    device: str = "auto",
    progress: bool = True,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    *,
    preset: str = "default",
    l_barrier: float = 1.0,
    kernel: str = "laplace",
    unbiased: bool = False,
    kinetic_times: float | None = None,
    schedule: str = "constant",
    ema: float = 0.0,
    patience: int | None = None,
    check_every: int | None = None,
    held_back: float = 0.1,
    leaky_stopping: HeldOut | None = None,
    checkpoint_every: int = 100,
    callback: Callable[[History], None] | None = None,
) -> History:
    """Train `model` in place; nothing outside `train` is looked at (unless `leaky_stopping` asks for it).

    Parameters
    ----------
    model : CellMNN
        Its dimension must be that of the snapshots. It stays on the device it was trained on.
    train : Snapshots
        At least two times.
    steps : int, optional
        Optimiser steps in all, those of a resumed run included. By default the preset's (1500).
    seed : int
        Of the batches. Same seed, same machine, same weights to the last bit on a CPU.
    lr : float, optional
        Learning rate of AdamW (weight decay 1e-5). By default the preset's (1e-3).
    l_kin : float
        Weight of the kinetic energy; objective "mmd" only.
    gamma : float
        Discount for each training snapshot skipped between source and target; objective "mmd" only.
    bandwidth : float, sequence of float or "median"
        Of the kernel of the MMD; "median" is `metrics.median_bandwidth` of the training cells.
    batch_size : int
        "mmd": source cells in all, and target cells per time. Matching: chains of matched cells.
    l1, deviation, l_barrier : float
        Weights of the `Penalties`. `deviation` ties the operators of different cells together.
    objective : {"mmd", "flow-matching", "frozen-matching"}
        Match crowds; match velocities of paths through matched cells (then move cells with many steps, see
        `CellMNN.propagate`); or carry cells along these paths with one frozen operator each.
    path : {"straight", "spline"}
        Of the two matching objectives, see `PathSampler`.
    device : str
        "auto" takes cuda where there is one, else cpu; or any name PyTorch knows.
    progress : bool
        Show a progress bar.
    checkpoint : path, optional
        File that keeps the run, replaced every `checkpoint_every` steps and at the end.
    resume : bool
        Go on from that file if it exists; the result is bit-identical to an uninterrupted run on the same CPU.
    preset : {"default", "paper"}
        Where steps, lr, kinetic_times, patience and check_every come from when they are not given. "paper": at most
        1000 epochs (cells / batch_size steps each), lr 2e-4, a kinetic grid of 0.1, and early stopping, which checks
        every 10 epochs with patience 10 - here on cells held back from the training snapshots.
    kernel : {"laplace", "gaussian", "energy"}
        Of the MMD.
    unbiased : bool
        U-statistic instead of V-statistic.
    kinetic_times : int or float, optional
        Where speed is charged: an int is a number of points from each cell's start to the last time, a float the
        step of a time grid.
    schedule : {"constant", "cosine"}
        Of the learning rate; cosine falls to zero at the last step.
    ema : float
        Decay of an exponential moving average of the weights, which the model gets in the end; 0 for none.
    patience : int, optional
        Stop after this many checks without a better score, and keep the best weights; 0 runs all steps.
    check_every : int, optional
        Steps between two checks.
    held_back : float
        With `patience`: share of every training snapshot that is not trained on but checked: cells are moved from
        each time to the next, and the squared MMDs added up.
    leaky_stopping : HeldOut, optional
        With `patience`, check the W1 on these held-out cells instead, as published code does: to measure what that
        leak is worth; `History.leaky` says that it was done.
    checkpoint_every : int
        Steps between two saves.
    callback : callable, optional
        Called with the History whenever it is logged (every 10 steps), for example a live plot.

    Returns
    -------
    History
        Ctrl-C ends training after the current step with a warning, and saves the checkpoint if there is one.

    Raises
    ------
    ValueError
        For a dimension that does not match, settings out of range, or a checkpoint of another run.
    FileExistsError
        For an existing checkpoint without ``resume=True``.
    FloatingPointError
        If the loss stops being finite; names the step and the term.

    Notes
    -----
    Source: von Bassewitz et al. 2026, arXiv:2510.02903. Flow matching of operators, the penalty on their deviation
    and the affine lift are ours.
    """
    given = {name: value for name, value in locals().items() if name in SETTINGS}
    settings = Settings(**_complete(given, PRESETS[one_of("preset", preset, PRESETS)], train, batch_size))
    if model.dim != train.dim:
        raise ValueError(
            f"Expected a model of the snapshots' dimension {train.dim}, got CellMNN(dim={model.dim}): "
            f"build it with CellMNN({train.dim})."
        )
    if len(train.times) < 2:
        raise ValueError("Expected snapshots of at least two times: one snapshot says nothing about change.")
    if leaky_stopping is not None and not settings.patience:
        raise ValueError("leaky_stopping decides when to stop, but without patience nothing stops: set patience.")
    if resume and checkpoint is None:
        raise ValueError("resume=True goes on from a file: say which with checkpoint=.")
    check_integers(1, checkpoint_every=checkpoint_every)
    model.to(pick_device(device)).train()
    keeper = None
    if checkpoint is not None:
        keeper = Checkpoint(checkpoint, _identity(model, train, settings, leaky_stopping), resume)
    watch = None
    if settings.patience:
        if leaky_stopping is None:
            train, kept = train.hold_back(held_back, seed=seed)
            score = partial(_held_back_score, model, kept, settings)
        else:
            score = partial(_leaky_score, model, leaky_stopping, settings)
        watch = Watch(score, settings.check_every, settings.patience)
    history = optimise(
        model, _objective(model, train, settings), settings.steps, settings.lr, schedule=schedule, ema=ema,
        watch=watch, keeper=keeper, keep_every=checkpoint_every, progress=progress, callback=callback,
    )  # fmt: skip
    history.leaky = watch is not None and leaky_stopping is not None
    return history


@dataclass(frozen=True)
class Settings:
    """The choices of `fit` that decide the weights (its docstring explains them), checked."""

    steps: int
    seed: int
    lr: float
    l_kin: float
    gamma: float
    bandwidth: float | Sequence[float] | str
    batch_size: int
    l1: float
    deviation: float
    objective: str
    path: str
    l_barrier: float
    kernel: str
    unbiased: bool
    kinetic_times: float
    schedule: str
    ema: float
    patience: int
    check_every: int
    held_back: float

    def __post_init__(self) -> None:
        check_integers(0, steps=self.steps, seed=self.seed, patience=self.patience)
        check_integers(1, batch_size=self.batch_size, check_every=self.check_every)
        tiny, most = 1e-12, 1e12
        check_numbers(0, 1, gamma=self.gamma)
        check_numbers(0, most, l_kin=self.l_kin, l1=self.l1, deviation=self.deviation, l_barrier=self.l_barrier)
        check_numbers(tiny, most, lr=self.lr, kinetic_times=self.kinetic_times)
        check_numbers(0, 1 - tiny, ema=self.ema)
        check_numbers(tiny, 0.5, held_back=self.held_back)
        one_of("objective", self.objective, OBJECTIVES)
        one_of("path", self.path, PATHS)
        one_of("kernel", self.kernel, KERNELS)
        one_of("schedule", self.schedule, SCHEDULES)
        if not (isinstance(self.bandwidth, str) and self.bandwidth == "median"):
            check_bandwidth(self.bandwidth)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must have in common with the run that goes on from it: not the number of steps.

        Unless the learning rate depends on it.
        """
        # As text: 5 is a number of points and 5.0 the step of a grid, but 5 == 5.0.
        chosen = {**asdict(self), "kinetic_times": str(self.kinetic_times)}
        steps = chosen.pop("steps")
        return chosen | ({"steps": steps} if self.schedule == "cosine" else {})


SETTINGS = tuple(Settings.__dataclass_fields__)


def _identity(model: CellMNN, train: Snapshots, settings: Settings, held: HeldOut | None) -> dict[str, Any]:
    """Of a run, for its checkpoint."""
    dtype = next(model.parameters()).dtype
    identity = {"version": _version(), "model": f"CellMNN({model.extra_repr()}) of {dtype}", **settings.identity()}
    identity["data"] = fingerprint(train.times, train.states)
    identity["leaky"] = held is not None and fingerprint([held.previous_time, held.time], [held.previous, held.state])
    return identity


def _objective(
    model: CellMNN, train: Snapshots, settings: Settings
) -> CrowdMatching | VelocityMatching | FrozenMatching:
    """Ready to be called once a step."""
    s = settings
    penalties = Penalties(s.l_barrier, s.l1, s.deviation)
    if s.objective == "mmd":
        median = isinstance(s.bandwidth, str)
        bandwidth = median_bandwidth(np.concatenate(train.states)) if median else s.bandwidth
        return CrowdMatching(
            model, train, s.batch_size, s.seed, penalties, s.l_kin, s.gamma, bandwidth, s.kernel, s.unbiased,
            s.kinetic_times,
        )  # fmt: skip
    paths = PathSampler(train, s.batch_size, s.seed, next(model.parameters()), path=s.path, renew=RENEW)
    return (VelocityMatching if s.objective == "flow-matching" else FrozenMatching)(model, paths, penalties)


def _held_back_score(model: CellMNN, kept: Snapshots, settings: Settings) -> float:
    """Squared MMD of the cells kept back, moved from each time to the next, against those of the next, added up."""
    n_steps = CHECK_STEPS if settings.objective == "flow-matching" else 1
    score = 0.0
    for k, later in enumerate(kept.states[1:]):
        moved = model.propagate(_some(kept.states[k]), kept.times[k], kept.times[k + 1], n_steps)
        score += mmd(moved, _some(later))
    return score


def _leaky_score(model: CellMNN, held: HeldOut, settings: Settings) -> float:
    """W1 on the very cells that the result will be judged on."""
    n_steps = CHECK_STEPS if settings.objective == "flow-matching" else 1
    moved = model.propagate(_some(held.previous), held.previous_time, held.time, n_steps)
    return wasserstein(moved, _some(held.state))


def _some(cells: np.ndarray) -> np.ndarray:
    """At most CHECKED_CELLS of them, from all over the file: its first ones may be one batch or one cluster."""
    return cells[np.linspace(0, len(cells) - 1, min(len(cells), CHECKED_CELLS)).astype(int)]


def pick_device(device: str = "auto") -> str:
    """Name of the device to compute on: "auto" takes cuda where there is one, else cpu."""
    if device == "auto":
        # Not mps: it lacks the matrix exponential of the dense head; who wants it can name it.
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'Cannot compute on device={device!r} ({reason}): use "auto" or "cpu".') from None
    return str(device)


def _complete(given: dict[str, Any], preset: dict[str, Any], train: Snapshots, batch_size: int) -> dict[str, Any]:
    """What was given, and where it is None what the preset says."""
    check_integers(1, batch_size=batch_size)
    per_epoch = max(1, sum(map(len, train.states)) // batch_size)
    epochs = {"epochs": "steps", "check_epochs": "check_every"}
    filled = {epochs.get(name, name): v * per_epoch if name in epochs else v for name, v in preset.items()}
    return {name: filled.get(name) if value is None else value for name, value in given.items()}


def one_of(name: str, value: object, known: Iterable[str]) -> str:
    """The value; raise ValueError unless it is one of the known."""
    if value not in known:
        raise ValueError(f"Expected {name} to be one of {', '.join(known)}; got {value!r}.")
    return value


def check_numbers(least: float, most: float, **values: object) -> None:
    """Raise ValueError unless every value is a number (no bool) from `least` to `most`."""
    for name, value in values.items():
        real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (real and least <= value <= most):
            raise ValueError(f"Expected {name} to be a number from {least:g} to {most:g}, got {value!r}.")


def _version() -> str:
    from . import __version__

    return __version__
