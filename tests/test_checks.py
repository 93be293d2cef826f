"""Every exercise: the solution passes, the stub fails, and each classic mistake is met by its own sentence."""

import re
from importlib import import_module

import numpy as np
import pytest

from cellmnn_edu.coursework.checks import check, judge
from cellmnn_edu.coursework.exercises import CHAPTERS, EXERCISES

ANSWERS = [import_module(f"exercises.{chapter}") for chapter in CHAPTERS]
SOLUTIONS = {name: solution for answers in ANSWERS for name, solution in answers.SOLUTIONS.items()}
WRONG = {name: wrong for answers in ANSWERS for name, wrong in answers.WRONG.items()}


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("seed", range(5))
def test_the_solution_passes(name, seed):
    verdict = judge(name, SOLUTIONS[name], seed)
    assert verdict.passed, verdict.message


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("stub", [None, ..., lambda *args: None, lambda *args: ..., 3.0])
def test_the_stub_fails_and_says_what_to_write(name, stub):
    verdict = judge(name, stub)
    assert not verdict.passed
    assert "write" in verdict.message or "return" in verdict.message or "function" in verdict.message


@pytest.mark.parametrize(("name", "answer", "message"), [(n, a, m) for n in WRONG for a, m in WRONG[n]])
@pytest.mark.parametrize("seed", [0, 1])
def test_wrong_answers_are_named(name, answer, message, seed):
    verdict = judge(name, answer, seed)
    assert not verdict.passed
    assert re.search(message, verdict.message)


@pytest.mark.parametrize("name", EXERCISES)
def test_every_mistake_has_its_own_message(name):
    named = EXERCISES[name].mistakes
    assert len(named) >= 3
    messages = {judge(name, mistake.compute).message for mistake in named}
    assert len(messages) == len(named)
    assert not any("wrong numbers" in message for message in messages)


def test_check_prints_lines_that_fit_a_cell(capsys):
    check("move", SOLUTIONS["move"])
    check("move", ...)
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines] == ["✓", "✗"]
    check("straight-line", lambda start, partner, t0, t1, t: start + (t - t0) * (partner - start))
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 76


def test_an_unknown_exercise_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="straight-line, move"):
        check("dance", lambda: None)


def test_a_nearly_right_answer_is_wrong():
    right = EXERCISES["straight-line"].truth

    def last_row(*inputs):
        out = right(*inputs)
        out[-1] += 1
        return out

    for answer in (lambda *inputs: right(*inputs) + 0.01, lambda *inputs: right(*inputs) * np.nan, last_row):
        assert not judge("straight-line", answer).passed


def test_every_trial_counts_and_depends_on_the_seed():
    calls = []

    def spy(*inputs):
        calls.append(inputs)
        return EXERCISES["straight-line"].truth(*inputs)

    judge("straight-line", spy, seed=0)
    judge("straight-line", spy, seed=1)
    assert len({inputs[0].tobytes() for inputs in calls}) == 8


def test_a_tensor_that_requires_a_gradient_is_an_answer():
    import torch

    def with_torch(start, partner, t0, t1, t):
        start = torch.tensor(start, requires_grad=True)
        return start + (t - t0) / (t1 - t0) * (torch.tensor(partner) - start)

    assert judge("straight-line", with_torch).passed


@pytest.mark.parametrize(
    "ragged",
    [
        lambda start, partner, *times: (start, partner, 3),
        lambda start, partner, *times: [start, partner[:2]],
        lambda start, partner, *times: [[1.0, 2.0], [3.0]],
    ],
)
def test_a_ragged_answer_is_wrong_and_says_what_was_expected(ragged):
    verdict = judge("straight-line", ragged)
    assert not verdict.passed
    assert re.search(r"Expected an array of shape \(.+ whose parts do not make one array", verdict.message)
