"""Exercises of the chapter "What if?"."""

from __future__ import annotations

import numpy as np

from ..exercise import Exercise, Mistake


def _shifts_inputs(rng: np.random.Generator) -> tuple:
    # Cells leave A and reach it, and others change without A, so that each way of counting gives other numbers.
    pairs = np.array(["AA", "AA", "AB", "AB", "AC", "BA", "BA", "BB", "BB", "BC", "CC", "CC"])[rng.permutation(12)]
    before, after = (np.array([pair[k] for pair in pairs]) for k in (0, 1))
    draws = rng.integers(12, size=(8, 12))
    while len(set(np.sign(_shifts(before, after, "A", draws)))) < 3:
        draws = rng.integers(12, size=(8, 12))
    return before, after, "A", draws


def _shifts(before: np.ndarray, after: np.ndarray, fate: str, draws: np.ndarray) -> np.ndarray:
    return (after[draws] == fate).mean(1) - (before[draws] == fate).mean(1)


SHIFTS = Exercise(
    call="shifts(before, after, fate, draws)",
    inputs=_shifts_inputs,
    truth=_shifts,
    mistakes=(
        Mistake(
            lambda b, a, f, d: -_shifts(b, a, f, d),
            "The sign is turned round: the shift is knocked minus control.",
        ),
        Mistake(
            lambda b, a, f, d: (a[d] == f).mean(1) - (b == f).mean(),
            "Only the knocked copies are drawn: the control copies of the same cells must be drawn with them.",
        ),
        Mistake(
            lambda b, a, f, d: (a == f).mean() - (b[d] == f).mean(1),
            "Only the control copies are drawn: the knocked copies of the same cells must be drawn with them.",
        ),
        Mistake(
            lambda b, a, f, d: (a[d[::-1]] == f).mean(1) - (b[d] == f).mean(1),
            "The two copies are drawn with different draws: that breaks the pairs, and the interval is too wide.",
        ),
        Mistake(
            lambda b, a, f, d: (a[d] == f).mean(1) - (b[d[::-1]] == f).mean(1),
            "The two copies come from different draws: that breaks the pairs, and the interval is too wide.",
        ),
        Mistake(lambda b, a, f, d: (a[d] == f).mean(1), "This is the share after the knock; subtract the control's."),
        Mistake(lambda b, a, f, d: (b[d] == f).mean(1), "This is the control's share; where is the knock?"),
        Mistake(
            lambda b, a, f, d: _shifts(b, a, f, d) * d.shape[1],
            "These are numbers of cells; a shift is a share of the cells.",
        ),
        Mistake(
            lambda b, a, f, d: np.full(len(d), (a == f).mean() - (b == f).mean()),
            "This is the shift of all cells, again and again: draw cells before you count.",
        ),
        Mistake(
            lambda b, a, f, d: (a != b)[d].mean(1),
            "These are all cells that change their fate, whichever it is; ask for those that reach the fate, minus "
            "those that leave it.",
        ),
        Mistake(
            lambda b, a, f, d: ((a == f) & (b != f))[d].mean(1),
            "This counts the cells that reach the fate, but not those that leave it.",
        ),
        Mistake(
            lambda b, a, f, d: ((a == f) != (b == f))[d].mean(1),
            "Cells that reach the fate and cells that leave it are added up; they have opposite signs.",
        ),
        Mistake(lambda b, a, f, d: np.abs(_shifts(b, a, f, d)), "The sign is lost: a shift has a direction."),
    ),
    section="Two copies of every cell",
    shapes="One shift for each row of draws.",
)


def _far_inputs(rng: np.random.Generator) -> tuple:
    # The spread of the crowd's gaps is skewed, so that mean and median differ; there are fewer cells than genes apart.
    crowd = rng.normal(size=(9, 3)) * rng.uniform(0.3, 2.0, size=(9, 1))
    return rng.normal(1.5, size=(5, 3)), crowd


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(a[:, None] - b[None]).sum(-1))


def _gaps(crowd: np.ndarray, order: int = 1) -> np.ndarray:
    return np.sort(_apart(crowd, crowd), axis=1)[:, order]


