"""Judge submissions: draw inputs, have the answers called in a cage, and give each line of the rubric its points.

The same submission gets the same mark: all randomness follows from the salt, the assignment, the question, the line
and the trial. Everything that knows the salt stays in this process; judging happens under one lock, one line at a
time, and only the waiting for the students' processes is done side by side.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import random
import re
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..._progress import progress_bar
from .. import checks
from ..assignment import Assignment, Line, Question, Variant
from . import extract
from .client import Child, Left, Limits, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..outcome import Outcome

JUDGING = threading.RLock()
PATIENCE = 2  # how often a question may run out of time before its other lines are left alone
WORDS = {
    "time": "did not finish within {call:g} seconds: look for a loop that never ends, or for very slow ones.",
    "memory": "took more memory than a sheet of coursework needs: {text}.",
    "left": "ended Python instead of returning a value ({text}).",
    "forbidden": "tried what an answer may not do while it is graded: {text}.",
    "unreadable": "could not be called ({text}); tell your instructor, this may be our mistake.",
}
# Names whose use in an answer is worth a look by a person; it costs nothing.
SUSPECT = re.compile(
    r"\b(subprocess|socket|ctypes|os\.(?:_exit|fork|system|exec\w+|kill|environ)|sys\._getframe|gc\.get_\w+|"
    r"__(?:(?:kw)?defaults|closure|globals|builtins)__|f_(?:back|locals)|tb_frame|inspect\.(?:stack|currentframe)|_looks|"
    r"cellmnn_edu\.coursework\.(?:checks|exercises|assignments|grading|release))\b|/proc/"
)


class Mark(NamedTuple):
    """One line of the rubric as it was marked."""

    text: str
    points: int
    earned: int
    message: str
    hidden: bool


class Marked(NamedTuple):
    """One question as it was marked; `notes` say which definition was taken, `code` compares it with others'."""

    answer: str
    marks: tuple[Mark, ...]
    notes: tuple[str, ...]
    code: str

    @property
    def points(self) -> int:
        """Points that can be had."""
        return sum(mark.points for mark in self.marks)

    @property
    def earned(self) -> int:
        """Points that were earned."""
        return sum(mark.earned for mark in self.marks)


class ByHand(NamedTuple):
    """What a person marks: the line of the rubric, its points, and the student's text under that heading."""

    text: str
    points: int
    prose: str


class Report(NamedTuple):
    """A submission as it was marked.

    Attributes
    ----------
    student, term : str
        As written in the submission; without a STUDENT the name of the file.
    file : str
        Within the folder of the submissions.
    questions : tuple of Marked
    by_hand : tuple of ByHand
    notes : tuple of str
        For the student: what could not be read.
    flags : tuple of str
        What a person should look at. A flag costs no points.
    others : tuple of str
        The same, where it names other students: for the instructor only.
    """

    student: str
    term: str
    file: str
    questions: tuple[Marked, ...]
    by_hand: tuple[ByHand, ...] = ()
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """Points that the grader can give."""
        return sum(question.points for question in self.questions)

    @property
    def earned(self) -> int:
        """Points that the grader gave."""
        return sum(question.earned for question in self.questions)


def grade_one(
    path: Path, assignment: Assignment, salt: str, worker: Worker, name: str = "", file: str | None = None
) -> Report:
    """Mark one submission.

    Parameters
    ----------
    path : Path
        A notebook or a .py file.
    assignment : Assignment
        What was asked.
    salt : str
        The secret that seeds the random inputs.
    worker : Worker
        Calls the answers.
    name : str
        Who handed it in, as the file's name says.
    file : str, optional
        What to call the file in the report.

    Returns
    -------
    Report
    """
    with JUDGING:
        submission = extract.read(path)
        by_hand = tuple(ByHand(text, n, extract.prose(submission, text)) for text, n in assignment.by_hand.items())
    student, flags = _who(submission.student, name)
    marking = _Marking(assignment, submission, salt, Variant(student, submission.term), worker)
    questions = tuple(marking.question(question) for question in assignment.questions)
    if not any(question.code for question in questions):
        flags.append(f"no answer of assignment {assignment.number} was found: empty, damaged, or another assignment?")
    flags = (*flags, *dict.fromkeys(marking.flags))
    return Report(student, submission.term, file or path.name, questions, by_hand, submission.notes, flags)


