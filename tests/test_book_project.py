"""The project around the book: pins, environment, address, contents, and builds that never go stale."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cellmnn_edu.coursework import address, release

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").split()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "exact pins without local labels"
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *extras["book"], *extras["test"]]]


def test_pins_satisfy_the_project_and_leave_out_what_is_not_pinned():
    pinned = pins()
    for requirement in requirements():
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"
    assert not {"pip", "setuptools", "cellmnn-edu"} & set(pinned)


def test_the_project_gives_lower_bounds_only():
    for line in PROJECT["dependencies"]:
        assert [clause.operator for clause in Requirement(line).specifier] == [">="], line


def test_environment_file_is_in_step():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["name"] == PROJECT["name"]
    python, pip, packages = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip == "pip"
    extras = ",".join(sorted(PROJECT["optional-dependencies"]))
    assert packages == {"pip": ["-c constraints.txt", f"-e .[{extras}]"]}


def test_table_of_contents_names_every_page_once():
    toc = yaml.safe_load((ROOT / "book/_toc.yml").read_text("utf-8"))
    named = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    pages = {path.relative_to(ROOT / "book").with_suffix("").as_posix() for path in (ROOT / "book").rglob("*.md")}
    assert sorted(named) == sorted(pages)


def test_every_chapter_says_which_kernel_runs_it():
    for path in [*(ROOT / "book/chapters").glob("*.md"), *(ROOT / "book/assignments").glob("*.md")]:
        head = yaml.safe_load(path.read_text("utf-8").split("---")[1])
        assert head["kernelspec"]["name"] == "python3", path.name
        assert head["jupytext"]["text_representation"]["format_name"] == "myst", path.name


# The address


def tracked() -> list[Path]:
    """Files that belong to the project, relative to its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [Path(name) for name in sorted(set(listed.stdout.split("\0"))) if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("new", ["https://github.com/Some-Lab/moving.cells", "https://github.com/lab/lab.github.io"])
def test_changing_the_address_in_one_place_changes_it_everywhere(tmp_path, new):
    for name in tracked():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    old = address.repository(ROOT)
    before = {address.slug(old).lower(), address.site(old).split("//")[1]}
    config = tmp_path / "_config.yml"
    config.write_text(config.read_text("utf-8").replace(old, new), encoding="utf-8")

    address.rewrite(tmp_path)
    release.main(tmp_path)

    for path in tmp_path.rglob("*"):
        if path.is_file() and "third_party" not in path.parts:
            text = path.read_bytes().decode("utf-8", "ignore").lower()
            assert [name for name in before if name in text] == [], path.relative_to(tmp_path)
    site = address.site(new)
    assert f'Repository = "{new}"' in (tmp_path / "pyproject.toml").read_text("utf-8")
    assert f'Documentation = "{site}/"' in (tmp_path / "pyproject.toml").read_text("utf-8")
    for page in release.masters(tmp_path):
        text = (tmp_path / f"book/notebooks/{release.stem(page)}.ipynb").read_text("utf-8")
        assert f"git+{new}@v" in text
        assert f"{site}/{page}.html" in text
    assert address.rewrite(tmp_path) == [], "a second run has nothing left to do"


def test_what_is_derived_from_the_address():
    url = "https://github.com/Lab/Book"
    assert address.site(url) == "https://lab.github.io/Book"
    assert address.site("https://github.com/Lab/lab.github.io") == "https://lab.github.io"
    expected = "https://colab.research.google.com/github/Lab/Book/blob/main/book/notebooks/one.ipynb"
    assert address.colab(url, "one") == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("title: x\n", "no `repository: url:`"),
        ("repository:\n  url: https://example.org/x\n", "<owner>/<name>"),
    ],
)
def test_a_wrong_address_is_explained(tmp_path, config, message):
    (tmp_path / "_config.yml").write_text(config)
    with pytest.raises(ValueError, match=message):
        address.repository(tmp_path)


def test_only_whole_names_are_rewritten(tmp_path):
    (tmp_path / "_config.yml").write_text("repository:\n  url: https://github.com/new/name\n")
    (tmp_path / "pyproject.toml").write_text('Repository = "https://github.com/lab/book"\n')
    (tmp_path / "README.md").write_text("lab/bookshelf my-lab/book lab/book lab/book.git lab/book.\n")
    address.rewrite(tmp_path)
    assert (tmp_path / "README.md").read_text() == "lab/bookshelf my-lab/book new/name new/name.git new/name.\n"


def test_no_workflow_and_no_page_writes_the_address_by_hand():
    name = address.slug(address.repository(ROOT))
    for path in [*(ROOT / ".github").rglob("*.yml"), *(ROOT / "book").rglob("*.md")]:
        assert name not in path.read_text("utf-8"), path


