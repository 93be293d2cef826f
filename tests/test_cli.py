"""The command line as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from test_snapshots import make_adata

import cellmnn_edu as ce
from cellmnn_edu import cli, results

COMMAND = Path(sys.executable).with_name("cellmnn-edu")


@pytest.mark.skipif(not COMMAND.exists(), reason="the package is not installed in this environment")
def test_doctor_says_version_device_and_data_in_one_line():
    done = subprocess.run([COMMAND, "doctor"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"cellmnn-edu {ce.__version__} | torch ")
    assert line.endswith("| data ok")


def test_doctor_names_damaged_data(monkeypatch, capsys):
    def damaged():
        raise ValueError("guo2010.csv is damaged: install the package again.")

    monkeypatch.setattr(ce.datasets, "verify", damaged)
    assert "guo2010.csv is damaged" in ce.cli.doctor()
    assert "guo2010.csv is damaged" in capsys.readouterr().out


@pytest.mark.skipif(not COMMAND.exists(), reason="the package is not installed in this environment")
def test_a_wrong_command_shows_the_right_ones():
    done = subprocess.run([COMMAND, "dance"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "doctor" in done.stderr


@pytest.mark.skipif(not COMMAND.exists(), reason="the package is not installed in this environment")
def test_speed_prints_a_table_and_refuses_nonsense_with_the_reason():
    small = [COMMAND, "speed", "--dims", "2", "--n-times", "2", "--seconds", "0.001"]
    done = subprocess.run(small, capture_output=True, text=True, check=True)
    head, *rows = done.stdout.splitlines()
    assert head.split()[:4] == ["dim", "times", "|A|", "t"]
    assert len(rows) == 3 * 7
    done = subprocess.run([*small, "--dims", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Expected positive dimensions" in done.stderr


@pytest.mark.skipif(not COMMAND.exists(), reason="the package is not installed in this environment")
def test_reproduce_knows_its_results():
    done = subprocess.run([COMMAND, "reproduce", "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "rotation" in done.stderr


def run_main(monkeypatch, *arguments):
    """The command in this process; its exit code, None for a plain end."""
    monkeypatch.setattr(sys, "argv", ["cellmnn-edu", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return end.code


def test_benchmark_writes_table_and_figure_and_goes_on(tmp_path, monkeypatch, capsys):
    make_adata().write_h5ad(tmp_path / "mine.h5ad")
    fixed = [
        "benchmark",
        "--data",
        tmp_path / "mine.h5ad",
        "--n-components",
        2,
        "--steps",
        3,
        "--out",
        tmp_path / "out",
    ]
    assert run_main(monkeypatch, *fixed, "--seeds", 2, "--methods", "persistence", "cell-mnn") is None
    printed = capsys.readouterr().out
    assert "benchmark.png" in printed
    table = pd.read_csv(tmp_path / "out/benchmark.csv")
    assert len(table) == 2 * 2 * 2
    assert set(table["dataset"]) == {"mine"}
    assert dict(zip(table["method"], table["steps"], strict=True)) == {"persistence": 0, "cell-mnn": 3}
    assert (tmp_path / "out/benchmark.png").read_bytes().startswith(b"\x89PNG")
    w1 = ce.summary(table)["w1"]
    assert all(f"{value:.4f}" in printed for value in w1)

    # One seed more: the others are not trained again.
    seen = []
    own = ce.evaluation.leave_one_out

    def counted(snaps, name, index, seed, **options):
        seen.append((name, index, seed))
        return own(snaps, name, index, seed, **options)

    monkeypatch.setattr(ce.evaluation, "leave_one_out", counted)
    assert run_main(monkeypatch, *fixed, "--seeds", 3, "--methods", "cell-mnn") is None
    assert seen == [("cell-mnn", 1, 2), ("cell-mnn", 2, 2)]
    assert len(pd.read_csv(tmp_path / "out/benchmark.csv")) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.h5ad", "--methods", "persistence"], "No file nowhere.h5ad"),
        (["--data", "hsmm", "--methods", "magic"], "got 'magic'"),
        (["--data", "hsmm", "--methods", "persistence", "--cluster", "nonsense"], "Expected cluster as"),
    ],
)
def test_benchmark_says_what_is_wrong_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    assert run_main(monkeypatch, "benchmark", *arguments, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_an_interruption_ends_with_one_line(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt("Interrupted: 3 of 9 rows are finished")

    monkeypatch.setattr(results, "reproduce", interrupted)
    assert run_main(monkeypatch, "reproduce", "rotation") == 130
    assert capsys.readouterr().err == "Interrupted: 3 of 9 rows are finished\n"


def test_reproduce_confirms_on_request(tmp_path, monkeypatch, capsys):
    calls = []
    entry = {"rows": 4, "largest_difference": 2e-7}
    monkeypatch.setattr(results, "confirm", lambda **given: calls.append(given) or entry)
    assert run_main(monkeypatch, "reproduce", "rotation", "--confirm", "--n-jobs", 2, "--folder", tmp_path) is None
    assert calls == [{"name": "rotation", "folder": tmp_path, "n_jobs": 2, "cluster": None, "against": None}]
    assert run_main(monkeypatch, "reproduce", "rotation", "--against", tmp_path) is None
    assert calls[1]["against"] == tmp_path
    assert capsys.readouterr().out == 2 * "4 rows agree; largest relative difference 2e-07.\n"


def test_a_path_that_cannot_be_used_is_named(tmp_path):
    command = [COMMAND, "grade", tmp_path, "--assignment", "2", "-o", tmp_path / "x"]
    done = subprocess.run([*command, "--salt-file", "no-such-salt"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "got no-such-salt (no such file or directory)" in done.stderr
    assert "Traceback" not in done.stderr
