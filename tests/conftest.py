"""What several test modules share."""

import os
from pathlib import Path

import pytest

# As in the Makefile: two workers whose threads wait by spinning slow each other down. Before torch is loaded.
for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture
def seeded_cache(monkeypatch) -> Path:
    """Folder with the downloads already in place, set as the cache; skips where no such folder is at hand."""
    folders = [os.environ.get("CELLMNN_EDU_CACHE"), REPO.parent / "shared" / "data"]
    for folder in filter(None, folders):
        if (Path(folder) / "eb" / "data.npy").is_file():
            monkeypatch.setenv("CELLMNN_EDU_CACHE", str(folder))
            return Path(folder)
    pytest.skip("NOT CHECKED: no seeded download cache; set CELLMNN_EDU_CACHE to a folder with eb/data.npy")
