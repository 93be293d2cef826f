"""Exercises of the chapter "Operators as cell states"."""

from __future__ import annotations

import numpy as np

from ..exercise import Exercise, Mistake


def _alike_inputs(rng: np.random.Generator) -> tuple:
    labels = rng.permutation(np.repeat([0, 1, 2], [18, 9, 6]))
    # Off the origin, so that a dot product is no stand-in for a distance; groups overlap.
    return rng.normal(size=(33, 4)) + labels[:, None] * 0.6 + 2, labels, 5


def _ranked(x: np.ndarray, power: float = 2.0) -> np.ndarray:
    """For each cell the others by distance, itself last."""
    distance = (np.abs(x[:, None] - x[None]) ** power).sum(-1)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1)


def _same(labels: np.ndarray, near: np.ndarray) -> np.ndarray:
    return labels[near] == labels[:, None]


def _alike(x: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    return _same(labels, _ranked(x)[:, :k]).mean(1)


def _by_product(x: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    similar = x @ x.T
    np.fill_diagonal(similar, -np.inf)
    return _same(labels, np.argsort(-similar, axis=1)[:, :k]).mean(1)


SHARE_ALIKE = Exercise(
    call="share_alike(x, labels, k)",
    inputs=_alike_inputs,
    truth=_alike,
    mistakes=(
        Mistake(
            lambda x, labels, k: (_same(labels, _ranked(x)[:, : k - 1]).sum(1) + 1) / k,
            "The cell is among its own neighbours, at distance 0, and always agrees with itself: leave it out.",
        ),
        Mistake(
            lambda x, labels, k: (_same(labels, _ranked(x)[:, :k]).sum(1) + 1) / (k + 1),
            "There are k others, but the cell itself was counted too: k + 1 votes, one of them bought.",
        ),
        Mistake(
            lambda x, labels, k: _same(labels, _ranked(x)[:, : k - 1]).sum(1) / (k - 1),
            "These are k - 1 neighbours: leaving the cell itself out must not cost a neighbour.",
        ),
        Mistake(
            lambda x, labels, k: _same(labels, _ranked(x)[:, ::-1][:, 1 : k + 1]).mean(1),
            "These are the k farthest cells; sort the distances upwards.",
        ),
        Mistake(
            lambda x, labels, k: _same(labels, _ranked(x)[:, :-1]).mean(1),
            "This is the share among all other cells: x plays no part. Only the k nearest count.",
        ),
        Mistake(
            lambda x, labels, k: _same(labels, _ranked(x)[:, :k]).sum(1),
            "This counts the neighbours that agree; divide by k for a share.",
        ),
        Mistake(
            lambda x, labels, k: 1 - _alike(x, labels, k),
            "This is the share of neighbours with another label.",
        ),
        Mistake(
            lambda x, labels, k: labels[_ranked(x)[:, :k]].mean(1),
            "This is the mean label of the neighbours; ask how many of them have the label of the cell in the middle.",
        ),
        Mistake(
            lambda x, labels, k: _same(labels, _ranked(x, 1.0)[:, :k]).mean(1),
            "This measures by sums of absolute differences; Euclidean is the root of the sum of squares.",
        ),
        Mistake(
            _by_product,
            "This takes the largest products x @ x.T for the nearest cells; far-out cells would be near to everybody.",
        ),
        Mistake(
            lambda x, labels, k: _alike(x[:, :2], labels, k),
            "This measures in the first two columns, as a picture would; use all of them.",
        ),
    ),
    section="Ask the neighbours",
    shapes="One share for each cell, (n,): average over the neighbours, axis 1, and not over the cells.",
)


def _clock_inputs(rng: np.random.Generator) -> tuple:
    # Odd numbers of cells: no ties. One time lies between the overall mean and one half, and a late time is
    # negative, so that neither the mean nor a single threshold in time is the rule.
    parts = [(7, 6), (17 + 2 * int(rng.integers(3)), 2), (9, 4), (5, 3 + int(rng.integers(2))), (11, 1)]
    start = rng.uniform(0, 2)
    t = np.repeat(start + np.cumsum(rng.uniform(0.5, 2, size=5)), [n for n, _ in parts])
    positive = np.concatenate([np.repeat([1, 0], [k, n - k]) for n, k in parts])
    order = rng.permutation(len(t))
    return t[order], positive[order]


def _share_at(t: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """For each cell the share of positive cells at its time."""
    _, at = np.unique(t, return_inverse=True)
    return (np.bincount(at, positive) / np.bincount(at))[at]


def _balanced(said: np.ndarray, positive: np.ndarray) -> float:
    return float((said[positive == 1].mean() + 1 - said[positive == 0].mean()) / 2)


def _majority(t: np.ndarray, positive: np.ndarray) -> np.ndarray:
    return (_share_at(t, positive) > 0.5).astype(float)


def _over_times(t: np.ndarray, positive: np.ndarray) -> float:
    share = np.array([positive[t == time].mean() for time in np.unique(t)])
    return float(np.maximum(share, 1 - share).mean())


CLOCK_ACCURACY = Exercise(
    call="clock_accuracy(t, positive)",
    inputs=_clock_inputs,
    truth=lambda t, positive: _balanced(_majority(t, positive), positive),
    mistakes=(
        Mistake(
            lambda t, positive: (_majority(t, positive) == positive).mean(),
            "This is the plain share of right answers, so the commoner kind counts more: average the two shares, "
            "of the positive and of the negative cells.",
        ),
        Mistake(
            lambda t, positive: _balanced((_share_at(t, positive) > positive.mean()).astype(float), positive),
            "The rule compares each time with the overall mean; right for most cells of a time means above one half.",
        ),
        Mistake(
            lambda t, positive: _majority(t, positive)[positive == 1].mean(),
            "This is the share of the positive cells that are found; whoever calls everything positive gets 1.",
        ),
        Mistake(
            lambda t, positive: 1 - _majority(t, positive)[positive == 0].mean(),
            "This is the share of the negative cells that are called negative; average it with that of the positive.",
        ),
        Mistake(
            lambda t, positive: _balanced(_share_at(t, positive), positive),
            "The shares themselves were averaged, as if the rule drew lots: at each time it gives one answer, 0 or 1.",
        ),
        Mistake(
            lambda t, positive: _balanced(np.full(len(t), float(positive.mean() > 0.5)), positive),
            "This gives all cells the same answer, that of the majority of all. The rule may answer anew at each time.",
        ),
        Mistake(
            _over_times,
            "This averages over the times; balanced means over the two kinds of cells, positive and negative.",
        ),
        Mistake(
            lambda t, positive: _balanced((t > t.mean()).astype(float), positive),
            "This calls the later half positive. The rule may answer anew at each time, up and down again.",
        ),
        Mistake(
            lambda t, positive: 1 - _balanced(_majority(t, positive), positive),
            "This is the balanced share of wrong answers.",
        ),
        Mistake(
            lambda t, positive: 2 * _balanced(_majority(t, positive), positive),
            "This is the sum of the two shares; take their mean.",
        ),
    ),
    section="A question whose answer was not an input",
    shapes="The answer is one number between 0 and 1.",
)


def _turn_inputs(rng: np.random.Generator) -> tuple:
    # Some turn by more than half a circle, either way.
    imag = rng.uniform(1, 4, size=5) * np.array([1, -1, 1, -1, 0])
    return rng.uniform(-1, 1, size=5) + 1j * imag, float(rng.uniform(1.2, 2))


def _turn(values: np.ndarray, dt: float) -> np.ndarray:
    return np.stack([np.exp(values.real * dt), values.imag * dt / (2 * np.pi)])


def _with_growth(growth: np.ndarray, values: np.ndarray, dt: float) -> np.ndarray:
    return np.stack([growth, _turn(values, dt)[1]])


def _with_turn(turn: np.ndarray, values: np.ndarray, dt: float) -> np.ndarray:
    return np.stack([_turn(values, dt)[0], turn])


GROW_AND_TURN = Exercise(
    call="grow_and_turn(values, dt)",
    inputs=_turn_inputs,
    truth=_turn,
    mistakes=(
        Mistake(
            lambda v, dt: _with_growth(np.exp(np.abs(v) * dt), v, dt),
            "The size |lambda| was taken for the rate. The imaginary part only turns; the real part grows or decays.",
        ),
        Mistake(
            lambda v, dt: _with_growth(np.exp(v * dt).real, v, dt),
            "This is the real part of e^(lambda dt), the shadow of a turning arrow; its length is e^(rho dt).",
        ),
        Mistake(
            lambda v, dt: _with_growth(v.real * dt, v, dt),
            "This is the exponent, rate times time; the factor is e to the power of it.",
        ),
        Mistake(
            lambda v, dt: _with_growth(1 + v.real * dt, v, dt),
            "1 + rho dt is the first step of an approximation; the closed form is e^(rho dt).",
        ),
        Mistake(
            lambda v, dt: _with_growth(2 ** (v.real * dt), v, dt),
            "This is a power of 2: rates of a linear law belong to e.",
        ),
        Mistake(lambda v, dt: _turn(v, 1.0), "dt is missing: eigenvalues are rates, per unit of time."),
        Mistake(
            lambda v, dt: _with_turn(_turn(v, dt)[1] * 2 * np.pi, v, dt),
            "The turn is in radians; a full circle, 2 pi, should count as 1.",
        ),
        Mistake(
            lambda v, dt: _with_turn(_turn(v, dt)[1] * 360, v, dt),
            "The turn is in degrees; a full circle should count as 1.",
        ),
        Mistake(
            lambda v, dt: _with_turn(np.abs(_turn(v, dt)[1]), v, dt),
            "The sign of the turn is lost: a positive imaginary part turns the one way, a negative the other.",
        ),
        Mistake(
            lambda v, dt: _with_turn(np.angle(np.exp(v * dt)) / (2 * np.pi), v, dt),
            "The angle of e^(lambda dt) forgets whole circles: three quarters to the left look like one to the right.",
        ),
        Mistake(
            lambda v, dt: _with_turn(np.angle(v) / (2 * np.pi), v, dt),
            "This is the angle at which lambda stands in the plane; the turn is the imaginary part times dt.",
        ),
        Mistake(lambda v, dt: _turn(v, dt)[::-1], "The rows are exchanged: first the factor, then the turn."),
    ),
    section="Eigenvalues along a lineage",
    shapes="Two rows, the factor and the turn, and a column for each eigenvalue: (2, n).",
)


def _plant_inputs(rng: np.random.Generator) -> tuple:
    dim = int(rng.integers(3, 6))
    z = rng.normal(size=(10, dim))
    z *= (rng.uniform(0.5, 2, size=10) / np.linalg.norm(z, axis=1))[:, None]
    return rng.normal(size=(10, dim, dim)), z, rng.permutation(np.repeat([0, 1], 5))


def _signs(group: np.ndarray) -> np.ndarray:
    return np.where(group == 1, 1.0, -1.0)[:, None, None]


def _bracket(z: np.ndarray) -> np.ndarray:
    return np.square(z).sum(1)[:, None, None] * np.eye(z.shape[1]) - z[:, :, None] * z[:, None]


def _silent(z: np.ndarray) -> np.ndarray:
    return _bracket(z) / np.square(z).sum(1)[:, None, None]


def _plant(a: np.ndarray, z: np.ndarray, group: np.ndarray) -> np.ndarray:
    return a + 100 * _signs(group) * _silent(z)


def _group_means(a: np.ndarray, group: np.ndarray) -> np.ndarray:
    return np.stack([a[group == 0].mean(0), a[group == 1].mean(0)])[group]


UNCHANGED = "These are the operators as they were: the groups do not show in them."
DIAGONAL = (
    "Only the diagonal was changed, by one number a cell: that multiplies z itself, so the velocities change. Take the "
    "part along z away."
)
ALONG = (
    "The addition is a multiple of z z^T, which acts on z and on nothing else: what is silent on z is |z|^2 I - z z^T."
)
ALL_ENTRIES = (
    "The same number was added to every entry of a cell's operator, which changes its velocity: not silent on z."
)
SCALED = "Each operator was multiplied by a number, and its velocity with it: add something silent instead."
SHARED = (
    "All cells of a group got the same addition. It may be silent on one state; yet each cell has its own z, and asks "
    "for an addition of its own."
)
BRACKET = (
    "The velocities are kept. But |z|^2 I - z z^T is large for a long state and small for a short one, which spreads a "
    "group out: divide by |z|^2."
)
ONE_SIDED = (
    "The velocities are kept, but only one group was changed: it can be as wide as it is far from the other. "
    "Subtract in the other group what you add in this one."
)
SMALL = (
    "The velocities are kept, but some cells of one group are farther apart than some of different groups: the "
    "additions must be larger than the differences in A."
)
SAME_FOR_BOTH = (
    "Both groups got the same kind of addition, so it does not tell them apart: turn its sign in one of them."
)


def _plant_fault(values: np.ndarray, a: np.ndarray, z: np.ndarray, group: np.ndarray) -> str | None:
    added = values - a
    if np.allclose(added, 0):
        return UNCHANGED
    if not np.allclose(np.einsum("nij,nj->ni", values, z), np.einsum("nij,nj->ni", a, z), rtol=1e-4, atol=1e-6):
        return _changed_velocity(added, a, z, group)
    distance = np.linalg.norm(values[:, None] - values[None], axis=(2, 3))
    alike = group[:, None] == group[None]
    if distance[alike].max() < distance[~alike].min():
        return None
    size = np.linalg.norm(added, axis=(1, 2))
    if min(size[group == 0].max(), size[group == 1].max()) < 1e-6:
        return ONE_SIDED
    # How the addition grows with the length of the state: as its square, or not at all.
    power = np.polyfit(np.log(np.linalg.norm(z, axis=1)), np.log(np.maximum(size, 1e-12)), 1)[0]
    if np.ptp(np.sign(np.einsum("nii->n", added))) == 0:
        return SAME_FOR_BOTH
    return BRACKET if power > 1.5 and np.median(size) > 20 else SMALL


def _changed_velocity(added: np.ndarray, a: np.ndarray, z: np.ndarray, group: np.ndarray) -> str:
    eye, outer = np.eye(z.shape[1]), z[:, :, None] * z[:, None]

    def only(shape: np.ndarray) -> bool:
        """Whether every addition is a multiple of the given matrix of its cell."""
        factor = (added * shape).sum((1, 2)) / np.square(shape).sum((1, 2))
        return np.allclose(added, factor[:, None, None] * shape, rtol=1e-4, atol=1e-6)

    if only(np.broadcast_to(eye, a.shape)):
        return DIAGONAL
    if only(outer):
        return ALONG
    if only(np.ones_like(a)):
        return ALL_ENTRIES
    if only(a):
        return SCALED
    if all(np.allclose(added[group == g], added[group == g][0]) for g in (0, 1)):
        return SHARED
    return "The velocities change: each cell's new operator, times its own z, must give what the old one gave."


PLANT = Exercise(
    call="plant(A, z, group)",
    inputs=_plant_inputs,
    truth=_plant,
    mistakes=(
        Mistake(lambda a, z, g: a, UNCHANGED),
        Mistake(lambda a, z, g: a + 100 * _signs(g) * np.eye(z.shape[1]), DIAGONAL),
        Mistake(lambda a, z, g: a + 100 * _signs(g) * z[:, :, None] * z[:, None], ALONG),
        Mistake(lambda a, z, g: a + 100 * _signs(g), ALL_ENTRIES),
        Mistake(lambda a, z, g: a * (1 + 99 * g[:, None, None]), SCALED),
        Mistake(lambda a, z, g: a + 100 * _signs(g) * _silent(z.mean(0, keepdims=True)), SHARED),
        Mistake(
            lambda a, z, g: _group_means(a, g),
            "Each cell got the mean operator of its group: the groups are as tight as can be, but the velocities "
            "are lost.",
        ),
        Mistake(lambda a, z, g: a + 100 * _signs(g) * _bracket(z), BRACKET),
        Mistake(lambda a, z, g: a + 0.1 * _signs(g) * _silent(z), SMALL),
        Mistake(lambda a, z, g: a + 100 * _silent(z), SAME_FOR_BOTH),
    ),
    section="Break it: groups by decree",
    shapes="One operator for each cell: the answer has the shape of A, (n, D, D).",
    fault=_plant_fault,
)


EXERCISES = {
    "share-alike": SHARE_ALIKE,
    "clock-accuracy": CLOCK_ACCURACY,
    "grow-and-turn": GROW_AND_TURN,
    "plant": PLANT,
}
