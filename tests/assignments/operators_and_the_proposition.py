"""Assignment 2: right answers by another road, wrong ones with a word of the message, and whole submissions."""

import inspect
import textwrap
from functools import cache

import numpy as np
import torch
from scipy.linalg import expm, null_space

from cellmnn_edu import linearize
from cellmnn_edu.coursework.assignment import Variant
from cellmnn_edu.coursework.assignments.operators_and_the_proposition import ASSIGNMENT
from cellmnn_edu.coursework.given import own_circuit

STUDENT = "ada"


# --- right answers -----------------------------------------------------------------------------------------------


def factor(circuit, x):
    total = 0
    for k in range(101):  # Simpson's rule
        weight = 1 if k in (0, 100) else 4 if k % 2 else 2
        total = total + weight * circuit.jacobian(circuit.rest + k / 100 * (x - circuit.rest))
    return total / 300


def wished_entry(A, way, i, j, value):
    others = [k for k in range(len(way)) if k != j and way[k] != 0]
    out = A.copy()
    if way[j] == 0:
        out[i, j] = value  # nobody has to pay
        return out
    if not others:
        return out * np.nan
    payer = max(others, key=lambda k: abs(way[k]))
    out[i, payer] -= (value - A[i, j]) * way[j] / way[payer]
    out[i, j] = value
    return out


def carry(A, rest, x, hours):
    moves = torch.linalg.matrix_exp(torch.tensor(A) * hours / 24)
    return torch.tensor(rest) + (moves @ torch.tensor(x - rest)[:, :, None])[:, :, 0]


def turning_operator(start, end, hours):
    angle = np.arctan2(end[1], end[0]) - np.arctan2(start[1], start[0])
    angle = np.arctan2(np.sin(angle), np.cos(angle))
    growth = np.log(np.hypot(*end) / np.hypot(*start))
    return np.array([[growth, -angle], [angle, growth]]) / (hours / 24)


def same_photographs(A, m, C):
    a, b = null_space(np.linalg.inv(C) @ m[:, None] @ m[None] @ np.linalg.inv(C)).T[:2]
    hidden = np.linalg.solve(C, np.outer(b, a) - np.outer(a, b)).T
    return A + 0.3 * np.linalg.norm(A) / np.linalg.norm(hidden) * hidden


@cache
def own_numbers(variant):
    """What a student measures with the package."""
    own = own_circuit(*variant)
    circuit, x, days = own.circuit, own.cell[None], own.hours / 24

    def lifted(z, t):
        return linearize.affine(circuit, z, t, base=circuit.rest)

    A, J = linearize.factorize(circuit, x, base=circuit.rest)[0], linearize.jacobian(circuit, x)[0]
    true = linearize.reference(circuit, x, 0.0, days)
    misses = [np.linalg.norm(linearize.frozen(circuit, x, 0.0, days, n, operator=lifted) - true) for n in (1, 2)]
    knocked = own.cell.copy()
    knocked[own.regulator] = circuit.rest[own.regulator]
    step = (circuit(own.cell) - circuit(knocked))[own.target] / (own.cell - knocked)[own.regulator]
    at = own.target, own.regulator
    return (np.linalg.norm((J - A) @ circuit(own.cell)), *misses), (A[at], J[at], step)


def own_solutions(variant):
    ageing, readings = own_numbers(variant)
    return {"my-ageing": lambda: ageing, "my-readings": lambda: readings}


SOLUTIONS = {
    "factor": factor,
    "wished-entry": wished_entry,
    "carry": carry,
    "turning-operator": turning_operator,
    "same-photographs": same_photographs,
    **own_solutions(Variant(STUDENT)),
}


# --- wrong answers -----------------------------------------------------------------------------------------------


def jacobian_at_the_cell(circuit, x):
    return circuit.jacobian(x)


def from_zero(circuit, x):
    return np.mean([circuit.jacobian((k + 0.5) / 400 * x) for k in range(400)], axis=0)


def half_way(circuit, x):
    return circuit.jacobian(circuit.rest + (x - circuit.rest) / 2)


def smallest(circuit, x):
    way = x - circuit.rest
    with np.errstate(all="ignore"):
        return np.einsum("ni,nj->nij", circuit(x), way) / (way**2).sum(axis=1)[:, None, None]


