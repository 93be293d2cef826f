"""Convert an assignment for otter-grader: one test file a question, one test case a line of the rubric.

Otter runs the whole notebook and calls the answers in its own process, so isolation is the business of its container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import checks
from ..assignment import Variant
from ..outcome import call
from .marks import Alone

if TYPE_CHECKING:
    from pathlib import Path

    from ..assignment import Assignment

HEAD = """\
from otter.test_files import test_case

from cellmnn_edu.coursework.grading.otter import try_line

OK_FORMAT = False
name = {name!r}
points = None
SALT = {salt!r}
"""
# Otter shows students the line that failed: the salt must not stand in it.
CASE = """

@test_case(points={points}, hidden={hidden})
def line_{index}(env):
    {text!r}
    try_line({number!r}, {name!r}, {index}, env, SALT)
"""


def write_tests(assignment: Assignment, salt: str, folder: Path) -> list[Path]:
    """Write the test files that `otter generate -t` packs. They hold the salt: they are for instructors only.

    Parameters
    ----------
    assignment : Assignment
        What is asked.
    salt : str
        The secret that seeds the random inputs.
    folder : Path
        For the files, one for each question.

    Returns
    -------
    list of Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for question in assignment.questions:
        known = {"number": assignment.number, "name": question.answer, "salt": salt}
        cases = [
            CASE.format(index=index, text=line.text, points=line.points, hidden=line.hidden, **known)
            for index, line in enumerate(question.rubric)
        ]
        written.append(folder / f"{question.answer}.py")
        written[-1].write_text(HEAD.format(**known) + "".join(cases), encoding="utf-8")
    return written


def try_line(number: str, name: str, index: int, env: dict[str, Any], salt: str) -> None:
    """Try one line of a rubric on an answer of a notebook that has run.

    Parameters
    ----------
    number, name : str
        Of the assignment and of the answer.
    index : int
        Of the line.
    env : dict
        Global names of the notebook.
    salt : str
        The secret that seeds the random inputs.

    Raises
    ------
    AssertionError
        With what is wrong.
    """
    from ..assignments import ASSIGNMENTS

    question = next(question for question in ASSIGNMENTS[number].questions if question.answer == name)
    line, variant = question.rubric[index], Variant(str(env.get("STUDENT", "")), str(env.get("TERM", "open")))
    if not callable(env.get(name)):
        raise AssertionError(f"No function {name} was found.")
    for trial in range(line.trials):
        where = (number, name, index, trial)
        with Alone(salt, *where, "inputs") as rng:
            inputs = checks.draw(question.exercise, line, rng, variant)
        outcome = call(env[name], inputs, line.through)
        with Alone(salt, *where, "judge"):
            message = checks.fault(question.exercise, line, inputs, outcome, variant)
        if message:
            raise AssertionError(message)
