"""The wheel works by itself: built, installed into an empty folder, used from another empty folder."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
USE = """
import cellmnn_edu, pathlib
from cellmnn_edu import datasets
print(pathlib.Path(cellmnn_edu.__file__).resolve().parent)
print(cellmnn_edu.__version__, datasets.guo2010().shape, datasets.hsmm().shape)
print(len(datasets.trrust(source="shipped")), datasets.verify(), len(cellmnn_edu.results.load("rotation")))
"""


def run(*command, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPO))
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_the_data_and_no_junk(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("guo2010.csv", "hsmm.h5ad", "trrust_human.tsv", "manifest.json", "README.md"):
        assert f"cellmnn_edu/_data/{name}" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"cellmnn_edu"}
    junk = [name for name in names if re.search(r"__pycache__|\.pyc$|test_|\.ipynb|/\.|\.npy$|rawdata", name)]
    assert not junk
    assert len(names) == len(set(names))
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_everything_shipped_loads_from_the_installed_wheel(wheel, tmp_path):
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    run(*pip, "--no-compile", "--target", str(target), str(wheel))
    # PYTHONPATH stands before any editable install of the repository; -P keeps the current folder out.
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("CELLMNN", "PYTHON"))}
    out = run(sys.executable, "-P", "-c", USE, cwd=elsewhere, env=clean | {"PYTHONPATH": str(target)})
    where, facts, box = out.splitlines()
    assert where == str((target / "cellmnn_edu").resolve())
    assert facts.endswith("(428, 48) (271, 4967)")
    assert box == "6305 True 72"
    assert not list(elsewhere.iterdir())
