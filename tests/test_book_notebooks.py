"""The notebooks made from chapters and assignments: in step with them, plain Markdown, no solutions, and they run."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from cellmnn_edu.coursework import markdown, release

ROOT = Path(__file__).parents[1]
PAGES = release.masters(ROOT)
NOTEBOOKS = sorted((ROOT / "book/notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def book():
    return markdown.read_book(ROOT)


@pytest.fixture
def small(tmp_path):
    """A book of two pages."""
    for name, text in {
        "_config.yml": "repository:\n  url: https://github.com/lab/course\n",
        "cellmnn_edu/__init__.py": '__version__ = "1.2.3"\n',
        "book/references.bib": "@misc{one, author={Guo, G. and Huss, M. and Li, L.}, year=2010, title={T}}\n"
        '@misc{two, author={{\\c{C}}imen, T. and Sch{\\"o}lkopf, B.}, year=2012, title={T}}\n',
        "book/chapters/a.md": "# The *first* page\n\n(here)=\n## A section\n\n$$\nx\n$$ (eq-x)\n",
        "book/reference/notation.md": "# Notation\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return markdown.read_book(tmp_path)


def plain(text: str, book: markdown.Book, page: str = "chapters/a", solutions: bool = False) -> str:
    """The Markdown of a page, all cells together."""
    return "\n\n".join(cell.source for cell in markdown.Reader(text, page, book, solutions).cells)


SITE = "https://lab.github.io/course"


@pytest.mark.parametrize(
    ("myst", "expected"),
    [
        ("---\nkernelspec: {}\n---\n\nText.", "Text."),
        ("% a comment\n(label)=\nText.", "Text."),
        ("{term}`snapshot` and {term}`snapshots <snapshot>`", "snapshot and snapshots"),
        ("{ref}`here`", f"[A section]({SITE}/chapters/a.html#here)"),
        ("{ref}`the\nsection <here>`", f"[the section]({SITE}/chapters/a.html#here)"),
        ("[](#here)", f"[A section]({SITE}/chapters/a.html#here)"),
        ("{eq}`eq-x`", f"[the equation in the book]({SITE}/chapters/a.html#equation-eq-x)"),
        ("{doc}`../reference/notation`", f"[Notation]({SITE}/reference/notation.html)"),
        ("{doc}`symbols </reference/notation>`", f"[symbols]({SITE}/reference/notation.html)"),
        ("[](../reference/notation.md#x)", f"[Notation]({SITE}/reference/notation.html#x)"),
        ("[out](https://example.org/a_b)", "[out](https://example.org/a_b)"),
        ("{cite:p}`one,two`", f"([Guo et al., 2010]({SITE}/reference/bibliography.html#cite-one); "
         f"[Çimen and Schölkopf, 2012]({SITE}/reference/bibliography.html#cite-two))"),
        ("{cite:t}`one` say", f"[Guo et al., 2010]({SITE}/reference/bibliography.html#cite-one) say"),
        ("{math}`a_1` and {glue:text}`score:.2f`", "$a_1$ and `score`"),
        ("{func}`~cellmnn_edu.fit`", "`cellmnn_edu.fit`"),
        ("$$\na\n$$ (eq-a)", "$$\na\n$$"),
        ("$$ a = \\text{b} $$ (eq-a)", "$$ a = \\text{b} $$"),
        ("```{math}\n:label: eq-b\nb\n```", "$$\nb\n$$"),
        ("Set $f[x](y)$ and `[a](b)` and `{term}`.", "Set $f[x](y)$ and `[a](b)` and `{term}`."),
        ("```python\n{term} [a](b)\n% kept\n```", "```python\n{term} [a](b)\n% kept\n```"),
        (":::{note}\nA {term}`cell`.\n:::", "> **Note**\n>\n> A cell."),
        (":::{tip} First words\nand more.\n:::", "> **Tip**\n>\n> First words\n> and more."),
        (":::{admonition} A *title*\n:class: tip\nText.\n:::", "> **A *title***\n>\n> Text."),
        ("```{admonition} Hint 1\n---\nclass: dropdown\n---\nText.\n```",
         "<details><summary>Hint 1</summary>\n\nText.\n\n</details>"),
        ("```{prf:theorem} Main\n:label: t\n$x$\n```", "> **Theorem (Main)**\n>\n> $x$"),
        ("```{prf:proof}\n$x$\n```", "> **Proof**\n>\n> $x$"),
        ("::::{exercise} Try\n:label: e\nDo.\n\n:::{hint}\n:class: dropdown\nSo.\n:::\n::::",
         "### Exercise 1 (Try)\n\nDo.\n\n<details><summary>Hint</summary>\n\nSo.\n\n</details>"),
        ("```{exercise}\nA\n```\n\n```{exercise}\nB\n```", "### Exercise 1\n\nA\n\n### Exercise 2\n\nB"),
        ("a\n\n```{solution} e\n:class: dropdown\nsecret\n```\n\nb", "a\n\nb"),
        ("a\n\n```{solution-start} e\n```\nsecret\n```{code-cell}\nsecret\n```\n```{solution-end}\n```\n\nb",
         "a\n\nb"),
        ("1. one\n\n   :::{dropdown} Answer\n   Yes.\n   :::\n2. two",
         "1. one\n\n   <details><summary>Answer</summary>\n\n   Yes.\n\n   </details>\n\n2. two"),
        ("```{figure} ../_static/x.svg\n:alt: A cell\nThe *caption*.\n```",
         "![A cell](https://github.com/lab/course/raw/main/book/_static/x.svg)\n\nThe *caption*."),
        ("| a | b |\n|---|---|\n| {term}`x` | $y$ |", "| a | b |\n|---|---|\n| x | $y$ |"),
        ("```{table} Scores\n| a |\n|---|\n| 1 |\n```", "**Scores**\n\n| a |\n|---|\n| 1 |"),
        ("```{code-cell}\n---\ntags: [hide-input]\nmystnb:\n  image: {alt: x}\n---\na = 1\n```", "a = 1"),
        ("```{code-cell} ipython3\n:tags: [hide-cell]\n\na = 1\n```", "a = 1"),
        ("a\n\n```{code-cell}\n:tags: [book-only, remove-cell]\nglue()\n```\n\nb", "a\n\nb"),
        ("<details><summary>More</summary>\n\nText.\n\n</details>",
         "<details><summary>More</summary>\n\nText.\n\n</details>"),
    ],
)  # fmt: skip
def test_myst_becomes_plain_markdown(myst, expected, small):
    assert plain(myst, small) == expected


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("a\n\n```{tab-set}\nb\n```", r"book/chapters/a\.md:3: unknown directive \{tab-set\}"),
        (":::{note}\n\n```{tab-set}\nb\n```\n:::", r"a\.md:3: unknown directive \{tab-set\}"),
        (":::{note}\n:class: x\n\nb {download}`c`\n:::", r"a\.md:4: unknown role \{download\}"),
        ("---\na: b\n---\n\n{octicon}`x`", r"a\.md:5: unknown role \{octicon\}"),
        ("```{note}\nb", r"a\.md:1: ``` is never closed"),
        ("b\n:::", r"a\.md:2: ::: is never closed"),
        ("$$\nb", r"a\.md:1: \$\$ is never closed"),
        ("{ref}`nowhere`", "label 'nowhere', which no page of the book defines"),
        ("{eq}`nothing`", "label 'nothing', which no page"),
        ("[x](missing.md)", r"link to missing\.md, which is no page"),
        ("{cite}`nobody`", "citation of nobody"),
        ("Note[^1].", r"the footnote \[\^1\]"),
        ("Now {{ version }}.", r"the substitution \{\{ version \}\}"),
        ("```{figure} x.svg\nA\n```", "has no :alt:"),
        ("````{note}\n```{code-cell}\na\n```\n````", "code-cell inside another directive"),
        ("```{solution-start} e\n```\nb", r"a\.md:1: solution-start is never closed"),
        ("```{solution-end}\n```\nb", "must alternate"),
    ],
)
def test_what_is_not_known_is_refused_with_its_place(myst, message, small):
    with pytest.raises(ValueError, match=message):
        plain(myst, small)


SOLVED = """\
```{exercise} A
Do.
```

