"""What one training step costs: against a plain reading of the paper, part by part, and by other settings."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from .. import datasets
from ..losses import kinetic_energy, mmd_loss
from ..model import CellMNN
from ..objectives import CrowdMatching, FrozenMatching, Penalties, VelocityMatching
from ..operators import HEADS
from ..paths import PathSampler
from ..snapshots import Snapshots
from ..training import OBJECTIVES, fit, pick_device
from .clocks import in_turn, middle, n_threads, wall_clock
from .plain import GRID, PlainReading, WithQuickDistances

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

# Cells at each time, and the times: what decides the number of steps and the length of the kinetic time grid.
PUBLISHED = {
    "EB": ((0.0, 2381), (1.0, 4163), (2.0, 3278), (3.0, 3665), (4.0, 3332)),
    "CITE": tuple((float(day), cells) for day, cells in datasets._CITE_CELLS.items()),
}
# What `step_settings` changes, one at a time.
FIRST = "eigen, mmd, batch 200, float32"
SETTINGS: dict[str, dict[str, Any]] = {
    FIRST: {},
    "two threads": {"threads": 2},
    "float64": {"dtype": torch.float64},
    "network in bfloat16 (autocast)": {"autocast": True},
    "torch.compile": {"compiled": True},
    **{f"batch {n}": {"batch": n} for n in (50, 800, 3200)},
    **{f"{head} head": {"head": head} for head in ("rotational", "dense")},
    **{name: {"objective": name} for name in OBJECTIVES[1:]},
}
SAME_LOSS = ("two threads", "float64", "network in bfloat16 (autocast)", "torch.compile")
EPOCHS = 1000  # at most, in the paper
WAYS = {"cellmnn-edu": CrowdMatching, "plain reading": PlainReading, "with quick distances": WithQuickDistances}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}
PARTS = ("sampling", "network", "moves", "mmd", "kinetic", "barrier", "backward", "optimiser")


def clouds(cells: Sequence[tuple[float, int]], dim: int = 5, seed: int = 0) -> Snapshots:
    """Normal clouds that drift: snapshots of any size, to time on.

    Parameters
    ----------
    cells : sequence of (float, int)
        Times, and cells at each.
    dim : int
        Dimension D.
    seed : int
        Of the cells.

    Returns
    -------
    Snapshots
    """
    rng = np.random.default_rng(seed)
    times = np.repeat([t for t, _ in cells], [n for _, n in cells])
    states = rng.standard_normal((len(times), dim))
    states[:, 0] += (times - times.mean()) / times.std()
    obs = pd.DataFrame({"time": times}, index=pd.RangeIndex(len(times)).astype(str))
    return Snapshots.from_anndata(AnnData(obs=obs, obsm={"X": states}), use_rep="X")


def eb_or_like() -> tuple[Snapshots, str]:
    """EB where it has been downloaded before, else drifting clouds of its sizes; and what it is."""
    if (datasets._cache() / "eb" / "data.npy").is_file():
        return Snapshots.from_anndata(datasets.embryoid_body(), use_rep="X_pca"), "EB"
    return clouds(PUBLISHED["EB"]), "simulated clouds of the sizes of EB (EB itself is not in the download cache)"


def adamw(module: nn.Module, fused: bool = True) -> torch.optim.AdamW:
    """The optimiser of `loop.optimise` with the settings of the paper."""
    return torch.optim.AdamW(module.parameters(), lr=2e-4, weight_decay=1e-5, fused=fused)


def step_of(terms: Callable[[], dict[str, Tensor]], optimiser: torch.optim.Optimizer) -> Callable[[], Tensor]:
    """One training step as in `loop.optimise`: forward, backward, optimiser; gives its loss."""

    def step() -> Tensor:
        loss = sum(terms().values())
        if not torch.isfinite(loss):
            raise FloatingPointError("The loss is not finite.")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    return step


def objective_of(name: str, model: CellMNN, snaps: Snapshots, batch: int = 200, seed: int = 0) -> Callable:
    """One of the three objectives with the settings of the paper."""
    if name == "mmd":
        return CrowdMatching(model, snaps, batch, seed, Penalties(), kinetic_times=GRID)
    kind = {"flow-matching": VelocityMatching, "frozen-matching": FrozenMatching}[name]
    return kind(model, PathSampler(snaps, batch, seed, next(model.parameters())), Penalties())


def training_speed(snaps: Snapshots | None = None, seconds: float = 20.0, batch: int = 200) -> pd.DataFrame:
    """One training step of our engine against the plain reading of the paper, from the same weights, batch by batch.

    Eigen head, the settings of the paper (kinetic time grid of 0.1), one thread; both are first checked to give the
    same losses and gradients, with weights that have been trained for 100 steps.

    Parameters
    ----------
    snaps : Snapshots, optional
        What to train on, times on the grid of 0.1; by default EB (or clouds of its sizes).
    seconds : float
        CPU time to spend.
    batch : int
        Source cells in all, and target cells per time.

    Returns
    -------
    DataFrame
        A row for each of `WAYS`: ``milliseconds`` (median CPU time), ``least`` (of the quickest step: the least
        disturbed by others), ``ratio`` and ``least_ratio`` (how many times those of our engine), ``loss`` of one
        batch, ``loss_error`` and ``gradient_error``: the relative differences to our engine in float32.
        ``attrs["data"]`` names the data.

    Raises
    ------
    RuntimeError
        If the ways do not compute the same in float32 and float64, see `TOLERANCE`.
    """
    snaps, data = (snaps, "given") if snaps is not None else eb_or_like()
    with n_threads(1):
        start = some_training(snaps, batch)
        found = {name: agreement(name, start, snaps, batch) for name in WAYS}
        runs = {}
        for name, way in WAYS.items():
            model = copy_of(start)
            objective = way(model, snaps, batch, 0, Penalties(), kinetic_times=GRID)
            runs[name] = step_of(objective, adamw(model, fused=way is CrowdMatching))
        taken = in_turn(runs, seconds)
    rows = [
        {"way": name, "milliseconds": 1000 * median, "least": 1000 * min(taken[name]), **found[name]}
        for name, median in middle(taken).items()
    ]
    table = pd.DataFrame(rows)
    table.insert(3, "ratio", table["milliseconds"] / table["milliseconds"][0])
    table.insert(4, "least_ratio", table["least"] / table["least"][0])
    table.attrs["data"] = data
    return table


def some_training(snaps: Snapshots, batch: int, head: str = "eigen", steps: int = 100) -> CellMNN:
    """A model whose operators are not close to zero any more."""
    model = CellMNN(snaps.dim, head)
    fit(model, snaps, steps, lr=1e-3, batch_size=batch, device="cpu", progress=False)
    return model


def copy_of(model: CellMNN, device: str = "cpu", dtype: torch.dtype = torch.float32) -> CellMNN:
    """A model with the same weights, elsewhere."""
    twin = CellMNN(model.dim, model.head, model.affine)
    twin.load_state_dict(model.state_dict())
    return twin.to(device, dtype)


def agreement(name: str, start: CellMNN, snaps: Snapshots, batch: int) -> dict[str, float]:
    """Loss of one batch and relative differences to our engine; an error if they are more than rounding."""
    for dtype in (torch.float64, torch.float32):  # what is returned is that of float32
        ours, theirs = (loss_and_gradient(way, start, snaps, batch, dtype) for way in (CrowdMatching, WAYS[name]))
        errors = {"loss_error": abs(theirs[0] / ours[0] - 1), "gradient_error": relative(theirs[1], ours[1])}
        if not max(errors.values()) <= TOLERANCE[dtype]:
            raise RuntimeError(f"{name} and our engine differ in {dtype}, relatively: {errors}.")
    return {"loss": theirs[0], **errors}


def loss_and_gradient(
    way: type[CrowdMatching], start: CellMNN, snaps: Snapshots, batch: int, dtype: torch.dtype
) -> tuple[float, Tensor]:
    """Of one batch."""
    model = copy_of(start, dtype=dtype)
    loss = sum(way(model, snaps, batch, 1, Penalties(), kinetic_times=GRID)().values())
    loss.backward()
    return loss.item(), gradient_of(model)


def gradient_of(model: nn.Module) -> Tensor:
    """All gradients as one vector, float64 on the CPU."""
    return torch.cat([weight.grad.flatten() for weight in model.parameters()]).cpu().double()


def relative(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over that of what is wanted."""
    return ((found - wanted).norm() / wanted.norm()).item()


