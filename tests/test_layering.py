"""Data flows one way: a module imports only from those above it, and drawing is imported only by need."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cellmnn_edu"
ORDER = [
    "_progress",
    "_grid",
    "datasets",
    "simulate",
    "snapshots",
    "metrics",
    "operators",
    "linearize",
    "model",
    "losses",
    "paths",
    "objectives",
    "checkpoint",
    "loop",
    "training",
    "sparse",
    "baselines",
    "evaluation",
    "grn",
    "perturb",
    "experiments",
    "gene_experiments",
    "results",
    "speed",
    "plotting",
    "widgets",
    "coursework",
    "cli",
]


def layer(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_layers(path):
    """Layers of this package that a file imports, at the top or inside a function, for real or for types."""
    depth = len(path.relative_to(PACKAGE).parts)
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            # from .. import x, in a subpackage, is from the package itself
            base = [layer(path)] if depth > node.level else []
            base += node.module.split(".") if node.module else []
            names += [base[0]] if base else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cellmnn_edu":
            parts = node.module.split(".")[1:]
            names += parts[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [a.name.split(".")[1] for a in node.names if a.name.startswith("cellmnn_edu.")]
    return [name for name in names if name in ORDER]


MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py" and "_data" not in p.parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_upwards(path):
    assert layer(path) in ORDER, f"{path.name} has no place in the order of layers"
    below = [name for name in imported_layers(path) if ORDER.index(name) > ORDER.index(layer(path))]
    assert not below, f"{layer(path)} imports from below: {below}"


def test_the_arrows_are_read_at_all():
    assert {"metrics"} <= set(imported_layers(PACKAGE / "losses.py"))
    assert {"metrics"} <= set(imported_layers(PACKAGE / "baselines" / "ot_interpolation.py"))
    assert {"training", "model"} <= set(imported_layers(PACKAGE / "baselines" / "cell_mnn.py"))


def test_importing_the_package_loads_nothing_that_draws():
    code = (
        "import sys, cellmnn_edu; "
        "print([m for m in ('matplotlib', 'scanpy', 'umap', 'ipywidgets', 'IPython') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_matrix_exponential_lives_in_one_place():
    # The checks keep their own, from scipy: a check that used ours could not find our mistake.
    rest = [p for p in MODULES if layer(p) != "coursework"]
    users = [p.name for p in rest if re.search(r"(?<!by_)matrix_exp\(|linalg\.expm|\bexpm\(", p.read_text())]
    assert users == ["operators.py"]


def test_the_split_is_made_in_one_place():
    makers = [p.name for p in MODULES if "HeldOut(" in p.read_text()]
    assert makers == ["snapshots.py"]
