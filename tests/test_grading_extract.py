"""Answers are found by name in whatever comes back, and nothing of it runs."""

import json

import pytest
from grading_sheet import cells, hand_in, notebook

from cellmnn_edu.coursework.grading import extract

HELPED = [
    "import numpy as np",
    "FACTOR = 2.5",
    "def helper(x):\n    return FACTOR * x",
    "def f(x):\n    return helper(x)",
]


def pieces(path, name="f"):
    return extract.answer(extract.read(path), name).pieces


def run(path, name="f"):
    space = {}
    for piece in pieces(path, name):
        exec(piece, space)
    return space[name]


def written(tmp_path, code, **rest):
    return hand_in(tmp_path, code, **rest)


MANGLED = {
    "as it was": lambda c: c,
    "cells deleted": lambda c: c[1:],
    "one cell": lambda c: ["\n\n".join(c)],
    "split further": lambda c: [part for text in c for part in ("# a comment", text)],
    "copied": lambda c: [*c, *c],
    "reordered": lambda c: c[::-1],
    "magics": lambda c: ["%load_ext autoreload\n!pip install numpy\n" + c[0], *c[1:-1], "%%time\n" + c[-1] + "\nf?"],
    "magic in a block": lambda c: [*c, "if True:\n    !ls\nfiles = !ls\nwidth = %who"],
    "shell cell": lambda c: ["%%bash\nfor f in *; do echo $f; done", *c],
    "error in another cell": lambda c: [*c, "def broken(:\n    pass"],
    "error in the same cell": lambda c: [*c[:-1], "for i in range(3) print(i)\n" + c[-1] + "\n\nx = = 3"],
    "error after a string": lambda c: [*c[:-1], 'text = """\nat the margin\n"""\n' + c[-1] + "\nclass 3"],
    "old definition first": lambda c: ["def f(x):\n    return 'old'", *c],
    "result of the same name": lambda c: [*c, "f = f(3)"],
    "training cells": lambda c: [*c, "raise SystemExit", "while True: pass"],
    "in a try": lambda c: ["try:\n    import numpy as np\nexcept ImportError:\n    np = None", *c[1:]],
    "annotated": lambda c: [*c[:-1], "def f(x: Unheard[of]) -> Of:\n    return helper(x)"],
    "lambda": lambda c: [*c[:-1], "f = lambda x: helper(x)"],
    "imports that add up": lambda c: ["import scipy.linalg\nimport scipy.stats", *c],
}


@pytest.mark.parametrize("how", MANGLED)
def test_answers_survive(tmp_path, how):
    assert run(written(tmp_path, MANGLED[how](HELPED)))(2) == 5


def test_the_format_of_the_file_does_not_matter(tmp_path):
    whole = json.loads(notebook(HELPED))
    lines = [{"cell_type": "code", "source": text.splitlines(keepends=True)} for text in HELPED]
    colab = {"provenance": [], "colab": {"name": "x"}, "accelerator": "GPU", "kernelspec": {"name": "julia-1.9"}}
    old = [{"cell_type": "code", "input": text, "language": "python"} for text in HELPED]
    made = {
        "no metadata": {"cells": lines},
        "colab": whole | {"metadata": colab, "nbformat_minor": 0},
        "format 3": {"worksheets": [{"cells": old}], "nbformat": 3},
        "rubbish between": {"cells": [None, 3, {"cell_type": "code"}, *lines, {"source": None}], "metadata": None},
    }
    for name, content in made.items():
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps(content), encoding="utf-8-sig")
        assert run(path)(2) == 5, name


def test_scripts_are_read_with_and_without_cell_marks(tmp_path):
    plain, marked = tmp_path / "a.py", tmp_path / "b.py"
    plain.write_text("\n\n".join(HELPED))
    marked.write_text("# %% [markdown]\n# ## Why\n# Because.\n\n" + "".join(f"# %%\n{text}\n" for text in HELPED))
    assert run(plain)(2) == run(marked)(2) == 5
    assert extract.prose(extract.read(marked), "Why") == "Because."