```{code-cell}
stub
```

```{solution-start} e
```
Why.

```{code-cell}
answer
```

So.
```{solution-end}
```

On.
"""


def test_the_solved_notebook_has_the_solutions_and_marks_them(small):
    cells = markdown.Reader(SOLVED, "chapters/a", small, solutions=True).cells
    assert [tuple(cell) for cell in cells] == [
        ("markdown", "### Exercise 1 (A)\n\nDo.", False),
        ("code", "stub", False),
        ("markdown", "#### Solution\n\nWhy.", True),
        ("code", "answer", True),
        ("markdown", "So.", True),
        ("markdown", "On.", False),
    ]
    folded = "a\n\n```{solution} e\n:class: dropdown\n{term}`secret`\n```\n\nb"
    assert plain(folded, small, solutions=True) == "a\n\n#### Solution\n\nsecret\n\nb"


def test_exercises_without_a_number_are_not_counted(small):
    text = "```{exercise} A\n:nonumber:\nDo.\n```\n\n```{exercise}\nB\n```"
    assert plain(text, small) == "### Exercise (A)\n\nDo.\n\n### Exercise 1\n\nB"
    assert plain(text, small, "assignments/a") == "### Exercise (A)\n\nDo.\n\n### Exercise\n\nB"


def test_exercises_are_numbered_through_the_book_as_on_the_site(tmp_path):
    (tmp_path / "book/chapters").mkdir(parents=True)
    (tmp_path / "book/_toc.yml").write_text("parts:\n- chapters:\n  - file: chapters/b\n  - file: chapters/a\n")
    for name, count in (("a", 1), ("b", 2)):
        (tmp_path / f"book/chapters/{name}.md").write_text(f"# {name}\n\n" + "```{exercise}\nDo.\n```\n\n" * count)
    assert markdown._exercises_before(tmp_path) == {"chapters/b": 0, "chapters/a": 2}
    assert markdown._exercises_before(tmp_path / "book") == {}


def test_headings_exercises_and_code_begin_cells(small):
    text = "# A\n\na\n\n## B\n\nb\n\n```{code-cell}\n1\n```\n\nc\n\n```{exercise}\nd\n```\n"
    cells = markdown.Reader(text, "chapters/a", small).cells
    assert [cell.kind for cell in cells] == ["markdown", "markdown", "code", "markdown", "markdown"]


def test_committed_notebooks_are_what_the_masters_give():
    made = release.notebooks(ROOT)
    assert {path.name for path in NOTEBOOKS} == set(made), "run `make notebooks`"
    for path in NOTEBOOKS:
        assert path.read_text("utf-8") == made[path.name], f"{path.name} is not in step; run `make notebooks`"


def no_raw_markup(text: str) -> None:
    """No directive, role, label, comment or option of MyST stands in a Markdown cell."""
    rest = re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.S)
    for raw in (r"\{[a-z:-]+\}`", r"^\s*:{3,}", r"^\([\w-]+\)=", r"^%", r"^:[a-z-]+:", r"`{3,}\{", r"\]\(#"):
        assert not re.search(raw, rest, re.M), f"raw MyST ({raw}):\n{text}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        else:
            no_raw_markup(cell.source)


SOLUTION = re.compile(
    r"^`{3,}\{solution-start\}.*?^`{3,}\{solution-end\}\n`{3,}$|^(?P<f>`{3,}|:{3,})\{solution\}.*?^(?P=f)$", re.M | re.S
)


def solutions(text: str) -> tuple[list[str], list[str]]:
    """Code of the solutions, and the lines that stand in a solution and nowhere else on the page."""
    blocks = [found[0] for found in SOLUTION.finditer(text)]
    assert len(blocks) == text.count("{solution}") + text.count("{solution-start}")
    assert len(blocks) >= text.count("{exercise}"), "every exercise has a solution"
    rest = SOLUTION.sub("", text)
    lines = {line.strip() for block in blocks for line in block.split("\n")[2:]}
    own = sorted(line for line in lines if len(line) > 12 and "{" not in line and line not in rest)
    code = [code for block in blocks for code in re.findall(r"^```\{code-cell\}.*?\n(.+?)\n```$", block, re.M | re.S)]
    return code, own


@pytest.mark.parametrize("make", [release.student, release.recall])
@pytest.mark.parametrize("page", PAGES)
def test_no_solution_is_given_away_to_students(page, make, book):
    text = (ROOT / f"book/{page}.md").read_text("utf-8")
    cells = make(text, page, book)
    sources = "\n".join(cell.source for cell in cells)
    code, own = solutions(text)
    assert code, "a page has solutions; has this test lost sight of them?"
    assert own
    assert [line for line in own if line in sources] == []
    assert [one for one in code if one in sources] == []
    assert not any(cell.solution for cell in cells)


@pytest.mark.parametrize("page", PAGES)
def test_recall_copy_has_the_code_of_the_student_copy_and_no_prose(page, book):
    text = (ROOT / f"book/{page}.md").read_text("utf-8")
    student, (home, *cells) = release.student(text, page, book), release.recall(text, page, book)
    assert [cell for cell in cells if cell.kind == "code"] == [cell for cell in student if cell.kind == "code"]
    assert "recall copy" in home.source
    for cell in cells:
        if cell.kind == "markdown":
            no_raw_markup(cell.source)
            rest = re.sub(r"\$\$.*?\$\$", "", cell.source, flags=re.S)
            assert [line for line in rest.split("\n") if line and not line.startswith("#")] == []
    assert headings(cells) == headings(student)


def headings(cells: list[markdown.Cell]) -> list[str]:
    prose = [re.sub(r"```.*?```", "", cell.source, flags=re.S) for cell in cells if cell.kind == "markdown"]
    return re.findall(r"^#+ .+", "\n".join(prose), re.M)


@pytest.mark.parametrize("page", PAGES)
def test_solved_notebook_has_every_solution(page, book):
    text = (ROOT / f"book/{page}.md").read_text("utf-8")
    cells = release.solved(text, page, book)
    made = "\n".join(cell.source for cell in cells if cell.solution and cell.kind == "code")
    code, _ = solutions(text)
    for one in code:
        assert re.sub(r"\A(---\n.*?\n---\n|(:[\w-]+:.*\n)+)", "", one, flags=re.S).strip("\n") in made
    for cell in cells:
        if cell.kind == "markdown":
            no_raw_markup(cell.source)


def run_alone(*notebooks: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tests/run_notebook.py"), *map(str, notebooks)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_shortest_notebook_runs_alone_without_a_network():
    done = run_alone(min(NOTEBOOKS, key=lambda path: path.stat().st_size))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("unshare", [True, False])
@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("import socket; socket.create_connection(('1.1.1.1', 53), timeout=3)", "OSError"),
        ("open('left.txt', 'w').close()", "left files behind: left.txt"),
        ("import sys; print('noise', file=sys.stderr)", "wrote to stderr"),
        ("a = '✗ too large'\ncheck = lambda name, answer: print(answer)\ncheck('a', a)", "its check: ✗ too large"),
    ],
)
def test_the_check_of_notebooks_can_fail(tmp_path, monkeypatch, code, trouble, unshare):
    if not unshare:
        monkeypatch.setenv("PATH", "")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code, metadata={"tags": ["solution"]})])
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    done = run_alone(tmp_path / "bad.ipynb")
    assert done.returncode == 1
    assert trouble in done.stdout