def nearest_to_the_jacobian(circuit, x):
    """Another factor, and the Jacobian where there is no way."""
    way, J = x - circuit.rest, circuit.jacobian(x)
    left = circuit(x) - (J @ way[:, :, None])[:, :, 0]
    square = (way**2).sum(axis=1)[:, None, None]
    return J + np.einsum("ni,nj->nij", left, way) / np.where(square == 0, 1, square)


def gene_by_gene(circuit, x):
    """From rest along one axis after another; where there is no way, the Jacobian."""
    corner, columns = np.repeat(circuit.rest[None], len(x), axis=0).astype(x.dtype), []
    for j in range(x.shape[1]):
        ahead = corner.copy()
        ahead[:, j] = x[:, j]
        step = (ahead - corner)[:, j, None]
        slope = (circuit(ahead) - circuit(corner)) / np.where(step == 0, 1, step)
        columns.append(np.where(step == 0, circuit.jacobian(corner)[:, :, j], slope))
        corner = ahead
    return np.stack(columns, axis=2)


def of_the_first_cell(circuit, x):
    return np.repeat(factor(circuit, x[:1]), len(x), axis=0)


def by_length(circuit, x):
    """Walks by distance and divides by it."""
    way = x - circuit.rest
    with np.errstate(all="ignore"):
        far = np.sqrt((way**2).sum(axis=1))[:, None]
        ahead, total = way / far, 0
        for k in range(200):
            total = total + circuit.jacobian(circuit.rest + (k + 0.5) / 200 * far * ahead)
        return total / 200


def by_tiny_differences(circuit, x):
    def jacobian(x):
        units = 1e-7 * np.eye(x.shape[1], dtype=x.dtype)
        return np.stack([(circuit(x + u) - circuit(x)) / 1e-7 for u in units], axis=2)

    way, total = x - circuit.rest, 0
    for k in range(200):
        total = total + jacobian(circuit.rest + (k + 0.5) / 200 * way)
    return total / 200


def set_it(A, way, i, j, value):
    out = A.copy()
    out[i, j] = value
    return out


def wished_backwards(A, way, i, j, value):
    return wished_entry(A, way, j, i, value)


def forgot_the_bracket(A, way, i, j, value):
    M = np.zeros(A.shape)
    M[i, j] = value - A[i, j]
    return A + M @ (way @ way * np.eye(len(way)) - np.outer(way, way))


def unchanged(A, way, i, j, value):
    return A


def deaf_unless_asked(A, way, i, j, value):
    return A if way.all() else wished_entry(A, way, i, j, value)


def unpaid_unless_zeros(A, way, i, j, value):
    return set_it(A, way, i, j, value) if way.all() else wished_entry(A, way, i, j, value)


def next_one_pays(A, way, i, j, value):
    if np.count_nonzero(np.delete(way, j)) == 0:
        return A * np.nan
    out, payer = A.copy(), (j + 1) % len(way)
    with np.errstate(all="ignore"):
        out[i, payer] -= (value - A[i, j]) * way[j] / way[payer]
    out[i, j] = value
    return out


def never_refuses(A, way, i, j, value):
    right = wished_entry(A, way, i, j, value)
    return set_it(A, way, i, j, value) if np.isnan(right).all() else right


def hours_as_days(A, rest, x, hours):
    return carry(A, rest, x, 24 * hours)


def about_zero(A, rest, x, hours):
    return carry(A, 0 * rest, x, hours)


def forgot_to_add_rest(A, rest, x, hours):
    return carry(A, rest, x, hours) - torch.tensor(rest)


def straight(A, rest, x, hours):
    return x + hours / 24 * (A @ (x - rest)[:, :, None])[:, :, 0]


def from_the_right(A, rest, x, hours):
    return rest + ((x - rest)[:, None] @ expm(A * hours / 24))[:, 0]


def one_for_all(A, rest, x, hours):
    return rest + (x - rest) @ expm(A[0] * hours / 24).T


def only_forwards(A, rest, x, hours):
    return carry(A, rest, x, abs(hours))


