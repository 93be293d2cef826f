"""Every exercise: the solution passes, the stub fails, and each classic mistake is met by its own sentence."""

import ast
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from cellmnn_edu.coursework.assignment import Line, Variant
from cellmnn_edu.coursework.checks import check, fault, judge
from cellmnn_edu.coursework.exercise import Exercise, Mistake
from cellmnn_edu.coursework.exercises import CHAPTERS, EXERCISES
from cellmnn_edu.coursework.outcome import call

ROOT = Path(__file__).parents[1]
ANSWERS = [import_module(f"exercises.{chapter}") for chapter in CHAPTERS]
SOLUTIONS = {name: solution for answers in ANSWERS for name, solution in answers.SOLUTIONS.items()}
WRONG = {name: wrong for answers in ANSWERS for name, wrong in answers.WRONG.items()}
GENERIC = re.compile(
    "wrong numbers|stopped with|Expected|do not fit together|NaN or inf|in place|returns nothing|cannot be judged"
)


# Each exercise. Seeds and wrong answers are tried in one test, since a test costs more than a check.


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_passes(name):
    for seed in range(5):
        verdict = judge(name, SOLUTIONS[name], seed)
        assert verdict.passed, f"seed {seed}: {verdict.message}"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_fails_and_says_what_to_write(name):
    for stub in (None, ..., lambda *args: None, lambda *args: ..., 3.0):
        verdict = judge(name, stub)
        assert not verdict.passed
        assert "write" in verdict.message or "return" in verdict.message or "function" in verdict.message
        assert verdict.message.endswith(f'See hint 1 and the section "{EXERCISES[name].section}".')


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", EXERCISES)
def test_wrong_answers_are_named(name, seed):
    own = set()
    for number, (answer, words) in enumerate(WRONG[name]):
        passed, message = judge(name, answer, seed)
        assert not passed, f"wrong answer {number} ({words}) passes"
        assert re.search(words, message), f"wrong answer {number}: {message}"
        assert message.endswith(f'the section "{EXERCISES[name].section}".')
        if not GENERIC.search(message):
            own.add(message)
    assert len(own) >= 3, "at least three wrong answers, each with its own message and none with a generic one"


@pytest.mark.parametrize("name", EXERCISES)
def test_every_mistake_has_its_own_message(name):
    named = EXERCISES[name].mistakes
    assert len(named) >= 3
    messages = {judge(name, mistake.compute).message for mistake in named}
    assert len(messages) == len(named)
    assert [message for message in messages if GENERIC.search(message)] == []


# The chapters

CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(?:---\n.*?^---\n)?(?::[^\n]*\n)*(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)


def checked(cell: str, imports: list[ast.stmt]) -> tuple:
    """What a cell hands to `check`. Until then it may use what its chapter imports, and nothing else of it."""
    lines = [line for line in ast.parse(cell).body if not isinstance(line, ast.Import | ast.ImportFrom)]
    last = next(k for k, line in enumerate(lines) if ast.unparse(line).startswith("check("))
    used = {node.id for line in lines[:last] for node in ast.walk(line) if isinstance(node, ast.Name)}
    needed = [line for line in imports if used & {name.asname or name.name for name in line.names}]
    calls = []
    code = compile(ast.Module([*needed, *lines[: last + 1]], []), "chapter", "exec")
    exec(code, {"check": lambda *given: calls.append(given)})
    return calls[0]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_chapter_holds_each_exercise_and_the_section_that_explains_it(chapter):
    page = (ROOT / f"book/chapters/{chapter.replace('_', '-')}.md").read_text("utf-8")
    trees = [ast.parse(cell) for cell in CELL.findall(page)]
    imports = [line for tree in trees for line in tree.body if isinstance(line, ast.Import | ast.ImportFrom)]
    headings = re.findall(r"^###? (.+)$", FENCED.sub("", page), re.MULTILINE)
    found = []
    for part in re.split(r"^(?=```\{exercise\})", page, flags=re.MULTILINE)[1:]:
        task = FENCED.match(part)[0]
        assert re.findall(r"\{admonition\} (.+)", task) == ["Hint 1", "Hint 2"]
        label = re.search(r"^:label: (\S+)$", task, re.MULTILINE)[1]
        before, after = part.split(f"```{{solution-start}} {label}\n")
        stub, solution = CELL.findall(before), CELL.findall(after.split("```{solution-end}")[0])
        name, empty = checked(stub[0], imports)
        assert "your code here" in stub[0]
        assert re.search("write|return", judge(name, empty).message)
        solved, right = checked(solution[-1], imports)
        assert solved == name
        assert judge(name, right).passed, judge(name, right).message
        assert EXERCISES[name].section in headings
        found.append(name)
    assert sorted(found) == sorted(import_module(f"cellmnn_edu.coursework.exercises.{chapter}").EXERCISES)


# What a check says, whatever it is given


def test_check_prints_lines_that_fit_a_cell(capsys):
    check("move", SOLUTIONS["move"])
    check("move", ...)
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines if line[0] != " "] == ["✓", "✗"]
    check("straight-line", lambda start, partner, t0, t1, t: start + (t - t0) * (partner - start))
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 76


