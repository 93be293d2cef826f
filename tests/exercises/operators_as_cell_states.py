"""Answers to the exercises of "Operators as cell states": right and wrong, with a word of the expected message.

The right ones take another road than the check: a library's neighbours, counting, a spiral followed in small steps, and
the factor nearest to a target.
"""

import numpy as np
from scipy.linalg import expm
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import NearestNeighbors


def alike_by_library(x, labels, k):
    near = NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False)
    return np.array([np.mean([labels[j] == labels[i] for j in row]) for i, row in enumerate(near)])


def clock_by_library(t, positive):
    said = np.array([np.median(positive[t == time]) for time in t])
    return balanced_accuracy_score(positive, said)


def spiral_in_steps(values, dt, n_steps=400):
    columns = []
    for value in values:
        rho, omega = value.real, value.imag
        step = expm(np.array([[rho, -omega], [omega, rho]]) * dt / n_steps)
        arrow, angle = np.array([1.0, 0.0]), 0.0
        for _ in range(n_steps):
            after = step @ arrow
            angle += np.arctan2(arrow[0] * after[1] - arrow[1] * after[0], arrow @ after)
            arrow = after
        columns.append([np.hypot(*arrow), angle / (2 * np.pi)])
    return np.array(columns).T


def nearest_to_target(A, z, group):
    """Of all factors of a cell's velocity the one nearest to plus or minus 1000 times the identity."""
    new = np.empty_like(A)
    for i, (a, state) in enumerate(zip(A, z, strict=True)):
        target = (1000.0 if group[i] else -1000.0) * np.identity(len(state))
        new[i] = target + np.outer(a @ state - target @ state, state) / (state @ state)
    return new


SOLUTIONS = {
    "share-alike": alike_by_library,
    "clock-accuracy": clock_by_library,
    "grow-and-turn": spiral_in_steps,
    "plant": nearest_to_target,
}


def distances(x):
    return ((x[:, None] - x[None]) ** 2).sum(-1) ** 0.5


def with_itself(x, labels, k):
    near = distances(x).argsort(1)[:, :k]
    return np.mean(labels[near] == labels[:, None], axis=1)


def with_one_more(x, labels, k):
    near = distances(x).argsort(1)[:, : k + 1]
    return np.mean(labels[near] == labels[:, None], axis=1)


def one_too_few(x, labels, k):
    near = distances(x).argsort(1)[:, 1:k]
    return np.mean(labels[near] == labels[:, None], axis=1)


def farthest(x, labels, k):
    near = (-distances(x)).argsort(1)[:, :k]
    return np.mean(labels[near] == labels[:, None], axis=1)


def everybody(x, labels, k):
    return np.array([np.delete(labels == own, i).mean() for i, own in enumerate(labels)])


def mean_label(x, labels, k):
    return labels[distances(x).argsort(1)[:, 1 : k + 1]].mean(1)


def city_blocks(x, labels, k):
    near = np.abs(x[:, None] - x[None]).sum(-1).argsort(1)[:, 1 : k + 1]
    return np.mean(labels[near] == labels[:, None], axis=1)


def products(x, labels, k):
    similar = x @ x.T - 1e9 * np.eye(len(x))
    return np.mean(labels[(-similar).argsort(1)[:, :k]] == labels[:, None], axis=1)


def rule(t, positive):
    return np.array([float(positive[t == time].mean() > 0.5) for time in t])


def balanced(said, positive):
    return 0.5 * (said[positive == 1].mean() + (1 - said)[positive == 0].mean())


def above_the_mean(t, positive):
    return balanced(np.array([float(positive[t == time].mean() > positive.mean()) for time in t]), positive)


def by_lot(t, positive):
    return balanced(np.array([positive[t == time].mean() for time in t]), positive)


def time_by_time(t, positive):
    return np.mean([max(positive[t == time].mean(), 1 - positive[t == time].mean()) for time in set(t)])


def turned(values, dt):
    return values.imag * dt / 2 / np.pi


def grown(values, dt):
    return np.exp(values.real) ** dt


def projectors(z):
    return np.stack([np.identity(len(state)) - np.outer(state, state) / (state @ state) for state in z])


def sign(group):
    return (2.0 * group - 1)[:, None, None]


def outers(z):
    return np.einsum("ni,nj->nij", z, z)


def brackets(z):
    return projectors(z) * (z**2).sum(1)[:, None, None]


def means(A, z, group):
    return np.array([A[group == g].mean(axis=0) for g in group])


def fitted_to_the_mean_state(A, z, group):
    new = np.empty_like(A)
    for g in (0, 1):
        centre = z[group == g].mean(0)
        new[group == g] = A[group == g] + (500 if g else -500) * projectors(centre[None])[0]
    return new