def by_eigenvectors(A, rest, x, hours):
    values, vectors = np.linalg.eig(A)
    moved = vectors @ (np.exp(values * hours / 24)[:, :, None] * np.linalg.solve(vectors, (x - rest)[:, :, None] + 0j))
    return rest + moved[:, :, 0].real


def thirty_terms(A, rest, x, hours):
    term = total = (x - rest)[:, :, None]
    for k in range(1, 31):
        term = A @ term * (hours / 24 / k)
        total = total + term
    return rest + total[:, :, 0]


def per_hour(start, end, hours):
    return turning_operator(start, end, hours * 24)


def clockwise(start, end, hours):
    return turning_operator(start, end, hours).T


def no_growth(start, end, hours):
    return turning_operator(start / np.hypot(*start), end / np.hypot(*end), hours)


def by_arccos(start, end, hours):
    lengths = np.hypot(*start) * np.hypot(*end)
    angle, growth = np.arccos(np.clip(start @ end / lengths, -1, 1)), np.log(np.hypot(*end) / np.hypot(*start))
    return np.array([[growth, -angle], [angle, growth]]) * 24 / hours


def once_more_round(start, end, hours):
    turn = 2 * np.pi * 24 / hours
    return turning_operator(start, end, hours) + np.array([[0, -turn], [turn, 0]])


def by_half_angles(start, end, hours):
    cross, lengths = start[0] * end[1] - start[1] * end[0], np.hypot(*start) * np.hypot(*end)
    with np.errstate(all="ignore"):
        angle = 2 * np.arctan(cross / (lengths + start @ end) if lengths + start @ end > 1e-9 * lengths else np.inf * 0)
    growth = np.log(np.hypot(*end) / np.hypot(*start))
    return np.array([[growth, -angle], [angle, growth]]) * 24 / hours


def numbers(k, kind, wrong):
    """One of three numbers of a right answer changed."""

    @cache
    def answer():
        right = list(own_numbers(Variant(STUDENT))[kind])
        right[k] = wrong(right)
        return right

    return answer


def turns_anything(A, m, C):
    W = np.zeros(A.shape)
    W[0, 1], W[1, 0] = 1, -1
    hidden = W @ np.linalg.inv(C)
    return A + hidden * np.linalg.norm(A) / np.linalg.norm(hidden)


def silent_on_the_mean(A, m, C):
    hidden = m @ m * np.eye(len(m)) - np.outer(m, m)
    return A + hidden * np.linalg.norm(A) / np.linalg.norm(hidden)


def the_same(A, m, C):
    return A + 0.0


def nearly_the_same(A, m, C):
    return A + 0.01 * (same_photographs(A, m, C) - A)


def by_cross_product(A, m, C):
    v = np.linalg.solve(C, m)
    W = np.cross(np.eye(len(m)), v)
    hidden = W @ np.linalg.inv(C)
    return A + hidden * np.linalg.norm(A) / np.linalg.norm(hidden)


def in_three(wrong):
    """Wrong in three dimensions only."""
    return lambda A, m, C: wrong(A, m, C) if len(m) == 3 else same_photographs(A, m, C)


def _own():
    own = own_circuit(STUDENT)
    return own, own.circuit, own.cell


def _reading(matrix):
    own = own_circuit(STUDENT)
    return matrix[own.target, own.regulator]


def _rule(right):
    return right[0] * (own_circuit(STUDENT).hours / 24) ** 2 / 2


def _felt_by_the_way(right):
    _, circuit, cell = _own()
    return np.linalg.norm((circuit.jacobian(cell) - factor(circuit, cell[None])[0]) @ (cell - circuit.rest))


def _in_days(right):
    own, circuit, cell = _own()
    true = linearize.reference(circuit, cell[None], 0.0, own.hours)
    return np.linalg.norm(carry(factor(circuit, cell[None]), circuit.rest, cell[None], 24 * own.hours).numpy() - true)


def _first_half(right):
    own, circuit, cell = _own()
    true = linearize.reference(circuit, cell[None], 0.0, own.hours / 48)
    return np.linalg.norm(carry(factor(circuit, cell[None]), circuit.rest, cell[None], own.hours / 2).numpy() - true)


def _turned(right):
    own, circuit, cell = _own()
    return factor(circuit, cell[None])[0, own.regulator, own.target]