def step_parts(snaps: Snapshots | None = None, seconds: float = 5.0, batch: int = 200) -> pd.DataFrame:
    """Where the time of one training step goes: eigen head, crowd matching, the settings of the paper, one thread.

    Parameters
    ----------
    snaps, batch
        As in `training_speed`.
    seconds : float
        CPU time to spend.

    Returns
    -------
    DataFrame
        A row for each of `PARTS`: ``milliseconds`` (median CPU time of the part) and ``share`` of their sum.
    """
    snaps = eb_or_like()[0] if snaps is None else snaps
    with n_threads(1):
        model = some_training(snaps, batch)
        objective = CrowdMatching(model, snaps, batch, 0, Penalties(), kinetic_times=GRID)
        optimiser = adamw(model)
        laps, start = [], time.process_time()
        while len(laps) < 3 or time.process_time() - start < seconds:
            laps.append(step_in_laps(objective, optimiser)[1])
    parts = 1000 * np.median(np.array(laps[1:]), axis=0)
    return pd.DataFrame({"part": PARTS, "milliseconds": parts, "share": parts / parts.sum()})


def step_in_laps(
    objective: CrowdMatching, optimiser: torch.optim.Optimizer, clock: Callable[[], float] = time.process_time
) -> tuple[dict[str, Tensor], np.ndarray]:
    """A step of `CrowdMatching`, spelled out: its terms, and the seconds of each of `PARTS`.

    Parameters
    ----------
    objective : CrowdMatching
        Of a model whose parameters the optimiser holds.
    optimiser : Optimizer
        What takes the step.
    clock : callable
        Seconds so far.

    Returns
    -------
    terms : dict of str to Tensor
        As the objective gives them.
    seconds : ndarray (parts,)
    """
    marks = [clock()]
    z, t = objective.sources()
    targets = objective.targets()
    marks.append(clock())
    operator = objective.model(z, t)
    marks.append(clock())
    later = objective.times[1:]
    moved = operator.flow(z, (later[:, None] - t).clamp(min=0))
    moved = moved.view(len(later), len(later), -1, z.shape[1])[objective.arrival, objective.departure]
    marks.append(clock())
    terms = {"mmd": mmd_loss(moved, targets, objective.arrival, objective.weight, **objective.distance)}
    marks.append(clock())
    speed = operator.velocities(z, objective.kinetic_dt)
    terms["kinetic"] = objective.l_kin * kinetic_energy(speed, objective.kinetic_counts)
    marks.append(clock())
    terms |= objective.penalties(operator)
    marks.append(clock())
    optimiser.zero_grad()
    sum(terms.values()).backward()
    marks.append(clock())
    optimiser.step()
    marks.append(clock())
    return terms, np.array([after - before for before, after in pairwise(marks)])


