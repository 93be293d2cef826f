"""The command line: `cellmnn-edu doctor | speed | reproduce`."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import __version__, datasets, results, speed
from .training import pick_device


def doctor() -> str:
    """Print and return one line about this installation.

    Returns
    -------
    str
        Version, PyTorch, the device that training would take, and whether the shipped data are intact.
    """
    import torch

    try:
        data = "data ok" if datasets.verify() else "data damaged"
    except ValueError as error:
        data = str(error)
    line = f"cellmnn-edu {__version__} | torch {torch.__version__} | {pick_device()} | {data}"
    print(line)
    return line


def main() -> None:
    """Entry point of the command `cellmnn-edu`."""
    parser = argparse.ArgumentParser(prog="cellmnn-edu", description="Cell-MNN, the teaching package.")
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("doctor", help="one line: version, device, data")
    timing = commands.add_parser("speed", help="time the operators against matrix_exp and Runge-Kutta")
    timing.add_argument("--dims", type=int, nargs="+", default=[5, 20, 50], help="dimensions (default: 5 20 50)")
    timing.add_argument("--n-times", type=int, nargs="+", default=[4, 41], help="target times (default: 4 41)")
    timing.add_argument("--seconds", type=float, default=1.0, help="for each way of each setting (default: 1)")
    again = commands.add_parser("reproduce", help="compute a stored result again")
    again.add_argument("name", choices=list(results.EXPERIMENTS))
    again.add_argument("--folder", type=Path, default=Path("data/results"), help="default: data/results")
    again.add_argument("--n-jobs", type=int, default=1, help="processes, one thread each (default: 1)")
    chosen = parser.parse_args()
    try:
        if chosen.command == "doctor":
            doctor()
        elif chosen.command == "speed":
            table = speed.operator_speed(chosen.dims, chosen.n_times, seconds=chosen.seconds)
            print(speed.report(table))
        else:
            print(results.reproduce(chosen.name, chosen.folder, chosen.n_jobs).to_string(index=False))
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "Interrupted; `reproduce` goes on from the finished rows when it is called again.\n")
