"""What a class gets, made from the masters: `make notebooks`, and `cellmnn-edu release NAME -o OUT`.

A master is a chapter or an assignment in MyST Markdown. From it follow the student notebook, which has no
solutions; a recall copy of one page; a notebook for each student of a roster; the solved notebook of the
instructor, executed; and the site without solutions.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._progress import progress_bar
from .assignments import ASSIGNMENTS
from .colab import setup_cell
from .markdown import Book, Cell, Reader, is_assignment, read_book, without_solutions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nbformat import NotebookNode

RECALL = (
    "*This is a recall copy: the headings, formulas and code of {home}, and none of its words. "
    "Say aloud what belongs between them; where you cannot, open the page and read.*"
)
CHECK = re.compile(r"""^check\(["']([\w-]+)["'], *(\w+)""", re.M)
# What the site is built from.
SOURCES = ["book", "cellmnn_edu", "data", "_config.yml", "constraints.txt", "pyproject.toml"]


def stem(page: str) -> str:
    """Name of the notebook of a page, without .ipynb."""
    sheets = {f"assignments/{sheet.slug}": sheet.stem for sheet in ASSIGNMENTS.values()}
    return sheets.get(page, page.split("/")[-1])


def masters(root: Path) -> list[str]:
    """Pages that have a notebook: the chapters, and the assignments in their order."""
    chapters = [f"chapters/{path.stem}" for path in sorted((root / "book/chapters").glob("*.md"))]
    sheets = [f"assignments/{sheet.slug}" for sheet in ASSIGNMENTS.values()]
    return chapters + [page for page in sheets if (root / f"book/{page}.md").is_file()]


def student(text: str, page: str, book: Book) -> list[Cell]:
    """Cells of the student notebook: no solutions."""
    kind = "assignment" if is_assignment(page) else "chapter"
    home = f"*This {kind} to run. To read it with its figures: {book.link(book.titles[page], page)}.*"
    return _with_setup(home, text, book) + Reader(text, page, book).cells


def solved(text: str, page: str, book: Book) -> list[Cell]:
    """Cells of the instructor's notebook: everything that is in the master."""
    home = f"*The instructor's copy of {book.link(book.titles[page], page)}, with solutions. Not for students.*"
    return _with_setup(home, text, book) + Reader(text, page, book, solutions=True).cells


def recall(text: str, page: str, book: Book) -> list[Cell]:
    """Cells of the recall copy: headings, formulas and code of the student notebook, without its words."""
    home, setup, *rest = student(text, page, book)
    home = Cell("markdown", RECALL.format(home=book.link(book.titles[page], page)))
    kept = (cell._replace(source=_bones(cell.source)) if cell.kind == "markdown" else cell for cell in rest)
    return [home, setup, *(cell for cell in kept if cell.source)]


def _with_setup(home: str, text: str, book: Book) -> list[Cell]:
    return [Cell("markdown", home), Cell("code", setup_cell(book.url, book.version, text))]


def _bones(source: str) -> str:
    """Headings and displayed formulas of a Markdown cell; what is folded away is left out, and so is sample code."""
    source = re.sub(r"<details>.*?</details>|^ *(`{3,}).*?^ *\1", "", source, flags=re.S | re.M)
    source = re.sub(r"^ *>? *", "", source, flags=re.M)
    return "\n\n".join(re.findall(r"^#+ [^\n]+|^\$\$.*?\$\$", source, re.M | re.S))


def filled(cells: list[Cell], **values: str) -> list[Cell]:
    """Put values in place of those of ``STUDENT = "..."`` and the like, which stand once in an assignment.

    Raises
    ------
    ValueError
        Where a name does not stand exactly once.
    """
    for name, value in values.items():
        pattern = re.compile(rf'^{name} = "[^"\n]*"', re.M)
        hits = [at for at, cell in enumerate(cells) if cell.kind == "code" for _ in pattern.findall(cell.source)]
        if len(hits) != 1:
            raise ValueError(f'Expected one line {name} = "..." in the code of the page, found {len(hits)}.')
        line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
        source = pattern.sub(lambda _, line=line: line, cells[hits[0]].source)
        cells = [*cells[: hits[0]], cells[hits[0]]._replace(source=source), *cells[hits[0] + 1 :]]
    return cells


def notebook(cells: Iterable[Cell]) -> str:
    """Text of a notebook (.ipynb) without outputs; the ids of its cells follow from what is in them."""
    made: list[dict[str, Any]] = []
    for number, cell in enumerate(cells):
        name = hashlib.sha256(f"{number} {cell.kind} {cell.source}".encode()).hexdigest()[:8]
        empty = {"execution_count": None, "outputs": []} if cell.kind == "code" else {}
        metadata = {"tags": ["solution"]} if cell.solution else {}
        lines = cell.source.splitlines(keepends=True)
        made.append({"cell_type": cell.kind, "id": name, "metadata": metadata, "source": lines} | empty)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    whole = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def notebooks(root: Path, make: Any = student, only: Iterable[str] | None = None) -> dict[str, str]:
    """Notebooks made by `student`, `solved` or `recall`, of all pages or some: file name -> text."""
    book, made = read_book(root), {}
    for page in masters(root) if only is None else only:
        made[f"{stem(page)}.ipynb"] = notebook(make(_master(root, page), page, book))
    return made


def _master(root: Path, page: str) -> str:
    return (root / f"book/{page}.md").read_text("utf-8")


# A release for a class


def release(
    name: str,
    out: Path,
    site: bool = False,
    students: Path | None = None,
    term: str | None = None,
    root: Path | None = None,
) -> None:
    """Write what a class needs of a chapter, an assignment or the whole book.

    Parameters
    ----------
    name : str
        Slug of a chapter, number of an assignment ("2", "capstone"), or "all".
    out : Path
        Folder. Hand out what is in ``student``, ``recall``, ``students`` and ``site``; keep ``instructor``.
    site : bool
        Also build the site without solutions, which executes every page: some ten minutes.
    students : Path, optional
        CSV file with a column "student" or "id": one notebook of each assignment for everyone in it.
    term : str, optional
        Word of the term, written into the assignments. Variants follow from it.
    root : Path, optional
        Checkout of the book; the current folder by default.

    Raises
    ------
    ValueError
        Outside a checkout, for a name that does not exist, for a roster that cannot be read, and for a
        solution that fails.
    """
    root = checkout(root or Path())
    pages, roster = chosen(root, name), read_roster(students) if students else []
    if roster and not any(map(is_assignment, pages)):
        raise ValueError(f"{name} is no assignment: only those have a notebook for each student.")
    book = read_book(root)
    for page in pages:
        text, file = _master(root, page), f"{stem(page)}.ipynb"
        words = {"TERM": term} if term is not None and is_assignment(page) else {}
        copy = filled(student(text, page, book), **words)
        _write(out / "student" / file, notebook(copy))
        _write(out / "recall" / file, notebook(recall(text, page, book)))
        for one in roster if is_assignment(page) else ():
            _write(out / "students" / stem(page) / f"{_file_name(one)}.ipynb", notebook(filled(copy, STUDENT=one)))
    each = f", {out / 'students'} ({len(roster)} of each assignment)" if roster else ""
    print(f"For students: {out / 'student'}, {out / 'recall'}{each}")
    for page in pages:
        _solve(root, page, solved(_master(root, page), page, book), out / "instructor" / f"{stem(page)}.ipynb")
    print(f"For you alone: {out / 'instructor'}")
    if site:
        print(f"For students: {build_site(root, out / 'site')}, the site without solutions")


def checkout(root: Path) -> Path:
    """Return the folder if the masters lie in it.

    Raises
    ------
    ValueError
        If they do not.
    """
    if not (root / "book/_toc.yml").is_file() or not (root / "_config.yml").is_file():
        raise ValueError(
            f"Expected a checkout of the book, with _config.yml and book/_toc.yml; {root.resolve()} is none. "
            "Clone the repository that the book names, and run this at its top: the installed package has no chapters."
        )
    return root


def chosen(root: Path, name: str) -> list[str]:
    """Pages that a name stands for."""
    pages = masters(root)
    numbers = {sheet.number: f"assignments/{sheet.slug}" for sheet in ASSIGNMENTS.values()}
    slugs = {page.split("/")[-1]: page for page in pages}
    known = {number: page for number, page in numbers.items() if page in pages} | slugs
    if name != "all" and name not in known:
        raise ValueError(f"Expected all or one of {', '.join(known)}; got {name!r}.")
    return pages if name == "all" else [known[name]]


def read_roster(path: Path) -> list[str]:
    """Ids of the students in a CSV file, in its order.

    Raises
    ------
    ValueError
        Without a column "student" or "id", for an empty one, and for two ids that cannot be told apart.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [{(key or "").strip().lower(): value for key, value in row.items()} for row in csv.DictReader(file)]
    column = next((name for name in ("student", "id") if rows and name in rows[0]), None)
    if column is None:
        found = ", ".join(rows[0]) if rows else "no rows"
        raise ValueError(f"Expected a column called student or id in {path}; found: {found}.")
    ids = [value for row in rows if (value := (row[column] or "").strip())]
    seen: dict[str, str] = {}
    for one in ids:
        if (other := seen.setdefault(_file_name(one).casefold(), one)) is not one:
            raise ValueError(f"{path} has {other!r} and {one!r}: every student needs an id of their own.")
    return ids


def _file_name(student: str) -> str:
    return re.sub(r"[^\w@+-]", "_", student)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _solve(root: Path, page: str, cells: list[Cell], path: Path) -> None:
    """Execute a solved notebook and write it; one that was executed with the same code and data is kept."""
    import nbformat

    text = notebook(cells)
    state = _state(root, text)
    if path.is_file() and nbformat.read(path, as_version=4).metadata.get("made_from") == state:
        print(f"{path.name} is up to date.")
        return
    executed = execute(nbformat.reads(text, as_version=4), page)
    executed.metadata["made_from"] = state
    _write(path, nbformat.writes(executed) + "\n")


def _state(root: Path, text: str) -> str:
    """Hash of a notebook and of all that it runs with."""
    digest = hashlib.sha256(text.encode())
    for path in sorted([*(root / "cellmnn_edu").rglob("*.py"), *(root / "data").rglob("*.*")]):
        if path.is_file():
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def execute(content: NotebookNode, page: str) -> NotebookNode:
    """Run a notebook in an empty folder and return it with its outputs.

    Raises
    ------
    ValueError
        If a cell stops, or a check in a solution does not pass.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    code = sum(cell.cell_type == "code" for cell in content.cells)
    # As in the site: sliders become pictures, which a saved notebook can show, and bars are silent.
    environment = os.environ | {"CELLMNN_EDU_BOOK": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    with tempfile.TemporaryDirectory() as folder, progress_bar(range(code), desc=page) as bar:
        client = NotebookClient(
            content,
            timeout=600,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
            resources={"metadata": {"path": folder}},
            on_cell_executed=lambda **_: bar.update(),
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise ValueError(f"book/{page}.md stops when it is run with its solutions:\n{error}") from None
    if failed := failed_checks(content):
        raise ValueError(f"A solution of book/{page}.md does not pass its check:\n" + "\n".join(failed))
    return content


def failed_checks(content: NotebookNode) -> list[str]:
    """What the checks in the solutions of an executed notebook have against them.

    A solution may also show what is said of a wrong answer, of another name: ``check("my-map", leaky)``.
    """
    return [
        output.text
        for cell in content.cells
        if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", [])
        if any(name.replace("-", "_") == answer for name, answer in CHECK.findall(cell.source))
        for output in cell.outputs
        if re.search("^✗", output.get("text", ""), re.M)
    ]


def build_site(root: Path, out: Path) -> Path:
    """Build the site from a copy of the sources without solutions; return its first page.

    The copy stays in `_build`, with the executed pages, so that a second build takes seconds.
    """
    copy = root / "_build/without-solutions"
    for name in SOURCES:
        old, new = root / name, copy / name
        if new.is_dir():
            shutil.rmtree(new)
        if old.is_dir():
            shutil.copytree(old, new, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        elif old.is_file():
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old, new)
    for path in (copy / "book").rglob("*.md"):
        path.write_text(without_solutions(path.read_text("utf-8")), encoding="utf-8")
    done = subprocess.run([sys.executable, root.resolve() / "book/_ext/build.py"], cwd=copy, check=False)
    if done.returncode:
        raise ValueError("The site without solutions was not built; the reasons stand above.")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(copy / "_build/html", out)
    return out / "index.html"


# `make notebooks`


def main(root: Path) -> None:
    """Write the student notebooks of the book, and remove those whose master is gone."""
    _replace(root / "book/notebooks", notebooks(root))


def _replace(folder: Path, made: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.ipynb"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")


if __name__ == "__main__":
    try:
        if len(sys.argv) > 1:  # the solved assignments, not executed, for `make notebooks-check`
            sheets = [page for page in masters(Path()) if is_assignment(page)]
            _replace(Path(sys.argv[1]), notebooks(Path(), solved, sheets))
        else:
            main(Path())
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))
