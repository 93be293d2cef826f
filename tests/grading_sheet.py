"""A small assignment for the tests of the grader, and submissions of it."""

import json

import numpy as np

from cellmnn_edu.coursework.assignment import Assignment, Line, Question
from cellmnn_edu.coursework.exercise import Exercise, Mistake

SALT = "a secret of the tests"


def _scaled(n, kind=np.float64):
    return lambda rng, variant: (rng.normal(size=(n, 2)).astype(kind), float(rng.uniform(1, 2)))


def _own(values, inputs, variant):
    own = variant.rng("number").integers(1000)
    return None if values.shape == (2,) and np.array_equal(values, [own, 2 * own]) else "These are not your numbers."


SCALE = Question(
    "scale",
    Exercise(
        call="scale(x, c)",
        inputs=lambda rng: _scaled(4)(rng, None),
        truth=lambda x, c: c * x,
        mistakes=(Mistake(lambda x, c: c + x, "This adds c."),),
        hint="Look at c.",
        shapes="As many rows as x.",
    ),
    (
        Line("multiplies", 4),
        Line("keeps a single cell a matrix", 2, _scaled(1), hidden=True),
        Line("works in float32", 1, _scaled(3, np.float32), hidden=True, tolerance=1e-3),
    ),
)
DRIFT = Question(
    "drift",
    Exercise(
        call="drift(A, z)",
        inputs=lambda rng: (rng.normal(size=(3, 3)), rng.normal(size=(5, 3))),
        truth=lambda A, z: z @ A.T,
        mistakes=(Mistake(lambda A, z: z @ A, "This is A transposed."),),
        hint="",
        shapes="Rows are cells.",
    ),
    (Line("moves every cell", 3, trials=1),),
)
MINE = Question(
    "my_numbers",
    Exercise("my_numbers()", lambda rng: (), lambda: np.zeros(2), (), "Measure again.", "Two numbers."),
    (Line("are the numbers of this student", 2, lambda rng, variant: (), _own, trials=1),),
)
SHEET = Assignment("1", "small-sheet", "A small <sheet>", (SCALE, DRIFT, MINE), {"Explanation: why it matters": 5})

RIGHT = {
    "scale": "def scale(x, c):\n    return c * x",
    "drift": "import numpy as np\n\ndef drift(A, z):\n    return np.einsum('ij,nj->ni', A, z)",
    "my_numbers": "def my_numbers():\n    return [{0}, {1}]",
}


def own_numbers(student, term="open"):
    from cellmnn_edu.coursework.assignment import Variant

    own = int(Variant(student, term).rng("number").integers(1000))
    return RIGHT["my_numbers"].format(own, 2 * own)


def cells(student="ada", **answers):
    """Code cells of a full-mark submission, some answers replaced."""
    wanted = {**RIGHT, "my_numbers": own_numbers(student), **answers}
    return [f'STUDENT = "{student}"\nTERM = "open"', *wanted.values()]


def notebook(code, **metadata):
    made = [{"cell_type": "code", "source": text, "metadata": {}, "outputs": []} for text in code]
    return json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def hand_in(folder, code, name="ada.ipynb", **metadata):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook(code, **metadata), encoding="utf-8")
    return path
