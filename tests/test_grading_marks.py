"""From a folder of submissions to marks: exact points, the same each time, and nothing lost by an interruption."""

import csv
import html.parser
import io
import json
import os
import re
import sys
import types
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
from grading_sheet import SALT, SCALE, SHEET, cells, hand_in, own_numbers

from cellmnn_edu import cli
from cellmnn_edu.coursework import assignments
from cellmnn_edu.coursework.grading import marks, otter, report
from cellmnn_edu.coursework.grading.client import Limits, NotIsolated, Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolation needs Linux")

STUB = "def scale(x, c):\n    ...  # your code here"


@pytest.fixture(scope="module")
def workers():
    try:
        with Worker() as worker:
            yield [worker]
    except NotIsolated as error:
        pytest.skip(f"NOT CHECKED: {error}")


@pytest.fixture
def folder(tmp_path):
    """Seven submissions, good and bad."""
    folder = tmp_path / "handed in"
    hand_in(folder, cells("ada"), "ada.ipynb")
    hand_in(folder, cells("bob", scale="def scale(x, c):\n    return c + x"), "bob/my notebook.ipynb")
    hand_in(folder, cells("cem", scale=STUB, drift="def drift2(A, z):\n    return z @ A.T"), "cem.ipynb")
    hand_in(folder, cells("dee", scale="def scale(x, c):\n    import os\n    os._exit(0)"), "dee.ipynb")
    noisy = "import random\ndef scale(x, c):\n    return c * x if random.random() < 0.8 else x"
    hand_in(folder, cells("eve", scale=noisy), "eve.ipynb")
    hand_in(folder, cells("fay", my_numbers=own_numbers("ada")), "fay.ipynb")
    (folder / "gus.ipynb").write_text("this is no notebook")
    return folder


def earned(reports):
    return {r.student: {q.answer: [mark.earned for mark in q.marks] for q in r.questions} for r in reports}


def graded(folder, out, workers, n_jobs=1, assignment=SHEET, salt=SALT):
    return marks.grade_folder(folder, assignment, salt, out, n_jobs, workers=workers[:n_jobs])


def one(worker, folder, assignment=SHEET, student="ada", **answers):
    return marks.grade_one(hand_in(folder, cells(student, **answers)), assignment, SALT, worker, student)


def test_points_are_what_the_rubric_says(folder, tmp_path, workers):
    found = earned(graded(folder, tmp_path / "out", workers))
    assert found["ada"] == {"scale": [4, 2, 1], "drift": [3], "my_numbers": [2]}
    assert found["bob"] == {"scale": [0, 0, 0], "drift": [3], "my_numbers": [2]}
    assert found["cem"] == {"scale": [0, 0, 0], "drift": [0], "my_numbers": [2]}
    assert found["dee"] == {"scale": [0, 0, 0], "drift": [3], "my_numbers": [2]}
    assert found["fay"] == {"scale": [4, 2, 1], "drift": [3], "my_numbers": [0]}
    assert found["gus"] == {"scale": [0, 0, 0], "drift": [0], "my_numbers": [0]}


def test_messages_name_the_mistake(folder, tmp_path, workers):
    reports = {r.student: r for r in graded(folder, tmp_path / "out", workers)}
    said = {name: r.questions[0].marks[0].message for name, r in reports.items()}
    assert "This adds c." in said["bob"]
    assert "returns nothing yet" in said["cem"]
    assert "`drift2` (cell 3)" in reports["cem"].questions[1].marks[0].message
    assert "ended Python" in said["dee"]
    assert "No function `scale`" in said["gus"]
    assert "no readable notebook" in reports["gus"].notes[0]


def test_the_same_submission_gets_the_same_mark(folder, tmp_path, workers):
    first = graded(folder, tmp_path / "1", workers)
    assert graded(folder, tmp_path / "2", workers, 2) == first  # the second worker is started, and closed
    eve = next(r for r in first if r.student == "eve")
    assert marks.grade_one(folder / "eve.ipynb", SHEET, SALT, workers[0], "eve") == eve._replace(others=())


def test_another_salt_draws_other_inputs():
    draws = {
        tuple(marks.seeds(salt, "1", "scale", line, trial)) for salt in "ab" for line in (0, 1) for trial in (0, 1)
    }
    assert len(draws) == 8
    assert marks.seeds("a", "1", "scale", 0, 0) == marks.seeds("a", "1", "scale", 0, 0)


