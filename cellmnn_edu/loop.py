"""The one optimiser loop, readable from top to bottom: Cell-MNN and every rival that learns go through it."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from torch import nn

    from .checkpoint import Checkpoint

SCHEDULES = ("constant", "cosine")


@dataclass
class History:
    """What happened during training.

    Attributes
    ----------
    terms : list of dict
        One entry per logged step: step, loss, and its weighted terms.
    checks : list of dict
        One entry per check of early stopping: step and score.
    steps : int
        Steps done; fewer than asked for after an interruption or an early stop.
    best_step : int
        The step whose weights the model has: the last one, or with early stopping that of the best score.
    seconds : float
        Wall time, that of earlier parts of a resumed run included.
    device : str
        Where it ran.
    stopped : str
        Why it ended: "steps", "patience" or "interrupted".
    leaky : bool
        True if stopping looked at the held-out cells: a score on them means nothing then.
    """

    terms: list[dict[str, float]] = field(default_factory=list)
    checks: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    best_step: int = 0
    seconds: float = 0.0
    device: str = "cpu"
    stopped: str = "steps"
    leaky: bool = False

    def to_frame(self) -> pd.DataFrame:
        """The logged terms as a table, one row per logged step."""
        import pandas as pd

        return pd.DataFrame(self.terms, columns=list(self.terms[0]) if self.terms else ["step", "loss"]).set_index(
            "step"
        )


def optimise(
    module: nn.Module,
    terms: Callable[[], dict[str, Tensor]],
    steps: int,
    lr: float,
    *,
    schedule: str = "constant",
    ema: float = 0.0,
    watch: Watch | None = None,
    keeper: Checkpoint | None = None,
    keep_every: int = 100,
    progress: bool = True,
    callback: Callable[[History], None] | None = None,
) -> History:
    """Minimise the sum of weighted terms with AdamW: the loop of Cell-MNN and of every rival that learns.

    Parameters
    ----------
    module : Module
        Whose parameters are trained, in place.
    terms : callable
        Draws a batch and returns its weighted terms by name; all its randomness comes from ``terms.rng``.
    steps, lr, schedule, ema, progress, callback
        As in `fit`.
    watch : Watch, optional
        Early stopping.
    keeper : Checkpoint, optional
        Where to keep the run, and from where to go on.
    keep_every : int
        Steps between two saves.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If the file is already beyond `steps`.
    FloatingPointError
        If the loss or a weight stops being finite.
    """
    device = next(module.parameters()).device
    # One kernel for all weights saves a tenth of a step on a CPU; not every device has it.
    fused = device.type in ("cpu", "cuda")
    optimiser = torch.optim.AdamW(module.parameters(), lr=float(lr), weight_decay=1e-5, fused=fused)
    rate = LambdaLR(optimiser, lambda k: (1 + math.cos(math.pi * k / max(steps, 1))) / 2 if schedule == "cosine" else 1)
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    run = _Run(module, optimiser, rate, average, terms.rng, watch, History(device=str(device)))
    if keeper is not None and keeper.state is not None:
        run.load(keeper.state)
        if run.history.steps > steps:
            raise ValueError(
                f"{keeper.path} holds {run.history.steps} steps, more than the {steps} that were asked for: "
                "ask for at least as many, or use another file."
            )
        if hasattr(terms, "paths"):  # which draws once a step
            terms.paths.draws = run.history.steps
    history, earlier, start = run.history, run.history.seconds, time.perf_counter()
    bar = progress_bar(None, show=progress, desc="training", unit="step", total=steps, initial=history.steps)
    with bar, _interruption() as interrupted:
        while history.steps < steps and history.stopped != "patience":
            step = history.steps + 1
            losses = terms()
            loss = sum(losses.values())
            if not torch.isfinite(loss):
                raise FloatingPointError(_explosion(step, losses))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            if average is not None:
                average.update_parameters(module)
            history.steps = step
            history.seconds = earlier + time.perf_counter() - start
            if step == 1 or step % 10 == 0:
                logged = {name: term.item() for name, term in losses.items()}
                history.terms.append({"step": step, "loss": loss.item(), **logged})
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
                if callback is not None:
                    callback(history)
            bar.update()
            if watch is not None and step % watch.every == 0 and watch.enough(run):
                history.stopped = "patience"
            done = step == steps or history.stopped == "patience"
            leave = interrupted()  # asked once, so that what was asked for during a save is saved after one more step
            if keeper is not None and (done or leave or step % keep_every == 0):
                run.check()  # a lost run must not replace the last good file
                keeper.save(run.state())
            if leave and not done:
                history.stopped = "interrupted"
                break
    run.finish()
    if history.stopped == "interrupted":
        message = f"Interrupted after {history.steps} of {steps} steps; the model keeps the weights of that step."
        warnings.warn(message, stacklevel=3)
    return history


def finished(history: History) -> History:
    """The history of a run that ended by itself; one that Ctrl-C ended is no result, and goes on as Ctrl-C.

    Raises
    ------
    KeyboardInterrupt
        If the run was interrupted.
    """
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    return history


@dataclass
class Watch:
    """Early stopping: a score, lower is better, of the weights the model would get now.

    Attributes
    ----------
    score : callable
        Called without arguments every `every` steps.
    every : int
        Steps between two checks.
    patience : int
        Checks without a better score after which training ends.
    """

    score: Callable[[], float]
    every: int
    patience: int
    best: float = math.inf
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def enough(self, run: _Run) -> bool:
        """Check, keep the weights if they are the best so far, and say whether patience is at its end."""
        with run.answer():
            run.module.eval()
            value = self.score()
            run.module.train()
            run.history.checks.append({"step": run.history.steps, "score": value})
            self.waited += 1
            if value < self.best:
                self.best, self.waited, run.history.best_step = value, 0, run.history.steps
                self.weights = copy.deepcopy(run.module.state_dict())
        return self.waited >= self.patience


@dataclass
class _Run:
    """All that changes while training goes on."""

    module: nn.Module
    optimiser: torch.optim.Optimizer
    rate: LambdaLR
    average: AveragedModel | None
    rng: torch.Generator
    watch: Watch | None
    history: History

    @property
    def _parts(self) -> dict[str, Any]:
        parts = {"module": self.module, "optimiser": self.optimiser, "rate": self.rate, "average": self.average}
        return {name: part for name, part in parts.items() if part is not None}

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        state = {name: part.state_dict() for name, part in self._parts.items()}
        if self.watch is not None:
            state["watch"] = {name: getattr(self.watch, name) for name in ("best", "waited", "weights")}
        return state | {"rng": self.rng.get_state(), "history": asdict(self.history)}

    def load(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.rng.set_state(state["rng"])
        device, history = self.history.device, dict(state["history"])
        if history["stopped"] == "interrupted":
            history["stopped"] = "steps"
        self.history = History(**history | {"device": device})
        if self.watch is not None:
            for name, value in state["watch"].items():
                setattr(self.watch, name, value)

    @contextmanager
    def answer(self) -> Iterator[None]:
        """The module with the weights it would get if training ended now."""
        if self.average is None:
            yield
            return
        own = copy.deepcopy(self.module.state_dict())
        self.module.load_state_dict(self.average.module.state_dict())
        try:
            yield
        finally:
            self.module.load_state_dict(own)

    def finish(self) -> None:
        """Give the module its final weights."""
        history = self.history
        if self.watch is not None and self.watch.weights and history.stopped != "interrupted":
            self.module.load_state_dict(self.watch.weights)
        else:
            history.best_step = history.steps
            if self.average is not None:
                self.module.load_state_dict(self.average.module.state_dict())
        self.check()
        self.module.eval()

    def check(self) -> None:
        """Raise an error if a weight is lost."""
        if not all(torch.isfinite(weight).all() for weight in self.module.parameters()):
            raise FloatingPointError(_explosion(self.history.steps, {"weights": torch.tensor(torch.nan)}))


@contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Ctrl-C is noted, and takes effect between two steps, so that none is left half done; a second one at once."""
    asked = threading.Event()
    # Only the main thread gets signals; and whoever chose to ignore Ctrl-C (a job in the background) keeps doing so.
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield asked.is_set
        return

    def note(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, previous)


def _explosion(step: int, terms: dict[str, Tensor]) -> str:
    culprits = [name for name, term in terms.items() if not torch.isfinite(term)]
    return (
        f"The loss is not finite at step {step} (term: {', '.join(culprits)}): the model is of no use any more. "
        "Build it anew, and try a smaller lr, a larger l_kin, or look for outlying cells."
    )