def spoilt(spoil):
    """The right move, spoilt in the end."""
    return lambda A, z, dt: spoil(EXERCISES["move"].truth(A, z, dt))


def raising(error):
    def move(A, z, dt):
        raise error

    return move


class Mover:
    def move(self, A, z, dt):
        return EXERCISES["move"].truth(A, z, dt)

    def one_short(self, A, z):
        return z


class Hostile:
    """An object that will not be an array."""

    def __init__(self, error):
        self.error = error

    def __array__(self, *args, **options):
        raise self.error


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("I say nothing")


def with_step(A, z, *, dt):
    return z


def with_one_more(A, z, dt, n_steps, *, method):
    return z


def for_ever(A, z, dt):
    return for_ever(A, z, dt)


def one_by_one(A, z, dt):
    yield from z


async def later(A, z, dt):
    return z


ODD = {
    "no arguments": (lambda: 0, r"Your function takes no arguments, the check calls move\(A, z, dt\)\."),
    "one argument": (lambda A: A, "Your function takes 1 argument, the check"),
    "of a library": (np.linalg.inv, "stopped with TypeError: .*3"),
    "bound": (Mover().one_short, "one_short takes 2 arguments, the check"),
    "unbound": (Mover.move, "move takes 4 arguments, the check"),
    "by name": (with_step, "with_step takes 2 arguments and dt by name, the check"),
    "too many": (with_one_more, "with_one_more takes 4 arguments and method by name, the check"),
    "optional": (lambda A, z=0: z, "Your function takes 1 to 2 arguments, the check"),
    "starred": (lambda A, z, dt, n, *more: z, "Your function takes at least 4 arguments, the check"),
    "class": (Mover, "Expected the function .+, got the class Mover: write it with `def`"),
    "called": (np.ones(3), "Expected the function .+, got an ndarray: pass its name"),
    "text": ("move", "Expected the function .+, got a str: pass its name"),
    "generator": (one_by_one, "got a generator"),
    "coroutine": (later, "got a coroutine"),
    "map": (spoilt(lambda z: map(abs, z)), "got a map"),
    "function": (spoilt(lambda z: lambda: z), "got a function"),
    "dict": (spoilt(lambda z: {"z": z}), "got a dict"),
    "set": (spoilt(lambda z: {1.0, 2.0}), "got a set"),
    "holes": (spoilt(lambda z: [[None, *row[1:]] for row in z]), "got a list that holds None"),
    "sparse": (spoilt(scipy.sparse.csr_array), "got a csr_array"),
    "table of words": (spoilt(lambda z: pd.DataFrame(z).astype(str)), "got a DataFrame that holds text"),
    "masked": (spoilt(lambda z: np.ma.masked_less(z, z.mean())), "got a MaskedArray with masked entries"),
    "complex": (spoilt(lambda z: z + 0j), "got an ndarray of complex numbers"),
    "complex list": (spoilt(lambda z: (z + 1j).tolist()), "got a list of complex numbers"),
    "complex number": (spoilt(lambda z: 1j), "got a complex"),
    "string": (spoilt(str), "got a str"),
    "digits": (spoilt(lambda z: z.astype(str)), "got an ndarray of text"),
    "some digits": (spoilt(lambda z: z.astype(object).astype(str).astype(object)), "got an ndarray that holds text"),
    "bytes": (spoilt(lambda z: z.tobytes()), "got a bytes"),
    "dates": (spoilt(lambda z: z.astype("datetime64[s]")), "got an ndarray of dates"),
    "records": (spoilt(lambda z: np.zeros(len(z), "f,f")), "got an ndarray of records"),
    "booleans": (spoilt(lambda z: z > 0), "wrong numbers"),
    "integers": (spoilt(lambda z: (z * 1e6).astype("int32") * np.int32(10**6)), "wrong numbers"),
    "huge integer": (spoilt(lambda z: 10**400), "got an int too large for a float"),
    "huge integers": (spoilt(lambda z: [[10**400] * 3] * len(z)), "got a list too large for a float"),
    "huge floats": (spoilt(lambda z: np.where(z > 0, 1.7e308, -1.7e308)), "wrong numbers"),
    "half floats": (spoilt(lambda z: z.astype("float16") * np.float16(1e-4)), "wrong numbers"),
    "nothing at all": (spoilt(lambda z: z[:0]), r"got an array of shape \(0, 3\)"),
    "NaN": (spoilt(lambda z: z * np.nan), "NaN or inf"),
    "hostile": (spoilt(lambda z: Hostile(RuntimeError("no"))), "got a Hostile"),
    "hostile exit": (spoilt(lambda z: Hostile(SystemExit())), "got a Hostile"),
    "hostile list": (spoilt(lambda z: [Hostile(ValueError("no"))]), "got a list"),
    "singular": (lambda A, z, dt: np.linalg.inv(0 * A) @ z, "stopped with LinAlgError: Singular matrix"),
    "unfit": (lambda A, z, dt: A @ z, "do not fit together"),
    "unfit tensors": (lambda A, z, dt: torch.ones(2) + torch.ones(3), "do not fit together"),
    "no misfit": (raising(RuntimeError("dictionary changed size")), "stopped with RuntimeError: dictionary"),
    "index": (lambda A, z, dt: z[99], "stopped with IndexError: index 99 is out of bounds"),
    "its own mistake": (lambda A, z, dt: sorted(A, z), "stopped with TypeError: sorted expected 1 argument, got 2"),
    "unknown": (lambda A, z, dt: expn(A), "stopped with NameError: name 'expn' is not defined"),  # noqa: F821
    "recursion": (for_ever, "stopped with RecursionError"),
    "exit": (lambda A, z, dt: sys.exit("bye"), r"stopped with SystemExit: leave out exit\(\) and sys.exit\(\)\."),
    "base": (raising(GeneratorExit()), r"stopped with GeneratorExit\."),
    "stop": (raising(StopIteration(3)), "stopped with StopIteration: 3"),
    "group": (raising(ExceptionGroup("two", [KeyError(1), KeyError(2)])), "stopped with ExceptionGroup: two"),
    "mute": (raising(Mute()), r"stopped with Mute\."),
    "long": (raising(OSError("line\n" * 9999)), r"stopped with OSError: line line .{,200}\. See hint"),
    "warning": (lambda A, z, dt: warnings.warn("careful", stacklevel=1), "stopped with UserWarning: careful"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_gets_a_plain_sentence(odd, capsys):
    answer, words = ODD[odd]
    passed, message = judge("move", answer)
    assert not passed
    assert re.search(words, message), message
    assert re.search(r'See (hint 1 and|also) the section "A matrix for every cell"\.$', message)
    assert message == " ".join(message.split())
    check("move", answer)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 76


@pytest.mark.parametrize(
    "fine",
    [
        Mover().move,
        spoilt(pd.DataFrame),
        spoilt(np.ma.array),
        spoilt(np.longdouble),
        spoilt(lambda z: z.astype(object)),
        spoilt(lambda z: z.tolist()),
        spoilt(lambda z: z.astype("float32")),
    ],
)
def test_right_numbers_are_right_in_any_wrapping(fine):
    assert judge("move", fine).passed


@pytest.mark.parametrize("answer", [raising(KeyboardInterrupt()), spoilt(lambda z: Hostile(KeyboardInterrupt()))])
def test_an_interrupt_is_passed_on(answer):
    with pytest.raises(KeyboardInterrupt):
        judge("move", answer)


def test_inputs_that_cannot_be_compared_any_more_have_been_changed():
    def answer(wanted, files):
        files.append(Hostile(RuntimeError("no")))
        return [True] * len(files)

    assert "in place" in judge("same-run", answer).message


# What an assignment may ask for


def verdict(exercise, answer, inputs=(2.0,), **line):
    return fault(exercise, Line("", 1, **line), inputs, call(answer, inputs, line.get("through")), Variant(""))


DOUBLE = Exercise(
    "double(x)",
    lambda rng: (rng.normal(),),
    lambda x: 2 * x,
    (Mistake(lambda x: x**2 if x < 3 else 1 / 0, "This is the square, see hint 2."), Mistake(lambda x: x, "The same.")),
)


def test_a_message_points_to_what_there_is_and_names_no_hint_twice():
    there = DOUBLE._replace(section="Twice")
    away = there._replace(page="Numbers")
    assert verdict(DOUBLE, lambda x: x, (1.5,)) == "The same. See hint 1."
    assert verdict(there, lambda x: x, (1.5,)) == 'The same. See hint 1 and the section "Twice".'
    assert verdict(away, lambda x: x, (1.5,)) == 'The same. See hint 1 and the section "Twice" of "Numbers".'
    assert verdict(DOUBLE, lambda x: x**2, (1.5,)) == "This is the square, see hint 2."
    assert verdict(there, lambda x: x**2, (1.5,)) == 'This is the square, see hint 2. See also the section "Twice".'
    assert verdict(away, lambda x: 2 * x, (1.5,)) is None


def test_a_mistake_that_cannot_be_made_on_these_inputs_is_passed_over():
    assert verdict(DOUBLE, lambda x: x, (5.0,)) == "The same. See hint 1."
    assert "wrong numbers" in verdict(DOUBLE, lambda x: x**2, (5.0,))


def test_a_mistake_that_divides_by_zero_or_worse_on_the_way_is_named_without_a_warning():
    careless = Mistake(lambda x: np.where(x > 0, x + 1, np.sqrt(-x)), "One more.")
    assert verdict(DOUBLE._replace(mistakes=(careless,)), lambda x: x + 1) == "One more. See hint 1."


@pytest.mark.parametrize("where", ["line", "exercise"])
def test_values_that_a_fault_cannot_cope_with_are_wrong_in_words(where):
    def strict(values, *rest):
        return None if np.linalg.det(values) else "Singular."

    exercise = DOUBLE._replace(fault=strict, shapes="It takes a square.") if where == "exercise" else DOUBLE
    line = {"fault": strict} if where == "line" else {}
    assert verdict(exercise, lambda x: x + 1, **line).startswith("This is a single number that cannot be judged.")


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
