"""Call an answer once, and say what came back: an array, or what went wrong. No verdict, no solution.

The grader runs this in the student's process, so this module imports nothing that knows a right answer.
"""

from __future__ import annotations

import inspect
import re
from copy import deepcopy
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

# What libraries say when arrays do not fit; "Singular matrix" is a ValueError too, and another matter.
MISFIT = re.compile("shape|dimension|broadcast|align|length|square|mismatch|same number|same size|size of tensor")
NO_NUMBERS = {"c": "complex numbers", "U": "text", "S": "bytes", "M": "dates", "m": "durations", "V": "records"}


class Outcome(NamedTuple):
    """What came of one call.

    Attributes
    ----------
    value : ndarray or None
        What was returned, as an array of real numbers; None where something went wrong.
    problem : str
        "" for an array; "arguments" (the function takes others), "nothing" (None or ... came back), "shapes" (arrays
        that do not fit together), "stopped" (another error, or exit()), "ragged" (parts that make no array),
        "no-numbers"; the grader adds "missing", "time", "memory", "left" (the process ended) and "forbidden".
    text : str
        The error, what the function takes, or the type of what came back.
    after : tuple
        The inputs after the call.
    """

    value: np.ndarray | None
    problem: str = ""
    text: str = ""
    after: tuple = ()


def call(answer: Callable, inputs: tuple, through: Callable | None = None) -> Outcome:
    """Call an answer on copies of the inputs.

    Parameters
    ----------
    answer : callable
        The function of the student.
    inputs : tuple
        Its arguments.
    through : callable, optional
        Calls the answer in another way: ``through(answer, *inputs)``, for example to get a gradient.

    Returns
    -------
    Outcome

    Raises
    ------
    KeyboardInterrupt
        Passed on; every other exception of the answer, exit() included, is an outcome.
    """
    copies = tuple(x if callable(x) else deepcopy(x) for x in inputs)
    if through is None and (takes := _other_arguments(answer, copies)):
        return Outcome(None, "arguments", takes, copies)
    try:
        got = answer(*copies) if through is None else through(answer, *copies)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Outcome(None, *_error(error), copies)
    if inspect.iscoroutine(got):
        got.close()  # else Python warns, long after the check, that nobody awaited it
    if got is None or got is ...:
        return Outcome(None, "nothing", type(got).__name__, copies)
    return as_array(got)._replace(after=copies)


def as_array(got: Any) -> Outcome:
    """Turn what came back into an array of real numbers; tensors too, with or without a gradient."""
    name = type(got).__name__
    try:
        np.shape(got)
    except KeyboardInterrupt:
        raise
    except BaseException:  # parts of different shapes, tensors that NumPy cannot read, a hostile __array__
        return Outcome(None, "ragged" if isinstance(got, list | tuple) else "no-numbers", name)
    try:
        return _numbers(got, name)
    except KeyboardInterrupt:
        raise
    except OverflowError:
        return Outcome(None, "no-numbers", f"{name} too large for a float")
    except BaseException:
        return Outcome(None, "no-numbers", name)


def _numbers(got: Any, name: str) -> Outcome:
    if np.ma.is_masked(got):
        return Outcome(None, "no-numbers", f"{name} with masked entries")
    value = np.asarray(got.detach() if hasattr(got, "detach") else got)
    kind = value.dtype.kind
    if kind == "O":  # float() would make a number of "3.5", and NaN of None
        odd = [entry for entry in value.flat if entry is None or isinstance(entry, str | bytes)]
        if odd:
            return Outcome(None, "no-numbers", f"{name} that holds {'None' if odd[0] is None else 'text'}")
    if kind in NO_NUMBERS:
        return Outcome(None, "no-numbers", f"{name} of {NO_NUMBERS[kind]}" if value.ndim else name)
    return Outcome(value if kind == "f" else value.astype(float), text=name)


def _error(error: BaseException) -> tuple[str, str]:
    """Problem and text of an error."""
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return "stopped", f"{name}: leave out exit() and sys.exit()"
    try:
        text = shorten(str(error), 200, placeholder=" ...").rstrip(".")
    except Exception:  # an error that cannot say what it is
        text = ""
    if isinstance(error, ValueError | RuntimeError) and MISFIT.search(text):
        return "shapes", text
    return "stopped", f"{name}: {text}" if text else name


def _other_arguments(answer: Callable, inputs: tuple) -> str:
    """What a function takes, in words, where it cannot be called with as many arguments; else nothing."""
    try:
        signature = inspect.signature(answer, follow_wrapped=False)  # a decorator may change the arguments
    except Exception:  # some built-in functions have none
        return ""
    try:
        signature.bind(*inputs)
        return ""
    except TypeError:
        return f"{_name(answer)} takes {_counted(list(signature.parameters.values()))}"


def _name(answer: Callable) -> str:
    name = str(getattr(answer, "__name__", type(answer).__name__))
    return name if name.isidentifier() else "Your function"


def _counted(parameters: list[inspect.Parameter]) -> str:
    """Count the arguments: "1 argument", "2 to 3 arguments", "at least 2 arguments and h by name"."""
    kind = inspect.Parameter
    placed = [p for p in parameters if p.kind in (kind.POSITIONAL_ONLY, kind.POSITIONAL_OR_KEYWORD)]
    named = [p.name for p in parameters if p.kind == kind.KEYWORD_ONLY and p.default is kind.empty]
    least, most = sum(p.default is kind.empty for p in placed), len(placed)
    number = str(most) if least == most else f"{least} to {most}"
    if any(p.kind == kind.VAR_POSITIONAL for p in parameters):
        number = f"at least {least}"
    words = f"{number if most else 'no'} argument{'' if number == '1' else 's'}"
    return words + (f" and {', '.join(named)} by name" if named else "")
