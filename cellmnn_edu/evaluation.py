"""Score a method on a snapshot that it never saw."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import baselines
from .metrics import mmd, noise_floor, wasserstein

if TYPE_CHECKING:
    from .snapshots import Snapshots


def leave_one_out(snaps: Snapshots, method: str, index: int, seed: int = 0, **options: Any) -> dict[str, Any]:
    """Hold out one inner snapshot, train on the others, predict it from all cells of the preceding one.

    Parameters
    ----------
    snaps : Snapshots
        At least three times.
    method : str
        A name `baselines.get` knows.
    index : int
        Position of the held-out time in ``snaps.times``.
    seed : int
        Of the method.
    **options
        Settings of the method, for example ``steps=500`` for "cell-mnn".

    Returns
    -------
    dict
        ``method``, ``index``, ``time``, ``seed``; ``w1`` (exact W1) and ``mmd`` (squared MMD, bandwidth 1) between
        prediction and held-out cells; ``floor``, ``floor_low``, ``floor_high`` (`noise_floor` at the sizes compared: a
        method within it cannot be told from a perfect one); ``seconds`` for training and prediction; ``steps``;
        ``protocol``: what the coordinates were fitted on and which time was held out.

    Raises
    ------
    ValueError
        For an index that is not an inner one, or an unknown method or option.
    """
    train, held = snaps.hold_out(index)
    floor = noise_floor(held.state, len(held.previous), len(held.state))  # first: it may refuse too few cells
    start = time.perf_counter()
    fitted = baselines.get(method, **options).fit(train, seed=seed)
    predicted = fitted.propagate(held.previous, held.previous_time, held.time, seed=seed)
    seconds = time.perf_counter() - start
    return {
        "method": method,
        "index": index,
        "time": held.time,
        "seed": seed,
        "w1": wasserstein(predicted, held.state),
        "mmd": mmd(predicted, held.state),
        "floor": floor.mean,
        "floor_low": floor.low,
        "floor_high": floor.high,
        "seconds": seconds,
        "steps": fitted.steps,
        "protocol": f"held out time {held.time:g}; {train.protocol}",
    }
