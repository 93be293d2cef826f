"""Train a CellMNN on snapshots: one loop, readable from top to bottom."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ._progress import progress_bar
from .losses import kinetic_energy, mmd_loss
from .model import CellMNN, check_integers

if TYPE_CHECKING:
    import pandas as pd

    from .snapshots import Snapshots

# Points between a cell's start and the last time at which its speed is charged.
KINETIC_POINTS = 5


@dataclass
class History:
    """What happened during training.

    Attributes
    ----------
    terms : list of dict
        One entry per logged step: step, loss, and its terms mmd, kinetic and barrier (already weighted).
    steps : int
        Steps done; fewer than asked for after an interruption.
    seconds : float
        Wall time.
    device : str
        Where it ran.
    """

    terms: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    device: str = "cpu"

    def to_frame(self) -> pd.DataFrame:
        """The logged terms as a table, one row per logged step."""
        import pandas as pd

        columns = ["step", "loss", "mmd", "kinetic", "barrier"]
        return pd.DataFrame(self.terms, columns=columns).set_index("step")


def fit(
    model: CellMNN,
    train: Snapshots,
    steps: int = 1500,
    seed: int = 0,
    lr: float = 1e-3,
    l_kin: float = 0.1,
    gamma: float = 0.1,
    bandwidth: float = 1.0,
    batch_size: int = 200,
    device: str = "auto",
    progress: bool = True,
) -> History:
    """Train `model` in place for a fixed number of steps: nothing outside `train` is ever looked at.

    Each step moves `batch_size` cells, spread evenly over all times but the last, to every later time in closed
    form, and compares the crowds with `batch_size` observed cells per time.

    Parameters
    ----------
    model : CellMNN
        Its dimension must be that of the snapshots. It stays on the device it was trained on.
    train : Snapshots
        At least two times.
    steps : int
        Number of optimiser steps.
    seed : int
        Of the batches. Same seed, same machine, same weights to the last bit on a CPU.
    lr : float
        Learning rate of AdamW (weight decay 1e-5).
    l_kin : float
        Weight of the kinetic energy.
    gamma : float
        Discount for each training snapshot that is skipped between source and target.
    bandwidth : float
        Of the Laplace kernel.
    batch_size : int
        Source cells in all, and target cells per time.
    device : str
        "auto" takes cuda where there is one, else cpu; or any name PyTorch knows.
    progress : bool
        Show a progress bar.

    Returns
    -------
    History
        Ctrl-C ends training early with a warning; the model keeps the weights reached so far.

    Raises
    ------
    ValueError
        For a dimension that does not match, or settings out of range.
    FloatingPointError
        If the loss stops being finite; names the step and the term.

    Notes
    -----
    Source: von Bassewitz et al. 2026, arXiv:2510.02903, with two differences: the number of steps is fixed, where
    the released code stops by the score on the held-out cells, and the learning rate is 1e-3 instead of 2e-4. The
    kinetic energy is a mean over five points between a cell's start and the last time.
    """
    tiny, most = 1e-12, 1e12
    numbers = {
        "lr": (lr, tiny, most),
        "bandwidth": (bandwidth, tiny, most),
        "l_kin": (l_kin, 0, most),
        "gamma": (gamma, 0, 1),
    }
    _check(model, train, steps, batch_size, seed, numbers)
    device = pick_device(device)
    model.to(device).train()
    sampler = _Sampler(train, batch_size, seed, model.network[0].weight.to(device))
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-5)
    history = History(device=device)
    start = time.perf_counter()
    bar = progress_bar(range(1, steps + 1), show=progress, desc="training", unit="step")
    try:
        for step in bar:
            terms = _loss_terms(model, sampler, l_kin, gamma, bandwidth)
            loss = sum(terms.values())
            if not torch.isfinite(loss):
                raise FloatingPointError(_explosion(step, terms))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            history.steps = step
            if step == 1 or step % 10 == 0:
                logged = {name: term.item() for name, term in terms.items()}
                history.terms.append({"step": step, "loss": loss.item(), **logged})
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    except KeyboardInterrupt:
        message = f"Interrupted after {history.steps} of {steps} steps; the model keeps the weights of that step."
        warnings.warn(message, stacklevel=2)
    history.seconds = time.perf_counter() - start
    if not all(torch.isfinite(weight).all() for weight in model.parameters()):
        raise FloatingPointError(_explosion(history.steps, {"weights": torch.tensor(torch.nan)}))
    model.eval()
    return history


class _Sampler:
    """Draws source and target cells of every training time; knows nothing but the training snapshots."""

    def __init__(self, train: Snapshots, batch_size: int, seed: int, like: Tensor) -> None:
        self.rng = torch.Generator().manual_seed(int(seed))  # on the CPU: the same batches on every device
        self.states = [torch.as_tensor(state).to(like) for state in train.states]
        self.times = torch.as_tensor(train.times).to(like)
        n_times = len(self.times)
        self.n_source = max(1, batch_size // (n_times - 1))
        self.n_target = batch_size
        # Ordered pairs: source time s = departure, target time k + 1 with k = arrival >= s.
        self.departure, self.arrival = torch.triu_indices(n_times - 1, n_times - 1, device=like.device)

    def _draw(self, state: Tensor, n: int) -> Tensor:
        """N cells of one time, with replacement only where there are too few."""
        if n <= len(state):
            rows = torch.randperm(len(state), generator=self.rng)[:n]
        else:
            rows = torch.randint(len(state), (n,), generator=self.rng)
        return state[rows.to(state.device)]

    def sources(self) -> tuple[Tensor, Tensor]:
        """Cells (S * n, D) of all times but the last, and their times (S * n,)."""
        cells = torch.cat([self._draw(state, self.n_source) for state in self.states[:-1]])
        return cells, self.times[:-1].repeat_interleave(self.n_source)

    def targets(self) -> Tensor:
        """Cells (K, m, D) of all times but the first."""
        return torch.stack([self._draw(state, self.n_target) for state in self.states[1:]])


def _loss_terms(model: CellMNN, sampler: _Sampler, l_kin: float, gamma: float, bandwidth: float) -> dict[str, Tensor]:
    """One batch: operators once, all target times at once."""
    z, t = sampler.sources()
    operator = model(z, t)
    later = sampler.times[1:]
    # Earlier targets are not used; staying put there keeps their exponentials harmless.
    dt = (later[:, None] - t).clamp(min=0)
    moved = operator.flow(z, dt).view(len(later), len(later), sampler.n_source, model.dim)
    moved = moved[sampler.arrival, sampler.departure]
    weight = gamma ** (sampler.arrival - sampler.departure).to(z)
    fractions = torch.linspace(0, 1, KINETIC_POINTS, dtype=z.dtype, device=z.device)
    path = operator.flow(z, fractions[:, None] * (sampler.times[-1] - t))
    return {
        "mmd": mmd_loss(moved, sampler.targets(), sampler.arrival, weight, bandwidth),
        "kinetic": l_kin * kinetic_energy(operator.apply(path)),
        "barrier": operator.barrier(),
    }


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


def _check(
    model: CellMNN,
    train: Snapshots,
    steps: int,
    batch_size: int,
    seed: int,
    numbers: dict[str, tuple[float, float, float]],
) -> None:
    if model.dim != train.dim:
        raise ValueError(
            f"Expected a model of the snapshots' dimension {train.dim}, got CellMNN(dim={model.dim}): "
            f"build it with CellMNN({train.dim})."
        )
    check_integers(0, steps=steps, seed=seed)
    check_integers(1, batch_size=batch_size)
    for name, (value, least, most) in numbers.items():
        real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (real and least <= value <= most):
            raise ValueError(f"Expected {name} to be a number from {least:g} to {most:g}, got {value!r}.")


def _explosion(step: int, terms: dict[str, Tensor]) -> str:
    culprits = [name for name, term in terms.items() if not torch.isfinite(term)]
    return (
        f"The loss is not finite at step {step} (term: {', '.join(culprits)}): the model is of no use any more. "
        "Build it anew, and try a smaller lr, a larger l_kin, or look for outlying cells."
    )
