"""Assignment 2, "Operators and the proposition"."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import expm

from ... import linearize
from ..assignment import Assignment, Line, Question, Variant
from ..exercise import Exercise, Mistake
from ..faults import in_part, own_numbers
from ..given import Circuit, own_circuit, random_circuit

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..faults import Fault

FIELD = "Every field is linear, somewhere"
MANY = "One field, many operators"
MOVING = "Moving in closed form"
PHOTOGRAPHS = "Two laws, the same photographs: which one is true?"


def _off(values: np.ndarray, truth: np.ndarray) -> float:
    """Largest difference, relative to the largest entry of the truth; NaN counts as infinite."""
    gap = np.abs(values - truth).max() / np.abs(truth).max()
    return float(gap) if np.isfinite(gap) else np.inf


def _wrong_shape(values: np.ndarray, shape: tuple[int, ...], words: str) -> str | None:
    return None if values.shape == shape else f"Expected an array of shape {shape}, got {values.shape}: {words}"


# --- factor ------------------------------------------------------------------------------------------------------


def _cells(rng: np.random.Generator, n_genes: int, n_cells: int) -> tuple:
    circuit = random_circuit(rng, n_genes)
    return circuit, circuit.rest * rng.uniform(0.3, 2.6, (n_cells, n_genes))


def _at_rest(rng: np.random.Generator, variant: Variant) -> tuple:
    circuit = random_circuit(rng)
    return circuit, np.tile(circuit.rest, (2, 1))


def _in_single(rng: np.random.Generator, variant: Variant) -> tuple:
    circuit, x = _cells(rng, 3, 1)
    return circuit.single(), x.astype(np.float32)


def _average(circuit: Circuit, x: np.ndarray, nodes: np.ndarray, weights: np.ndarray, base: Any = None) -> np.ndarray:
    base = circuit.rest if base is None else base
    return sum(w * circuit.jacobian(base + s * (x - base)) for s, w in zip(nodes, weights, strict=True))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def _factor(circuit: Circuit, x: np.ndarray) -> np.ndarray:
    return _average(circuit, x, (_NODES + 1) / 2, _WEIGHTS / 2)


def _nearest(circuit: Circuit, x: np.ndarray) -> np.ndarray:
    way, jacobian = x - circuit.rest, circuit.jacobian(x)
    left = circuit(x) - np.einsum("nij,nj->ni", jacobian, way)
    return jacobian + left[:, :, None] * way[:, None] / np.square(way).sum(1)[:, None, None]


def _smallest(circuit: Circuit, x: np.ndarray) -> np.ndarray:
    way = x - circuit.rest
    return circuit(x)[:, :, None] * way[:, None] / np.square(way).sum(1)[:, None, None]


def _moves(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    circuit, x = inputs
    if wrong := _wrong_shape(values, (*x.shape, x.shape[1]), "one matrix for each cell."):
        return wrong
    off = _off(np.einsum("nij,nj->ni", values, x - circuit.rest), circuit(x))
    limit = 1e-3 if x.dtype == np.float32 else 1e-4
    return None if off < limit else f"A (x - rest) is not the velocity: off by {off:.0e} of it."


def _is_average(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    if wrong := _wrong_shape(values, _factor(*inputs).shape, "one matrix for each cell."):
        return wrong
    if _off(values, _factor(*inputs)) < 1e-4:
        return None
    if wrong := _moves(values, inputs, variant):
        return wrong
    return "This gives the velocity, as many matrices do, but it is not the average Jacobian along the straight way."


def _is_jacobian(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    circuit, x = inputs
    if wrong := _wrong_shape(values, (*x.shape, x.shape[1]), "one matrix for each cell."):
        return wrong
    if not np.isfinite(values).all():
        return "For a cell that is at rest the answer holds NaN or inf. The way is zero there: do not divide by it."
    off = _off(values, circuit.jacobian(x))
    return None if off < 1e-4 else "For a cell at rest every continuous operator is the Jacobian there; this is not."


FACTOR = Question(
    "factor",
    Exercise(
        call="factor(circuit, x)",
        inputs=lambda rng: _cells(rng, 3, 5),
        truth=_factor,
        mistakes=(
            Mistake(
                lambda c, x: c.jacobian(x),
                "This is the Jacobian at the cell. It answers a small push; times the whole way from rest it does not "
                "give the velocity.",
            ),
            Mistake(
                lambda c, x: _average(c, x, (_NODES + 1) / 2, _WEIGHTS / 2, base=0 * x),
                "The walk starts at concentration 0. This circuit rests at circuit.rest, so the walk must start there.",
            ),
            Mistake(
                lambda c, x: 2 * _factor(c, x),
                "Twice too large: the weights of leggauss add up to 2, those of an average to 1.",
            ),
            Mistake(
                lambda c, x: _average(c, x, _NODES, _WEIGHTS / 2),
                "The walk runs from -1 to 1 and so begins on the far side of rest: bring the nodes to 0 ... 1.",
            ),
            Mistake(
                lambda c, x: _average(c, x, _NODES, _WEIGHTS),
                "Nodes and weights of leggauss belong to the interval from -1 to 1: bring both to 0 ... 1.",
            ),
            Mistake(
                lambda c, x: c.jacobian((c.rest + x) / 2),
                "This is one Jacobian, half-way: a walk through curved country takes more than one look.",
            ),
            Mistake(
                lambda c, x: (c.jacobian(0 * x + c.rest) + c.jacobian(x)) / 2,
                "The mean of the Jacobians at both ends is not the mean along the way.",
            ),
            Mistake(
                lambda c, x: c.jacobian(0 * x + c.rest),
                "This is the Jacobian at rest for every cell: the operator has to change with the cell.",
            ),
            Mistake(
                lambda c, x: _factor(c, x).swapaxes(1, 2),
                "These are the right matrices, transposed: rows are targets, columns are regulators.",
            ),
            Mistake(
                _nearest,
                "This gives the velocity, but it is another factor, the one nearest to the Jacobian. Asked is the "
                "average along the way.",
            ),
            Mistake(
                _smallest,
                "This gives the velocity, but it is the smallest factor, f times way / |way|^2. Asked is the average "
                "along the way.",
            ),
        ),
        section="Two genes and a walk",
        page=FIELD,
        shapes="x is (n, D) and the answer (n, D, D), one matrix for each cell.",
    ),
    (
        Line("A times the way from rest is the velocity", 5, fault=_moves),
        Line("for a cell at rest, A is the Jacobian", 3, _at_rest, _is_jacobian),
        Line(
            "entry by entry the average on the way, for one cell of six genes",
            2,
            lambda rng, v: _cells(rng, 6, 1),
            _is_average,
            hidden=True,
        ),
        Line("float32 costs no more than float32", 2, _in_single, _moves, hidden=True),
    ),
)


# --- wished_entry ------------------------------------------------------------------------------------------------


def _wish(rng: np.random.Generator, n_genes: int = 3) -> tuple:
    way = rng.uniform(0.5, 2.0, n_genes) * rng.choice([-1, 1], n_genes)
    A, i = rng.normal(size=(n_genes, n_genes)), int(rng.integers(n_genes))
    j = (i + int(rng.integers(1, n_genes))) % n_genes
    return A, way, i, j, float(A[i, j] + rng.choice([-1, 1]) * rng.uniform(1, 3))


def _wish_with_zeros(rng: np.random.Generator, variant: Variant) -> tuple:
    A, way, i, j, value = _wish(rng, 5)
    left = (j + 1 + rng.integers(4)) % 5
    way[[k for k in range(5) if k != left and (k != j or rng.random() < 0.3)]] = 0.0  # gene j itself may rest too
    return A, way, i, j, value


def _wish_in_vain(rng: np.random.Generator, variant: Variant) -> tuple:
    A, way, i, j, value = _wish(rng, 4)
    return A, np.where(np.arange(4) == j, way, 0.0), i, j, value


def _wished(A: np.ndarray, way: np.ndarray, i: int, j: int, value: float) -> np.ndarray:
    free = np.square(np.delete(way, j)).sum()
    if way[j] == 0:
        return _set(A, i, j, value)
    if free == 0:
        return np.full(A.shape, np.nan)
    unit = np.eye(len(way))
    return A + (value - A[i, j]) / free * np.outer(unit[i], way @ way * unit[j] - way[j] * way)


def _set(A: np.ndarray, i: int, j: int, value: float) -> np.ndarray:
    out = A.copy()
    out[i, j] = value
    return out


def _bracket(way: np.ndarray) -> np.ndarray:
    return way @ way * np.eye(len(way)) - np.outer(way, way)


def _entry(A: np.ndarray, i: int, j: int, value: float) -> np.ndarray:
    return _set(0 * A, i, j, value - A[i, j])


def _paid_by_another_row(A: np.ndarray, way: np.ndarray, i: int, j: int, value: float) -> np.ndarray:
    return _wished(A.T, way, j, i, value).T


def _same_velocity(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    A, way = inputs[:2]
    if wrong := _wrong_shape(values, A.shape, "one matrix."):
        return wrong
    off = _off(values @ way, A @ way)
    return None if off < 1e-6 else "The velocity has changed: this matrix times `way` is not A times `way`."


def _has_entry(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    A, _, i, j, value = inputs
    if wrong := _wrong_shape(values, A.shape, "one matrix."):
        return wrong
    if np.isclose(values[i, j], value, rtol=1e-6):
        return None
    if np.isclose(values[j, i], value, rtol=1e-6):
        return f"The wish was fulfilled for the effect of gene {i} on {j}. That of gene {j} on {i} is in row {i}."
    return f"The effect of gene {j} on gene {i}, entry [{i}, {j}], is not the wished value."


def _fulfilled(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    what = _same_velocity(values, inputs, variant) or _has_entry(values, inputs, variant)
    return f"{what} Here some entries of `way` are zero: who cannot pay?" if what else None


def _refused(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    if wrong := _wrong_shape(values, inputs[0].shape, "one matrix, of NaN where there is none."):
        return wrong
    if np.isnan(values).all():
        return None
    return "Only gene j is away from rest here, so its column is known and the wish cannot be met: return NaN."


WISHED_ENTRY = Question(
    "wished_entry",
    Exercise(
        call="wished_entry(A, way, i, j, value)",
        inputs=_wish,
        truth=_wished,
        mistakes=(
            Mistake(
                lambda A, w, i, j, v: _set(A, i, j, v),
                "The entry is there, but nothing in its row pays for it: the velocity of gene i has changed.",
            ),
            Mistake(
                lambda A, w, i, j, v: _set(A, j, i, v),
                "The entry stands at [j, i]: the effect of j on i is in row i, column j. And nothing pays for it.",
            ),
            Mistake(
                lambda A, w, i, j, v: A + _entry(A, i, j, v) @ _bracket(w),
                "The velocity is right, but the bracket multiplies what you add: entry [i, j] grows by M_ij times "
                "(|way|^2 - way_j^2), not by M_ij.",
            ),
            Mistake(
                lambda A, w, i, j, v: A + _bracket(w) @ _entry(A, i, j, v),
                "The bracket stands on the wrong side of M: it has to be next to `way` to silence it.",
            ),
            Mistake(
                lambda A, w, i, j, v: A + _entry(A, i, j, v + A[i, j]) @ _bracket(w) / (w @ w - w[j] ** 2),
                "The entry becomes A_ij + value: add only what is missing, value - A_ij.",
            ),
            Mistake(
                lambda A, w, i, j, v: 2 * A - _wished(A, w, i, j, v),
                "The sign of what you add is turned round: the entry moves away from the wish.",
            ),
            Mistake(
                _paid_by_another_row,
                "The price was paid in another row. Every row has its own equation: gene i pays in row i.",
            ),
            Mistake(
                lambda A, w, i, j, v: A,
                "This is A itself: the velocity is right, and the wish was not heard.",
            ),
        ),
        section="One equation, two unknowns",
        page=MANY,
        shapes="A and the answer are (D, D), and way is (D,).",
    ),
    (
        Line("the velocity stays the same", 4, fault=_same_velocity),
        Line("the wished entry is there", 3, fault=_has_entry),
        Line("both hold where some genes are at rest", 3, _wish_with_zeros, _fulfilled, hidden=True, trials=6),
        Line("NaN where no such matrix exists", 2, _wish_in_vain, _refused, hidden=True),
    ),
)


# --- carry -------------------------------------------------------------------------------------------------------


def _jump(rng: np.random.Generator, n_cells: int = 4) -> tuple:
    A, rest = rng.normal(size=(n_cells, 3, 3)), rng.uniform(0.5, 2, 3)
    return A, rest, rest * rng.uniform(0.3, 2.5, (n_cells, 3)), float(rng.uniform(6, 18))


def _back(rng: np.random.Generator, variant: Variant) -> tuple:
    A, rest, x, hours = _jump(rng, 1)
    return A, rest, x, -hours


def _shear(rng: np.random.Generator, variant: Variant) -> tuple:
    _, rest, x, hours = _jump(rng, 1)
    A = np.diag(np.full(3, -rng.uniform(0.5, 1.5))) + np.diag(rng.uniform(2, 4, 2), 1)
    return A[None], rest, x, hours


def _stiff(rng: np.random.Generator, variant: Variant) -> tuple:
    _, rest, x, _ = _jump(rng, 1)
    basis = np.eye(3) + 0.2 * rng.normal(size=(3, 3))
    values = np.diag([-rng.uniform(60, 80), -rng.uniform(20, 30), -rng.uniform(0.2, 0.6)])
    return (basis @ values @ np.linalg.inv(basis))[None], rest, x, 24.0


def _act(matrices: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.einsum("nij,nj->ni", matrices, z)


def _carry(A: np.ndarray, rest: np.ndarray, x: np.ndarray, hours: float) -> np.ndarray:
    return rest + _act(expm(A * hours / 24), x - rest)


def _carried(change: Callable) -> Callable:
    """A wrong way that changes the matrices of the move: change(A, days)."""
    return lambda A, rest, x, hours: rest + _act(change(A, hours / 24), x - rest)


def _carries(words: str) -> Fault:
    return in_part(_carry, ..., words)


CARRY = Question(
    "carry",
    Exercise(
        call="carry(A, rest, x, hours)",
        inputs=_jump,
        truth=_carry,
        mistakes=(
            Mistake(
                _carried(lambda A, days: expm(A * days * 24)),
                "Hours were used as days: A is per day, so the exponent needs hours / 24.",
            ),
            Mistake(
                lambda A, rest, x, h: _act(expm(A * h / 24), x),
                "The operator acts on x itself; it acts on the way from rest, x - rest, and the result starts at rest.",
            ),
            Mistake(
                lambda A, rest, x, h: _act(expm(A * h / 24), x - rest),
                "This is the way from rest after the move. Add rest, so that the answer is a concentration again.",
            ),
            Mistake(
                lambda A, rest, x, h: x + _act(expm(A * h / 24), x - rest),
                "exp(A t) gives the whole new way from rest, not a change: add it to rest, not to x.",
            ),
            Mistake(
                _carried(lambda A, days: expm(A * days).swapaxes(1, 2)),
                "The matrices are transposed: with cells in rows, z @ M is M transposed times z.",
            ),
            Mistake(
                _carried(lambda A, days: np.exp(A * days)),
                "np.exp acts on each entry alone; the exponential of a matrix is scipy.linalg.expm.",
            ),
            Mistake(
                _carried(lambda A, days: np.eye(3) + A * days),
                "This is one straight step, I + A t; the closed form is the exponential.",
            ),
            Mistake(
                _carried(lambda A, days: expm(A[:1] * days).repeat(len(A), 0)),
                "All cells were moved by the matrix of the first one; each has its own.",
            ),
            Mistake(
                _carried(lambda A, days: expm(A.mean(0) * days)[None].repeat(len(A), 0)),
                "All cells were moved by the average matrix; each has its own.",
            ),
            Mistake(
                _carried(lambda A, days: expm(A * abs(days))),
                "The sign of the hours was lost: a move by minus three hours goes back.",
            ),
        ),
        section="Many small steps, or one",
        page=MOVING,
        shapes="A is (n, D, D), one matrix for each cell; rest is (D,); x and the answer are (n, D).",
    ),
    (
        Line("every cell moves with its own matrix, hours into days", 4),
        Line("minus some hours lead back in time", 3, _back),
        Line(
            "also where the eigenvectors have fallen together",
            3,
            _shear,
            _carries("Wrong for a shear, which has fewer eigenvectors than genes: do not go through them. See hint 2."),
            hidden=True,
        ),
        Line(
            "also where a motion is very fast",
            2,
            _stiff,
            _carries("Wrong for a fast motion: a series or small steps need more terms than you have. See hint 2."),
            hidden=True,
        ),
    ),
)


# --- turning_operator --------------------------------------------------------------------------------------------


def _turn(rng: np.random.Generator, degrees: float, growth: float) -> tuple:
    start = rng.uniform(0.5, 2) * _direction(rng.uniform(0, 2 * np.pi))
    end = growth * np.linalg.norm(start) * _direction(np.arctan2(start[1], start[0]) + np.radians(degrees))
    return start, end, float(rng.uniform(4, 20))


def _direction(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def _left(rng: np.random.Generator) -> tuple:
    return _turn(rng, rng.uniform(25, 80), rng.uniform(1.3, 2.0))


def _any_turn(rng: np.random.Generator, variant: Variant) -> tuple:
    return _turn(rng, rng.choice([-1, 1]) * rng.uniform(25, 160), rng.uniform(1.3, 2.0))


def _right(rng: np.random.Generator, variant: Variant) -> tuple:
    return _turn(rng, -rng.uniform(100, 165), 1.0)


def _half_turn(rng: np.random.Generator, variant: Variant) -> tuple:
    start, _, hours = _turn(rng, 0, 1)
    return start, -start, hours


def _block(growth: float, turn: float) -> np.ndarray:
    return np.array([[growth, -turn], [turn, growth]])


def _growth_and_angle(start: np.ndarray, end: np.ndarray) -> tuple[float, float]:
    ratio = complex(*end) / complex(*start)
    return float(np.log(abs(ratio))), float(np.angle(ratio))


def _turning(start: np.ndarray, end: np.ndarray, hours: float) -> np.ndarray:
    return _block(*_growth_and_angle(start, end)) * 24 / hours


def _spun(change: Callable) -> Callable:
    """A wrong way that gets the growth and the angle: change(growth, angle), then per day."""
    return lambda s, e, h: change(*_growth_and_angle(s, e)) * 24 / h


def _arrives(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    start, end, hours = inputs
    if wrong := _wrong_shape(values, (2, 2), "one operator."):
        return wrong
    if not np.isfinite(values).all():
        return "The operator holds NaN or inf: which angle, or which length, did your formula divide by?"
    off = _off(expm(np.clip(values, -1e4, 1e4) * hours / 24) @ start, end)
    return None if off < 1e-4 else "After these hours the operator has not carried `start` to `end`."


def _is_block(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    if wrong := _wrong_shape(values, (2, 2), "one operator."):
        return wrong
    growth, turn = values[0, 0], values[1, 0]
    if not np.isfinite(values).all() or not np.allclose(values, _block(growth, turn), rtol=1e-6):
        return "Asked is a block [[g, -w], [w, g]]: the same g twice, and w with both signs."
    if abs(turn) * inputs[2] / 24 > np.pi * (1 + 1e-6):
        return "This takes the long way round: of all w that arrive, take the one that turns by at most 180 degrees."
    return None


TURNING_OPERATOR = Question(
    "turning_operator",
    Exercise(
        call="turning_operator(start, end, hours)",
        inputs=_left,
        truth=_turning,
        mistakes=(
            Mistake(
                lambda s, e, h: _turning(s, e, h) / 24,
                "This operator is per hour; asked is one per day.",
            ),
            Mistake(
                lambda s, e, h: _turning(s, e, 24.0),
                "The growth and the angle of the whole jump were not divided by its length in days.",
            ),
            # Before the next one: whoever is right to the left and not to the right has lost the sign.
            Mistake(
                _spun(lambda growth, angle: _block(growth, abs(angle))),
                "The sense of the turn was lost: an arccos knows how far, not which way round. See hint 2.",
            ),
            Mistake(
                _spun(lambda growth, angle: _block(growth, -angle)),
                "It turns the wrong way round: a positive w, in row 2, column 1, sends (1, 0) towards (0, 1).",
            ),
            Mistake(
                _spun(lambda growth, angle: _block(-growth, angle)),
                "It shrinks where it should grow: the ratio of the lengths is end over start.",
            ),
            Mistake(
                _spun(lambda growth, angle: _block(np.exp(growth), angle)),
                "The ratio of the lengths is e to the power of g t: take its logarithm.",
            ),
            Mistake(
                _spun(lambda growth, angle: _block(0.0, angle)),
                "This turns without growing: `start` and `end` have different lengths.",
            ),
            Mistake(
                _spun(lambda growth, angle: _block(growth, np.degrees(angle))),
                "The angle is in degrees; sines, cosines and exponentials count in radians.",
            ),
            Mistake(
                _spun(lambda growth, angle: np.exp(growth) * _block(np.cos(angle), np.sin(angle))),
                "This is about the map from start to end, exp(A t). Asked is A, its logarithm over the time.",
            ),
        ),
        section="What real eigenvalues cannot do in one jump",
        page=MOVING,
        shapes="start and end are (2,), and the answer is (2, 2).",
    ),
    (
        Line("it carries start to end, growing on the way", 3, fault=_arrives),
        Line("it is a block of growth and the shorter turn", 2, _any_turn, _is_block, trials=6),
        Line("it arrives clockwise too, beyond a quarter turn", 3, _right, _arrives, hidden=True),
        Line("it makes the half turn that real eigenvalues cannot", 2, _half_turn, _arrives, hidden=True),
    ),
)


# --- numbers of one's own ----------------------------------------------------------------------------------------


def _number(k: int, measure: Callable[[Variant], dict[str, float]], right: str, slips: dict[str, str]) -> Fault:
    """Compare one of three numbers with what the student's own circuit gives, within a hundredth."""

    def all_three(name: str) -> Callable[[Variant], np.ndarray]:
        return lambda variant: np.full(3, measure(variant)[name])

    words = f"Number {k + 1} is not {right} of your circuit. Is STUDENT the id with which you measured?"
    named = {f"Number {k + 1}: {message}": all_three(slip) for slip, message in slips.items()}
    return own_numbers(all_three(right), k, named, words, tolerance=0.0, relative=0.01)