def grade_folder(
    folder: Path,
    assignment: Assignment,
    salt: str,
    out: Path,
    n_jobs: int = 2,
    unsafe: bool = False,
    one: bool = False,
    limits: Limits | None = None,
    workers: Sequence[Worker] = (),
) -> list[Report]:
    """Mark all submissions in a folder; what is done is kept in `out`, and a later call goes on from there.

    Parameters
    ----------
    folder : Path
        Holds ``<id>.ipynb`` files, or a folder ``<id>`` for each student, as learning platforms export them.
    assignment : Assignment
        What was asked.
    salt : str
        The secret that seeds the random inputs.
    out : Path
        Folder of the results.
    n_jobs : int
        Submissions side by side.
    unsafe : bool
        Go on where the system cannot isolate the students' code.
    one : bool
        The folder is a single submission.
    limits : Limits, optional
        Of time and memory.
    workers : sequence of Worker
        Some that run already, as many as `n_jobs`; without them they are started and closed here.

    Returns
    -------
    list of Report
        By student.

    Raises
    ------
    ValueError
        For a folder without submissions, or no salt.
    NotIsolated
        Where the system cannot isolate.
    KeyboardInterrupt
        With what is kept, and how to go on.
    """
    if not salt:
        raise ValueError("Expected a salt, got an empty one: take any secret words, and keep them for the term.")
    if not (files := submissions(folder, assignment, out, one)):
        raise ValueError(_nothing_in(folder))
    if n_jobs < 1:
        raise ValueError(f"Expected one job or more side by side, got {n_jobs}.")
    store = out / "submissions"
    store.mkdir(parents=True, exist_ok=True)
    same = fingerprint(assignment, salt, limits or Limits())
    names = {file: "" if one else extract.legible(name_of(file, folder, assignment)) for file in files}
    where = {file: file.relative_to(folder).as_posix() if folder.is_dir() else file.name for file in files}
    where = {file: extract.legible(place) for file, place in where.items()}
    kept = {file: store / f"{_key(file, same, where[file], names[file])}.json" for file in files}
    reports = {file: from_json(kept[file].read_text("utf-8")) for file in files if kept[file].exists()}
    todo = [file for file in files if file not in reports]

    def mark(worker: Worker, file: Path) -> Report:
        report = grade_one(file, assignment, salt, worker, names[file], where[file])
        _write(kept[file], to_json(report))
        return report

    try:
        start = partial(Worker, limits, [folder, out], unsafe)
        reports |= _side_by_side(todo, mark, min(n_jobs, len(todo)), start, workers)
    except KeyboardInterrupt:
        done = sum(path.exists() for path in kept.values())
        raise KeyboardInterrupt(
            f"Stopped: {done} of {len(files)} submissions are marked and kept in {store}. The same command goes on."
        ) from None
    return _compared(sorted(reports.values(), key=lambda report: (report.student.casefold(), report.file)))


def seeds(salt: str, *place: object) -> list[int]:
    """Seed of one trial: an HMAC of the salt, so that no trial tells anything about another."""
    digest = hmac.new(salt.encode(), "/".join(map(str, place)).encode(), hashlib.sha256).digest()
    return [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 32, 4)]


