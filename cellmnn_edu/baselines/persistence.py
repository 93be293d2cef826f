"""Doing nothing: the rival that every method has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..snapshots import Snapshots


class Persistence:
    """Cells stay where they are."""

    steps = 0

    def fit(self, train: Snapshots, seed: int = 0) -> Persistence:
        """Nothing to learn."""
        return self

    def propagate(self, z: np.ndarray, t0: float, t1: float, seed: int = 0) -> np.ndarray:
        """A copy of z (n, D)."""
        return np.array(z, dtype=float)