def step_settings(
    snaps: Snapshots | None = None, seconds: float = 60.0, device: str = "cpu", compiled: bool = False
) -> pd.DataFrame:
    """One training step with other threads, precisions, batches, heads and objectives: one setting changed at a time.

    Parameters
    ----------
    snaps : Snapshots, optional
        As in `training_speed`.
    seconds : float
        Time to spend on all settings together.
    device : str
        Where to compute.
    compiled : bool
        Also through torch.compile, which needs a C++ compiler on a CPU, and minutes.

    Returns
    -------
    DataFrame
        A row for each setting: ``milliseconds`` and ``cpu_milliseconds`` (medians of wall time and, on a CPU, of CPU
        time, which a busy machine disturbs less), ``ratio`` and ``cpu_ratio`` (those of the first row over them),
        ``loss_error`` (relative difference of the loss of the first batch to the first row, where it should be the
        same), ``note``.
    """
    snaps = eb_or_like()[0] if snaps is None else snaps
    runs, losses, notes = {}, {}, {}
    with n_threads(1):
        starts = {head: some_training(snaps, 200, head) for head in HEADS}
        for name, setting in SETTINGS.items():
            if ("compiled" in setting and not compiled) or (device != "cpu" and "threads" in setting):
                continue
            try:
                run = _step_with(starts, snaps, device, **setting)
                losses[name], runs[name] = run().item(), run
            except Exception as error:  # whatever a compiler answers with
                notes[name] = f"not possible here: {type(error).__name__}"
        wall = middle(in_turn(runs, seconds / 2, wall_clock(device)))
        cpu = middle(in_turn(runs, seconds / 2)) if device == "cpu" else {}
    table = pd.DataFrame({"setting": [*runs, *notes]})
    for column, taken in (("", wall), ("cpu_", cpu)):
        table[f"{column}milliseconds"] = 1000 * table["setting"].map(taken)
        table[f"{column}ratio"] = table[f"{column}milliseconds"][0] / table[f"{column}milliseconds"]
    same = {name: abs(loss / losses[FIRST] - 1) for name, loss in losses.items() if name in SAME_LOSS}
    return table.assign(loss_error=table["setting"].map(same), note=table["setting"].map(notes).fillna(""))