def fingerprint(assignment: Assignment, salt: str, limits: Limits) -> str:
    """What a mark depends on beside the submission: the rubric, this package's code, the limits and the salt."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[2].rglob("*.py")):
        digest.update(path.read_bytes())
    rubric = [[q.answer, [[line.text, line.points, line.trials] for line in q.rubric]] for q in assignment.questions]
    digest.update(json.dumps([assignment.number, rubric, assignment.by_hand, limits]).encode())
    return hmac.new(salt.encode(), digest.digest(), hashlib.sha256).hexdigest()


def submissions(folder: Path, assignment: Assignment, out: Path | None = None, one: bool = False) -> list[Path]:
    """Files to mark: every notebook or script of a folder, but one for each folder inside it.

    Parameters
    ----------
    folder : Path
        Of the submissions; or one file.
    assignment : Assignment
        Of several files in a student's folder the one with most answers counts.
    out : Path, optional
        Folder of the results, which may lie in there.
    one : bool
        The folder is a single submission.
    """
    if folder.is_file():
        return [folder] if folder.suffix in (".ipynb", ".py") else []
    left_out = out.resolve() if out else None
    groups: dict[str, list[Path]] = {}
    files = (path for path in folder.rglob("*") if path.suffix in (".ipynb", ".py"))
    for path in sorted(path for path in files if path.is_file() and not path.is_symlink()):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "__")) for part in parts)
        if not hidden and (left_out is None or left_out not in path.resolve().parents):
            groups.setdefault("" if one else parts[0], []).append(path)
    return [group[0] if len(group) == 1 else max(group, key=_answers_in(assignment)) for group in groups.values()]


def _answers_in(assignment: Assignment) -> Callable[[Path], tuple]:
    def count(path: Path) -> tuple:
        with JUDGING:
            submission = extract.read(path)
            written = [extract.answer(submission, question.answer).text for question in assignment.questions]
        return sum(map(bool, written)), path.stat().st_mtime, path.name  # a stub is no answer

    return count


def _nothing_in(folder: Path) -> str:
    """Say what was expected of a folder of submissions, and what is there."""
    if not folder.exists():
        found = f"there is no such folder in {Path.cwd()}"
    elif folder.is_file():
        found = "it is a file of another kind: unpack an archive first, and give the folder"
    else:
        there = sorted(path.name for path in folder.iterdir())[:3]
        found = f"found none, but {', '.join(there)}" if there else "found none, it is empty"
    return f"Expected .ipynb or .py files in {folder}, or a folder with some for each student; {found}."


def name_of(path: Path, folder: Path, assignment: Assignment) -> str:
    """Who handed a file in, by its place: the folder's name, or the file's without what learning platforms add."""
    parts = path.relative_to(folder).parts if folder.is_dir() else (path.name,)
    name = parts[0] if len(parts) > 1 else path.stem
    name = re.sub(r"_assignsubmission_.*", "", name)  # Moodle: Ada Lovelace_123_assignsubmission_file_
    if canvas := re.fullmatch(r"([^_]+)(?:_LATE)?_\d+_\d+_.*", name):  # lovelaceada_123_456_the-file-1
        return canvas[1]
    name = re.sub(rf"[ _-]*{re.escape(assignment.stem)}[ _-]*|[ _-]*\(\d+\)|_\d{{4,}}$", "", name)
    return name.strip()


def to_json(report: Report) -> str:
    """Text that keeps a report."""
    return json.dumps(report, ensure_ascii=False, indent=1)


def from_json(text: str) -> Report:
    """Read a report that was kept."""
    student, term, file, questions, by_hand, notes, flags, _ = json.loads(text)
    marked = (Marked(a, tuple(Mark(*m) for m in marks), tuple(n), code) for a, marks, n, code in questions)
    hands = (ByHand(*hand) for hand in by_hand)
    return Report(student, term, file, tuple(marked), tuple(hands), tuple(notes), tuple(flags))


class _Marking:
    """One submission while it is marked."""

    def __init__(
        self, assignment: Assignment, submission: extract.Submission, salt: str, variant: Variant, worker: Worker
    ) -> None:
        self.assignment, self.submission, self.salt = assignment, submission, salt
        self.variant, self.worker = variant, worker
        self.flags: list[str] = []
        self.until = time.monotonic() + worker.limits.submission

    def question(self, question: Question) -> Marked:
        """Mark one question, in processes of its own."""
        with JUDGING:
            answer = extract.answer(self.submission, question.answer)
        if not answer.pieces:
            lost = [_lost(line, answer.notes[-1]) for line in question.rubric]
            return Marked(question.answer, tuple(lost), answer.notes, "")
        called = _Called(self, question, answer)
        try:
            marks = tuple(called.line(index, line) for index, line in enumerate(question.rubric))
        finally:
            called.stop()
        # The best evidence of a question is enough: what it did, what was refused, or only what it says.
        tried = [f"tried to {what}" for what in sorted(called.noticed)]
        written = [f"uses {found[0]}" for found in SUSPECT.finditer("\n".join(answer.pieces))]
        found = tried or [f"was refused: {text}" for text in called.refused] or written
        self.flags += [f"`{question.answer}` {words}" for words in dict.fromkeys(found)]
        return Marked(question.answer, marks, answer.notes, answer.text)


class _Called:
    """One answer while it is called: a caged child, and another one where that was lost."""

    def __init__(self, marking: _Marking, question: Question, answer: extract.Answer) -> None:
        self.marking, self.question, self.answer = marking, question, answer
        self.child: Child | None = None
        self.hung, self.broken = 0, ""
        self.noticed: set[str] = set()
        self.refused: list[str] = []

    def line(self, index: int, line: Line) -> Mark:
        """Try one line of the rubric; the first trial that fails loses it."""
        for trial in range(line.trials):
            try:
                message = self.trial(index, line, trial)
            except Left as left:
                self.stop()
                message = self.words(*left.args)
                self.hung += left.args[0] == "time"
            if message:
                return _lost(line, message)
        return Mark(line.text, line.points, line.points, "", line.hidden)

    def trial(self, index: int, line: Line, trial: int) -> str | None:
        """Call the answer once; what is wrong with what came back, or None."""
        seconds = min(self.limit(), self.marking.until - time.monotonic())
        if self.broken:
            return self.broken
        if self.hung >= PATIENCE or seconds <= 0:
            return "was not tried: the answer ran out of time before."
        child = self.running()
        if self.broken:
            return self.broken
        where = (self.marking.assignment.number, self.question.answer, index, trial)
        inputs = self.drawn(line, where)
        outcome = child.call(inputs, line.through, seeds(self.marking.salt, *where, "answer")[0], seconds)
        if outcome.problem in WORDS:
            return self.words(outcome.problem, outcome.text)
        return self.explained(outcome) or self.judged(line, where, inputs, outcome)

    def running(self) -> Child:
        """The child with the answer loaded; notes what was wrong with that."""
        if self.child is None:
            self.child = self.marking.worker.child()
            problem = self.child.load(self.answer.pieces, self.question.answer)
            if problem:
                forbidden = "is closed while" in problem or "PermissionError" in problem
                reason = self.missing(problem) or f"could not be loaded: {problem}."
                self.broken = self.words("forbidden", problem) if forbidden else f"`{self.question.answer}` {reason}"
        return self.child

    def limit(self) -> float:
        """Seconds of a call. One that hung gets less: it may answer the other lines, and a class has to be marked."""
        return self.marking.worker.limits.call / (5 if self.hung else 1)

    def stop(self) -> None:
        """Let no child outlive its question."""
        if self.child is not None:
            self.noticed |= self.child.noticed
            self.child.end()
            self.child = None

    def drawn(self, line: Line, where: tuple) -> tuple:
        with Alone(self.marking.salt, *where, "inputs") as rng:
            return checks.draw(self.question.exercise, line, rng, self.marking.variant)

    def judged(self, line: Line, where: tuple, inputs: tuple, outcome: Outcome) -> str | None:
        """Judge what came back. A check that stumbles over a strange array gives no points, and a flag."""
        with Alone(self.marking.salt, *where, "judge"):
            try:
                return checks.fault(self.question.exercise, line, inputs, outcome, self.marking.variant)
            except Exception as error:
                shape, name = outcome.value.shape if outcome.value is not None else (), type(error).__name__
                self.marking.flags.append(f"the check of `{self.question.answer}`, {line.text!r}, stopped: {name}")
                return f"The check cannot read an array of shape {shape}. {self.question.exercise.shapes}"

    def explained(self, outcome: Outcome) -> str | None:
        """Why a name was not there, when the notebook computes it elsewhere."""
        reason = self.missing(outcome.text) if outcome.problem == "stopped" else None
        return f"`{self.question.answer}` {reason}" if reason else None

    def missing(self, text: str) -> str | None:
        found = re.match(r"NameError: name '(\w+)' is not defined", text)
        return self.answer.missing.get(found[1]) if found else None

    def words(self, problem: str, text: str) -> str:
        said = WORDS[problem].format(call=self.limit(), text=text)
        if problem == "forbidden":
            self.refused.append(text)
        return f"`{self.question.answer}` {said}"


class Alone:
    """The judge's own randomness, and nobody else judging meanwhile."""

    def __init__(self, *place: object) -> None:
        self.seeds = seeds(*map(str, place))

    def __enter__(self) -> np.random.Generator:
        JUDGING.acquire()
        random.seed(self.seeds[0])
        np.random.seed(self.seeds[1])  # noqa: NPY002 - checks may use the old generator
        torch.default_generator.manual_seed(self.seeds[2])  # manual_seed() would also prepare for GPUs, slowly
        self.quiet = warnings.catch_warnings()
        self.quiet.__enter__()
        warnings.simplefilter("ignore")  # overflows of wrong answers are not news
        return np.random.default_rng(self.seeds)

    def __exit__(self, *error: object) -> None:
        self.quiet.__exit__(*error)
        JUDGING.release()


