"""The instructor's guide: generated pages are in step, its commands work, and the samples get their marks."""

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from assignments import operators_and_the_proposition as sheet

from cellmnn_edu.coursework import coverage, release, run_times
from cellmnn_edu.coursework.assignment import Variant
from cellmnn_edu.coursework.assignments import ASSIGNMENTS

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "book/instructor"
PAGES = sorted(GUIDE.glob("*.md"))
# Who handed in what: the samples of the guide are those of the tests, in three names.
SAMPLES = {"ada": "FULL", "ben": "HALF", "mallory": "HOSTILE"}


def sample(student: str) -> str:
    """The submission of one of the three, with the numbers of this student's own circuit."""
    own = [[float(f"{value:.4g}") for value in part] for part in sheet.own_numbers(Variant(student))]
    theirs = dict(zip(map(str, sheet.AGEING + sheet.READINGS), map(str, own[0] + own[1]), strict=True))
    text = getattr(sheet, SAMPLES[student]).replace(f'STUDENT = "{sheet.STUDENT}"', f'STUDENT = "{student}"')

    def renumbered(match: re.Match) -> str:
        return re.sub(r"[\d.e+-]+", lambda number: theirs.get(number[0], number[0]), match[0])

    return re.sub(r"(?<=    return )\[[\d., e+-]+\]$", renumbered, text, flags=re.M)


def blocks(page: str) -> list[str]:
    """Blocks of commands on a page of the guide that stand below a comment `% tested`."""
    text = (GUIDE / f"{page}.md").read_text("utf-8")
    return re.findall(r"^% tested\n\n?```bash\n(.*?)^```", text, re.M | re.S)


def run(block: str, folder: Path) -> str:
    """Run a block as it stands, in a folder, with the programs of this environment for `.venv/bin`."""
    here = str(Path(sys.executable).parent)
    script = "set -e\n" + block.replace(".venv/bin/", shlex.quote(here) + "/")
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder that looks like a checkout, in which commands may write."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("book", "cellmnn_edu", "data", "tests", "_config.yml"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def test_the_coverage_page_is_what_the_sources_give():
    made = coverage.page(ROOT)
    assert (ROOT / coverage.PAGE).read_text("utf-8") == made, "run python -m cellmnn_edu.coursework.coverage"


def test_every_exercise_serves_a_goal_and_no_goal_is_named_for_what_is_gone():
    found = coverage.chapters(ROOT)
    labels = [task.label for chapter in found for task in chapter.tasks]
    assert sorted(labels) == sorted(coverage.SERVES)
    assert all(len(chapter.goals) >= 3 for chapter in found)


def test_every_question_of_the_assignments_stands_with_a_chapter():
    titles = {chapter.title for chapter in coverage.chapters(ROOT)}
    for assignment in ASSIGNMENTS.values():
        for question in assignment.questions:
            assert question.exercise.page in titles, question.answer


@pytest.mark.parametrize("broken", ["**You will be able to** say a.", "**You need** nothing."])
def test_coverage_says_what_is_missing(broken):
    text = f"# T\n\n{broken}\n\n```{{exercise}} New\n:label: ex-new\n:class: level-1\n```\n"
    with pytest.raises(ValueError, match=r"ex-new to serve one of the 1 goals|goals are missing"):
        coverage.read_chapter(text, "chapters/t")


def test_the_table_of_times_has_every_chapter_and_the_minutes_of_its_card():
    with (ROOT / run_times.TABLE).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    found = coverage.chapters(ROOT)
    assert header == run_times.HEADER
    assert [row[0] for row in rows] == [chapter.title for chapter in found]
    for row, chapter in zip(rows, found, strict=True):
        text = (ROOT / f"book/{chapter.page}.md").read_text("utf-8")
        assert (int(row[1]), int(row[3])) == run_times.card_minutes(text, chapter.page)
        assert 0 < int(row[2]) <= 120


def test_times_without_a_built_book_are_refused(tmp_path):
    with pytest.raises(ValueError, match="make book"):
        run_times.measured(tmp_path / "global.db")


def test_every_chapter_has_misconceptions_discussions_and_slides():
    parts = re.split(r"^## ", (GUIDE / "chapters.md").read_text("utf-8"), flags=re.M)[2:]
    assert [part.splitlines()[0] for part in parts] == [chapter.title for chapter in coverage.chapters(ROOT)]
    for part in parts:
        title, slides = part.splitlines()[0], part.split("Slides:")[1]
        assert len(re.findall(r"^\* ", part, re.M)) >= 3, title
        assert part.count("For discussion: ") == 2, title
        assert 5 <= len(re.findall(r"^\d\. ", slides, re.M)) <= 8, title


def test_every_page_of_the_guide_is_reached_from_its_first():
    first = (GUIDE / "index.md").read_text("utf-8")
    assert {path.name for path in PAGES} - {"index.md"} <= set(re.findall(r"\((\w+\.md)\)", first))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_files_that_the_guide_names_exist(path):
    for name in re.findall(r"(?:book|tests|cellmnn_edu)/[\w/.-]+\.\w+", path.read_text("utf-8")):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("student", SAMPLES)
def test_the_samples_are_those_of_the_tests(student):
    assert (GUIDE / f"samples/{student}.py").read_text("utf-8") == sample(student), "see refresh in this file"


def refresh() -> None:
    """Write the samples again: `PYTHONPATH=tests python -c "import test_instructor_guide as t; t.refresh()"`."""
    (GUIDE / "samples").mkdir(exist_ok=True)
    for student in SAMPLES:
        (GUIDE / f"samples/{student}.py").write_text(sample(student), encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="isolation needs Linux")
def test_one_command_gives_the_three_samples_their_marks_and_pages(checkout):
    (block,) = [block for block in blocks("grading") if "book/instructor/samples" in block]
    said = run(block, checkout)
    with (checkout / "marks/marks.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert {name: int(rows[name]["total"]) for name in SAMPLES} == {
        name: sheet.MARKS[kind] for name, kind in SAMPLES.items()
    }
    shown = (GUIDE / "grading.md").read_text("utf-8")
    for name in SAMPLES:
        page = (checkout / f"marks/html/{name}.html").read_text("utf-8")
        assert f"{rows[name]['total']} of {rows[name]['of']} points" in page
        assert f"| `{name}.py` | {rows[name]['total']} of {rows[name]['of']} |" in shown, "the guide says other marks"
        assert bool(rows[name]["flags"]) == (name == "mallory")
    assert "import" in rows["mallory"]["flags"]
    assert "3 submissions" in said


def test_one_command_releases_assignment_2(checkout):
    (block,) = [block for block in blocks("grading") if "release 2" in block]
    run(block, checkout)
    name = release.stem("assignments/operators-and-the-proposition")
    handed = checkout / f"handed-out/students/{name}"
    assert sorted(path.stem for path in handed.iterdir()) == ["ada", "ben"]
    assert '"STUDENT = \\"ben\\"' in (handed / "ben.ipynb").read_text("utf-8")
    assert 'TERM = \\"spring\\"' in (handed / "ada.ipynb").read_text("utf-8")
    assert (checkout / f"handed-out/instructor/{name}.ipynb").exists()
