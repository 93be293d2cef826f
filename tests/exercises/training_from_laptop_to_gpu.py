"""Answers to the exercises of the chapter "Training, from laptop to GPU".

The wrong ones are written as a student would write them, not as the check computes them.
"""

import json
import math

import numpy as np


def longest_run(n_cells, batch_size, epochs, seconds):
    steps = 0
    for _ in range(epochs):
        steps += math.floor(n_cells / batch_size)
    return steps * seconds / 60 / 60


def apply_all(A, z):
    return np.stack([np.stack([A[n] @ z[k, n] for n in range(z.shape[1])]) for k in range(len(z))])


def go_on(gradient, weight, momentum, step, until):
    while step < until:
        momentum = 0.9 * momentum + gradient(weight, step)
        weight = weight - 0.1 * (1 + step) ** -0.5 * momentum
        step += 1
    return weight


def same_run(wanted, files):
    def text(identity):
        return json.dumps({name: value for name, value in identity.items() if name != "steps"}, sort_keys=True)

    return [text(stored) == text(wanted) for stored in files]


SOLUTIONS = {"longest-run": longest_run, "apply-all": apply_all, "go-on": go_on, "same-run": same_run}


def train(gradient, weight, momentum, numbers, batch=lambda k: k, clock=lambda k: k):
    for k in numbers:
        momentum = 0.9 * momentum + gradient(weight, batch(k))
        weight = weight - 0.1 / np.sqrt(1 + clock(k)) * momentum
    return weight


def in_place(gradient, weight, momentum, step, until):
    for k in range(step, until):
        momentum *= 0.9
        momentum += gradient(weight, k)
        weight -= 0.1 / np.sqrt(1 + k) * momentum
    return weight


def moves_first(gradient, weight, momentum, step, until):
    for k in range(step, until):
        slope = gradient(weight, k)
        weight = weight - 0.1 / np.sqrt(1 + k) * momentum
        momentum = 0.9 * momentum + slope
    return weight


def swapped_lines(gradient, weight, momentum, step, until):
    for k in range(step, until):
        weight = weight - 0.1 / (1 + k) ** 0.5 * momentum
        momentum = 0.9 * momentum + gradient(weight, k)
    return weight


def without_decay(gradient, weight, momentum, step, until):
    for k in range(step, until):
        momentum = momentum + gradient(weight, k)
        weight = weight - 0.1 / np.sqrt(1 + k) * momentum
    return weight


def without_momentum(gradient, weight, momentum, step, until):
    for k in range(step, until):
        weight = weight - 0.1 / np.sqrt(1 + k) * gradient(weight, k)
    return weight


def climbs(gradient, weight, momentum, step, until):
    for k in range(step, until):
        momentum = 0.9 * momentum + gradient(weight, k)
        weight = weight + 0.1 / np.sqrt(1 + k) * momentum
    return weight


def agree(wanted, stored, names):
    return all(list_of(wanted.get(name)) == list_of(stored.get(name)) for name in names if name != "steps")


def list_of(value):
    return list(value) if isinstance(value, tuple) else value


def compares_steps(wanted, files):
    return [json.dumps(stored, sort_keys=True) == json.dumps(wanted, sort_keys=True) for stored in files]


def keeps_tuples(wanted, files):
    names = {name for identity in [wanted, *files] for name in identity} - {"steps"}
    return [all(stored.get(name) == wanted.get(name) for name in names) for stored in files]


def only_longer(wanted, files):
    return [same_run(wanted, [stored])[0] and wanted["steps"] >= stored["steps"] for stored in files]


def but_for(name):
    return lambda wanted, files: [agree(wanted, s, [key for key in {*wanted, *s} if key != name]) for s in files]


