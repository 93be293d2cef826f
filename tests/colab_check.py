"""Run the student notebooks with the packages of Google Colab (`make colab-check`), or those named.

1. `_build/colab` gets the versions of tests/colab-versions.txt, and the torch at hand.
2. The set-up cell of a notebook installs a wheel built from this tree. Colab itself is a stand-in.
   Nothing that was there before may be replaced: Colab would ask for a restart.
3. Every notebook runs alone, in an empty folder, without a network, and with the wheel, not with the checkout.

Colab has Python 3.12; here it is the Python at hand.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ROOT / "tests/colab-versions.txt"
COLAB = ROOT / "_build/colab"
# What Colab has in every notebook, and nothing else of Colab.
STAND_IN = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"


def run(*command: str | Path, **options) -> str:
    """Run a command away from the checkout; its output, or an end with the reason."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CELLMNN"))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=clean, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))[:200]}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def environment(folder: Path) -> Path:
    """Make the environment, or bring it back to what Colab has; return its Python."""
    python, torch = folder / "bin/python", f"torch=={version('torch').split('+')[0]}"
    made_from = hashlib.sha256(f"{sys.version} {torch} {VERSIONS.read_text()}".encode()).hexdigest()
    mark = folder / f"{made_from}.json"
    if not mark.is_file():
        print(f"Installing the packages of Colab into {folder} ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", folder)
        run(python, "-m", "pip", "install", "-q", "-r", VERSIONS, torch)
        mark.write_text(json.dumps(packages(python)))
    if more := sorted(set(packages(python)) - set(json.loads(mark.read_text()))):
        run(python, "-m", "pip", "uninstall", "-q", "-y", *more)
    return python


def wheel(folder: Path) -> Path:
    """Build the wheel of this tree."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def setup_cell(notebook: Path, package: Path) -> str:
    """The set-up cell of a notebook, made to install `package` as if in Colab."""
    source = "".join(json.loads(notebook.read_text("utf-8"))["cells"][1]["source"])
    source, found = re.subn(r'"cellmnn-edu @ git\+[^"]+"', json.dumps(f"cellmnn-edu @ {package.as_uri()}"), source)
    if found != 1:
        sys.exit(f"The set-up cell of {notebook.name} names the package {found} times; expected once.")
    return STAND_IN + source


def packages(python: Path) -> dict[str, str]:
    """Name -> version of what is installed."""
    listed = json.loads(run(python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"))
    return {entry["name"]: entry["version"] for entry in listed}


def install(python: Path, notebook: Path) -> None:
    """Let the set-up cell install the wheel; end where it says something else than it should, or replaces something."""
    before = packages(python)
    with tempfile.TemporaryDirectory() as folder:
        said = run(python, "-c", setup_cell(notebook, wheel(Path(folder)))).splitlines()[
            -1
        ]  # the words before end in \r
    print(said, flush=True)
    if not re.fullmatch(r"cellmnn-edu [\d.]+ \| torch \S+ \| \w+ \| data ok \| .+", said):
        sys.exit("Expected one line from the set-up cell: version, torch, device, data ok, and the times of the page.")
    after = packages(python)
    if replaced := [f"{name} {old} -> {after.get(name)}" for name, old in before.items() if after.get(name) != old]:
        sys.exit(f"The set-up cell replaced what Colab has: {', '.join(replaced)}")
    print(f"{len(before)} packages of Colab kept, {len(after) - len(before)} installed.", flush=True)
    where = Path(run(python, "-P", "-c", "import cellmnn_edu; print(cellmnn_edu.__file__)").strip()).resolve()
    if COLAB.resolve() not in where.parents:
        sys.exit(f"The notebooks would import {where}, not the wheel.")


def main(notebooks: list[Path]) -> int:
    """Check all notebooks; return the number of those that failed."""
    python = environment(COLAB)
    install(python, notebooks[0])
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CELLMNN"))}
    command = [python, "-P", ROOT / "tests/run_notebook.py", *notebooks]
    return subprocess.run(command, cwd="/", env=clean, check=False).returncode


if __name__ == "__main__":
    named = [Path(name).resolve() for name in sys.argv[1:]]
    sys.exit(main(named or sorted((ROOT / "book/notebooks").glob("*.ipynb"))))
