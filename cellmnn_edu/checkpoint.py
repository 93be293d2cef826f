"""A training run on disk: written in one go, read without pickle, refused when it belongs to another run."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

FORMAT = 1


class Checkpoint:
    """One file that holds the state of one run.

    Parameters
    ----------
    path : str or Path
        The file.
    identity : dict
        What the run is: a file of another identity is refused. Values are text or numbers.
    resume : bool
        Go on from the file if it exists. Otherwise an existing file is an error, so that nothing is overwritten.

    Raises
    ------
    FileExistsError
        If the file exists and ``resume`` is False.
    ValueError
        If the file is damaged, or of another identity.
    OSError
        If the file cannot be written: now, and not after the first hundred steps.
    """

    def __init__(self, path: str | Path, identity: dict[str, Any], resume: bool) -> None:
        self.path = Path(path)
        self.new = self.path.with_name(self.path.name + ".new")
        # Through JSON and back, so that tuples are lists, and numpy's numbers numbers, on both sides.
        self.identity = json.loads(json.dumps({"format": FORMAT, **identity}, default=lambda value: value.tolist()))
        if self.path.exists() and not resume:
            raise FileExistsError(
                f"{self.path} exists: pass resume=True to go on from it, or choose another name (or delete the file)."
            )
        self._check_folder()
        self.state = self._read() if self.path.exists() else None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file: whoever reads it, whenever the machine stops, finds the old state or the new one."""
        with self.new.open("wb") as file:
            torch.save({"identity": json.dumps(self.identity), "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        self.new.replace(self.path)

    def _check_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.new.touch()
            self.new.unlink()
        except OSError as error:
            raise type(error)(f"Cannot write {self.path} ({error.strerror}): choose another folder.") from None

    def _read(self) -> dict[str, Any]:
        content = self.path.read_bytes()
        try:
            content = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            stored, state = dict(json.loads(content["identity"])), content["state"]
        except Exception as error:  # torch.load answers to damage with many kinds
            raise ValueError(
                f"{self.path} is not a checkpoint that can be read ({type(error).__name__}): delete it to start anew."
            ) from None
        wanted = self.identity
        for name in {**wanted, **stored}:
            if stored.get(name) != wanted.get(name):
                raise ValueError(
                    f"{self.path} belongs to another run: its {name} is {stored.get(name)!r}, this run's is "
                    f"{wanted.get(name)!r}. Use the same settings, data and version, or another file."
                )
        return state


def fingerprint(times: ArrayLike, states: Sequence[np.ndarray]) -> str:
    """Hash of the times and states of a data set."""
    digest = hashlib.sha256(np.ascontiguousarray(times, dtype=float).tobytes())
    for state in states:
        digest.update(str(state.shape).encode() + np.ascontiguousarray(state, dtype=float).tobytes())
    return digest.hexdigest()[:16]
