"""Every exercise: the solution passes, the stub fails, and each classic mistake is met by its own sentence."""

import numpy as np
import pytest
from scipy.linalg import expm

from cellmnn_edu.coursework.checks import EXERCISES, check, judge

SOLUTIONS = {
    "straight-line": lambda start, partner, t0, t1, t: ((t1 - t) * start + (t - t0) * partner) / (t1 - t0),
    "move": lambda A, z, dt: np.stack([expm(A * dt) @ cell for cell in z]),
}


def walk_in_place(start, partner, t0, t1, t):
    start += (t - t0) / (t1 - t0) * (partner - start)
    return start


def loops_over_entries(A, z, dt):
    return np.array([[sum(np.exp(A * dt)[i, j] * cell[j] for j in range(3)) for i in range(3)] for cell in z])


# Written as a student would write them, not as the check computes them; with a word of the expected message.
WRONG = {
    "straight-line": [
        (lambda start, partner, t0, t1, t: 0.5 * start + 0.5 * partner, "midpoint"),
        (
            lambda start, partner, t0, t1, t: (t - t0) / (t1 - t0) * start + (t1 - t) / (t1 - t0) * partner,
            "backwards",
        ),
        (lambda start, partner, t0, t1, t: (1 - (t - t0)) * start + (t - t0) * partner, "not divided"),
        (lambda start, partner, t0, t1, t: (1 - t / t1) * start + t / t1 * partner, "clock starts at 0"),
        (lambda start, partner, t0, t1, t: (partner - start) * (t - t0) / (t1 - t0), "displacement"),
        (lambda start, partner, t0, t1, t: start, "persistence"),
        (lambda start, partner, t0, t1, t: partner, "arrived already"),
        (walk_in_place, "in place"),
        (lambda start, partner, t0, t1, t: start + (partner - start) / (t1 - t0) * t, "below the line but not above"),
        (lambda start, partner, t0, t1, t: start + (partner - start) * (t - t0) / t1, "above the line but not below"),
        (lambda start, partner, t0, t1, t: start + (t - t0) / (t1 - t0) * partner, "partner - start, not partner"),
        (lambda start, partner, t0, t1, t: start[0], r"shape \(6, 3\)"),
        (lambda start, partner, t0, t1: start, "TypeError"),
        (lambda start, partner, t0, t1, t: start + 17, "wrong numbers"),
    ],
    "move": [
        (lambda A, z, dt: np.stack([expm(A.T * dt) @ cell for cell in z]), "transposed"),
        (lambda A, z, dt: z + (A @ z.T).T * dt, "one straight step"),
        (loops_over_entries, "each entry alone"),
        (lambda A, z, dt: np.stack([expm(A) @ cell for cell in z]), "time step is missing"),
        (lambda A, z, dt: (A @ z.T).T, "velocity"),
        (lambda A, z, dt: (dt * expm(A) @ z.T).T, "inside the exponential"),
        (lambda A, z, dt: (expm(-A * dt) @ z.T).T, "backwards"),
        (lambda A, z, dt: expm(A * dt) @ z, "from the right: see hint 2"),
        (lambda A, z, dt: (np.eye(3) + A * dt + A @ A * dt**2 / 2).dot(z.T).T, "cut short after M M;"),
        (lambda A, z, dt: (np.eye(3) + A * dt + A @ A * dt**2 / 2 + A @ A @ A * dt**3 / 6).dot(z.T).T, "M M M;"),
        (lambda A, z, dt: z + z @ expm(A * dt).T, "contains I already"),
        (lambda A, z, dt: expm(A * dt) @ z.T, r"shape \(6, 3\)"),
        (lambda A, z, dt: z + 17, "wrong numbers"),
        (lambda A, z, dt: "moved", "shape"),
    ],
}


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
    import re

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