LOSES = {
    0: "import numpy as np\ndef scale(x, c):\n    return c * x + (len(x) == 4)",
    1: "def scale(x, c):\n    return (c * x).squeeze()",
    2: "import numpy as np\ndef scale(x, c):\n    return c * x if x.dtype == np.float64 else x",
}


@pytest.mark.parametrize("line", LOSES)
def test_a_wrong_answer_loses_its_line_and_no_other(tmp_path, workers, line):
    found = one(workers[0], tmp_path, scale=LOSES[line])
    assert [m.earned for m in found.questions[0].marks] == [m.points * (i != line) for i, m in enumerate(SCALE.rubric)]
    assert found.earned == found.points - SCALE.rubric[line].points


def test_what_an_answer_needs_from_other_cells_is_named(tmp_path, workers):
    code = [*cells(scale="def scale(x, c):\n    return factor * x"), "factor = train()"]
    found = marks.grade_one(hand_in(tmp_path, code), SHEET, SALT, workers[0])
    assert "uses `factor`, which is computed in another cell" in found.questions[0].marks[0].message
    unused = [*cells(scale="def scale(x, c):\n    if len(x) > 99: return factor\n    return c * x"), "factor = train()"]
    assert marks.grade_one(hand_in(tmp_path, unused), SHEET, SALT, workers[0]).earned == SHEET.points


def test_shuffled_cells_define_what_they_need(tmp_path, workers):
    scale = ["def scale(x, c=K * 2):\n    return helped(x, c)", "K = 3", "def helped(x, c):\n    return c * x"]
    code = [text for text in cells() if "def scale" not in text]
    found = marks.grade_one(hand_in(tmp_path, [*scale, *code]), SHEET, SALT, workers[0])
    assert found.earned == SHEET.points, found


def test_changing_the_input_is_seen_across_processes(tmp_path, workers):
    found = one(workers[0], tmp_path, scale="def scale(x, c):\n    x *= c\n    return x")
    assert "changes its input" in found.questions[0].marks[0].message


def test_a_check_that_stumbles_is_a_flag_and_no_error(tmp_path, workers):
    def stumbles(values, inputs, variant):
        raise IndexError

    line = SCALE.rubric[0]._replace(fault=stumbles)
    sheet = SHEET._replace(questions=(SCALE._replace(rubric=(line,)),))
    found = one(workers[0], tmp_path, sheet)
    assert found.earned == 0
    assert found.questions[0].marks[0].message


def test_a_later_call_goes_on_where_it_was_stopped(folder, tmp_path, workers, monkeypatch):
    real, calls, out = marks.grade_one, [], tmp_path / "out"

    def interrupted(path, *rest):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(path)
        return real(path, *rest)

    monkeypatch.setattr(marks, "grade_one", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"Stopped: 3 of 7 .*same command goes on"):
        graded(folder, out, workers)
    (out / "submissions" / "torn.123.half").write_text("{")  # as a kill in the middle of writing leaves it
    monkeypatch.setattr(marks, "grade_one", lambda path, *rest: calls.append(path) or real(path, *rest))
    reports = graded(folder, out, workers)
    assert len(calls) == len(set(calls)) == 7
    assert reports == graded(folder, tmp_path / "fresh", workers)
    monkeypatch.setattr(marks, "grade_one", None)
    assert graded(folder, out, workers) == reports  # nothing is called again


def test_kept_marks_hold_only_for_the_same_question(folder, tmp_path, workers, monkeypatch):
    out, calls, real = tmp_path / "out", [], marks.grade_one
    graded(folder, out, workers)
    monkeypatch.setattr(marks, "grade_one", lambda path, *rest: calls.append(path.name) or real(path, *rest))
    hand_in(folder, cells("ada", scale=STUB), "ada.ipynb")
    graded(folder, out, workers)
    assert calls == ["ada.ipynb"]
    calls.clear()
    graded(folder, out, workers, salt="another")
    assert len(calls) == 7
    other = SHEET._replace(questions=(SCALE._replace(rubric=SCALE.rubric[:1]),))
    assert marks.fingerprint(other, SALT, Limits()) != marks.fingerprint(SHEET, SALT, Limits())


def test_reports_survive_being_kept(folder, tmp_path, workers):
    for found in graded(folder, tmp_path / "out", workers):
        kept = found._replace(others=())
        assert marks.from_json(marks.to_json(kept)) == kept


