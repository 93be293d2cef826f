"""One progress bar for every loop of the package that can take more than two seconds."""

import os
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

# Seconds before a bar appears: what is quick needs none.
DELAY = 1.0


def progress_bar(steps: Iterable | None, show: bool = True, **options: Any) -> tqdm:
    """Text bar on stderr after one second; silent in the book build, where stderr would fail the page."""
    quiet = not show or os.environ.get("CELLMNN_EDU_BOOK") == "1"
    return tqdm(steps, disable=quiet, delay=DELAY, **options)