def noise(A, z, group):
    return A + np.random.default_rng(0).normal(size=A.shape)


WRONG = {
    "share-alike": [
        (with_itself, "leave it out"),
        (with_one_more, "votes"),
        (one_too_few, "must not cost a neighbour"),
        (farthest, "farthest"),
        (everybody, "x plays no part"),
        (lambda x, labels, k: alike_by_library(x, labels, k) * k, "divide by k"),
        (lambda x, labels, k: 1 - alike_by_library(x, labels, k), "another label"),
        (mean_label, "mean label"),
        (city_blocks, "absolute differences"),
        (products, "largest products"),
        (lambda x, labels, k: alike_by_library(x[:, :2], labels, k), "as a picture would"),
        (lambda x, labels, k: alike_by_library(x, labels, k).mean(), "One share for each cell"),
        (lambda x, labels, k: alike_by_library(x, labels, k) + 17, "wrong numbers"),
    ],
    "clock-accuracy": [
        (lambda t, positive: np.mean(rule(t, positive) == positive), "plain share"),
        (above_the_mean, "overall mean"),
        (lambda t, positive: rule(t, positive)[positive == 1].mean(), "calls everything positive"),
        (lambda t, positive: (rule(t, positive)[positive == 0] == 0).mean(), "called negative"),
        (by_lot, "drew lots"),
        (lambda t, positive: balanced(np.zeros(len(t)), positive), "majority of all"),
        (time_by_time, "two kinds of cells"),
        (lambda t, positive: balanced((t > np.mean(t)) * 1.0, positive), "later half"),
        (lambda t, positive: balanced(1 - rule(t, positive), positive), "wrong answers"),
        (lambda t, positive: 2 * balanced(rule(t, positive), positive), "take their mean"),
        (rule, "one number"),
        (lambda t, positive: clock_by_library(t, positive) + 17, "wrong numbers"),
    ],
    "grow-and-turn": [
        (lambda v, dt: np.array([np.exp(abs(v) * dt), turned(v, dt)]), "only turns"),
        (lambda v, dt: np.array([np.exp(v * dt).real, turned(v, dt)]), "shadow"),
        (lambda v, dt: np.array([v.real * dt, turned(v, dt)]), "exponent"),
        (lambda v, dt: np.array([1 + v.real * dt, turned(v, dt)]), "approximation"),
        (lambda v, dt: np.array([2 ** (v.real * dt), turned(v, dt)]), "power of 2"),
        (lambda v, dt: np.array([np.exp(v.real), v.imag / 2 / np.pi]), "dt is missing"),
        (lambda v, dt: np.array([grown(v, dt), v.imag * dt]), "radians"),
        (lambda v, dt: np.array([grown(v, dt), np.degrees(v.imag * dt)]), "degrees"),
        (lambda v, dt: np.array([grown(v, dt), abs(turned(v, dt))]), "sign of the turn"),
        (lambda v, dt: np.array([abs(np.exp(v * dt)), np.angle(np.exp(v * dt)) / 2 / np.pi]), "forgets whole circles"),
        (lambda v, dt: np.array([grown(v, dt), np.arctan2(v.imag, v.real) / 2 / np.pi]), "stands in the plane"),
        (lambda v, dt: np.array([turned(v, dt), grown(v, dt)]), "exchanged"),
        (lambda v, dt: np.array([grown(v, dt), turned(v, dt)]).T, "Two rows"),
        (lambda v, dt: spiral_in_steps(v, dt) + 17, "wrong numbers"),
    ],
    "plant": [
        (lambda A, z, group: A.copy(), "as they were"),
        (lambda A, z, group: A + 7 * sign(group) * np.identity(z.shape[1]), "part along z"),
        (lambda A, z, group: A + 50 * sign(group) * outers(z), "acts on z and on nothing else"),
        (lambda A, z, group: A + 50 * sign(group), "every entry"),
        (lambda A, z, group: A * np.where(group == 1, 30, -30)[:, None, None], "multiplied by a number"),
        (fitted_to_the_mean_state, "addition of its own"),
        (means, "velocities are lost"),
        (lambda A, z, group: A + 500 * sign(group) * brackets(z), r"divide by \|z\|\^2"),
        (lambda A, z, group: A + 0.02 * sign(group) * projectors(z), "larger than the differences"),
        (lambda A, z, group: A + 60 * projectors(z), "turn its sign"),
        (lambda A, z, group: A + 50 * group[:, None, None] * brackets(z), "only one group"),
        (noise, "The velocities change"),
        (lambda A, z, group: nearest_to_target(A, z, group)[0], "shape of A"),
    ],
}