def test_who_handed_in_is_cross_checked(tmp_path, workers):
    folder = tmp_path / "in"
    hand_in(folder, cells("ada"), "ada.ipynb")
    hand_in(folder, cells("ada"), "zoe.ipynb")
    hand_in(folder, cells(""), "max.ipynb")
    hand_in(folder, [*cells("..."), "TERM = 'fall'"], "moe.ipynb")
    reports = {r.file: r for r in graded(folder, tmp_path / "out", workers)}
    assert reports["ada.ipynb"].flags == ()
    assert any("2 files are from 'ada'" in flag for flag in reports["ada.ipynb"].others)
    assert any("the same text as in max.ipynb, moe.ipynb, zoe.ipynb" in flag for flag in reports["ada.ipynb"].others)
    assert "the file is from 'zoe'" in reports["zoe.ipynb"].flags[0]
    for name in ("max", "moe"):
        assert reports[f"{name}.ipynb"].student == name
        assert "STUDENT is missing" in reports[f"{name}.ipynb"].flags[0]
    terms = {name: [flag for flag in r.others if "TERM" in flag] for name, r in reports.items()}
    assert "TERM is 'fall', most have 'open'" in terms.pop("moe.ipynb")[0]
    assert not any(terms.values())


PLACES = {
    "ada.ipynb": "ada",
    "ada/anything at all.ipynb": "ada",
    "ada_assignment-1-small-sheet.ipynb": "ada",
    "assignment-1-small-sheet (2).ipynb": "",
    "assignment-1-small-sheet.ipynb": "",
    "lovelaceada_12345_678901_assignment-1-small-sheet-2.ipynb": "lovelaceada",
    "lovelaceada_LATE_12345_678901_x.ipynb": "lovelaceada",
    "Ada Lovelace_4711_assignsubmission_file_/x.ipynb": "Ada Lovelace",
}


@pytest.mark.parametrize("place", PLACES)
def test_names_are_read_from_what_learning_platforms_export(tmp_path, place):
    assert marks.name_of(tmp_path / place, tmp_path, SHEET) == PLACES[place]


def test_of_several_files_the_one_with_most_answers_counts(tmp_path):
    hand_in(tmp_path, cells(), "ada/a.ipynb")
    hand_in(tmp_path, ["x = 1"], "ada/z.ipynb")
    hand_in(tmp_path, cells(), "ada/.ipynb_checkpoints/a-checkpoint.ipynb")
    hand_in(tmp_path, cells(), "__MACOSX/b.ipynb")
    hand_in(tmp_path, cells(), "out/b.ipynb")
    (tmp_path / "link.py").symlink_to(__file__)
    assert marks.submissions(tmp_path, SHEET, tmp_path / "out") == [tmp_path / "ada" / "a.ipynb"]
    assert marks.submissions(tmp_path / "ada" / "a.ipynb", SHEET) == [tmp_path / "ada" / "a.ipynb"]


def test_odd_files_are_rows_like_any_other(tmp_path, workers, monkeypatch):
    folder = tmp_path / "in"
    hand_in(folder, cells("ada"), "ada.ipynb")
    hand_in(folder, cells("x"), os.fsdecode(b"\xff\n.ipynb"))
    hand_in(folder, cells("dir"), "dir.ipynb/a.ipynb")
    (folder / "link.ipynb").symlink_to(folder / "ada.ipynb")
    os.mkfifo(folder / "fifo.ipynb")
    (folder / "shut.ipynb").write_text("{}")
    real = Path.open

    def shut(path, *rest, **more):
        if path.name == "shut.ipynb":
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr(Path, "open", shut)
    found = graded(folder, tmp_path / "out", workers)
    report.write(found, SHEET, tmp_path / "out")
    assert {r.student: r.earned for r in found} == {"ada": 12, "x": 12, "dir": 12, "shut": 0}
    assert "Permission denied" in next(r for r in found if r.student == "shut").notes[0]


@pytest.mark.parametrize("name", ["", "  ", "_", "__", "-"])
def test_a_name_without_letters_is_no_name(name):
    assert marks._who(name, "ada")[0] == "ada"
    assert "missing" in marks._who(name, "ada")[1][0]


def test_an_answer_that_looks_behind_its_arguments_is_flagged(tmp_path, workers):
    found = one(workers[0], tmp_path, scale="def scale(x, c):\n    vars(scale), scale.__kwdefaults__\n    return c * x")
    assert found.earned == 12
    assert found.flags == ("`scale` uses __kwdefaults__",)


def test_nothing_to_grade_and_no_salt_are_refused(tmp_path):
    with pytest.raises(ValueError, match="found none"):
        marks.grade_folder(tmp_path, SHEET, SALT, tmp_path / "out")
    with pytest.raises(ValueError, match="salt"):
        marks.grade_folder(tmp_path, SHEET, "", tmp_path / "out")


