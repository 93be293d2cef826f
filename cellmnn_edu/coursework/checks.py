"""Checks of the exercises: properties on random inputs, and a name for the mistake.

A check never compares with a stored answer. It tries the answer on inputs drawn from a seed, and where the
result is wrong it looks for the classic mistakes, so that the reader learns what happened, not only that it did.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .assignment import Line, Question, Variant
from .assignments import QUESTIONS
from .exercises import EXERCISES
from .outcome import Outcome, call

if TYPE_CHECKING:
    from collections.abc import Callable

    from .exercise import Exercise


NOBODY = Variant("")
PRACTICE = Line("right on other numbers", 0, trials=4)


class Verdict(NamedTuple):
    """Outcome of a check."""

    passed: bool
    message: str


def check(name: str, answer: Any, seed: int = 0, student: str = "", term: str = "open") -> None:
    """Check an answer and print the verdict.

    Parameters
    ----------
    name : str
        The exercise, as named in the chapter or assignment, for example "straight-line".
    answer : object
        Your answer, usually a function.
    seed : int
        Of the random inputs. Grading uses others.
    student, term : str
        In assignments: who you are, and the word of the term. Your own data follow from both.

    Raises
    ------
    ValueError
        For an exercise that does not exist.
    """
    verdict = judge(name, answer, seed, Variant(student, term))
    print(textwrap.fill(f"{'✓' if verdict.passed else '✗'} {verdict.message}", 76, subsequent_indent="  "))


def judge(name: str, answer: Any, seed: int = 0, variant: Variant = NOBODY) -> Verdict:
    """Check an answer and return the verdict.

    Parameters
    ----------
    name, answer, seed
        As in `check`.
    variant : Variant
        Student and term.

    Returns
    -------
    Verdict
        passed, and a message that names the mistake where it is a known one.
    """
    if name not in EXERCISES and name not in QUESTIONS:
        raise ValueError(f"Expected one of the exercises {', '.join([*EXERCISES, *QUESTIONS])}; got {name!r}.")
    question = QUESTIONS.get(name)
    exercise = question.exercise if question else EXERCISES[name]
    if problem := _no_function(exercise, answer):
        return Verdict(False, _pointed(exercise, problem))
    lines = [line for line in question.rubric if not line.hidden] if question else [PRACTICE]
    trials = [line for line in lines for _ in range(line.trials)]
    rng = np.random.default_rng(seed)
    for line in trials:
        inputs = draw(exercise, line, rng, variant)
        message = fault(exercise, line, inputs, call(answer, inputs, line.through), variant)
        if message:
            return Verdict(False, message)
    return Verdict(True, f"{len(trials)} of {len(trials)} practice checks pass{_hidden(question)}.")


def _hidden(question: Question | None) -> str:
    """What grading tries beside. Numbers that a student typed have no other sizes."""
    hidden = [line.text for line in question.rubric if line.hidden] if question else []
    if not hidden:
        return ""
    sizes = ", sizes and float32" if any("float32" in text for text in hidden) else " and sizes"
    return f"; grading also tries other seeds{sizes}"


def _no_function(exercise: Exercise, answer: Any) -> str | None:
    """What to say where the answer is no function at all."""
    if answer is None or answer is ...:
        return f"Nothing to check yet: write {exercise.call} first."
    if isinstance(answer, type):
        return f"Expected the function {exercise.call}, got the class {answer.__name__}: write it with `def`."
    if not callable(answer):
        return f"Expected the function {exercise.call}, got {_a(type(answer).__name__)}: pass its name."
    return None


def draw(exercise: Exercise, line: Line, rng: np.random.Generator, variant: Variant) -> tuple:
    """Arguments of one trial of a rubric line."""
    return line.inputs(rng, variant) if line.inputs else exercise.inputs(rng)


def fault(exercise: Exercise, line: Line, inputs: tuple, outcome: Outcome, variant: Variant) -> str | None:
    """What is wrong with the outcome of one trial and where to read about it, or None.

    Parameters
    ----------
    exercise : Exercise
        What is right, and which mistakes have a name.
    line : Line
        Of the rubric.
    inputs : tuple
        The arguments of the trial.
    outcome : Outcome
        What came of calling the answer with them.
    variant : Variant
        Student and term.

    Returns
    -------
    str or None
    """
    with np.errstate(all="ignore"):  # numbers that overflow are wrong, and no reason for a warning of ours
        found = _fault(exercise, line, inputs, outcome, variant)
    return _pointed(exercise, found) if found else None


def _fault(exercise: Exercise, line: Line, inputs: tuple, outcome: Outcome, variant: Variant) -> str | None:
    if outcome.problem:
        return _problem(exercise, line, inputs, outcome)
    if not _same(outcome.after, inputs):
        return "The answer changes its input in place: the caller's numbers change too. Compute a new array."
    values = outcome.value
    if line.fault is not None:
        found = _tried(exercise, line.fault, values, inputs, variant)
        return _named(exercise, line, values, inputs) or f"{found} {exercise.hint}" if found else None
    truth = _array(exercise.truth, line, inputs)
    if values.shape != truth.shape:
        return f"Expected {_in_words(truth.shape)}, got {_in_words(values.shape)}. {exercise.shapes}"
    if not np.isfinite(values).all():
        return f"The answer holds NaN or inf: look for a division by zero. {exercise.hint}"
    if exercise.fault is not None:
        found = _tried(exercise, exercise.fault, values, *inputs)
    elif _close(values, truth, line):
        found = None
    else:
        found = f"Right shape, wrong numbers: off by {np.abs(values - truth).max():.2g} at most."
    return _named(exercise, line, values, inputs) or f"{found} {exercise.hint}" if found else None


def _problem(exercise: Exercise, line: Line, inputs: tuple, outcome: Outcome) -> str:
    """Words for an outcome that is no array."""
    if outcome.problem == "arguments":
        return f"{outcome.text}, the check calls {exercise.call}."
    if outcome.problem == "shapes":
        return f"The arrays do not fit together. {exercise.shapes}"
    if outcome.problem == "nothing":
        return f"{exercise.call} returns nothing yet: end it with `return`."
    if outcome.problem in ("ragged", "no-numbers"):
        expected = "an array of numbers" if line.fault else _in_words(_array(exercise.truth, line, inputs).shape)
        what = " whose parts do not make one array" if outcome.problem == "ragged" else ""
        return f"Expected {expected}, got {_a(outcome.text)}{what}. {exercise.shapes}"
    return f"{exercise.call} stopped with {outcome.text}."


def _pointed(exercise: Exercise, message: str) -> str:
    """The message, and where to read on: the first hint unless it names one, and the section."""
    section = f'the section "{exercise.section}"' if exercise.section else ""
    if section and exercise.page:
        section += f' of "{exercise.page}"'
    hint = "" if re.search(r"\bhint \d", message, re.IGNORECASE) else "hint 1"
    places = " and ".join(filter(None, [hint, section]))
    return f"{message.strip()} See {'' if hint else 'also '}{places}." if places else message.strip()


def _same(after: tuple, inputs: tuple) -> bool:
    """Are the inputs after the call what they were? What cannot be compared has been changed."""
    try:
        return all(np.array_equal(a, b) for a, b in zip(after, inputs, strict=True))
    except Exception:
        return False


def _tried(exercise: Exercise, look: Callable, values: np.ndarray, *rest: Any) -> str | None:
    """What `look` finds wrong, also where it cannot cope with the values."""
    try:
        return look(values, *rest)
    except Exception:
        return f"This is {_in_words(values.shape)} that cannot be judged. {exercise.shapes}"


def _array(compute: Callable, line: Line, inputs: tuple) -> np.ndarray:
    """What a right answer or a classic mistake would give on this line."""
    got = compute(*inputs) if line.through is None else line.through(compute, *inputs)
    return np.asarray(got.detach() if hasattr(got, "detach") else got)


def _close(values: np.ndarray, others: np.ndarray, line: Line) -> bool:
    if values.shape != others.shape:
        return False
    return np.allclose(values, others, rtol=line.tolerance, atol=line.tolerance / 100)


def _named(exercise: Exercise, line: Line, values: np.ndarray, inputs: tuple) -> str | None:
    """The sentence of the classic mistake that gives these values."""
    for mistake in exercise.mistakes:
        try:
            others = _array(mistake.compute, line, inputs)
        except Exception:  # not every mistake can be made on every size
            continue
        if _close(values, others, line):
            return f"{mistake.message} {exercise.hint}"
    return None


def _in_words(shape: tuple[int, ...]) -> str:
    return f"an array of shape {shape}" if shape else "a single number"


def _a(name: str) -> str:
    return f"an {name}" if name[:1].lower() in tuple("aeio") or name.startswith("nd") else f"a {name}"