# Builds. Their stand-in for the package is a file that the one chapter of a small book prints.


def build(root: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "book/_ext/build.py")]
    clean = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(command, cwd=root, env=clean | environment, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path):
    """A book of one chapter that shows what the package says and when it ran."""
    value = tmp_path / "cellmnn_edu/value.txt"
    chapter = (
        "---\njupytext:\n  text_representation: {extension: .md, format_name: myst}\n"
        "kernelspec: {name: python3, display_name: Python 3}\n---\n\n# A\n\n```{code-cell}\nimport os, time\n"
        f"print(open({str(value)!r}).read(), time.time_ns(), os.environ['CELLMNN_EDU_BOOK'])\n```\n"
    )
    settings = {
        "execute": {"execute_notebooks": "cache", "raise_on_error": True},
        "only_build_toc_files": True,
    }
    for name, text in {
        "cellmnn_edu/value.txt": "first",
        "data/x.csv": "1",
        "book/_ext/x.py": "",
        "constraints.txt": "a==1",
        "pyproject.toml": "",
        "_config.yml": json.dumps(settings),
        "book/_toc.yml": json.dumps({"format": "jb-book", "root": "index"}),
        "book/index.md": chapter,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def shown(project: Path) -> list[str]:
    """What the page shows: the package's word, the time it ran, the flag."""
    page = (project / "_build/html/index.html").read_text("utf-8")
    return re.search(r"(\w+) (\d{15,}) (\d)", page).groups()


def test_an_edit_executes_again_and_nothing_else_does(project):
    assert build(project).returncode == 0
    word, when, flag = shown(project)
    assert (word, flag) == ("first", "1")

    again = build(project)
    assert "up to date" in again.stdout
    assert str(project / "_build/html/index.html") in again.stdout

    with (project / "book/index.md").open("a") as page:
        page.write("\nMore *words*.\n")
    assert build(project).returncode == 0
    assert shown(project)[1] == when, "only words changed: the results are kept"
    assert "<em>words</em>" in (project / "_build/html/index.html").read_text("utf-8")

    (project / "cellmnn_edu/value.txt").write_text("second")
    assert build(project).returncode == 0
    assert shown(project)[0] == "second"

    (project / "data/x.csv").write_text("2")
    assert build(project, CI="true").returncode == 0
    assert shown(project)[1] > when


def test_a_failing_chapter_fails_the_build_twice_and_is_shown(project):
    with (project / "book/index.md").open("a") as page:
        page.write("\n```{code-cell}\nraise RuntimeError('the reason')\n```\n")
    for _ in range(2):
        done = build(project)
        assert done.returncode != 0
        assert "RuntimeError: " in re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
        assert "NOT built" in done.stderr


def test_a_warning_fails_the_build_twice(project):
    with (project / "book/index.md").open("a") as page:
        page.write("\n[nowhere](missing.md)\n")
    for _ in range(2):
        done = build(project)
        assert done.returncode != 0
        assert "missing.md" in done.stdout + done.stderr


def test_chapters_run_side_by_side_once_and_a_failing_one_fails_the_build(project):
    chapters = project / "book/chapters"
    chapters.mkdir()
    head = (project / "book/index.md").read_text().split("# A")[0]
    clock = "import time\nstart = time.time_ns()\ntime.sleep(8)\nprint(start, time.time_ns())"
    for name in ("one", "two"):
        (chapters / f"{name}.md").write_text(f"{head}# {name}\n\n```{{code-cell}}\n{clock}  # {name}\n```\n")
    toc = {"format": "jb-book", "root": "index", "chapters": [{"file": "chapters/one"}, {"file": "chapters/two"}]}
    (project / "book/_toc.yml").write_text(json.dumps(toc))
    done = build(project)
    assert done.returncode == 0, done.stderr
    pages = [(project / f"_build/html/chapters/{name}.html").read_text("utf-8") for name in ("one", "two")]
    (a, b), (c, d) = (map(int, re.search(r"(\d{15,}) (\d{15,})", page).groups()) for page in pages)
    assert max(a, c) < min(b, d), "the chapters did not overlap in time"
    (chapters / "two.md").write_text(f"{head}# two\n\n```{{code-cell}}\nraise RuntimeError('the reason')\n```\n")
    done = build(project)
    assert done.returncode != 0
    assert "NOT built" in done.stderr


# The Makefile


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_lists_every_target():
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    listed = make().stdout
    assert [name for name in targets if f"make {name} " not in listed] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_refuses_an_old_python_with_a_remedy(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1 && exit 0\nexit 1\n')
    old.chmod(0o755)
    done = make("setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stdout
    assert "Python 3.9.1" in done.stdout
    assert "make book PYTHON=" in done.stdout