@cache
def _ageing(variant: Variant) -> dict[str, float]:
    own = own_circuit(*variant)
    circuit, x, days = own.circuit, own.cell[None], own.hours / 24
    A, J, f = _factor(circuit, x)[0], circuit.jacobian(own.cell), circuit(own.cell)

    def jump(x: np.ndarray, days: float) -> np.ndarray:
        return _carry(_factor(circuit, x), circuit.rest, x, 24 * days)

    def miss(x: np.ndarray, days: float) -> float:
        return float(np.linalg.norm(x - linearize.reference(circuit, own.cell[None], 0.0, days)))

    once, half = jump(x, days), jump(x, days / 2)
    same = _carry(A[None], circuit.rest, half, 12 * days)
    return {
        "the ageing": float(np.linalg.norm((J - A) @ f)),
        "ageing of the way": float(np.linalg.norm((J - A) @ (own.cell - circuit.rest))),
        "ageing of x": float(np.linalg.norm((J - A) @ own.cell)),
        "size of J - A": float(np.linalg.norm(J - A)),
        "turned": float(np.linalg.norm((J - A).T @ f)),
        "with the rule": float(days**2 * np.linalg.norm((J - A) @ f) / 2),
        "the miss after one jump": miss(once, days),
        "hours as days": miss(jump(x, own.hours), own.hours),
        "how far it went": float(np.linalg.norm(once - x)),
        "the miss after two half jumps": miss(jump(half, days / 2), days),
        "half jump": miss(half, days / 2),
        "old matrix": miss(same, days),
    }