def _lost(line: Line, message: str) -> Mark:
    return Mark(line.text, line.points, 0, message, line.hidden)


def _who(student: str, name: str) -> tuple[str, list[str]]:
    """The student, and what is odd about it."""
    if not re.search(r"[^\W_]", student):
        return name, ["STUDENT is missing: the file's name was taken, and with it perhaps another variant"]
    mine, file = (re.sub(r"[\W_]+", "", text).casefold() for text in (student, name))
    if file and mine not in file and file not in mine:
        return student, [f"STUDENT is {student!r}, the file is from {name!r}"]
    return student, []


def _key(file: Path, *what: str) -> str:
    digest = hashlib.sha256("\n".join(what).encode())
    # One that cannot be opened, or is large and empty, is a row in the table like any other.
    with contextlib.suppress(OSError), file.open("rb") as content:
        while part := content.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()[:32]


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    half = path.with_suffix(f".{threading.get_ident()}.half")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def _side_by_side(
    todo: Sequence[Path], mark: Callable, n_jobs: int, start: Callable[[], Worker], workers: Sequence[Worker]
) -> dict[Path, Report]:
    """Mark files in threads, each with a worker of its own."""
    if not todo:
        return {}
    free = list(workers)
    stop = threading.Event()

    def marked(file: Path) -> Report | None:
        if stop.is_set():
            return None
        worker = free.pop()
        try:
            return mark(worker, file)
        finally:
            free.append(worker)

    pool = ThreadPoolExecutor(n_jobs)
    with progress_bar(None, total=len(todo), desc="grading", unit="submission") as bar:
        bar.refresh()  # the workers take some seconds to start
        try:
            free += pool.map(lambda _: start(), range(n_jobs - len(free)))
            futures = {pool.submit(marked, file): file for file in todo}
            reports = {}
            for future in as_completed(futures):
                reports[futures[future]] = future.result()
                bar.update()
            return reports
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            for worker in free:
                if worker not in workers:
                    worker.close()


