"""The command line as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

import cellmnn_edu as ce

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