def _far(cells: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    return _apart(cells, crowd).min(1) / np.median(_gaps(crowd))


HOW_FAR = Exercise(
    call="how_far(cells, crowd)",
    inputs=_far_inputs,
    truth=_far,
    mistakes=(
        Mistake(
            lambda c, x: _apart(c, x).min(1),
            "These are plain distances: without a yardstick nobody knows whether 2 is far. Divide by what is usual.",
        ),
        Mistake(
            lambda c, x: _apart(c, x).mean(1) / np.median(_gaps(x)),
            "This is the mean distance to all cells of the crowd; ask for the nearest one.",
        ),
        Mistake(
            lambda c, x: _apart(c, x).max(1) / np.median(_gaps(x)),
            "This is the distance to the farthest cell of the crowd; ask for the nearest one.",
        ),
        Mistake(
            lambda c, x: _apart(c, x.mean(0, keepdims=True))[:, 0] / np.median(_gaps(x)),
            "This is the distance to the middle of the crowd. In a crowd of two groups nobody need live in the middle.",
        ),
        Mistake(
            lambda c, x: np.square(_apart(c, x).min(1)) / np.median(np.square(_gaps(x))),
            "These are squared distances: take the root before you divide.",
        ),
        Mistake(
            lambda c, x: np.abs(c[:, None] - x).sum(-1).min(1) / np.median(_gaps(x)),
            "The differences of the genes are added up in absolute value; the Euclidean distance is asked for.",
        ),
        Mistake(
            lambda c, x: _apart(c, x).min(1) / np.mean(_gaps(x)),
            "The yardstick is a mean: one lone cell of the crowd stretches it. Take the median.",
        ),
        Mistake(
            lambda c, x: _apart(c, x).min(1) / np.median(_gaps(x, 2)),
            "The yardstick is the second nearest of the others: one cell too many was left out.",
        ),
        Mistake(
            lambda c, x: _apart(c, x).min(1) / np.median(_apart(x, x)),
            "The yardstick is the distance of any two cells of the crowd; take that of a cell to its nearest fellow.",
        ),
        Mistake(
            lambda c, x: _apart(c, x).min(1) / np.median(_apart(c, x).min(1)),
            "The yardstick is made of the cells that are judged: they would always be about 1. Take the crowd's own.",
        ),
        Mistake(
            lambda c, x: _apart(c, x).min(1) / np.median(_gaps(c)),
            "The yardstick is the gap among the cells that are judged; take the gap within the crowd.",
        ),
        Mistake(lambda c, x: 1 / _far(c, x), "Turned upside down: far away must be a large number."),
    ),
    section="Where no cell has been",
    shapes="One number for each row of cells: a minimum over the crowd, divided by one number.",
)


def _arrives_inputs(rng: np.random.Generator) -> tuple:
    loadings = np.linalg.qr(rng.normal(size=(6, 3)))[0]
    return loadings, int(rng.integers(6)), rng.normal(size=4)


def _arrives(V: np.ndarray, gene: int, change: np.ndarray) -> np.ndarray:
    return change[:, None] * (V @ V[gene])


def _alone(V: np.ndarray, gene: int, change: np.ndarray) -> np.ndarray:
    return change[:, None] * np.eye(len(V))[gene]


ARRIVES = Exercise(
    call="arrives(V, gene, change)",
    inputs=_arrives_inputs,
    truth=_arrives,
    mistakes=(
        Mistake(
            _alone,
            "This is the change that was intended: one gene alone. Few components cannot hold that; encode and decode.",
        ),
        Mistake(
            lambda V, g, c: _alone(V, g, c) * (V[g] @ V[g]),
            "The gene itself is right; but the others do not stay where they were. The whole column of V V^T is asked "
            "for.",
        ),
        Mistake(
            lambda V, g, c: _arrives(V, g, c) - _alone(V, g, c) * (V[g] @ V[g]),
            "The others are right; but a part of the gene's own change arrives too: (V V^T)_gg of it.",
        ),
        Mistake(
            lambda V, g, c: _arrives(V, g, c) / (V[g] @ V[g]),
            "This is scaled so that the whole change of the gene arrives; but only the share (V V^T)_gg does.",
        ),
        Mistake(
            lambda V, g, c: _alone(V, g, c) - _arrives(V, g, c),
            "This is what is lost on the way, (I - V V^T); asked for is what arrives.",
        ),
        Mistake(
            lambda V, g, c: np.tile(V @ V[g], (len(c), 1)),
            "Every cell gets the same change: multiply by its own amount.",
        ),
        Mistake(
            lambda V, g, c: c[:, None] * np.square(V @ V[g]),
            "The entries of V V^T are squared: then no gene could ever go down.",
        ),
        Mistake(
            lambda V, g, c: np.abs(_arrives(V, g, c)),
            "The signs are lost: some genes are dragged down and others up.",
        ),
        Mistake(lambda V, g, c: -_arrives(V, g, c), "The sign is turned round."),
    ),
    section="Through five components",
    shapes="One row for each cell and one column for each gene: encoding gives D numbers a cell, decoding G.",
)


def _rest_inputs(rng: np.random.Generator) -> tuple:
    A = 0.6 * rng.normal(size=(4, 4)) - 2.5 * np.eye(4)
    return A, rng.normal(size=4), int(rng.integers(4)), float(rng.uniform(1.5, 2.5))


def _held(level: float, gene: int, others: np.ndarray) -> np.ndarray:
    return np.insert(others, gene, level)


def _rest_with(
    A: np.ndarray, b: np.ndarray, gene: int, level: float, pull: np.ndarray | None = None, sign: float = -1.0
) -> np.ndarray:
    """Rest of the others, with `pull` (G,) as what the gene does to each; by default its column of A."""
    free = np.delete(np.arange(len(A)), gene)
    pull = A[:, gene] if pull is None else pull
    return _held(level, gene, np.linalg.solve(A[np.ix_(free, free)], sign * (b + pull * level)[free]))


def _overwritten(A: np.ndarray, b: np.ndarray, gene: int, level: float) -> np.ndarray:
    return _held(level, gene, np.delete(np.linalg.solve(A, -b), gene))


def _changed(A: np.ndarray, b: np.ndarray, gene: int, level: float) -> np.ndarray:
    return _rest_with(A, b, gene, np.linalg.solve(A, -b)[gene] + level)


REST_CLAMPED = Exercise(
    call="rest_clamped(A, b, gene, level)",
    inputs=_rest_inputs,
    truth=lambda A, b, gene, level: _rest_with(A, b, gene, level),
    mistakes=(
        Mistake(
            lambda A, b, g, c: np.linalg.solve(A, -b),
            "This is where the undisturbed cell rests: the gene is not held.",
        ),
        Mistake(
            _overwritten,
            "Only the gene itself has changed: the others rest as if nobody had told them. They feel it through its "
            "column of A.",
        ),
        Mistake(
            lambda A, b, g, c: _rest_with(A, b, g, c, pull=np.zeros(len(A))),
            "The column of the gene has gone, as if it made nothing; what is to go is its row, for nobody moves it.",
        ),
        Mistake(
            lambda A, b, g, c: _rest_with(A, b, g, c, pull=A[g]),
            "This uses the row of the gene, which says how others act on it; how it acts on others is its column.",
        ),
        Mistake(
            lambda A, b, g, c: _rest_with(A.T, b, g, c),
            "Rows and columns are exchanged: rows are targets, columns are regulators.",
        ),
        Mistake(
            lambda A, b, g, c: _rest_with(A, b, g, c, sign=1.0),
            "A sign: at rest A x + b = 0, so the known part changes its sign when it goes to the other side.",
        ),
        Mistake(lambda A, b, g, c: _rest_with(A, 0 * b, g, c), "The offset b is missing."),
        Mistake(
            lambda A, b, g, c: _rest_with(A, b, g, c, pull=A[:, g] / c),
            "The column of the gene counts once, whatever the level; multiply it by the level.",
        ),
        Mistake(
            _changed,
            "The level is taken for a change from the old rest; it is the value itself at which the gene is held.",
        ),
    ),
    section="Two copies of every cell",
    shapes="One value for each gene, the held one too: (G,).",
)


EXERCISES = {"shifts": SHIFTS, "how-far": HOW_FAR, "arrives": ARRIVES, "rest-clamped": REST_CLAMPED}
