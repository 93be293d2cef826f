"""Which learning goal is practised where (`python -m cellmnn_edu.coursework.coverage` writes the page of the guide).

Goals are what stands behind "You will be able to" on the card of each chapter, exercises and questions come from the
masters and the assignments. The only thing written by hand is which goal an exercise serves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from .assignments import ASSIGNMENTS

PAGE = "book/instructor/coverage.md"
# Label of an exercise -> number of the goal that it serves, counted on the card of its chapter from 1.
SERVES = {
    "ex-straight-line": 2,
    "ex-move": 3,
    "ex-snap-w1-line": 1,
    "ex-snap-mmd": 1,
    "ex-snap-p-value": 2,
    "ex-snap-honest": 3,
    "ex-chord": 1,
    "ex-average-jacobian": 2,
    "ex-lifted-move": 3,
    "ex-other-factor": 1,
    "ex-two-operators": 1,
    "ex-poke": 2,
    "ex-second-order": 3,
    "ex-flow-eigen": 2,
    "ex-rotate": 3,
    "ex-order": 4,
    "ex-midpoint": 4,
    "ex-invisible": 1,
    "ex-spread": 1,
    "ex-calmest": 3,
    "ex-hyper-velocity": 1,
    "ex-last-scale": 2,
    "ex-assemble": 3,
    "ex-parameters": 5,
    "ex-match-witness": 1,
    "ex-match-slope": 1,
    "ex-match-weights": 4,
    "ex-match-effort": 4,
    "ex-apply-all": 1,
    "ex-longest-run": 2,
    "ex-same-run": 4,
    "ex-go-on": 4,
    "ex-bite-pair": 2,
    "ex-bite-mean": 2,
    "ex-bite-strangers": 2,
    "ex-bite-bridge": 1,
    "ex-second-fit": 1,
    "ex-second-frozen": 2,
    "ex-second-slopes": 3,
    "ex-second-tied": 4,
    "ex-race-share": 2,
    "ex-race-pairs": 3,
    "ex-race-choose": 4,
    "ex-race-seeds": 3,
    "ex-genes-lift": 1,
    "ex-genes-strength": 2,
    "ex-genes-basis": 1,
    "ex-genes-alike": 4,
    "ex-right-null": 1,
    "ex-right-stands": 3,
    "ex-right-confusion": 4,
    "ex-right-twin": 5,
    "ex-better-shrink": 1,
    "ex-better-inside": 2,
    "ex-better-unrest": 4,
    "ex-better-within": 4,
    "ex-states-alike": 1,
    "ex-states-clock": 2,
    "ex-states-plant": 4,
    "ex-states-turn": 5,
    "ex-what-if-shifts": 1,
    "ex-what-if-far": 3,
    "ex-what-if-rest": 1,
    "ex-what-if-arrives": 2,
}


class Task(NamedTuple):
    """An exercise of a chapter."""

    label: str
    title: str
    level: int


class Chapter(NamedTuple):
    """What a chapter promises and asks for."""

    page: str
    title: str
    goals: tuple[str, ...]
    tasks: tuple[Task, ...]


def chapters(root: Path) -> list[Chapter]:
    """Chapters of the book in its order.

    Raises
    ------
    ValueError
        For a chapter without a card, and for an exercise that serves no goal of it.
    """
    pages = re.findall(r"file: *(chapters/\S+)", (root / "book/_toc.yml").read_text("utf-8"))
    return [read_chapter((root / f"book/{page}.md").read_text("utf-8"), page) for page in pages]


def read_chapter(text: str, page: str) -> Chapter:
    """Title, goals and exercises of one chapter; ValueError as in `chapters`."""
    card = re.search(r"^\*\*You will be able to\*\* (.+?)\.? *$", text, re.M)
    if card is None:
        raise ValueError(f"book/{page}.md has no line that begins with **You will be able to**: its goals are missing.")
    goals = tuple(goal.strip().removeprefix("and ") for goal in card[1].split(";"))
    found = re.findall(r"^```\{exercise\} (.+)\n:label: (\S+)\n:class: level-(\d)", text, re.M)
    tasks = tuple(Task(label, title, int(level)) for title, label, level in found)
    for task in tasks:
        if not 1 <= SERVES.get(task.label, 0) <= len(goals):
            raise ValueError(
                f"Expected the exercise {task.label} to serve one of the {len(goals)} goals of book/{page}.md, got "
                f"{SERVES.get(task.label)}: name its goal in SERVES of cellmnn_edu/coursework/coverage.py."
            )
    return Chapter(page, re.search(r"^# (.+)$", text, re.M)[1], goals, tasks)


def questions_about(title: str) -> list[str]:
    """Questions of the assignments that point to the chapter of this title: "assignment 1: `median_step` (6)"."""
    return [
        f"{_sheet(number)}: `{question.answer}` ({question.points})"
        for number, sheet in ASSIGNMENTS.items()
        for question in sheet.questions
        if question.exercise.page == title
    ]


def _sheet(number: str) -> str:
    return number if number == "capstone" else f"assignment {number}"


def page(root: Path) -> str:
    """Text of the coverage page."""
    found = chapters(root)
    n_tasks = sum(len(chapter.tasks) for chapter in found)
    n_goals = sum(len(chapter.goals) for chapter in found)
    lines = [
        "% Made by `python -m cellmnn_edu.coursework.coverage`; a test makes it again and compares.",
        "",
        "# What is practised where",
        "",
        f"The {len(found)} chapters promise {n_goals} things, and {n_tasks} exercises practise them.",
        "Where no exercise asks for a goal the table says so: take it up in class.",
        "The number behind an exercise is its level, from 1 (a line or two) to 3 (it takes an idea).",
        "Questions of the assignments stand with the chapter that they lean on most, with their points.",
    ]
    for chapter in found:
        lines += ["", f"## {chapter.title}", "", f"[Read the chapter](../{chapter.page}.md).", ""]
        lines += ["| you will be able to | exercise |", "|---|---|"]
        for number, goal in enumerate(chapter.goals, 1):
            tasks = [f"{task.title} ({task.level})" for task in chapter.tasks if SERVES[task.label] == number]
            lines.append(f"| {goal} | {'; '.join(tasks) or 'no exercise'} |")
        if asked := questions_about(chapter.title):
            lines += ["", f"Assignments: {'; '.join(asked)}."]
    return "\n".join([*lines, *_sheets(), ""])


def _sheets() -> list[str]:
    """What each assignment asks for, and who marks it."""
    lines = ["", "## The assignments, line by line"]
    for number, sheet in ASSIGNMENTS.items():
        lines += [
            "",
            f"### {_sheet(number).capitalize()}: {sheet.title}",
            "",
            "| asked | points | marked by |",
            "|---|---|---|",
        ]
        for question in sheet.questions:
            lines += [
                f"| `{question.answer}`: {line.text} | {line.points} | {'hidden' if line.hidden else 'visible'} check |"
                for line in question.rubric
            ]
        lines += [f"| {text} | {points} | hand |" for text, points in sheet.by_hand.items()]
        lines += [f"| together | {sheet.points + sum(sheet.by_hand.values())} | |"]
    return lines


def main(root: Path) -> None:
    """Write the page."""
    (root / PAGE).write_text(page(root), encoding="utf-8")
    print(f"wrote {root / PAGE}")


if __name__ == "__main__":
    main(Path())