def _undivided(right):
    own, circuit, cell = _own()
    return right[2] * (cell - circuit.rest)[own.regulator]


def _to_zero(right):
    own, circuit, cell = _own()
    without = cell.copy()
    without[own.regulator] = 0
    return (circuit(cell) - circuit(without))[own.target] / cell[own.regulator]


WRONG = {
    "factor": [
        (jacobian_at_the_cell, "Jacobian at the cell"),
        (from_zero, "walk must start there"),
        (gene_by_gene, "as many matrices do"),
        (half_way, "one Jacobian, half-way"),
        (smallest, "holds NaN or inf"),
        (of_the_first_cell, "not the velocity"),
    ],
    "wished-entry": [
        (set_it, "nothing in its row pays"),
        (unchanged, "the wish was not heard"),
        (forgot_the_bracket, "the bracket multiplies"),
        (wished_backwards, "The wish was fulfilled for the effect"),
    ],
    "carry": [
        (hours_as_days, "Hours were used as days"),
        (about_zero, "acts on x itself"),
        (forgot_to_add_rest, "Add rest"),
        (straight, "one straight step"),
        (from_the_right, "transposed"),
        (one_for_all, "matrix of the first"),
        (only_forwards, "sign of the hours"),
        (by_eigenvectors, "fewer eigenvectors than genes"),
        (thirty_terms, "fast motion"),
    ],
    "turning-operator": [
        (per_hour, "per hour"),
        (clockwise, "wrong way round"),
        (no_growth, "without growing"),
        (by_arccos, "sense of the turn"),
        (once_more_round, "long way round"),
    ],
    "my-ageing": [
        (numbers(0, 0, _felt_by_the_way), "way from rest"),
        (numbers(0, 0, _rule), "miss by the rule"),
        (numbers(1, 0, _rule), "what the rule predicts"),
        (numbers(1, 0, _in_days), "hours were used as days"),
        (numbers(2, 0, _first_half), "first half jump"),
        (numbers(2, 0, lambda right: right[1]), "matrix of the start"),
    ],
    "my-readings": [
        (numbers(0, 1, lambda right: right[1]), "operator's"),
        (numbers(0, 1, _turned), "effect of target on regulator"),
        (numbers(1, 1, lambda right: right[0]), "Jacobian's at your cell"),
        (numbers(2, 1, _undivided), "divide by the change"),
        (numbers(2, 1, _to_zero), "level at rest"),
    ],
    "same-photographs": [
        (turns_anything, "mean of the crowd moves differently"),
        (silent_on_the_mean, "spread grows differently"),
        (the_same, "A itself"),
        (nearly_the_same, "nearly the same"),
        (lambda A, m, C: A.T, "transposed"),
    ],
}

MUTANTS = {
    "factor": [(0, of_the_first_cell), (1, by_length), (2, nearest_to_the_jacobian), (3, by_tiny_differences)],
    "wished-entry": [(0, unpaid_unless_zeros), (1, deaf_unless_asked), (2, next_one_pays), (3, never_refuses)],
    "carry": [(0, one_for_all), (1, only_forwards), (2, by_eigenvectors), (3, thirty_terms)],
    "turning-operator": [(0, no_growth), (1, once_more_round), (2, by_arccos), (3, by_half_angles)],
    "my-ageing": [(k, numbers(k, 0, lambda right: -1.0)) for k in range(3)],
    "my-readings": [(k, numbers(k, 1, lambda right: 7.0)) for k in range(3)],
    "same-photographs": [
        (0, in_three(turns_anything)),
        (1, in_three(silent_on_the_mean)),
        (2, in_three(nearly_the_same)),
        (3, by_cross_product),
    ],
}


# --- every student has the same difficulty -----------------------------------------------------------------------


def check_variant(variant):
    """Three readings of clearly different size or sign, a miss that can be measured, and a true rest."""
    own = own_circuit(*variant)
    ageing, (A, J, step) = own_numbers(variant)
    assert np.abs(own.circuit(own.circuit.rest)).max() < 1e-14
    assert A > 0.08
    assert J < -0.05
    assert 0.02 < step < 0.7 * A
    assert 0.8 < ageing[0] < 6
    assert 0.005 < ageing[1] < 0.15
    assert 1.6 < ageing[1] / ageing[2] < 2.6
    assert 3 <= own.hours <= 6
    return A, J, step


