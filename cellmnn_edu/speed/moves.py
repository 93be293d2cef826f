"""What one move costs: forward and backward, without the network (`cellmnn-edu speed`).

Every method moves the same cells under the same operators, in the same run and in turn, so that what else the
machine does falls on all alike. Measured in CPU time on one thread; ratios are to torch.linalg.matrix_exp.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .._progress import progress_bar
from ..operators import DenseOperator, build, by_matrix_exp, head_size
from .clocks import in_turn, middle, n_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

RK4_STEPS = 20
HEADS = ("eigen", "rotational", "dense")


def operator_speed(
    dims: Sequence[int] = (5, 20, 50),
    n_times: Sequence[int] = (4, 41),
    reaches: Sequence[float] = (0.1, 1.0, 3.0),
    batch: int = 200,
    seconds: float = 1.0,
    progress: bool = True,
) -> pd.DataFrame:
    """Time the moves of every head against the matrix exponential and a Runge-Kutta solver.

    Parameters
    ----------
    dims : sequence of int
        Dimensions D of the state.
    n_times : sequence of int
        Numbers of target times, spread evenly up to the last.
    reaches : sequence of float
        Norm of A (2-norm) times the last time.
    batch : int
        Number of cells, each with an operator of its own.
    seconds : float
        Time to spend on each method of each setting (at least one run, after one that only warms up).
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row for each setting, head and way to move: ``milliseconds`` (median CPU time, forward and backward),
        ``ratio`` (time of matrix_exp over time of this row), ``error`` (norm of the difference to matrix_exp in
        float64, over the norm of the result). float32 on one thread of the CPU.

    Raises
    ------
    ValueError
        For settings that are not positive, or fewer than 2 times.
    """
    import pandas as pd

    settings = [(d, k, r, head) for d in dims for k in n_times for r in reaches for head in HEADS]
    if not settings or min(*dims, batch) < 1 or min(n_times) < 2 or not min(*reaches, seconds) > 0:
        raise ValueError(
            f"Expected positive dimensions, reaches, batch and seconds, and at least 2 times; got {list(dims)}, "
            f"{list(reaches)}, {batch}, {seconds} and {list(n_times)}."
        )
    rows = []
    with n_threads(1):
        for dim, count, reach, head in progress_bar(settings, show=progress, desc="timing", unit="setting"):
            rows += _race(dim, count, reach, head, batch, seconds)
    return pd.DataFrame(rows)


def report(table: pd.DataFrame) -> str:
    """The timings as text, one line for each setting.

    Parameters
    ----------
    table : DataFrame
        From `operator_speed`.

    Returns
    -------
    str
        For each way its milliseconds, how many times faster than matrix_exp it is, and its error.
    """
    shown = table.assign(
        milliseconds=table["milliseconds"].map("{:.2f}".format),
        ratio=table["ratio"].map("{:.1f} x".format),
        error=table["error"].map("{:.0e}".format),
    ).rename(columns={"reach": "|A| t", "n_times": "times", "ratio": "faster"})
    return shown.to_string(index=False)


def _race(dim: int, count: int, reach: float, head: str, batch: int, seconds: float) -> list[dict]:
    """All ways to move under operators of one head; only the heads' own ways for any but the dense one."""
    out, z, dt = _problem(dim, count, reach, head, batch)
    ways = {head: lambda o, x, t: build(head, o, dim).flow(x, t), "matrix_exp": _by_matrix_exponential(head, dim)}
    if head == "dense":
        ways["rk4"] = _by_rk4
    truth = ways["matrix_exp"](out.double(), z.double(), dt.double())
    runs = {name: _pass(way, out, z, dt) for name, way in ways.items()}
    times = middle(in_turn(runs, seconds * len(runs), time.process_time))
    return [
        {
            "dim": dim,
            "n_times": count,
            "reach": reach,
            "head": head,
            "way": name,
            "milliseconds": 1000 * times[name],
            "ratio": times["matrix_exp"] / times[name],
            "error": ((way(out, z, dt).double() - truth).norm() / truth.norm()).item(),
        }
        for name, way in ways.items()
    ]


def _problem(dim: int, count: int, reach: float, head: str, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random operators whose largest |A| over the cells times the last time is `reach`."""
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(batch, head_size(head, dim), generator=generator)
    if head != "dense":  # a basis that a trained network would write: invertible, not orthogonal
        out[:, -dim * dim :] *= 0.3 / dim**0.5
    size = torch.linalg.matrix_norm(build(head, out, dim).matrix(), 2).max()
    dt = torch.linspace(0, 1, count)[:, None].expand(count, batch) * (reach / size)
    return out, torch.randn(batch, dim, generator=generator), dt


def _by_matrix_exponential(head: str, dim: int) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda out, z, dt: by_matrix_exp(build(head, out, dim).matrix(), z, dt)


def _by_rk4(out: Tensor, z: Tensor, dt: Tensor) -> Tensor:
    """The same paths by the classic Runge-Kutta method in `RK4_STEPS` steps, through torchdiffeq."""
    from torchdiffeq import odeint

    operator, last = DenseOperator(out.view(len(z), z.shape[1], z.shape[1])), float(dt[-1, 0])
    grid = {"step_size": last / RK4_STEPS}
    return odeint(lambda _, x: operator.apply(x), z, dt[:, 0], method="rk4", options=grid)


def _pass(way: Callable, out: Tensor, z: Tensor, dt: Tensor) -> Callable[[], None]:
    """One forward and backward pass."""

    def run() -> None:
        leaf = out.detach().requires_grad_()
        way(leaf, z, dt).square().sum().backward()

    return run
