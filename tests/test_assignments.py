"""Every assignment: right answers earn all points, each line can be lost alone, slips have names, variants are fair.

The answers of an assignment are in tests/assignments/<module>.py: SOLUTIONS, WRONG, MUTANTS, check_variant; STUDENT is
whose numbers they hold, and own_solutions(variant), where it is there, gives those of others.
"""

import re
from collections import Counter
from importlib import import_module
from typing import NamedTuple

import numpy as np
import pytest

from cellmnn_edu.coursework.assignment import Assignment, Variant
from cellmnn_edu.coursework.assignments import ASSIGNMENTS, MODULES, QUESTIONS
from cellmnn_edu.coursework.checks import draw, fault, judge
from cellmnn_edu.coursework.exercises import EXERCISES
from cellmnn_edu.coursework.outcome import call

STUDENTS = [Variant("grace"), Variant("e.noether@example.org", "spring")]
STUBS = [None, ..., lambda *args: None, lambda *args: ..., 3.0]


class Sheet(NamedTuple):
    """An assignment, and the module of its answers."""

    assignment: Assignment
    answers: object

    @property
    def variant(self):
        return Variant(getattr(self.answers, "STUDENT", "ada"))


SHEETS = {
    module: Sheet(
        import_module(f"cellmnn_edu.coursework.assignments.{module}").ASSIGNMENT, import_module(f"assignments.{module}")
    )
    for module in MODULES
}
ASKED = [(module, question.name) for module, sheet in SHEETS.items() for question in sheet.assignment.questions]


def lost(question, answer, variant, seed):
    """Lines that an answer loses, and the first message of each."""
    rng, found = np.random.default_rng(seed), {}
    for k, line in enumerate(question.rubric):
        for _ in range(line.trials):
            inputs = draw(question.exercise, line, rng, variant)
            message = fault(question.exercise, line, inputs, call(answer, inputs, line.through), variant)
            if message:
                found.setdefault(k, message)
    return found


def said(question, answer, variant, seed):
    """What a student reads in the notebook, or else in the grader's report of the hidden lines."""
    verdict = judge(question.name, answer, seed, variant)
    return next(iter(lost(question, answer, variant, seed).values()), "") if verdict.passed else verdict.message


@pytest.mark.parametrize(("module", "name"), ASKED)
@pytest.mark.parametrize("seed", range(3))
def test_the_solution_earns_all_points(module, name, seed):
    sheet = SHEETS[module]
    assert lost(QUESTIONS[name], sheet.answers.SOLUTIONS[name], sheet.variant, seed) == {}
    assert judge(name, sheet.answers.SOLUTIONS[name], seed, sheet.variant).passed


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("variant", STUDENTS)
def test_other_students_can_earn_all_points(module, variant):
    own = getattr(SHEETS[module].answers, "own_solutions", lambda variant: {})(variant)
    for name, answer in (SHEETS[module].answers.SOLUTIONS | own).items():
        if name in own or not name.startswith("my-"):
            assert lost(QUESTIONS[name], answer, variant, 7) == {}


@pytest.mark.parametrize(("module", "name"), ASKED)
@pytest.mark.parametrize("stub", STUBS)
def test_the_stub_fails_and_says_what_to_write(module, name, stub):
    verdict = judge(name, stub, variant=SHEETS[module].variant)
    assert not verdict.passed
    assert re.search("write|return|function", verdict.message)


@pytest.mark.parametrize(("module", "name"), ASKED)
def test_wrong_answers_are_named(module, name):
    sheet, messages = SHEETS[module], Counter()
    for answer, words in sheet.answers.WRONG[name]:
        found = {said(QUESTIONS[name], answer, sheet.variant, seed) for seed in (0, 1)}
        assert all(re.search(words, message) for message in found), f"{words}: {found}"
        assert not any("wrong numbers" in message for message in found)
        messages.update(found)
    assert len(sheet.answers.WRONG[name]) >= 3
    assert max(messages.values()) == 1


@pytest.mark.parametrize(("module", "name"), ASKED)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_line_can_be_lost_alone(module, name, seed):
    sheet, question = SHEETS[module], QUESTIONS[name]
    mutants = sheet.answers.MUTANTS[name]
    assert {k for k, _ in mutants} == set(range(len(question.rubric)))
    for k, mutant in mutants:
        assert set(lost(question, mutant, sheet.variant, seed)) == {k}, f"{mutant.__name__} of line {k}"


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("term", ["open", "spring"])
def test_variants_are_fair_and_differ(module, term):
    answers = SHEETS[module].answers
    size = getattr(answers, "CLASS", 20)  # fewer where each costs much
    facts = [answers.check_variant(Variant(f"student {k}", term)) for k in range(size)]
    if facts[0] is not None:  # what identifies a variant
        assert len({repr(fact) for fact in facts}) == len(facts)


@pytest.mark.parametrize("module", MODULES)
def test_a_variant_follows_from_student_and_term_alone(module):
    facts = SHEETS[module].answers.check_variant
    assert repr(facts(Variant("Ada ", "spring"))) == repr(facts(Variant("ada", "spring")))
    if facts(Variant("ada")) is not None:
        assert repr(facts(Variant("ada"))) != repr(facts(Variant("ada", "spring")))


def test_names_and_numbers_occur_once():
    questions = [question.name for assignment in ASSIGNMENTS.values() for question in assignment.questions]
    assert len(set(questions)) == len(questions) == len(QUESTIONS)
    assert not set(questions) & set(EXERCISES)
    assert len(ASSIGNMENTS) == len(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_rubric_adds_up(module):
    assignment, answers = SHEETS[module]
    assert assignment.slug == module.replace("_", "-")
    assert answers.MARKS["FULL"] == assignment.points
    assert 0.4 <= answers.MARKS["HALF"] / assignment.points <= 0.6
    assert answers.MARKS["NONE"] == 0
    for question in assignment.questions:
        assert len({line.text for line in question.rubric}) == len(question.rubric) >= 2
        assert question.exercise.call.startswith(f"{question.answer}(")
        assert any(not line.hidden for line in question.rubric)
        if question.exercise.call != f"{question.answer}()":  # typed numbers have nothing to hide
            assert any(line.hidden for line in question.rubric)


@pytest.mark.parametrize(
    ("module", "sample"), [(module, sample) for module in MODULES for sample in ("FULL", "HALF", "NONE")]
)
def test_samples_earn_their_marks(module, sample):
    """Run whole, as a student would; the real grader, in a process of its own, is tested in test_grading."""
    assignment, answers = SHEETS[module]
    space = {}
    exec(compile(getattr(answers, sample), sample, "exec"), space)
    variant, earned = Variant(space["STUDENT"], space["TERM"]), 0
    for question in assignment.questions:
        missed = lost(question, space[question.answer], variant, 5)
        earned += sum(line.points for k, line in enumerate(question.rubric) if k not in missed)
    assert earned == answers.MARKS[sample]
