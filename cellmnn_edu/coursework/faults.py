"""Faults of rubric lines: look at one part of what came back, or compare typed numbers with a student's own truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .assignment import Variant

    Fault = Callable[[np.ndarray, tuple, Variant], str | None]


def in_part(
    truth: Callable[..., Any], part: Any, words: str, tolerance: float = 1e-4, dtype: type | None = None
) -> Fault:
    """Compare one part of the answer with the same part of a right one.

    Parameters
    ----------
    truth : callable
        A right answer.
    part : index
        Which part counts: ``values[part]``.
    words : str
        What to say where it differs and no classic mistake explains it.
    tolerance : float
        Relative.
    dtype : type, optional
        Of the answer, where it is to be kept.

    Returns
    -------
    callable
        For `Line.fault`.
    """

    def fault(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
        right = np.asarray(truth(*inputs))
        if values.shape != right.shape:
            return f"Expected an array of shape {right.shape}, got {values.shape}."
        if not np.isfinite(values[part]).all():
            return "The answer holds NaN or inf: look for a division by zero."
        if dtype is not None and values.dtype != dtype:
            return f"{np.dtype(dtype)} went in, {values.dtype} came out: keep the digits of the input."
        if np.allclose(values[part], right[part], rtol=tolerance, atol=tolerance / 100):
            return None
        return words

    return fault


def own_numbers(
    truth: Callable[[Variant], np.ndarray],
    part: Any,
    slips: Mapping[str, Callable[[Variant], np.ndarray]],
    words: str,
    tolerance: float,
    relative: float = 0.0,
) -> Fault:
    """Compare numbers that a student measured and typed with those of the student's own data.

    Parameters
    ----------
    truth : callable
        ``truth(variant)``, the right numbers.
    part : index
        Which of them count for this line.
    slips : mapping
        What to say -> ``numbers(variant)``, those of a classic slip; they are tried in order, on this part.
    words : str
        What to say otherwise.
    tolerance, relative : float
        Absolute, and as a share of the right number.

    Returns
    -------
    callable
        For `Line.fault`.
    """

    def fault(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
        right = np.asarray(truth(variant), dtype=float)
        if values.shape != right.shape:
            return f"Expected numbers of shape {right.shape}, got {values.shape}."
        if np.allclose(values[part], right[part], rtol=relative, atol=tolerance):
            return None
        for message, slip in slips.items():
            if np.allclose(values[part], np.asarray(slip(variant))[part], rtol=relative, atol=tolerance):
                return message
        return words

    return fault
