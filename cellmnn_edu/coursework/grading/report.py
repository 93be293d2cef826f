"""Write the marks: a table, a page for each student, Gradescope's JSON, and a zip that makes Gradescope grade."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..assignment import Assignment
    from .marks import ByHand, Marked, Report

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #b3261e; --soft: #8881; }
@media (prefers-color-scheme: dark) { :root { --good: #57d37c; --bad: #ff9d94; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
ul.lines { list-style: none; padding: 0; }
ul.lines li { border-top: 1px solid var(--line); padding: .5rem 0; }
.points { float: right; padding-left: 1rem; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
.message, .note { display: block; clear: both; }
.prose { white-space: pre-wrap; background: var(--soft); padding: .5rem; }
.wide { overflow-x: auto; overflow-wrap: normal; } body:has(.wide) { max-width: none; }
table { border-collapse: collapse; } .wide td:last-child { min-width: 24rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
"""

HEAD = (
    "<!doctype html>",
    '<html lang="en">',
    "<head>",
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
)

SETUP = """\
#!/usr/bin/env bash
# Runs once, when Gradescope builds the image. The book's package lies beside this file.
set -euo pipefail
python=python3
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || python=python3.11
apt-get update -q
apt-get install -qy "$python" "$python-venv"
"$python" -m venv /autograder/source/venv
/autograder/source/venv/bin/pip install --quiet {requirements}
"""

RUN = """\
#!/usr/bin/env bash
# Runs for each submission.
export PYTHONPATH=/autograder/source
/autograder/source/venv/bin/python -c 'from cellmnn_edu.cli import main; main()' grade /autograder/submission \\
  --assignment {number} --salt-file /autograder/source/salt.txt --one{unsafe} -o /tmp/marks \\
  --gradescope-results /autograder/results/results.json
"""