# --- what is written ---------------------------------------------------------------------------------------------

EVIL = '<script>alert("x")</script>'


class Tags(html.parser.HTMLParser):
    """Collects tags and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def evil_report():
    mark = marks.Mark(EVIL, 2, 1, EVIL, True)
    question = marks.Marked("scale", (mark,), (EVIL,), EVIL)
    hand = marks.ByHand("Explanation", 5, EVIL)
    return marks.Report(f"../{EVIL}", EVIL, EVIL, (question,), (hand,), (EVIL,), (EVIL,), (EVIL,))


def test_pages_show_everything_and_run_nothing(tmp_path):
    found = evil_report()
    sheet = SHEET._replace(questions=(SCALE,))
    report.write([found, found], sheet, tmp_path)
    pages = sorted((tmp_path / "html").iterdir())
    assert len(pages) == len(list((tmp_path / "gradescope").iterdir())) == 2
    assert all(page.resolve().parent == (tmp_path / "html").resolve() for page in pages)
    for path in (*pages, tmp_path / "index.html"):
        seen = Tags(path.read_text("utf-8"))
        assert "script" not in seen.tags
        assert EVIL in seen.text
    seen = Tags(pages[0].read_text("utf-8"))
    for words in ("1/2", "hidden check", "Marked by hand, pending: up to 5 points", "A small <sheet>", "1 of 2 points"):
        assert words in seen.text


def test_the_table_has_a_row_a_student_and_no_formulas():
    risky = evil_report()._replace(student="=HYPERLINK(1)", flags=("a", "b"), others=("c",))
    rows = list(csv.DictReader(io.StringIO(report.table([risky], SHEET._replace(questions=(SCALE,))))))
    assert rows == [
        {
            "student": "'=HYPERLINK(1)",
            "scale": "1",
            "total": "1",
            "of": "2",
            "by hand, of": "5",
            "file": EVIL,
            "flags": "a; b; c",
        }
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", " =", "a;=", "a,\t+", "a\n@", "\uff1d"])
def test_no_cell_is_a_formula_however_the_table_is_parted(start):
    risky = evil_report()._replace(student=f"{start}1+1", file="b.ipynb", flags=(), others=())
    text = report.table([risky], SHEET._replace(questions=(SCALE,)))
    cells = [cell.strip(' "') for cell in re.split(r"[;,\t\r\n]", text)]
    assert not any(cell.startswith(tuple("=+-@\uff1d")) for cell in cells)


def test_flags_that_name_others_stay_with_the_instructor(tmp_path):
    found = evil_report()._replace(others=("same text as bob",))
    report.write([found], SHEET._replace(questions=(SCALE,)), tmp_path)
    everywhere = {path.name: "same text as bob" in path.read_text() for path in tmp_path.rglob("*.*") if path.is_file()}
    assert {name for name, told in everywhere.items() if told} == {"marks.csv", "index.html"}


def test_gradescope_gets_points_it_can_add_up(folder, tmp_path, workers):
    for found in graded(folder, tmp_path / "out", workers):
        whole = json.loads(report.gradescope(found))
        assert whole["score"] == sum(test["score"] for test in whole["tests"]) == found.earned
        assert sum(test["max_score"] for test in whole["tests"]) == SHEET.points
        hidden = {test["name"] for test in whole["tests"] if test["visibility"] == "after_published"}
        assert len(hidden) == sum(line.hidden for line in SCALE.rubric)
        assert all(test["output"] and test["status"] in ("passed", "failed") for test in whole["tests"])


def test_the_command_writes_all_of_it(folder, tmp_path, workers, monkeypatch, capsys):
    real = marks.grade_folder
    monkeypatch.setattr(marks, "grade_folder", lambda *rest: real(*rest, workers=workers))
    monkeypatch.setattr(assignments, "ASSIGNMENTS", {"1": SHEET})
    monkeypatch.setenv("CELLMNN_EDU_SALT", SALT)
    out = tmp_path / "out"
    arguments = ["cellmnn-edu", "grade", str(folder), "--assignment", "1", "-o", str(out), "--n-jobs", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    cli.main()
    assert "7 submissions" in capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO((out / "marks.csv").read_text("utf-8"))))
    assert [row["student"] for row in rows] == ["ada", "bob", "cem", "dee", "eve", "fay", "gus"]
    assert rows[0]["total"] == rows[0]["of"] == str(SHEET.points)
    assert len(list((out / "html").glob("*.html"))) == len(list((out / "gradescope").glob("*.json"))) == 7
    assert SALT not in "".join(path.read_text("utf-8") for path in out.rglob("*") if path.is_file())
    assert not any((out / "html" / "ada.html").read_text("utf-8").count(other) for other in ("bob", "fay"))


def test_one_submission_is_graded_for_gradescope(tmp_path, workers, monkeypatch):
    hand_in(tmp_path / "in", cells("ada"), "main.ipynb")
    hand_in(tmp_path / "in", ["x = 1"], "more/helper.ipynb")
    monkeypatch.setattr(assignments, "ASSIGNMENTS", {"1": SHEET})
    real = marks.grade_folder
    monkeypatch.setattr(marks, "grade_folder", lambda *rest: real(*rest, workers=workers[:1]))
    results = tmp_path / "results.json"
    cli.grade(tmp_path / "in", "1", tmp_path / "out", SALT, n_jobs=1, one=True, gradescope_results=results)
    assert json.loads(results.read_text("utf-8"))["score"] == SHEET.points


def test_the_command_says_what_it_needs(monkeypatch, capsys, tmp_path):
    unknown, nowhere = ("9", "--salt", "s"), ("1", "--salt", "s")
    cases = {unknown: "Expected one of the assignments", ("1",): "Expected a salt", nowhere: "-o with a folder"}
    for rest, words in cases.items():
        monkeypatch.setattr(assignments, "ASSIGNMENTS", {"1": SHEET})
        monkeypatch.setattr(sys, "argv", ["cellmnn-edu", "grade", str(tmp_path), "--assignment", *rest])
        with pytest.raises(SystemExit):
            cli.main()
        assert words in capsys.readouterr().err


def test_the_gradescope_zip_holds_the_package_and_the_salt(tmp_path):
    packed = tmp_path / "autograder.zip"
    report.pack_gradescope(SHEET, SALT, packed)
    with zipfile.ZipFile(packed) as content:
        names = set(content.namelist())
        assert {"setup.sh", "run_autograder", "salt.txt", "cellmnn_edu/cli.py"} <= names
        assert "cellmnn_edu/_data/guo2010.csv" in names or any(name.startswith("cellmnn_edu/_data/") for name in names)
        assert content.read("salt.txt").decode().strip() == SALT
        setup, run = content.read("setup.sh").decode(), content.read("run_autograder").decode()
    assert "'torch" in setup
    assert "pytest" not in setup
    assert "--assignment 1 " in run
    assert SALT not in run
    assert Path("/autograder/results/results.json").as_posix() in run


def test_otter_grader_gives_each_line_its_points(tmp_path, monkeypatch):
    """With a stand-in for otter's decorator; the recipe was tried with the real one."""
    monkeypatch.setattr(assignments, "ASSIGNMENTS", {"1": SHEET})
    decorated = []
    kept = types.SimpleNamespace(test_case=lambda **known: lambda case: decorated.append((known, case)))
    monkeypatch.setitem(sys.modules, "otter", types.ModuleType("otter"))
    monkeypatch.setitem(sys.modules, "otter.test_files", kept)
    for path in otter.write_tests(SHEET, SALT, tmp_path):
        exec(path.read_text("utf-8"), {})
    assert [known["points"] for known, _ in decorated] == [line.points for q in SHEET.questions for line in q.rubric]
    env = {"STUDENT": "ada"}
    for text in cells("ada", scale=LOSES[1]):
        exec(text, env)
    lost = []
    for known, case in decorated:
        try:
            case(env)
        except AssertionError:
            lost.append(known["points"])
    assert lost == [SCALE.rubric[1].points]


@pytest.mark.parametrize("module", assignments.MODULES)
def test_the_samples_of_every_assignment_get_their_marks(module, tmp_path, workers):
    """All questions in the cage: inputs that travel, definitions that suffice, judges that agree with the notebook."""
    samples = import_module(f"assignments.{module}")
    sheet = next(a for a in assignments.ASSIGNMENTS.values() if a.slug.replace("-", "_") == module)
    for kind in ("FULL", "HALF"):
        path = tmp_path / f"{kind}.py"
        path.write_text(getattr(samples, kind), encoding="utf-8")
        found = marks.grade_one(path, sheet, SALT, workers[0])
        said = [mark.message for question in found.questions for mark in question.marks if mark.message]
        assert found.earned == samples.MARKS[kind], said
        assert found.flags == ()
