"""Google Colab: what the set-up cell does and says, Colab's versions, and the buttons that open a page there."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cellmnn_edu
from cellmnn_edu.coursework import address, colab, release

ROOT = Path(__file__).parents[1]
PAGES = release.masters(ROOT)
CARD = "# A\n\n**Time:** 4 minutes to read, *one* to run.\n"
CELL = colab.setup_cell("https://github.com/lab/course", "1.2.3", CARD)


@pytest.fixture
def in_colab(monkeypatch):
    """Execute the set-up cell as in Colab, with a pip that ends as told; gives the commands that it was called with."""
    called = []

    def run(status: int = 0, stderr: str = "") -> list[str]:
        done = SimpleNamespace(returncode=status, stdout="", stderr=stderr)
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
        monkeypatch.setattr(subprocess, "run", lambda command, **options: called.append(command) or done)
        exec(CELL, {})
        return called

    return run


def said(capsys) -> str:
    """What a reader sees in the end: what ends in a carriage return is written over."""
    return capsys.readouterr().out.split("\r")[-1].rstrip("\n")


def test_set_up_does_nothing_outside_colab(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: pytest.fail("installed something"))
    exec(CELL, {})
    assert capsys.readouterr() == ("", "")


def test_set_up_installs_the_tag_once_keeps_numpy_and_torch_and_says_one_line(in_colab, capsys):
    import numpy
    import torch

    (command,) = in_colab()
    assert command[1:] == [
        *["-m", "pip", "install", "-q"],
        *[f"numpy=={numpy.__version__}", f"torch=={torch.__version__}"],
        "cellmnn-edu @ git+https://github.com/lab/course@v1.2.3",
    ]
    line = said(capsys)
    assert re.fullmatch(
        rf"cellmnn-edu {cellmnn_edu.__version__} \| torch {re.escape(torch.__version__)} \| (cpu|cuda|mps)\S* "
        r"\| data ok \| 4 minutes to read, one to run",
        line,
    )


UNREACHABLE = "fatal: unable to access 'https://github.com/lab/course/': Could not resolve host: github.com"


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        (UNREACHABLE, "There is no connection to fetch the package. Wait a moment"),
        ("ReadTimeoutError: read timed out.", "There is no connection"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "The disk is full. Choose Runtime >"),
        (
            "a\nERROR: No matching distribution for x\n",
            "could not install the package (No matching distribution for x)",
        ),
        ("error: git\nfatal: Remote branch v1.2.3 not found", "(Remote branch v1.2.3 not found). Run this cell again"),
        ("", "could not install the package (it gave no reason)"),
    ],
)
def test_set_up_says_plainly_what_went_wrong(in_colab, capsys, stderr, sentence):
    in_colab(1, stderr)
    out = said(capsys)
    assert sentence in out
    assert "un this cell again" in out, "it says what to do"
    assert "\n" not in out
    assert "Traceback" not in out


def test_set_up_says_when_the_package_does_not_load(in_colab, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cellmnn_edu.cli", None)
    monkeypatch.delattr(cellmnn_edu, "cli", raising=False)
    in_colab()
    out = said(capsys)
    assert "installed but does not load (ModuleNotFoundError: " in out
    assert "Restart session, then run this cell again." in out


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_how_long_it_takes(page):
    times = colab.times_of((ROOT / f"book/{page}.md").read_text("utf-8"))
    assert re.search(r"hours?\b|minutes?\b", times)
    assert re.search(r"\bruns?\b", times)
    assert re.search(r"cli\.doctor\(.*\)$", colab.setup_cell("u", "v", f"**Time:** {times}.")).group() == (
        f'cli.doctor("{times}")'
    )


# Versions


def colab_versions() -> dict[str, str]:
    lines = (ROOT / "tests/colab-versions.txt").read_text("utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def test_what_colab_has_is_new_enough():
    versions = colab_versions()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    shared = [r for line in project["dependencies"] if canonicalize_name((r := Requirement(line)).name) in versions]
    assert {"numpy", "scipy", "pandas", "matplotlib", "ipywidgets", "scikit-learn"} <= {r.name for r in shared}
    for requirement in shared:
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"Colab has {requirement.name} {version}, we ask {requirement}"


# Buttons


def file_of(url: str) -> Path:
    """The file in the tree that an address of Colab opens."""
    path = unquote(urlparse(url).path)
    start = f"/github/{address.slug(address.repository(ROOT))}/blob/main/"
    assert path.startswith(start)
    return ROOT / path.removeprefix(start)


def test_badges_open_files_of_the_tree():
    badges = re.findall(
        r"https://colab\.research\.google\.com/github/[^\s)\"]+", (ROOT / "README.md").read_text("utf-8")
    )
    assert badges
    assert [url for url in badges if not file_of(url).is_file()] == []


@pytest.mark.parametrize("page", PAGES)
def test_launch_button_and_download_of_a_page_are_its_student_notebook(page, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    from colab_link import use_generated_notebook

    download = tmp_path / f"_sources/{page}.ipynb"
    download.parent.mkdir(parents=True)
    download.write_text("the executed page, with solutions")
    button = {"text": "Colab", "url": "https://colab.research.google.com/elsewhere"}
    groups = [{"label": "launch-buttons", "buttons": [button]}]
    app = SimpleNamespace(srcdir=str(ROOT / "book"), outdir=str(tmp_path))
    use_generated_notebook(app, page, "", {"header_buttons": groups}, None)
    notebook = file_of(button["url"])
    assert notebook == ROOT / f"book/notebooks/{release.stem(page)}.ipynb"
    assert download.read_bytes() == notebook.read_bytes()
