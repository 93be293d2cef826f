"""What moves and training steps cost (`cellmnn-edu speed`, `cellmnn-edu gpu-check`).

``moves``: one move, by every head, matrix_exp and Runge-Kutta. ``steps``: a training step against a plain reading of
the paper, part by part, and by settings. ``cells``: a step by the number of cells. ``gpu``: a GPU against the CPU.
"""

from .cells import cells_speed
from .gpu import gpu_check, gpu_report, gpu_result
from .moves import HEADS, operator_speed, report
from .steps import paper_run, step_parts, step_report, step_settings, training_speed

__all__ = [
    "HEADS",
    "cells_speed",
    "gpu_check",
    "gpu_report",
    "gpu_result",
    "operator_speed",
    "paper_run",
    "report",
    "step_parts",
    "step_report",
    "step_settings",
    "training_speed",
]
