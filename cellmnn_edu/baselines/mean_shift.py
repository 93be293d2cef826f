"""Every cell goes where the average goes: what a method must beat to show that it sees single cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..snapshots import Snapshots


class MeanShift:
    """Move every cell by the difference of the snapshots' means, interpolated linearly in real time."""

    steps = 0

    def fit(self, train: Snapshots, seed: int = 0) -> MeanShift:
        """Keep the means of the training snapshots."""
        self.times, self.means = train.times, np.stack([state.mean(0) for state in train.states])
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """Move cells z (n, D) from t0 to t1, forward or backward.

        Raises
        ------
        ValueError
            For times outside the training times: the mean is not known there.
        """
        first, last = self.times[0], self.times[-1]
        if not (first <= t0 <= last and first <= t1 <= last):
            raise ValueError(
                f"The mean shift is known between the training times, {first:g} to {last:g}; got t0={t0:g}, t1={t1:g}."
            )
        return np.array(z, dtype=float) + self._mean(t1) - self._mean(t0)

    def _mean(self, t: float) -> np.ndarray:
        return np.array([np.interp(t, self.times, coordinate) for coordinate in self.means.T])