WRONG = {
    "longest-run": [
        (lambda n, b, e, s: n / b * e * s / 3600, "left over are counted in"),
        (lambda n, b, e, s: math.ceil(n / b) * e * s / 3600, "Rounded up"),
        (lambda n, b, e, s: n // b * e * s, "are seconds"),
        (lambda n, b, e, s: n // b * e * s / 60, "are minutes"),
        (lambda n, b, e, s: n // b * s / 3600, "one epoch only"),
        (lambda n, b, e, s: e * s / 3600, "One step for each epoch"),
        (lambda n, b, e, s: n * e * s / 3600, "step for every cell"),
        (lambda n, b, e, s: n // b * b * e * s / 3600, "counts twice"),
        (lambda n, b, e, s: n // b * e, "number of steps"),
        (lambda n, b, e, s: (n * e) // b * s / 3600, "left over are counted in"),
        (lambda n, b, e, s: int(n // b * e * s / 3600 + 0.5), "whole hours"),
        (lambda n, b, e, s: n // b * e / s / 3600, "shorter run"),
        (lambda n, b, e, s: n // b, "wrong numbers"),
        (lambda n, b, e, s: [n // b * e * s / 3600], "single number"),
    ],
    "apply-all": [
        (lambda A, z: np.stack([np.stack([z[k, n] @ A[n] for n in range(6)]) for k in range(4)]), "transposed"),
        (lambda A, z: np.einsum("ij,knj->kni", A[0], z), "the first one"),
        (lambda A, z: np.einsum("ij,knj->kni", A.mean(axis=0), z), "averaged matrix"),
        (lambda A, z: np.einsum("mij,knj->kni", A, z), "added up: an index"),
        (lambda A, z: np.stack([np.einsum("nij,nj->ni", A, z[0])] * 4), "first time"),
        (lambda A, z: np.stack([np.einsum("nij,knj->ni", A, z)] * 4), "times are added up"),
        (lambda A, z: A.diagonal(axis1=1, axis2=2) * z, "Only the diagonals"),
        (lambda A, z: np.einsum("nij,kni->kni", A, z), "sum of its row"),
        (lambda A, z: z + np.einsum("nij,knj->kni", A, z), "one straight step"),
        (lambda A, z: A @ z, "fit together"),
        (lambda A, z: A @ z[..., None], r"shape \(4, 6, 3, 1\)"),
        (lambda A, z: np.einsum("nij,knj->nki", A, z), r"shape \(6, 4, 3\)"),
        (lambda A, z: z + 17, "wrong numbers"),
    ],
    "go-on": [
        (lambda g, w, m, k, u: train(g, w, m, range(u)), "once more on top"),
        (lambda g, w, m, k, u: train(g, w, m, range(k, k + u)), "more steps"),
        (lambda g, w, m, k, u: train(g, w, m, range(k, u), batch=lambda j: j - k), "batches begin again"),
        (lambda g, w, m, k, u: train(g, w, m, range(k, u), clock=lambda j: j - k), "rate begins again"),
        (lambda g, w, m, k, u: train(g, w, m, range(u - k)), "counted from 0"),
        (lambda g, w, m, k, u: train(g, w, np.zeros(3), range(k, u)), "momentum starts from zero"),
        (lambda g, w, m, k, u: train(g, w, np.zeros(3), range(u - k)), "Only the weight survived"),
        (lambda g, w, m, k, u: train(g, np.zeros(3), np.zeros(3), range(u)), "new run from zero"),
        (lambda g, w, m, k, u: train(g, w, m, range(k, u + 1)), "One step too many"),
        (lambda g, w, m, k, u: train(g, w, m, range(k + 1, u)), "One step too few"),
        (lambda g, w, m, k, u: train(g, w, m, range(k + 1, u + 1)), "Every number is one too large"),
        (moves_first, "old momentum: add"),
        (swapped_lines, "lines are swapped"),
        (without_decay, "never fades"),
        (without_momentum, "no momentum left"),
        (climbs, "climbs"),
        (in_place, "in place"),
        (lambda g, w, m, k, u: (w, m), r"shape \(2, 3\)"),
        (lambda g, w, m, k, u: w, "wrong numbers"),
    ],
    "same-run": [
        (compares_steps, "longer run is refused"),
        (lambda wanted, files: [stored == wanted for stored in files], "plain =="),
        (keeps_tuples, "same setting"),
        (lambda wanted, files: [agree(wanted, s, wanted) for s in files], "one setting more"),
        (lambda wanted, files: [agree(wanted, s, s) for s in files], "lacks a setting"),
        (lambda wanted, files: [agree(wanted, s, {*s} & {*wanted}) for s in files], "only one side"),
        (only_longer, "planned longer"),
        (lambda wanted, files: [s["data"] == wanted["data"] for s in files], "Only the data"),
        (but_for("data"), "other data slip"),
        (but_for("version"), "another version"),
        (lambda wanted, files: [not same for same in same_run(wanted, files)], "Upside down"),
        (lambda wanted, files: [True for _ in files], "Every file is accepted"),
        (lambda wanted, files: [False for _ in files], "Every file is refused"),
        (but_for("seed"), "wrong numbers"),
        (lambda wanted, files: all(same_run(wanted, files)), r"shape \(12,\)"),
    ],
}