def _compared(reports: list[Report]) -> list[Report]:
    """Add the flags that need all submissions: one name twice, another term, the same text twice."""
    names = Counter(report.student.strip().casefold() for report in reports)
    ((usual, _),) = Counter(report.term for report in reports).most_common(1)
    by_code: dict[str, set[str]] = {}
    for report in reports:
        for question in report.questions:
            if question.code:
                by_code.setdefault(f"{question.answer}\n{question.code}", set()).add(report.file)
    compared = []
    for report in reports:
        flags = []
        if names[report.student.strip().casefold()] > 1:
            flags.append(f"{names[report.student.strip().casefold()]} files are from {report.student!r}")
        if report.term != usual:
            flags.append(f"TERM is {report.term!r}, most have {usual!r}: the variant is another term's")
        codes = [f"{q.answer}\n{q.code}" for q in report.questions if q.code]
        twins = Counter(other for code in codes for other in by_code[code] - {report.file})
        alike = [other for other, shared in sorted(twins.items()) if len(codes) > 2 and 2 * shared > len(codes)]
        if alike:
            more = f" and {len(alike) - 3} more" if len(alike) > 3 else ""
            flags.append(f"more than half of the answers have the same text as in {', '.join(alike[:3])}{more}")
        compared.append(report._replace(others=tuple(flags)))
    return compared
