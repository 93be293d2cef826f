"""Sphinx extension: the pages of the assignments, and the sources offered with them, have no solutions."""

from pathlib import Path

from sphinx.application import Sphinx

from cellmnn_edu.coursework.markdown import assignment_page, is_assignment, without_solutions


def cut_page(app: Sphinx, page: str, source: list[str]) -> None:
    """Cut the page before it is read."""
    if is_assignment(page):
        source[0] = assignment_page(source[0])


def cut_sources(app: Sphinx, error: Exception | None) -> None:
    """Cut the copies behind the button that offers the source."""
    for path in (Path(app.outdir) / "_sources/assignments").glob("*.md*"):
        path.write_text(without_solutions(path.read_text("utf-8")), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register both."""
    app.connect("source-read", cut_page)
    app.connect("build-finished", cut_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