# --- whole submissions -------------------------------------------------------------------------------------------


def _source(*functions):
    return "\n\n\n".join(textwrap.dedent(inspect.getsource(function)).rstrip() for function in functions)


HEAD = f'''\
import numpy as np
import torch
from scipy.linalg import null_space

STUDENT = "{STUDENT}"
TERM = "open"


'''

AGEING, READINGS = ([float(f"{value:.4g}") for value in values] for values in own_numbers(Variant(STUDENT)))
MEASURED = f"""

def my_ageing():
    return {AGEING}


def my_readings():
    return {READINGS}
"""

FULL = HEAD + _source(factor, wished_entry, carry, turning_operator, same_photographs) + "\n" + MEASURED

# Half right: another factor than asked, no zeros thought of, eigenvectors, an arccos, one number confused.
HALF = (
    HEAD
    + """\
def factor(circuit, x):
    return circuit.jacobian(x)


def wished_entry(A, way, i, j, value):
    payer = (j + 1) % len(way)
    out = A.copy()
    out[i, payer] -= (value - A[i, j]) * way[j] / way[payer]
    out[i, j] = value
    return out


def carry(A, rest, x, hours):
    values, vectors = np.linalg.eig(A)
    moved = vectors @ (np.exp(values * hours / 24)[:, :, None] * np.linalg.solve(vectors, (x - rest)[:, :, None] + 0j))
    return rest + moved[:, :, 0].real


def turning_operator(start, end, hours):
    lengths = np.hypot(*start) * np.hypot(*end)
    angle = np.arccos(np.clip(start @ end / lengths, -1, 1))
    growth = np.log(np.hypot(*end) / np.hypot(*start))
    return np.array([[growth, -angle], [angle, growth]]) * 24 / hours


def same_photographs(A, m, C):
    W = np.zeros(A.shape)
    W[0, 1], W[1, 0] = 1, -1
    hidden = W @ np.linalg.inv(C)
    return A + hidden * np.linalg.norm(A) / np.linalg.norm(hidden)
"""
    + f"""

def my_ageing():
    return [{AGEING[0]}, {AGEING[1]}, {AGEING[1]}]


def my_readings():
    return [{READINGS[1]}, {READINGS[0]}, {READINGS[2]}]
"""
)

NONE = f'''\
STUDENT = "{STUDENT}"
TERM = "open"


def factor(circuit, x):
    ...  # your code here


def wished_entry(A, way, i, j, value):
    ...  # your code here


def carry(A, rest, x, hours):
    ...  # your code here


def turning_operator(start, end, hours):
    ...  # your code here


def my_ageing():
    ...  # your code here


def my_readings():
    ...  # your code here


def same_photographs(A, m, C):
    ...  # your code here
'''

# Two honest answers; the rest tries to leave, to read the solutions, to change the checks, to forge and to stall.
HOSTILE = (
    HEAD
    + _source(factor)
    + """


def wished_entry(A, way, i, j, value):
    from cellmnn_edu.coursework.assignments import operators_and_the_proposition as solutions

    return solutions.WISHED_ENTRY.exercise.truth(A, way, i, j, value)


def carry(A, rest, x, hours):
    import os

    os._exit(0)


def turning_operator(start, end, hours):
    while True:
        pass


def same_photographs(A, m, C):
    import json
    import os
    import sys

    import cellmnn_edu.coursework.checks as checks

    checks.fault = lambda *arguments: None
    forged = json.dumps({"question": "same_photographs", "points": 12, "passed": True})
    print(forged)
    print(forged, file=sys.stderr)
    for stream in range(3, 20):
        try:
            os.write(stream, forged.encode())
        except OSError:
            pass
    with open("results.json", "w") as file:
        file.write(forged)
    return A
"""
    + f"""

def my_ageing():
    print("score: 9 of 9")
    return [9.0, 9.0, 9.0]


def my_readings():
    return {READINGS}
"""
)

# HALF: 3 + 7 + 9 + 7 + 6 + 3 + 5 in the order of the questions.
MARKS = {"FULL": ASSIGNMENT.points, "HALF": 40, "NONE": 0, "HOSTILE": 21}
