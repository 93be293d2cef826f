"""Timing that is fair on a busy machine: competitors take turns, and the clock counts what the process itself did."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BLOCK = 0.02  # seconds that one competitor runs before the next has its turn


def in_turn(
    runs: Mapping[str, Callable[[], object]], seconds: float, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Time every run again and again, in short blocks taken in turn, so that what else happens falls on all alike.

    Parameters
    ----------
    runs : mapping of str to callable
        What to time.
    seconds : float
        Time to spend on all together; each has at least one block, whose first run only warms the caches.
    clock : callable
        Seconds so far: CPU time of this process by default.

    Returns
    -------
    dict of str to list of float
        Seconds of every run.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    start = clock()
    while not all(taken.values()) or clock() - start < seconds:
        for name, run in runs.items():
            run()
            block = last = clock()
            while not taken[name] or last - block <= BLOCK:
                run()
                now = clock()
                taken[name].append(now - last)
                last = now
    return taken


def middle(taken: Mapping[str, list[float]]) -> dict[str, float]:
    """Median of each."""
    return {name: statistics.median(values) for name, values in taken.items()}


def clock_of(device: str | torch.device) -> Callable[[], float]:
    """Seconds so far: CPU time for the CPU; elsewhere wall time, after waiting for what the device still has to do."""
    return time.process_time if torch.device(device).type == "cpu" else wall_clock(device)


def wall_clock(device: str | torch.device) -> Callable[[], float]:
    """Seconds so far of wall time, after waiting for what the device still has to do."""
    kind = torch.device(device).type
    if kind == "cpu":
        return time.perf_counter
    module = getattr(torch, kind)

    def clock() -> float:
        module.synchronize()
        return time.perf_counter()

    return clock


@contextmanager
def n_threads(count: int) -> Iterator[None]:
    """As many threads for PyTorch on the CPU, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