def write(reports: Sequence[Report], assignment: Assignment, out: Path) -> None:
    """Write marks.csv, index.html, and for each student gradescope/<id>.json and html/<id>.html.

    Parameters
    ----------
    reports : sequence of Report
        As `grade_folder` gives them.
    assignment : Assignment
        What was asked.
    out : Path
        Folder of the results.
    """
    names = file_names(reports)
    for folder in ("gradescope", "html"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        for old in (out / folder).iterdir():
            if old.stem not in names:
                old.unlink()
    for name, report in zip(names, reports, strict=True):
        (out / "gradescope" / f"{name}.json").write_text(gradescope(report), encoding="utf-8")
        (out / "html" / f"{name}.html").write_text(page(report, assignment), encoding="utf-8")
    (out / "marks.csv").write_text(table(reports, assignment), encoding="utf-8", newline="")
    (out / "index.html").write_text(index(reports, assignment, names), encoding="utf-8")


def table(reports: Sequence[Report], assignment: Assignment) -> str:
    """Text of marks.csv: one row a student, one column a question, total, flags."""
    text = io.StringIO()
    writer = csv.writer(text)
    questions = [question.answer for question in assignment.questions]
    by_hand = sum(assignment.by_hand.values())
    writer.writerow(["student", *questions, "total", "of", "by hand, of", "file", "flags"])
    for report in reports:
        earned = {question.answer: question.earned for question in report.questions}
        row = [report.student, *(earned[name] for name in questions), report.earned, report.points, by_hand]
        writer.writerow([_plain(cell) for cell in (*row, report.file, "; ".join((*report.flags, *report.others)))])
    return text.getvalue()


def gradescope(report: Report) -> str:
    """Text of the results.json that Gradescope reads; hidden lines show once the marks are published."""
    tests = []
    for question in report.questions:
        for mark in question.marks:
            tests.append({
                "name": f"{question.answer}: {mark.text}",
                "score": mark.earned,
                "max_score": mark.points,
                "output": mark.message or "passed",
                "output_format": "text",
                "status": "passed" if mark.earned == mark.points else "failed",
                "visibility": "after_published" if mark.hidden else "visible",
            })  # fmt: skip
    notes = [*report.notes, *(note for question in report.questions for note in question.notes)]
    notes += [f"A person marks: {hand.text} ({hand.points} points)." for hand in report.by_hand]
    whole = {"score": report.earned, "output": "\n".join(notes), "output_format": "text", "tests": tests}
    whole |= {"visibility": "visible", "stdout_visibility": "hidden", "extra_data": {"flags": list(report.flags)}}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def page(report: Report, assignment: Assignment) -> str:
    """The page of one student: every line of the rubric, its points, and what was wrong."""
    name = _title(assignment)
    parts = [f"<h1>{name}</h1>", f"<p>{_e(report.student)} · {_e(report.file)}</p>"]
    pending = sum(hand.points for hand in report.by_hand)
    total = f"<b>{report.earned} of {report.points} points</b>"
    parts.append(f"<p>{total}{f', and up to {pending} that a person gives' if pending else ''}.</p>")
    if assignment.questions and report.term != "open":
        parts.append(f"<p>Term: {_e(report.term)}</p>")
    parts += _listed("To look at", report.flags) + _listed("Could not be read", report.notes)
    parts += [part for question in report.questions for part in _question(question)]
    parts += [part for hand in report.by_hand for part in _hand(hand)]
    return _document(f"{report.student}: {assignment.title}", parts)


def index(reports: Sequence[Report], assignment: Assignment, names: Sequence[str]) -> str:
    """The instructor's page: all students in one table."""
    questions = [question.answer for question in assignment.questions]
    most = [question.points for question in assignment.questions]
    head = [
        "student",
        f"total ({sum(most)})",
        *(f"{_e(q)} ({n})" for q, n in zip(questions, most, strict=True)),
        "flags",
    ]
    rows = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
    for name, report in zip(names, reports, strict=True):
        link = f'<td><a href="html/{_e(name)}.html">{_e(report.student) or "?"}</a></td>'
        earned = (report.earned, *(question.earned for question in report.questions))
        points = "".join(f'<td class="n">{number}</td>' for number in earned)
        flags = f"<td>{'<br>'.join(map(_e, (*report.flags, *report.others)))}</td>"
        rows.append(f"<tr>{link}{points}{flags}</tr>")
    count = f"<p>{len(reports)} submissions. A flag asks for a look; it costs no points.</p>"
    body = [f"<h1>{_title(assignment)}</h1>", count, '<div class="wide"><table>', *rows, "</table></div>"]
    return _document(assignment.title, body)


def file_names(reports: Iterable[Report]) -> list[str]:
    """A file name for each report, all different, made of harmless letters."""
    names: list[str] = []
    for report in reports:
        plain = re.sub(r"[^\w.-]+", "-", report.student, flags=re.ASCII).strip("-.")[:60] or "submission"
        name, number = plain, 1
        while name.casefold() in {other.casefold() for other in names}:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def pack_gradescope(assignment: Assignment, salt: str, out: Path, unsafe: bool = False) -> None:
    """Write the zip that Gradescope takes as an autograder. It holds the salt: it is for instructors only.

    Parameters
    ----------
    assignment : Assignment
        What is asked.
    salt : str
        The secret of the term.
    out : Path
        The zip.
    unsafe : bool
        Grade even where Gradescope's container does not isolate the students' code.
    """
    package = Path(__file__).resolve().parents[2]
    needs = [need for need in metadata.requires("cellmnn-edu") or [] if "extra ==" not in need]
    setup = SETUP.format(requirements=" ".join(f"'{need}'" for need in needs))
    run = RUN.format(number=assignment.number, unsafe=" --unsafe" if unsafe else "")
    data = package / "_data" if (package / "_data").exists() else package.parent / "data"
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in (("setup.sh", setup), ("run_autograder", run), ("salt.txt", salt + "\n")):
            packed.writestr(name, text)
        for folder, inside in ((package, "cellmnn_edu"), (data, "cellmnn_edu/_data")):
            for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
                if folder == data or "_data" not in path.relative_to(folder).parts:
                    packed.write(path, f"{inside}/{path.relative_to(folder).as_posix()}")


def _title(assignment: Assignment) -> str:
    number = "Capstone" if assignment.number == "capstone" else f"Assignment {assignment.number}"
    return _e(f"{number}: {assignment.title}")


def _question(question: Marked) -> list[str]:
    head = (
        f"<h2><code>{_e(question.answer)}</code> <span class='points'>{question.earned}/{question.points}</span></h2>"
    )
    lines = []
    for mark in question.marks:
        kind, sign = ("good", "✓") if mark.earned == mark.points else ("bad", "✗")
        hidden = " <small>(hidden check)</small>" if mark.hidden else ""
        message = f'<span class="message">{_e(mark.message)}</span>' if mark.message else ""
        points = f'<span class="points">{mark.earned}/{mark.points}</span>'
        lines.append(f'<li>{points}<span class="{kind}">{sign}</span> {_e(mark.text)}{hidden}{message}</li>')
    notes = [f'<p class="note">{_e(note)}</p>' for note in question.notes]
    return [head, *notes, '<ul class="lines">', *lines, "</ul>"]


def _hand(hand: ByHand) -> list[str]:
    text = (
        f'<div class="prose">{_e(hand.prose)}</div>' if hand.prose else "<p>No text was found under this heading.</p>"
    )
    return [f"<h2>{_e(hand.text)}</h2>", f"<p>Marked by hand, pending: up to {hand.points} points.</p>", text]


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<h2>{title}</h2>", "<ul>", *(f"<li>{_e(line)}</li>" for line in lines), "</ul>"] if lines else []


def _document(title: str, parts: Sequence[str]) -> str:
    head = [f"<title>{_e(title)}</title>", f"<style>{STYLE}</style>", "</head>", "<body>"]
    return "\n".join([*HEAD, *head, *parts, "</body>", "</html>", ""])


def _e(text: str) -> str:
    """Text for a page, whatever a student wrote."""
    return html.escape(str(text))


def _plain(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    # Where lists are parted by semicolons, a spreadsheet parts this table at those, too.
    return re.sub(r"(^|[;,\t\r\n])(\s*)(?=[=+@\t\r＝＋－＠-])", r"\1\2'", cell) if isinstance(cell, str) else cell