def test_outputs_of_fifty_megabytes_are_no_burden(tmp_path):
    whole = json.loads(notebook(HELPED))
    whole["cells"][0]["outputs"] = [{"output_type": "display_data", "data": {"image/png": "A" * 50_000_000}}]
    path = tmp_path / "big.ipynb"
    path.write_text(json.dumps(whole))
    assert run(path)(2) == 5


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "no json", "[1, 2]", '{"cells": 3}', '{"cells": "abc"}', "\0"]
)
def test_what_is_no_notebook_is_no_error(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    found = extract.read(path)
    assert found.student == ""
    assert not extract.answer(found, "f").pieces


DEEP = "f = " + "(" * 500 + "1" + ")" * 500
HOSTILE = [DEEP, "f = " + "-" * 50_000 + "1", "f = " + "+".join("1" * 60_000), "f = 1" + ".real" * 60_000]


@pytest.mark.parametrize("text", [*HOSTILE, "x = '\0'", "def f(x): return x\n" + " " * 300_000])
def test_hostile_source_is_skipped_and_noted(tmp_path, text):
    found = extract.read(written(tmp_path, [text, "def g(x):\n    return x"]))
    assert len(found.notes) == 1
    assert extract.answer(found, "g").pieces
    assert not extract.answer(found, "f").pieces


def test_more_code_than_anybody_writes_is_left_unread(tmp_path):
    found = extract.read(written(tmp_path, ["x = 1  # a long line of code, no more\n" * 2_000] * 9))
    assert any("too long" in note for note in found.notes)


def test_only_what_an_answer_needs_is_taken(tmp_path):
    code = [*HELPED, "data = train(model)", "for step in range(9):\n    go()", "def other():\n    return data"]
    assert len(pieces(written(tmp_path, code))) == 3


def test_constants_are_taken_and_computed_values_are_named(tmp_path):
    code = [
        "import numpy as np\nA = np.array([[1.0, 2], [3, 4]])\nB, C = 2 * A.T, {'k': [1, -2]}",
        "own = own_circuit(STUDENT, TERM)\nSTUDENT = TERM = 'x'\nfrom somewhere import own_circuit",
        "data = train(A)\nfor step in range(3): pass",
        "def f(x):\n    total = [data for data in x]\n    return A, B, C, own, step, nowhere, data, total",
    ]
    found = extract.answer(extract.read(written(tmp_path, code)), "f")
    assert set(found.missing) == {"data", "step", "nowhere"}
    assert found.missing["data"] == "uses `data`, which is computed in another cell: pass it as an argument."
    assert "nothing in the notebook defines" in found.missing["nowhere"]
    assert not any("train" in piece or "for step" in piece for piece in found.pieces)
    assert sum(piece.startswith(("A =", "B, C =", "own =", "STUDENT")) for piece in found.pieces) == 4


def test_local_names_are_not_taken_for_global_ones(tmp_path):
    found = extract.answer(extract.read(written(tmp_path, ["z = train()", "def f(x):\n    z = x\n    return z"])), "f")
    assert found.missing == {}


def test_a_computed_answer_is_refused_with_the_reason(tmp_path):
    found = extract.answer(extract.read(written(tmp_path, ["f = train()"])), "f")
    assert not found.pieces
    assert "computed in cell 1" in found.notes[0]


def test_definitions_of_one_name_are_counted(tmp_path):
    path = written(tmp_path, ["def f():\n    return 1", "x = 1", "def f():\n    return 2"])
    assert run(path)() == 2
    assert "2 times (cells 1, 3); the one in cell 3" in extract.answer(extract.read(path), "f").notes[0]
    stub = written(tmp_path, ["def f():\n    ...  # your code here", "def f():\n    return 2"])
    assert extract.answer(extract.read(stub), "f").notes == ()


def test_close_names_are_told_and_not_taken(tmp_path):
    found = extract.answer(extract.read(written(tmp_path, ["def propagate2(x):\n    return x"])), "propagate")
    assert not found.pieces
    assert "`propagate2` (cell 1)" in found.notes[0]


@pytest.mark.parametrize(
    ("code", "student", "term"),
    [
        (['STUDENT = " Ada "\nTERM = "fall"'], "Ada", "fall"),
        (['STUDENT = "x"', 'STUDENT = "ada"'], "ada", "open"),
        (["STUDENT = 4711"], "4711", "open"),
        (["STUDENT = input()"], "", "open"),
        ([], "", "open"),
    ],
)
def test_who_and_when_are_read_as_literals(tmp_path, code, student, term):
    found = extract.read(written(tmp_path, code))
    assert (found.student, found.term) == (student, term)


def test_prose_under_a_heading_is_found_until_the_next_one(tmp_path):
    text = "# Sheet\n## 3. Explanation\nMy <b>reason</b>.\n### Part\nMore.\n## Next\nNo."
    path = tmp_path / "a.ipynb"
    made = [{"cell_type": "markdown", "source": part} for part in text.split("\n### ")]
    made[1]["source"] = "### " + made[1]["source"]
    path.write_text(json.dumps({"cells": [made[0], {"cell_type": "code", "source": "x"}, made[1]]}))
    assert extract.prose(extract.read(path), "Explanation: why it matters") == "My <b>reason</b>.\n\n### Part\nMore."
    assert extract.prose(extract.read(path), "Question") == ""


ASKED = {
    "after a mark": "## Question 5\nSay why.\n\n**Answer 2.** Mine,\nand more.\n\n**Answer 3.** Other.\n## Question 6",
    "before a heading": "Why?\n\n**Answer 2.** *Write here.* Mine,\nand more.\n## Question 6\nNo.",
    "under an exercise": "### Exercise 7 (Answer 2: why)\nTask.\n\n**Answer.** Mine,\nand more.\n### Exercise 8\nNo.",
    "under its label": "### Answer 2: another title\nMine,\nand more.\n# Next",
    "nothing written": "**Answer 2.** *Write here.*\n\n### Next\nNo.",
    "nothing there": "**Answer 22.** Other.",
}


@pytest.mark.parametrize("how", ASKED)
def test_what_a_person_marks_is_found(tmp_path, how):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ASKED[how]}]}))
    found = extract.prose(extract.read(path), "Answer 2: a figure read critically")
    assert found == ("" if "nothing" in how else "Mine,\nand more.")


