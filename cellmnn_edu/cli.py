"""The command line: `cellmnn-edu doctor`."""

from __future__ import annotations

import argparse

from . import __version__, datasets
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
    parser.add_subparsers(required=True).add_parser("doctor", help="one line: version, device, data")
    parser.parse_args()
    doctor()