def _step_with(
    starts: Mapping[str, CellMNN],
    snaps: Snapshots,
    device: str,
    head: str = "eigen",
    objective: str = "mmd",
    batch: int = 200,
    dtype: torch.dtype = torch.float32,
    threads: int = 1,
    autocast: bool = False,
    compiled: bool = False,
) -> Callable[[], Tensor]:
    """A step of one setting; it sets its own number of threads."""
    model = copy_of(starts[head], device, dtype)
    if autocast:
        model.network = _InBFloat16(model.network)
    terms = objective_of(objective, model, snaps, batch)
    step = step_of(torch.compile(terms) if compiled else terms, adamw(model))

    def run() -> Tensor:
        torch.set_num_threads(threads)
        return step()

    return run


class _InBFloat16(torch.nn.Sequential):
    """A network whose layers compute in bfloat16, with float32 weights and answers: solves have no bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            answer = super().forward(x)
        return answer.to(x.dtype)


def step_report(table: pd.DataFrame) -> str:
    """Any table of this module or of `cells` as text: times and sizes with few digits, errors as powers of ten."""
    shown = table.copy()
    for name in table.select_dtypes("float64"):
        how = "{:.0e}".format if name.endswith("_error") else "{:.4g}".format
        shown[name] = table[name].map(lambda value, how=how: "" if pd.isna(value) else how(value))
    return shown.to_string(index=False)


def paper_run(seconds: float = 3.0, device: str = "auto") -> pd.DataFrame:
    """Measure this device for a few seconds, and say how long the full run of the paper would take on it at most.

    Parameters
    ----------
    seconds : float
        To spend on each data set.
    device : str
        As in `fit`.

    Returns
    -------
    DataFrame
        A row for EB and CITE: ``steps`` (1000 epochs of cells / 200 steps; early stopping ends most runs sooner, and
        a held-out time leaves fewer cells), ``milliseconds`` (median wall time of a step at batch 200, eigen head),
        ``minutes`` of one such run without its checks, ``runs`` (inner times to hold out), ``device``. The clouds
        that are timed have the sizes and times of the data, nothing else: no download.
    """
    device = pick_device(device)
    rows = []
    for name, cells in PUBLISHED.items():
        model = CellMNN.paper(5).to(device)
        step = step_of(
            objective_of("mmd", model, clouds(cells)), adamw(model, fused=torch.device(device).type in ("cpu", "cuda"))
        )
        taken = middle(in_turn({name: step}, seconds, wall_clock(device)))[name]
        steps = EPOCHS * (sum(n for _, n in cells) // 200)
        rows.append(
            {
                "data": name,
                "device": device,
                "steps": steps,
                "milliseconds": 1000 * taken,
                "minutes": steps * taken / 60,
                "runs": len(cells) - 2,
            }
        )
    return pd.DataFrame(rows)