MY_AGEING = Question(
    "my_ageing",
    Exercise(
        call="my_ageing()",
        inputs=lambda rng: (),
        truth=lambda: np.zeros(3),
        mistakes=(),
        section="How fast does a matrix grow old?",
        page=MOVING,
        shapes="Return a list of three numbers.",
    ),
    (
        Line(
            "the ageing of the operator at the own cell",
            3,
            trials=1,
            fault=_number(
                0,
                _ageing,
                "the ageing",
                {
                    "ageing of the way": "J - A was applied to the way from rest. It ages along the velocity f.",
                    "ageing of x": "J - A was applied to the concentrations. It ages along the velocity f.",
                    "size of J - A": "this is the size of J - A; how much of it does the velocity feel?",
                    "turned": "J - A was transposed: times a row from the left is not times a column from the right.",
                    "with the rule": "this is the miss by the rule, with h^2 / 2; asked is |(J - A) f| alone.",
                },
            ),
        ),
        Line(
            "the miss of one frozen jump",
            3,
            trials=1,
            fault=_number(
                1,
                _ageing,
                "the miss after one jump",
                {
                    "with the rule": "this is what the rule predicts. Measure it: where does an ODE solver end?",
                    "hours as days": "hours were used as days: the circuit's velocity is per day.",
                    "how far it went": "this is the length of the jump; its miss is the distance to the true end.",
                    "the miss after two half jumps": "this is the miss of two half jumps; asked is one jump.",
                },
            ),
        ),
        Line(
            "the miss of two half jumps",
            3,
            trials=1,
            fault=_number(
                2,
                _ageing,
                "the miss after two half jumps",
                {
                    "half jump": "this is the miss of the first half jump, at half-time. Go on to the end.",
                    "old matrix": "the second half used the matrix of the start, the one jump again. Look anew.",
                    "with the rule": "this is the rule for one jump. Measure the two half jumps.",
                },
            ),
        ),
    ),
)


