"""Build the book, and never show a stale result (`make book`). Standard library only.

jupyter-cache keys on the code of a chapter alone, and Sphinx on its text alone: after an edit of the package
or of the data both would show OLD results. So two keys lie beside the site: `results` covers everything a
chapter's output depends on, `site` covers everything on the page. A new `results` key throws away every
executed chapter; the same `site` key means that there is nothing to do. With CI=true a build starts cold.

The assignments are executed without their solutions, as the site shows them (book/_ext/assignments.py).
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

RESULTS = ["cellmnn_edu", "data", "book/_ext", "_config.yml", "constraints.txt", "pyproject.toml"]
SITE = ["book", "cellmnn_edu"]
# Of these the pages depend, but no output of a chapter.
NO_RESULTS = {
    f"cellmnn_edu/coursework/{name}"
    for name in ("address.py", "coverage.py", "run_times.py", "release.py", "markdown.py", "colab.py", "grading")
}
# What a build leaves in _build; other things lie there too.
BUILT = ["html", ".doctrees", ".jupyter_cache", "jupyter_execute", "assignments"]
IGNORED = {"__pycache__", ".ipynb_checkpoints", ".DS_Store"}


def key(root: Path, names: list[str], without: set[str] = frozenset()) -> str:
    """Hash of the names and contents of all files below `names` but those `without`, and of the interpreter."""
    digest = hashlib.sha256(f"{platform.python_version()} {platform.platform()}".encode())
    for name in names:
        top = root / name
        files = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        for path in files:
            named = path.relative_to(root)
            left_out = without & {parent.as_posix() for parent in (named, *named.parents)}
            if not IGNORED & set(path.parts) and not left_out:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{named.as_posix()} {content}\n".encode())
    return digest.hexdigest()


def read(path: Path) -> str:
    """Text of a key file; empty when there is none."""
    return path.read_text() if path.exists() else ""


def execute_in_parallel(root: Path, environment: dict[str, str]) -> None:
    """Run the chapters that are not in the cache, one on each core; Sphinx would run them one after the other.

    jcache does not fail when a chapter does. The build that follows runs such a chapter again and says why.
    The cache goes by the code, so a copy of an assignment without solutions serves the page that is cut in Sphinx.
    """
    jcache = Path(sys.executable).parent / "jcache"
    environment = environment | {"JUPYTERCACHE": str(root / "_build" / ".jupyter_cache")}
    chapters = sorted(str(path) for path in (root / "book" / "chapters").glob("*.md")) + cut_assignments(root)
    add = ["notebook", "add", "--reader", "myst_nb_md", *chapters]
    execute = ["project", "execute", "--executor", "temp-parallel", "--timeout", "300"]
    if chapters:  # it asks before it makes a new cache
        subprocess.run(
            [jcache, *add], cwd=root, env=environment, input="y\n", text=True, capture_output=True, check=False
        )
        subprocess.run([jcache, *execute], cwd=root, env=environment, check=False)


def cut_assignments(root: Path) -> list[str]:
    """Copy the assignments without their solutions to where they can be executed."""
    masters = sorted((root / "book" / "assignments").glob("*.md"))
    if not masters:
        return []
    from cellmnn_edu.coursework.markdown import without_solutions

    folder = root / "_build" / "assignments"
    folder.mkdir(exist_ok=True)
    for master in masters:
        (folder / master.name).write_text(without_solutions(master.read_text("utf-8")), encoding="utf-8")
    return [str(folder / master.name) for master in masters]


def build(root: Path) -> int:
    """Build the site below `root/_build/html`; return the exit status."""
    out, start = root / "_build", time.monotonic()
    index = out / "html" / "index.html"
    results = key(root, RESULTS, NO_RESULTS)
    site = key(root, RESULTS + SITE)
    if index.exists() and read(out / "site.key") == site:
        print(f"The book is up to date. Open {index}")
        return 0
    (out / "site.key").unlink(missing_ok=True)
    if read(out / "results.key") != results or os.environ.get("CI") == "true":
        for name in BUILT:
            shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(exist_ok=True)
    (out / "results.key").write_text(results)
    shutil.rmtree(out / "html", ignore_errors=True)  # pages of deleted chapters, and unreported warnings

    environment = os.environ | {
        "CELLMNN_EDU_BOOK": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one in the home folder
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger's notice would stand on stderr
    }
    execute_in_parallel(root, environment)
    command = [Path(sys.executable).parent / "jupyter-book", "build", "book", "-W", "-n", "--keep-going"]
    status = subprocess.run(command, cwd=root, env=environment, check=False).returncode
    if status == 0 and not index.exists():
        print("jupyter-book reported success but wrote no index.html.", file=sys.stderr)
        status = 1
    if status:
        # The next build must read every page again, or it would not repeat the warnings of this one.
        shutil.rmtree(out / ".doctrees", ignore_errors=True)
        for report in sorted((out / "html" / "reports").rglob("*.err.log")):
            print(f"\n--- {report.relative_to(root)}\n{report.read_text()}", file=sys.stderr)
        print("\nThe book was NOT built; the reasons stand above.", file=sys.stderr)
        return status
    # Sources edited while the build ran are not on the page: only then the key differs, and we build again.
    (out / "site.key").write_text(site)
    print(f"\nBuilt in {time.monotonic() - start:.0f} s. Open {index}")
    return 0


if __name__ == "__main__":
    sys.exit(build(Path.cwd()))
