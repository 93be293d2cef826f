"""How long the chapters take (`python -m cellmnn_edu.coursework.run_times`, after `make book`).

Seconds to run are those of the last build, from its cache; minutes to read and to do stand on the cards.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

TABLE = "book/instructor/times.csv"
HEADER = ["chapter", "read (min)", "run (s)", "exercises (min)"]


def card_minutes(text: str, page: str) -> tuple[int, int]:
    """Minutes to read and minutes for the exercises, as the card of a chapter says.

    Raises
    ------
    ValueError
        Where the card does not say them.
    """
    found = re.search(
        r"^\*\*Time:\*\* (\d+) minutes to read, .+ to run, (\d+) minutes for the \w+ exercises", text, re.M
    )
    if found is None:
        raise ValueError(
            f"Expected the card of {page} to say '**Time:** 40 minutes to read, a minute to run, 30 minutes for the "
            "two exercises'; found no such line."
        )
    return int(found[1]), int(found[2])


def measured(cache: Path) -> dict[str, float]:
    """Seconds of the last execution of each page in a cache of the book, by the name of its file.

    Raises
    ------
    ValueError
        Where there is no cache.
    """
    if not cache.is_file():
        raise ValueError(f"No executed book at {cache}: run `make book` first.")
    with closing(sqlite3.connect(f"file:{cache}?mode=ro", uri=True)) as base:
        rows = base.execute("select uri, data from nbcache order by created").fetchall()
    return {Path(uri).stem: json.loads(data)["execution_seconds"] for uri, data in rows}


def table(root: Path) -> list[list[str]]:
    """Rows of the table: a chapter each, in the order of the book.

    Raises
    ------
    ValueError
        For a chapter that was not executed, or whose card says no times.
    """
    seconds, rows = measured(root / "_build/.jupyter_cache/global.db"), []
    for page in re.findall(r"file: *(chapters/\S+)", (root / "book/_toc.yml").read_text("utf-8")):
        text, slug = (root / f"book/{page}.md").read_text("utf-8"), page.split("/")[-1]
        if slug not in seconds:
            raise ValueError(f"{page} has not been executed: run `make book` first.")
        read, do = card_minutes(text, page)
        title = re.search(r"^# (.+)$", text, re.M)[1]
        rows.append([title, str(read), f"{seconds[slug]:.0f}", str(do)])
    return rows


def main(root: Path) -> None:
    """Write the table."""
    with (root / TABLE).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *table(root)])
    print(f"wrote {root / TABLE}")


if __name__ == "__main__":
    try:
        main(Path())
    except ValueError as error:
        sys.exit(str(error))
