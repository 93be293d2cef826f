"""What several test modules share."""

import os
from pathlib import Path

import pytest

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
