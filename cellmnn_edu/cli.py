"""The command line: `cellmnn-edu doctor | speed | gpu-check | benchmark | reproduce | release | grade`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__, baselines, datasets, evaluation, results, speed
from ._grid import RowsFailed
from .snapshots import Snapshots
from .training import pick_device

if TYPE_CHECKING:
    import pandas as pd


def doctor(times: str = "") -> str:
    """Print and return one line about this installation.

    Parameters
    ----------
    times : str
        How long the page at hand takes, for its set-up cell.

    Returns
    -------
    str
        Version, PyTorch, the device that training would take, whether the shipped data are intact, and `times`.
    """
    import torch

    try:
        data = "data ok" if datasets.verify() else "data damaged"
    except ValueError as error:
        data = str(error)
    parts = [f"cellmnn-edu {__version__}", f"torch {torch.__version__}", str(pick_device()), data, times]
    line = " | ".join(filter(None, parts))
    print(line)
    return line


def benchmark(
    data: str,
    methods: list[str],
    out: Path,
    seeds: int = 3,
    n_jobs: int = 1,
    cluster: str | None = None,
    steps: int | None = None,
    time_key: str = "time",
    use_rep: str | None = None,
    n_components: int | None = None,
) -> pd.DataFrame:
    """Score methods on every inner time; write ``benchmark.csv`` and ``benchmark.png`` and print the summary.

    Parameters
    ----------
    data : str
        "guo" (own housekeeping genes), "hsmm", "embryoid-body", or the path of an .h5ad file on a log scale.
    methods : list of str
        Names that `baselines.get` knows.
    out : Path
        Folder for the results, and for the finished rows from which a later call goes on.
    seeds : int
        How many: 0, 1, ...
    n_jobs, cluster
        As in `evaluation.run_grid`.
    steps : int, optional
        Training steps of the methods that have them.
    time_key, use_rep, n_components
        As in `Snapshots.from_anndata`.

    Returns
    -------
    DataFrame
        As `evaluation.benchmark` gives it.
    """
    from matplotlib.figure import Figure

    from .plotting import plot_benchmark

    snaps = _snapshots(data, time_key, use_rep, n_components)
    trained = [name for name in methods if steps is not None and "steps" in baselines.options_of(name)]
    chosen = {name: (name, {"steps": steps} if name in trained else {}) for name in methods}
    table = evaluation.benchmark(
        {Path(data).stem: snaps}, chosen, range(seeds), n_jobs, cluster=cluster, store=out / "benchmark.rows.csv"
    )
    table.to_csv(out / "benchmark.csv", index=False)
    figure = Figure(figsize=(8, 1.6 + 0.6 * len(methods)), layout="constrained")
    plot_benchmark(table, figure.subplots())
    figure.savefig(out / "benchmark.png", dpi=150)
    print(evaluation.summary(table).round(4).to_string(index=False))
    print(f"Rows and figure: {out / 'benchmark.csv'}, {out / 'benchmark.png'}")
    return table


def timings(what: str, dims: list[int], n_times: list[int], seconds: float | None, compiled: bool) -> str:
    """One of the tables of `speed`, as text.

    Parameters
    ----------
    what : {"moves", "training", "parts", "settings", "cells"}
        Single moves; a training step against a plain reading of the paper; its parts; by settings; by cells.
    dims, n_times
        As in `speed.operator_speed`.
    seconds : float, optional
        To spend; each table has its own default.
    compiled : bool
        With torch.compile among the settings.

    Returns
    -------
    str
    """
    given = {} if seconds is None else {"seconds": seconds}
    if what == "moves":
        return speed.report(speed.operator_speed(dims, n_times, **given))
    if what == "training":
        table = speed.training_speed(**given)
        return f"{speed.step_report(table)}\nData: {table.attrs['data']}."
    if what == "settings":
        return speed.step_report(speed.step_settings(**given, compiled=compiled))
    return speed.step_report((speed.step_parts if what == "parts" else speed.cells_speed)(**given))


def grade(
    folder: Path | None,
    assignment: str,
    out: Path | None,
    salt: str | None = None,
    salt_file: Path | None = None,
    n_jobs: int = 2,
    unsafe: bool = False,
    one: bool = False,
    gradescope_results: Path | None = None,
    pack_gradescope: Path | None = None,
    otter_tests: Path | None = None,
) -> None:
    """Mark submissions, write the marks, and print where they are.

    Parameters
    ----------
    folder : Path or None
        Of the submissions: ``<id>.ipynb``, or a folder ``<id>`` for each student. Not needed for packing.
    assignment : str
        Its number, or "capstone".
    out : Path or None
        Folder of the results. Not needed for packing.
    salt, salt_file
        The secret of the random inputs, or a file with it. Without both the variable CELLMNN_EDU_SALT holds it.
    n_jobs, unsafe, one
        As in `coursework.grading.marks.grade_folder`.
    gradescope_results : Path, optional
        With `one`: where Gradescope wants its results.json.
    pack_gradescope : Path, optional
        Mark nothing; write the zip that makes Gradescope mark.
    otter_tests : Path, optional
        Mark nothing; write tests for otter-grader into this folder.
    """
    from .coursework.assignments import ASSIGNMENTS
    from .coursework.grading import marks, otter, report

    if assignment not in ASSIGNMENTS:
        raise ValueError(f"Expected one of the assignments {', '.join(ASSIGNMENTS)}; got {assignment!r}.")
    asked, secret = ASSIGNMENTS[assignment], salt or os.environ.get("CELLMNN_EDU_SALT", "")
    if salt_file is not None:
        secret = salt_file.read_text("utf-8").strip()
    if not secret:
        raise ValueError("Expected a salt: give --salt-file, --salt or the variable CELLMNN_EDU_SALT.")
    if otter_tests is not None:
        files = otter.write_tests(asked, secret, otter_tests)
        print(f"{len(files)} test files for `otter generate -t {otter_tests}`. They hold the salt: keep them back.")
        return
    if pack_gradescope is not None:
        report.pack_gradescope(asked, secret, pack_gradescope, unsafe)
        print(f"{pack_gradescope} makes Gradescope grade. It holds the salt: keep it from students.")
        return
    if folder is None or out is None:
        raise ValueError("Expected the folder of the submissions, and -o with a folder for the results.")
    found = marks.grade_folder(folder, asked, secret, out, n_jobs, unsafe, one)
    report.write(found, asked, out)
    if gradescope_results is not None:
        gradescope_results.write_text(report.gradescope(found[0]), encoding="utf-8")
    average = sum(one.earned for one in found) / len(found)
    flagged = sum(bool(one.flags or one.others) for one in found)
    print(f"{len(found)} submissions, {average:.1f} of {asked.points} points on average, {flagged} with a flag.")
    print(f"Marks: {out / 'marks.csv'}; pages: {out / 'index.html'}, {out / 'html'}; Gradescope: {out / 'gradescope'}.")


def _snapshots(data: str, time_key: str, use_rep: str | None, n_components: int | None) -> Snapshots:
    if data == "guo":
        adata = datasets.guo2010(repair=True)
    elif data == "hsmm":
        adata = datasets.hsmm()
    elif data == "embryoid-body":
        adata, use_rep = datasets.embryoid_body(), "X_pca"
    else:
        adata = datasets.from_h5ad(data, time_key)
    return Snapshots.from_anndata(adata, n_components="auto" if n_components is None else n_components, use_rep=use_rep)


def main() -> None:
    """Entry point of the command `cellmnn-edu`."""
    parser = _parser()
    chosen = vars(parser.parse_args())
    command = chosen.pop("command")
    try:
        if command == "doctor":
            doctor()
        elif command == "speed":
            print(timings(**chosen))
        elif command == "gpu-check":
            found = speed.gpu_check(chosen["out"])
            print(speed.gpu_report(found))
        elif command == "benchmark":
            benchmark(**chosen)
        elif command == "release":
            from .coursework.release import release

            release(**chosen)
        elif command == "grade":
            grade(**chosen)
        elif chosen.pop("confirm") or chosen["against"] is not None:
            entry = results.confirm(**chosen)
            print(f"{entry['rows']} rows agree; largest relative difference {entry['largest_difference']:g}.")
        else:
            chosen.pop("against")
            print(results.reproduce(**chosen).to_string(index=False, max_colwidth=40))
    except (ValueError, OSError, RowsFailed, ImportError, RuntimeError) as error:
        parser.exit(2, f"{parser.prog}: {_in_words(error)}\n")
    except KeyboardInterrupt as interruption:
        parser.exit(130, f"{interruption or 'Interrupted.'}\n")


def _in_words(error: Exception) -> str:
    """Name the path that made the trouble before what the system says of it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"Expected a path that can be used, got {error.filename} ({error.strerror.lower()}): check it."
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellmnn-edu", description="Cell-MNN, the teaching package.")
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("doctor", help="one line: version, device, data")
    timing = commands.add_parser("speed", help="time single moves, or training steps")
    tables = ("moves", "training", "parts", "settings", "cells")
    timing.add_argument("what", nargs="?", choices=tables, default="moves", help="which table (default: moves)")
    timing.add_argument("--dims", type=int, nargs="+", default=[5, 20, 50], help="dimensions (default: 5 20 50)")
    timing.add_argument("--n-times", type=int, nargs="+", default=[4, 41], help="target times (default: 4 41)")
    timing.add_argument("--seconds", type=float, help="of timing; each table has its own default")
    timing.add_argument("--compiled", action="store_true", help="settings: with torch.compile, which takes minutes")
    check = commands.add_parser("gpu-check", help="compare the GPU with the CPU, and store what was found")
    check.add_argument("--out", type=Path, default=Path("data/results"), help="default: data/results")
    race = commands.add_parser("benchmark", help="score methods on held-out times; goes on where it stopped")
    race.add_argument("--data", required=True, help="guo, hsmm, embryoid-body, or an .h5ad file on a log scale")
    race.add_argument("--time-key", default="time", help="column of obs in the file (default: time)")
    race.add_argument("--use-rep", help="coordinates from obsm of the file instead of a new PCA")
    race.add_argument("--n-components", type=int, help="principal components (default: 5)")
    race.add_argument("--methods", nargs="+", required=True, metavar="NAME", help=", ".join(baselines.METHODS))
    race.add_argument("--seeds", type=int, default=3, help="how many (default: 3)")
    race.add_argument("--steps", type=int, help="training steps of every method that is trained (default: its own)")
    race.add_argument("--out", type=Path, default=Path("benchmark"), help="folder (default: benchmark)")
    again = commands.add_parser("reproduce", help="compute a stored result again")
    again.add_argument("name", choices=list(results.EXPERIMENTS))
    again.add_argument("--folder", type=Path, default=Path("data/results"), help="default: data/results")
    again.add_argument("--confirm", action="store_true", help="only show that one row of each way is still the same")
    again.add_argument("--against", type=Path, help="--confirm: a checkout of the code that made the result")
    give = commands.add_parser("release", help="student, recall and solved notebooks, in a checkout of the book")
    give.add_argument("name", help="slug of a chapter, number of an assignment, capstone, or all")
    give.add_argument("-o", "--out", type=Path, required=True, help="folder")
    give.add_argument("--site", action="store_true", help="also the site without solutions")
    give.add_argument("--students", type=Path, help="CSV file with a column student: one notebook for each")
    give.add_argument("--term", help="word of the term, written into the assignments")
    _grade_options(commands.add_parser("grade", help="mark the submissions of an assignment; goes on where it stopped"))
    for grid in (race, again):
        grid.add_argument("--n-jobs", type=int, default=1, help="processes, one thread each (default: 1)")
        grid.add_argument("--cluster", help="address of a Dask scheduler, tcp://host:port, which gets the rows instead")
    return parser


def _grade_options(marking: argparse.ArgumentParser) -> None:
    marking.add_argument("folder", type=Path, nargs="?", help="<id>.ipynb files, or a folder <id> for each student")
    marking.add_argument("--assignment", required=True, metavar="N", help="1 to 4, or capstone")
    secret = "; others on this machine can read a command line, so a file or the variable CELLMNN_EDU_SALT is safer"
    marking.add_argument("--salt", help=f"secret that seeds the random inputs{secret}")
    marking.add_argument("--salt-file", type=Path, help="file that holds the salt")
    marking.add_argument("-o", "--out", type=Path, help="folder for the results")
    marking.add_argument("--n-jobs", type=int, default=2, help="submissions side by side (default: 2)")
    marking.add_argument("--unsafe", action="store_true", help="also where this system cannot isolate students' code")
    marking.add_argument("--one", action="store_true", help="the folder is a single submission")
    marking.add_argument("--gradescope-results", type=Path, help="--one: also write Gradescope's results.json here")
    marking.add_argument("--pack-gradescope", type=Path, metavar="ZIP", help="only write Gradescope's autograder zip")
    marking.add_argument("--otter-tests", type=Path, metavar="FOLDER", help="only write tests for otter-grader")