@cache
def _readings(variant: Variant) -> dict[str, float]:
    own = own_circuit(*variant)
    circuit, x, i, j = own.circuit, own.cell, own.target, own.regulator
    A, J = _factor(circuit, x[None])[0], circuit.jacobian(x)
    from_zero = _average(circuit, x[None], (_NODES + 1) / 2, _WEIGHTS / 2, base=0.0)[0]
    calmed, without = x.copy(), x.copy()
    calmed[j], without[j] = circuit.rest[j], 0.0
    change = float(circuit(x)[i] - circuit(calmed)[i])
    return {
        "the entry of A": float(A[i, j]),
        "turned A": float(A[j, i]),
        "A from zero": float(from_zero[i, j]),
        "the entry of J": float(J[i, j]),
        "turned J": float(J[j, i]),
        "J at rest": float(circuit.jacobian(circuit.rest)[i, j]),
        "the step of the velocity": change / float(x[j] - circuit.rest[j]),
        "change": change,
        "without": float(circuit(x)[i] - circuit(without)[i]) / float(x[j]),
        "wrong sign": -change / float(x[j] - circuit.rest[j]),
    }


MY_READINGS = Question(
    "my_readings",
    Exercise(
        call="my_readings()",
        inputs=lambda rng: (),
        truth=lambda: np.zeros(3),
        mistakes=(),
        section="Ask the cell, not the matrix",
        page=MANY,
        shapes="Return a list of three numbers.",
    ),
    (
        Line(
            "the operator's entry",
            3,
            trials=1,
            fault=_number(
                0,
                _readings,
                "the entry of A",
                {
                    "turned A": "this is the effect of target on regulator. Rows are targets, columns regulators.",
                    "the entry of J": "this is the Jacobian's entry. The first number is the operator's.",
                    "A from zero": "the walk to your cell started at concentration 0, not at rest.",
                },
            ),
        ),
        Line(
            "the Jacobian's entry",
            3,
            trials=1,
            fault=_number(
                1,
                _readings,
                "the entry of J",
                {
                    "turned J": "this is the effect of target on regulator. Rows are targets, columns regulators.",
                    "the entry of A": "this is the operator's entry; the second number is the Jacobian's at your cell.",
                    "J at rest": "this is the Jacobian at rest; asked is the one at your cell.",
                },
            ),
        ),
        Line(
            "the answer to a knock back to rest",
            3,
            trials=1,
            fault=_number(
                2,
                _readings,
                "the step of the velocity",
                {
                    "change": "this is the change of the velocity; divide by the change of the regulator.",
                    "without": "the regulator was set to 0; asked is its level at rest.",
                    "wrong sign": "the sign is turned: take both differences in the same order, cell minus knocked.",
                    "the entry of A": "this is the entry of A. In the experiment only the regulator moves.",
                    "the entry of J": "this is the answer to a small push. Here it goes all the way to rest.",
                },
            ),
        ),
    ),
)