def test_the_same_answer_has_the_same_text_and_stubs_have_none(tmp_path):
    def text(source):
        return extract.answer(extract.read(written(tmp_path, [source])), "f").text

    assert text('def f(x: int):\n    """One."""\n    return x  # a') == text("def f(x):\n\n    return (x)")
    assert text('def f(x):\n    """Do."""\n    ...  # your code here') == ""
    assert text("def f(x):\n    raise NotImplementedError") == ""


def test_a_whole_sheet_is_found(tmp_path):
    found = extract.read(hand_in(tmp_path, cells()))
    assert all(extract.answer(found, name).pieces for name in ("scale", "drift", "my_numbers"))


def in_cells(tmp_path, *code):
    return extract.answer(extract.read(written(tmp_path, code)), "f")


def test_names_inside_brackets_and_in_what_only_a_script_runs_do_not_count(tmp_path):
    used = ["K = 3", "def f():\n    return K", "print([K for K in range(3)], {K: 1 for K in 'ab'})"]
    assert in_cells(tmp_path, *used, "if __name__ == '__main__':\n    K = train()").missing == {}
    assert set(in_cells(tmp_path, *used, "[(K := n) for n in range(3)]").missing) == {"K"}


MANY = [f"a{i}" for i in range(10_000)]
SLOW = {
    "ten thousand names for one value": ["=".join(MANY) + " = 1", "def f():\n    return " + ", ".join(MANY)],
    "hundred thousand cells": ["x"] * 100_000,
    "lines that are no Python": ["x = = 3\n" * 12_000] * 3,
    "open brackets": ["f((\n" * 24_000] * 3,
}


@pytest.mark.parametrize("what", SLOW)
def test_work_grows_with_the_size_and_no_faster(tmp_path, monkeypatch, what):
    """Parsing is counted in characters; each of these once took minutes, in which no other submission was marked."""
    work = [0]

    def counted(real):
        return lambda source, *rest: work.__setitem__(0, work[0] + len(source) + 100) or real(source, *rest)

    monkeypatch.setattr(extract.ast, "parse", counted(extract.ast.parse))
    monkeypatch.setattr(extract.symtable, "symtable", counted(extract.symtable.symtable))
    found = extract.read(written(tmp_path, SLOW[what]))
    extract.answer(found, "f")
    assert work[0] < 10 * extract.MOST_CODE
    assert len(found.notes) <= extract.MOST_NOTES + 1


LEVELS = {
    **{"sign": "-{}", "part": "{}.b", "call": "{}()", "item": "a[{}]", "list": "[{}]"},
    **{"sum": "{} + a", "if": "a if a else {}", "lambda": "lambda: {}"},
}


@pytest.mark.parametrize("kind", LEVELS)
def test_how_deep_source_may_be_does_not_depend_on_who_asks(tmp_path, kind):
    """What can be read can be collected, also from deeper in the program."""
    text, code = "a", []
    for depth in range(230):
        code += [f"def h{depth}():\n    return {text}"] * (depth > 130 and depth % 3 == 0)
        text = LEVELS[kind].format(text)
    names = [line.split("(")[0][4:] for line in code]
    found = extract.read(written(tmp_path, [*code, "def f():\n    return " + ", ".join(names)]))

    def deeper(n):
        return deeper(n - 1) if n else extract.answer(found, "f")

    assert deeper(100).pieces


@pytest.mark.parametrize("name", ['"\\ud800"', '"a\\x00b"', '"a\\x1b[31m"', '"a\\u202eb"', '"' + "y" * 10**4 + '"'])
def test_no_name_spoils_a_file_or_a_page(tmp_path, name):
    found = extract.read(written(tmp_path, [f"STUDENT = {name}"]))
    assert found.student.isprintable()
    assert 0 < len(found.student.encode()) < 1000


def test_half_characters_are_replaced_wherever_they_stand(tmp_path):
    path = tmp_path / "a.ipynb"
    made = [
        ("markdown", "## Why\nBecause \ud800."),
        ("code", "x = '\ud800"),
        ("code", "\ufeffdef f():\n    return '\udfff'"),
    ]
    path.write_text(json.dumps({"cells": [{"cell_type": kind, "source": text} for kind, text in made]}))
    found = extract.read(path)
    parts = [extract.prose(found, "Why"), *found.notes, *extract.answer(found, "f").pieces]
    assert len(parts) == 3
    assert all(part.encode() for part in parts)


def test_files_that_would_fill_the_memory_are_left_unread(tmp_path):
    huge, many = tmp_path / "huge.ipynb", tmp_path / "many.ipynb"
    with huge.open("wb") as file:
        file.truncate(extract.LARGEST_FILE + 1)
    many.write_text('{"cells": [' + "{}," * (extract.MOST_BRACKETS + 1) + "{}]}")
    for path in (huge, many, tmp_path / "gone.ipynb"):
        found = extract.read(path)
        assert found.cells == ()
        assert "hand it in again" in found.notes[0]
