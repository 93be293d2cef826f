"""Straight lines between optimally matched cells of neighbouring snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..metrics import transport_plan

if TYPE_CHECKING:
    from ..snapshots import Snapshots


class OTInterpolation:
    """Match cells with the next training snapshot by the exact plan, and walk the straight line in real time.

    Each cell gets one partner, drawn from its row of the plan (Euclidean cost, uniform weights), and goes the
    fraction (t1 - t0) / (t_next - t0) of the way.
    """

    steps = 0

    def fit(self, train: Snapshots, seed: int = 0) -> OTInterpolation:
        """Keep the training snapshots; there is nothing to learn."""
        self.train = train
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1, from snapshot to snapshot.

        Raises
        ------
        ValueError
            If the times are not in order within the training times: there is no line to walk.
        """
        times = self.train.times
        if not times[0] <= t0 <= t1 <= times[-1]:
            raise ValueError(
                f"OT interpolation moves cells forward between training times, {times[0]:g} to {times[-1]:g}; "
                f"got t0={t0:g}, t1={t1:g}. Outside it has no partner to walk to."
            )
        rng = np.random.default_rng(seed)
        z, t = np.array(z, dtype=float), t0
        while t < t1:
            following = int(np.searchsorted(times, t, side="right"))
            partners = _draw_partners(z, self.train.states[following], rng)
            arrival = min(t1, times[following])
            z += (arrival - t) / (times[following] - t) * (partners - z)
            t = arrival
        return z


def _draw_partners(z: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One target per row of the plan, with the row as its distribution."""
    heights = np.cumsum(transport_plan(z, targets), axis=1)
    drawn = rng.random(len(z)) * heights[:, -1]
    return targets[[np.searchsorted(row, u, side="right") for row, u in zip(heights, drawn, strict=True)]]