# --- same_photographs --------------------------------------------------------------------------------------------


def _crowd(rng: np.random.Generator, dim: int = 3) -> tuple:
    root = rng.normal(size=(dim, dim))
    return rng.normal(size=(dim, dim)), rng.uniform(0.5, 1.5, dim), root @ root.T / dim + 0.3 * np.eye(dim)


def _same_photographs(A: np.ndarray, m: np.ndarray, C: np.ndarray) -> np.ndarray:
    # Two directions at right angles to C^-1 m: to turn from one to the other leaves mean and spread alone.
    first, second = np.linalg.svd(np.linalg.solve(C, m)[None])[2][1:3]
    hidden = (np.outer(first, second) - np.outer(second, first)) @ np.linalg.inv(C)
    return A + hidden * np.linalg.norm(A) / np.linalg.norm(hidden)


def _unchanged(values: np.ndarray, A: np.ndarray) -> str | None:
    return "This is A itself: asked is another operator." if np.allclose(values, A) else None


def _same_mean(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    A, m, _ = inputs
    if wrong := _wrong_shape(values, A.shape, "one operator.") or _unchanged(values, A):
        return wrong
    if _off(values @ m, A @ m) < 1e-4:
        return None
    return "A photograph would show it: the mean of the crowd moves differently, since A2 m is not A m."


def _same_spread(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    A, _, C = inputs
    if wrong := _wrong_shape(values, A.shape, "one operator.") or _unchanged(values, A):
        return wrong
    if _off(values @ C + C @ values.T, A @ C + C @ A.T) < 1e-4:
        return None
    return "A photograph would show it: the spread grows differently, A2 C + C A2^T is not A C + C A^T."


def _another(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    A = inputs[0]
    if wrong := _wrong_shape(values, A.shape, "one operator."):
        return wrong
    if np.linalg.norm(values - A) > 0.0999 * np.linalg.norm(A):  # exactly a tenth is fine, rounded either way
        return None
    return "This is nearly the same operator: differ from A by at least a tenth of its size."


def _all_three(values: np.ndarray, inputs: tuple, variant: Variant) -> str | None:
    checks = (_same_mean, _same_spread, _another)
    return next((found for check in checks if (found := check(values, inputs, variant))), None)


SAME_PHOTOGRAPHS = Question(
    "same_photographs",
    Exercise(
        call="same_photographs(A, m, C)",
        inputs=_crowd,
        truth=_same_photographs,
        mistakes=(
            Mistake(
                lambda A, m, C: A.T,
                "This is A transposed: another law, and a camera sees the difference.",
            ),
            Mistake(
                lambda A, m, C: -A,
                "This is the same law backwards: the crowd runs the other way.",
            ),
        ),
        section="The roundabout, exactly",
        page=PHOTOGRAPHS,
        shapes="A, C and the answer are (D, D), and m is (D,).",
    ),
    (
        Line("the mean of the crowd moves as before", 3, fault=_same_mean),
        Line("the spread grows as before", 3, fault=_same_spread),
        Line("it differs from A by a tenth at least", 2, fault=_another),
        Line("all of it in five dimensions", 4, lambda rng, v: _crowd(rng, 5), _all_three, hidden=True),
    ),
)


ASSIGNMENT = Assignment(
    "2",
    "operators-and-the-proposition",
    "Operators and the proposition",
    (FACTOR, WISHED_ENTRY, CARRY, TURNING_OPERATOR, MY_AGEING, MY_READINGS, SAME_PHOTOGRAPHS),
    {
        "Answer 1: what half the step does to the miss, predicted with a reason and compared": 8,
        "Answer 2: three readings of one pair of genes, and what is wrong with the figure's caption": 8,
        "Answer 3: what any number of photographs leaves open, and two measurements that would help": 8,
    },
)
