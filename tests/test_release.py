"""What a class gets: student and recall copies, notebooks for a roster, the solved one, the site without solutions."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from cellmnn_edu import cli
from cellmnn_edu.coursework import release
from cellmnn_edu.coursework.assignment import Assignment
from cellmnn_edu.coursework.assignments import ASSIGNMENTS
from cellmnn_edu.coursework.markdown import Cell, assignment_page, without_solutions

ROOT = Path(__file__).parents[1]
HEAD = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3}
---

"""
PAGE = (
    HEAD
    + """\
# What moves?

**Time:** 5 minutes to read, a second to run.

Words {cite:p}`one`.

$$
\\dot z = A z
$$ (eq-law)

```{code-cell} ipython3
STUDENT = "..."  # your id
TERM = "open"


def check(name, answer):
    print({None: "✗ nothing yet", 4: "✓ right"}.get(answer(2), "✗ wrong"))
```

## Doubling

More words, and $x$ among them.

```{exercise} Twice as much
:label: ex-twice
Double it.

:::{admonition} Hint 1
:class: dropdown hint
It is $$ 2 x $$ of course.
:::
```

```{code-cell} ipython3
def twice(x):
    ...  # your code here


check("twice", twice)
```

```{solution-start} ex-twice
:class: dropdown
```

Secret words.

```{code-cell} ipython3
def twice(x):
    return x + x  # the secret


check("twice", twice)
```

Who squares is found out by another number.

```{code-cell} ipython3
check("twice", lambda x: x**3)
```

```{solution-end}
```

## Summary

The end.
"""
)
FIRST = PAGE.split("```{code-cell} ipython3\n")[1].split("\n```")[0]
NAME = "assignment-2-moves.ipynb"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A book of one chapter and one assignment, which are the same page."""
    for number in list(ASSIGNMENTS):
        monkeypatch.delitem(ASSIGNMENTS, number)
    monkeypatch.setitem(ASSIGNMENTS, "2", Assignment("2", "moves", "What moves?", (), {}))
    root = tmp_path / "course"
    for name, text in {
        "_config.yml": "repository:\n  url: https://github.com/lab/course\nbibtex_bibfiles: [references.bib]\n"
        "only_build_toc_files: true\nexecute: {execute_notebooks: cache, raise_on_error: true}\n"
        "parse: {myst_enable_extensions: [colon_fence, dollarmath]}\nsphinx:\n"
        "  local_extensions: {assignments: book/_ext/}\n  extra_extensions: [sphinx_exercise]\n",
        "cellmnn_edu/__init__.py": '__version__ = "1.2.3"\n',
        "book/_toc.yml": "format: jb-book\nroot: index\n"
        "chapters:\n- file: chapters/moving\n- file: assignments/moves\n",
        "book/references.bib": "@misc{one, author={Guo, G.}, year=2010, title={T}}\n",
        "book/index.md": "# Home\n\n```{bibliography}\n```\n",
        "book/chapters/moving.md": PAGE.replace("ex-twice", "ex-double").replace("eq-law", "eq-rule"),
        "book/assignments/moves.md": PAGE,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "book/_ext", root / "book/_ext", ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def kept(monkeypatch):
    """No kernel is started: notebooks come back as they are."""
    monkeypatch.setattr(release, "execute", lambda content, page: content)


def sources(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def test_one_command_makes_everything_for_one_assignment(course, tmp_path, kept, capsys):
    out = tmp_path / "out"
    release.release("2", out, root=course)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert files == [f"{folder}/{NAME}" for folder in ("instructor", "recall", "student")]
    student, solved = sources(out / "student" / NAME), sources(out / "instructor" / NAME)
    assert "secret" not in " ".join(student).lower()
    assert [text for text in solved if text not in student][1:] == [
        "#### Solution\n\nSecret words.",
        'def twice(x):\n    return x + x  # the secret\n\n\ncheck("twice", twice)',
        "Who squares is found out by another number.",
        'check("twice", lambda x: x**3)',
    ]
    assert "Not for students" in solved[0]
    said = capsys.readouterr().out
    assert f"For students: {out / 'student'}, {out / 'recall'}\n" in said
    assert f"For you alone: {out / 'instructor'}\n" in said


def test_recall_copy_has_headings_formulas_and_code_only(course):
    (text,) = release.notebooks(course, release.recall, ["assignments/moves"]).values()
    cells = json.loads(text)["cells"]
    home, setup, *rest = ["".join(cell["source"]) for cell in cells]
    assert "recall copy" in home
    assert "[What moves?](https://lab.github.io/course/assignments/moves.html)" in home
    assert setup.startswith("# In Google Colab")
    assert rest == [
        "# What moves?\n\n$$\n\\dot z = A z\n$$",
        FIRST,
        "## Doubling",
        "### Exercise (Twice as much)",
        'def twice(x):\n    ...  # your code here\n\n\ncheck("twice", twice)',
        "## Summary",
    ]


def test_formulas_in_a_quotation_are_recalled_and_sample_code_is_not():
    source = "> **Theorem**\n>\n> $$\n> a = b\n> $$\n\n```python\n# no heading\n```\n\n#### B"
    assert release._bones(source) == "$$\na = b\n$$\n\n#### B"


def test_ids_follow_the_content_and_everything_else_stays(course):
    before = json.loads(release.notebooks(course)["moving.ipynb"])
    assert release.notebooks(course)["moving.ipynb"] == release.notebooks(course)["moving.ipynb"]
    page = course / "book/chapters/moving.md"
    page.write_text(page.read_text("utf-8").replace("The end.", "The very end."), encoding="utf-8")
    after = json.loads(release.notebooks(course)["moving.ipynb"])
    changed = [a["id"] != b["id"] for a, b in zip(before["cells"], after["cells"], strict=True)]
    assert changed == [a["source"] != b["source"] for a, b in zip(before["cells"], after["cells"], strict=True)]
    assert changed == [False] * (len(changed) - 1) + [True]


def test_everyone_in_a_roster_gets_their_own(course, tmp_path, kept):
    roster = tmp_path / "roster.csv"
    roster.write_text("\ufeffName, ID\nA,s-01\nB,Zoë \n\nC,ann@lab.org\n", encoding="utf-8")
    release.release("all", tmp_path / "out", students=roster, term="autumn 26", root=course)
    folder = tmp_path / "out/students/assignment-2-moves"
    assert {path.name for path in folder.iterdir()} == {"s-01.ipynb", "Zoë.ipynb", "ann@lab_org.ipynb"}
    plain = sources(tmp_path / "out/student" / NAME)
    assert FIRST.replace("open", "autumn 26") in plain
    for name, student in {"s-01": "s-01", "Zoë": "Zoë", "ann@lab_org": "ann@lab.org"}.items():
        (theirs,) = [text for text in sources(folder / f"{name}.ipynb") if text not in plain]
        assert theirs == FIRST.replace("open", "autumn 26").replace("...", student)
    assert 'TERM = "open"' in " ".join(sources(tmp_path / "out/student/moving.ipynb")), "a chapter is for every term"


def test_an_id_is_written_as_python_reads_it():
    odd = 'a"b\\n'
    (cell,) = release.filled([Cell("code", 'STUDENT = "..."')], STUDENT=odd)
    scope: dict = {}
    exec(cell.source, scope)
    assert scope["STUDENT"] == odd


@pytest.mark.parametrize(
    ("cells", "found"),
    [([Cell("code", "x = 1")], 0), ([Cell("code", 'STUDENT = ""'), Cell("code", 'STUDENT = ""')], 2)],
)
def test_what_is_filled_in_stands_once(cells, found):
    with pytest.raises(ValueError, match=f"Expected one line STUDENT .*, found {found}"):
        release.filled(cells, STUDENT="a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column called student or id in .*; found: no rows"),
        ("name,mail\na,b\n", "found: name, mail"),
        ("student\na\nA\n", "'a' and 'A': every student needs"),
        ("student\na.b\na/b\n", "'a.b' and 'a/b'"),
    ],
)
def test_a_roster_that_cannot_be_used_is_explained(tmp_path, text, message):
    (tmp_path / "roster.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        release.read_roster(tmp_path / "roster.csv")


def test_what_cannot_be_released_is_explained(course, tmp_path):
    with pytest.raises(ValueError, match=r"Expected a checkout of the book.*Clone the repository"):
        release.release("all", tmp_path / "out", root=tmp_path)
    with pytest.raises(ValueError, match="Expected all or one of 2, moving, moves; got 'nine'"):
        release.release("nine", tmp_path / "out", root=course)
    (tmp_path / "roster.csv").write_text("student\na\n")
    with pytest.raises(ValueError, match="moving is no assignment"):
        release.release("moving", tmp_path / "out", students=tmp_path / "roster.csv", root=course)
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_is_wrong_without_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cellmnn-edu", "release", "2", "-o", "out"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("cellmnn-edu: Expected a checkout")
    assert list(tmp_path.iterdir()) == []


def test_the_command_takes_a_roster_and_a_term(course, tmp_path, monkeypatch, kept):
    (tmp_path / "roster.csv").write_text("student\nann\n")
    monkeypatch.chdir(course)
    command = "cellmnn-edu release 2 -o ../out --students ../roster.csv --term may"
    monkeypatch.setattr(sys, "argv", command.split())
    cli.main()
    (text,) = [text for text in sources(tmp_path / "out/students/assignment-2-moves/ann.ipynb") if "TERM" in text]
    assert text == FIRST.replace("open", "may").replace("...", "ann")


def test_solved_notebook_is_executed_once_and_keeps_its_outputs(course, tmp_path, monkeypatch, capsys):
    release.release("moving", tmp_path / "out", root=course)
    made = nbformat.read(tmp_path / "out/instructor/moving.ipynb", as_version=4)
    nbformat.validate(made)
    shown = [output.text for cell in made.cells for output in cell.get("outputs", [])]
    assert shown == ["✗ nothing yet\n", "✓ right\n", "✗ wrong\n"], "a wrong answer may be shown, under another name"

    monkeypatch.setattr(release, "execute", lambda content, page: pytest.fail("executed again"))
    release.release("moving", tmp_path / "out", root=course)
    assert "moving.ipynb is up to date" in capsys.readouterr().out
    (course / "cellmnn_edu/model.py").write_text("# new\n")
    with pytest.raises(pytest.fail.Exception, match="executed again"):
        release.release("moving", tmp_path / "out", root=course)


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        ("return 3 * x", r"moves\.md does not pass its check:\n✗ wrong"),
        ("return y", r"(?s)moves\.md stops .*NameError"),
    ],
)
def test_a_wrong_solution_stops_the_release(course, tmp_path, solution, message):
    page = course / "book/assignments/moves.md"
    page.write_text(page.read_text("utf-8").replace("return x + x", solution), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        release.release("2", tmp_path / "out", root=course)


# The pages


def test_solutions_are_emptied_and_every_other_line_stays():
    text = "a\n\n````{solution} x\nno\n```{code-cell}\nno\n```\n````\nb\n```python\n{solution-start}\n```\n"
    text += "- c\n\n  ::::{note}\n  :::{solution} y\n  no\n  :::\n  ::::\n"
    text += "```{solution-start} z\n```\nno\n```{code-cell}\nno\n```\n```{solution-end}\n```\nd"
    cut = without_solutions(text)
    assert "no\n" not in cut
    left = [*["a", "b", "```python", "{solution-start}", "```"], *["- c", "  ::::{note}", "  ::::", "d"]]
    assert [line for line in cut.split("\n") if line] == left
    for number, line in enumerate(text.split("\n")):
        assert cut.split("\n")[number] in (line, "")
    assert without_solutions(cut) == cut


def test_the_exercises_of_an_assignment_have_no_number():
    assert assignment_page("```{exercise} A\n:label: a\nb\n```") == "```{exercise} A\n:nonumber:\n:label: a\nb\n```"


@pytest.mark.parametrize("page", release.masters(ROOT))
def test_cut_pages_hold_no_solution(page):
    text = (ROOT / f"book/{page}.md").read_text("utf-8")
    cut = without_solutions(text)
    assert "{solution" in text
    assert "{solution" not in cut
    assert cut.count("{exercise}") == text.count("{exercise}")


def extension(name: str):
    """A module of book/_ext."""
    spec = importlib.util.spec_from_file_location(f"{name}_of_the_book", ROOT / f"book/_ext/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_reads_and_offers_assignments_without_solutions(tmp_path):
    hooks, chapter, sheet = extension("assignments"), [PAGE], [PAGE]
    hooks.cut_page(None, "chapters/moves", chapter)
    hooks.cut_page(None, "assignments/moves", sheet)
    assert chapter == [PAGE]
    assert sheet == [assignment_page(PAGE)]
    for folder in ("chapters", "assignments"):
        (tmp_path / "_sources" / folder).mkdir(parents=True)
        (tmp_path / "_sources" / folder / "moves.md").write_text(PAGE, encoding="utf-8")
    hooks.cut_sources(SimpleNamespace(outdir=str(tmp_path)), None)
    assert (tmp_path / "_sources/chapters/moves.md").read_text("utf-8") == PAGE
    assert "Secret" not in (tmp_path / "_sources/assignments/moves.md").read_text("utf-8")


def test_assignments_are_executed_beforehand_as_the_site_shows_them(course):
    """The cache of executed pages goes by their code: so both must have the same."""
    (course / "_build").mkdir()
    (file,) = extension("build").cut_assignments(course)
    code = re.compile(r"^```\{code-cell\}.*?^```$", re.M | re.S)
    text = Path(file).read_text("utf-8")
    assert code.findall(text) == code.findall(assignment_page(PAGE))
    assert "Secret" not in text


def test_the_other_site_has_no_solutions_in_any_file(course, tmp_path):
    index = release.build_site(course, tmp_path / "site")
    assert index == tmp_path / "site/index.html"
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file() and "_static" not in path.parts]
    site = {path.relative_to(tmp_path / "site").as_posix(): path.read_bytes().lower() for path in files}
    for page in ("chapters/moving.html", "assignments/moves.html"):
        assert b"nothing yet" in site[page], "it was executed"
        assert b"twice as much" in site[page]
    assert b"exercise 1" in site["chapters/moving.html"]
    assert b"exercise 2" not in site["assignments/moves.html"]
    assert {name for name, text in site.items() if b"secret" in text} == set()


def test_what_no_chapter_depends_on_does_not_execute_the_book_again(tmp_path):
    build, top = extension("build"), tmp_path / "cellmnn_edu/coursework"
    for name in ("checks.py", "release.py", "grading/worker.py"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("1")

    def keys():
        return build.key(tmp_path, build.RESULTS, build.NO_RESULTS), build.key(tmp_path, build.RESULTS + build.SITE)

    first = keys()
    for name in ("release.py", "grading/worker.py"):
        (top / name).write_text("2")
        results, site = keys()
        assert results == first[0], name
        assert site != first[1], "the pages are made again"
    (top / "checks.py").write_text("2")
    assert keys()[0] != first[0]
    for name in build.NO_RESULTS:
        assert (ROOT / name).exists(), f"{name} is gone: its name in build.py too?"


# The book as it is


def test_every_master_of_an_assignment_has_its_entry():
    files = {path.stem for path in (ROOT / "book/assignments").glob("*.md")}
    assert files == {sheet.slug for sheet in ASSIGNMENTS.values()}


@pytest.mark.parametrize("page", [page for page in release.masters(ROOT) if release.is_assignment(page)])
def test_student_and_term_can_be_filled_in(page):
    book = release.read_book(ROOT)
    cells = release.student((ROOT / f"book/{page}.md").read_text("utf-8"), page, book)
    release.filled(cells, STUDENT="ann", TERM="autumn")
