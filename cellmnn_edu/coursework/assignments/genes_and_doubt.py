"""Assignment 4, "Genes and doubt": from components to genes, and whether to believe what stands there."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import expm

from ..assignment import Assignment, Line, Question, Variant
from ..exercise import Exercise, Mistake
from ..faults import in_part, own_numbers
from ..given import CurvedLaw, own_network

if TYPE_CHECKING:
    from collections.abc import Callable

COMPONENTS = "From a matrix of components to a matrix of genes"
RIGHT = "Is it right?"
WHAT_IF = "What if?"


def _axes(rng: np.random.Generator, n_genes: int, dim: int) -> np.ndarray:
    """Loadings: orthonormal columns."""
    return np.linalg.qr(rng.normal(size=(n_genes, dim)))[0]


def _scales(rng: np.random.Generator, dim: int) -> np.ndarray:
    # Far apart: with nearly equal scales nearly every order of the factors is right.
    return rng.permutation(np.linspace(1.0, 4.0, dim) * rng.uniform(0.8, 1.25, size=dim))


# 1. Pushes


def _pushes_inputs(rng: np.random.Generator, n: int = 5, n_genes: int = 6, dim: int = 3) -> tuple:
    shape = (rng.normal(size=(n, dim, dim)), rng.normal(size=(n, dim)), _axes(rng, n_genes, dim), _scales(rng, dim))
    return *shape, rng.normal(2.0, 0.5, size=n_genes), rng.normal(3.0, 1.0, size=(n, n_genes))


def _in_float32(inputs: tuple) -> tuple:
    return tuple(part.astype(np.float32) if isinstance(part, np.ndarray) else part for part in inputs)


def _pushes(
    A: np.ndarray,
    b: np.ndarray,
    V: np.ndarray,
    scale: np.ndarray,
    centre: np.ndarray,
    x: np.ndarray,
    factors: tuple | None = None,
) -> np.ndarray:
    """The pushes; `factors` puts others in the three places of a spread: after A, before A, and after b."""
    left, right, offset = factors or (scale, 1 / scale, scale)
    W = (V * left) @ A @ (V * right).T
    genes = W * (x - centre)[:, None, :]
    return np.concatenate([genes, (b @ (V * offset).T)[..., None]], axis=2)


def _with_genes(change: Callable) -> Callable:
    """The right answer with other pushes of the genes."""

    def answer(A: np.ndarray, b: np.ndarray, V: np.ndarray, s: np.ndarray, c: np.ndarray, x: np.ndarray) -> np.ndarray:
        right = _pushes(A, b, V, s, c, x)
        return np.concatenate([change(right[:, :, :-1], x - c), right[:, :, -1:]], axis=2)

    return answer


_OFFSET = np.s_[..., -1]
_GENES = np.s_[..., :-1]

PUSHES = Exercise(
    call="pushes(A, b, V, scale, centre, x)",
    inputs=_pushes_inputs,
    truth=_pushes,
    mistakes=(
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A, b, V, s, c, x, (1, 1, 1)),
            "The spreads are missing everywhere: A takes and gives states in units of each component's spread.",
        ),
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A, b, V, s, c, x, (1, 1, s)),
            "The pushes use V A V^T: A acts on states, which are counted in spreads of components; S is missing.",
        ),
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A, b, V, s, c, x, (1 / s, s, s)),
            "S and its inverse have changed places: on the way in a component is divided by its spread.",
        ),
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A, b, V, s, c, x, (s, 1 / s, 1)),
            "The last column is V b: the offset is a speed of states, in spreads per time, and needs S as well.",
        ),
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A, b, V, s, c, x, (s, 1 / s, 1 / s)),
            "The offset is divided by the spreads; on the way back to genes a component is multiplied by them.",
        ),
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A, 0 * b, V, s, c, x),
            "The last column is zero: the offset b pushes genes as well.",
        ),
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A, b, V, s, 0 * c, x),
            "This multiplies by x_j itself: W acts on the distance from the centre.",
        ),
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A, b, V, s, x.mean(0), x),
            "This centres on the mean of the cells at hand; the centre of the training cells is handed over.",
        ),
        Mistake(
            _with_genes(lambda push, away: push.swapaxes(1, 2)),
            "Targets and regulators are exchanged: row i holds what gene i receives.",
        ),
        Mistake(
            _with_genes(lambda push, away: push / away[:, None, :]),
            "These are interactions, the push of one unit; in a cell it is multiplied by how far the regulator is from "
            "its centre.",
        ),
        Mistake(
            _with_genes(lambda push, away: push / away[:, None, :] * away[:, :, None]),
            "Rows are multiplied by the target's expression; it is the regulator, the column, that pushes.",
        ),
        Mistake(
            lambda A, b, V, s, c, x: _pushes(A.swapaxes(1, 2), b, V, s, c, x),
            "A is transposed: its rows are the components acted on, and so they stay.",
        ),
    ),
    shapes="A is (n, D, D), b (n, D), x (n, G): the answer is (n, G, G + 1), the last column for the offset.",
    section="There and back",
    page=COMPONENTS,
)


# 2. Push a gene


def _law(rng: np.random.Generator, dim: int) -> CurvedLaw:
    directions = rng.normal(size=(4, dim))
    return CurvedLaw(rng.normal(size=(dim, dim)), directions, rng.normal(size=(4, dim, dim)))


def _push_gene_inputs(rng: np.random.Generator, n: int = 4, n_genes: int = 6, dim: int = 3) -> tuple:
    z = rng.normal(size=(n, dim))
    return _law(rng, dim), z, _axes(rng, n_genes, dim), _scales(rng, dim), int(rng.integers(n_genes))


def _at_zero(rng: np.random.Generator, variant: Variant) -> tuple:
    law, z, V, scale, gene = _push_gene_inputs(rng)
    z[1] = 0.0
    return law, z, V, scale, gene


def _jacobian(law: CurvedLaw, z: np.ndarray) -> np.ndarray:
    """d(A(z) z)/dz in closed form: A + sum_k (1 - tanh^2) (bend_k z) direction_k^T."""
    slope = 1 - np.tanh(z @ law.directions.T) ** 2
    bent = np.einsum("kij,nj->nki", law.bends, z)
    return law.operator(z) + np.einsum("nk,nki,kj->nij", slope, bent, law.directions)


def _column(J: np.ndarray, V: np.ndarray, gene: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return ((V * left) @ J @ (V[gene] * right)[:, None])[..., 0]


def _push_gene(law: CurvedLaw, z: np.ndarray, V: np.ndarray, s: np.ndarray, gene: int) -> np.ndarray:
    return _column(_jacobian(law, z.astype(float)), V, gene, s, 1 / s)


PUSH_GENE = Exercise(
    call="push_gene(law, z, V, scale, gene)",
    inputs=_push_gene_inputs,
    truth=_push_gene,
    mistakes=(
        Mistake(
            lambda law, z, V, s, g: _column(law.operator(z), V, g, s, 1 / s),
            "This is the gene's column of the lifted operator: it answers only if A stays that of the cell before the "
            "push. A pushed cell gets another operator; compare velocities.",
        ),
        Mistake(
            lambda law, z, V, s, g: _column(law.operator(z), V, g, np.ones_like(s), np.ones_like(s)),
            "This is the gene's column of V A V^T: the spreads are missing, and the operator does not answer a push.",
        ),
        Mistake(
            lambda law, z, V, s, g: _column(_jacobian(law, z), V, g, np.ones_like(s), np.ones_like(s)),
            "The spreads are missing: the push enters in units of the spread, and the answer is multiplied by it.",
        ),
        Mistake(
            lambda law, z, V, s, g: _column(_jacobian(law, z), V, g, s, np.ones_like(s)),
            "One unit of the gene is taken for one unit of the state: on the way in each component is divided by its "
            "spread.",
        ),
        Mistake(
            lambda law, z, V, s, g: _column(_jacobian(law, z), V, g, np.ones_like(s), 1 / s),
            "The answer is still a speed of scaled components; multiply by the spreads before you decode.",
        ),
        Mistake(
            lambda law, z, V, s, g: _column(_jacobian(law, z).swapaxes(1, 2), V, g, 1 / s, s),
            "This is the gene's row: how all others act on it. Asked is its column.",
        ),
        Mistake(
            lambda law, z, V, s, g: (law(z) * s) @ V.T,
            "This is the velocity of the cells; asked is by how much it *changes* with the gene.",
        ),
        Mistake(
            lambda law, z, V, s, g: -_push_gene(law, z, V, s, g),
            "The sign is turned round: pushed minus unpushed.",
        ),
        Mistake(
            lambda law, z, V, s, g: np.tile(_push_gene(law, z.mean(0, keepdims=True), V, s, g), (len(z), 1)),
            "Every cell gets the answer of the average cell: ask each cell itself.",
        ),
    ),
    shapes="z is (n, D), V is (G, D): the answer is (n, G), one row for each cell and one column for each gene.",
    section="Push one gene",
    page=COMPONENTS,
)


# 3. Existence


def _network(rng: np.random.Generator, n_genes: int, n_edges: int) -> np.ndarray:
    """Signed, with a diagonal that must not count."""
    network = np.zeros((n_genes, n_genes), dtype=int)
    places = np.flatnonzero(~np.eye(n_genes, dtype=bool))
    network.flat[rng.choice(places, n_edges, replace=False)] = rng.permutation(np.resize([1, -1, 1], n_edges))
    return network - np.diag(rng.integers(0, 2, size=n_genes))


def _existence_inputs(
    rng: np.random.Generator, n_genes: int = 6, n_edges: int = 9, n_others: int = 19, ties: bool = False
) -> tuple:
    """Draw until the classic slips give numbers of their own."""
    for _ in range(500):
        network = _network(rng, n_genes, n_edges)
        # A little of the truth, so that p is neither 1 nor the smallest possible; the diagonal is large.
        W = 1.5 * network * (rng.random(network.shape) < 0.5) + rng.normal(size=network.shape)
        W = W - 3 * np.diag(rng.random(n_genes))
        W = np.round(W) if ties else W
        others = np.abs([_network(rng, n_genes, n_edges) for _ in range(n_others)])
        if n_others > 1:  # one that does exactly as well, for it counts
            others[rng.integers(n_others)] = np.abs(network)
        right = _existence(W, network, others)
        if not 0.05 < right[2] < 0.6:
            continue
        found = {right[0], *(slip(W, network, others[:1])[0] for slip in _RANKING_SLIPS)}
        if len(found) == 1 + len(_RANKING_SLIPS):
            break
    return W, network, others


def _existence(
    W: np.ndarray,
    network: np.ndarray,
    others: np.ndarray,
    size: Callable = np.abs,
    mask: Callable = lambda n: ~np.eye(n, dtype=bool),
    ties: float = 0.5,
    p: Callable = lambda null, seen: (1 + (null >= seen - 1e-12).sum()) / (1 + len(null)),
) -> np.ndarray:
    off = mask(len(W))
    ahead = np.subtract.outer(size(W[off]), size(W[off]))
    wins = (ahead > 0) + ties * (ahead == 0)
    edges = np.array([network, *others])[:, off] != 0  # of all networks at once
    seen, *null = ((edges @ wins) * ~edges).sum(1) / (edges.sum(1) * (~edges).sum(1))
    return np.array([seen, np.mean(null), p(np.array(null), seen)])


_RANKING_SLIPS = (
    lambda W, n, o: _existence(W, n, o, mask=lambda k: np.ones((k, k), dtype=bool)),
    lambda W, n, o: _existence(W, n, o, size=lambda w: w),
    lambda W, n, o: _existence(W.T, n, o),
    lambda W, n, o: _existence(W, n > 0, o),
)

EXISTENCE = Exercise(
    call="existence(W, network, others)",
    inputs=_existence_inputs,
    truth=_existence,
    mistakes=(
        Mistake(
            _RANKING_SLIPS[0],
            "The diagonal counts as pairs: that a gene decays is no edge. Leave the pairs of a gene with itself out.",
        ),
        Mistake(
            _RANKING_SLIPS[1],
            "Weights are ranked with their signs, so that strong repressions come last. Existence ranks by size.",
        ),
        Mistake(_RANKING_SLIPS[2], "W is transposed against the network: rows are targets in both."),
        Mistake(
            _RANKING_SLIPS[3],
            "Only activations count as edges; a repression is an edge too: network != 0.",
        ),
        Mistake(
            lambda W, n, o: _existence(W, n, o, ties=1.0),
            "A tie counts as a success; it counts one half.",
        ),
        Mistake(
            lambda W, n, o: _existence(W, n, o, ties=0.0),
            "A tie counts as a failure; it counts one half.",
        ),
        Mistake(
            lambda W, n, o: _existence(W, n, o, p=lambda null, seen: (null >= seen - 1e-12).mean()),
            "The network itself is one of those that chance could draw: add 1 above and below, or p can be 0.",
        ),
        Mistake(
            lambda W, n, o: _existence(
                W, n, o, p=lambda null, seen: (1 + (null <= seen + 1e-12).sum()) / (1 + len(null))
            ),
            "p counts the rewired networks that do worse; count those that do at least as well.",
        ),
        Mistake(
            lambda W, n, o: _existence(
                W, n, o, p=lambda null, seen: (1 + (null > seen + 1e-12).sum()) / (1 + len(null))
            ),
            "p counts only the rewired networks that do better; one that does as well counts, too.",
        ),
        Mistake(
            lambda W, n, o: _existence(W, n, o, p=lambda null, seen: (1 + (null >= seen - 1e-12).sum()) / len(null)),
            "The network itself is counted above the line, not below it: divide by 1 + k.",
        ),
        Mistake(
            lambda W, n, o: _existence(
                W, n, o, p=lambda null, seen: min(1.0, 2 * (1 + (null >= seen - 1e-12).sum()) / (1 + len(null)))
            ),
            "p is doubled, as for two sides; asked is one: how seldom chance ranks the edges as well.",
        ),
        Mistake(
            lambda W, n, o: _existence(W, n, o)[[0, 2, 1]],
            "Two numbers are exchanged: first the AUROC, then the mean of the null, then p.",
        ),
        Mistake(
            lambda W, n, o: np.array([_existence(W, n, o)[0], 0.5, _existence(W, n, o)[2]]),
            "The mean of this null is not one half: rewired networks keep their busy genes, and a network may know "
            "those. Compute it.",
        ),
    ),
    shapes="W and network are (G, G), others (k, G, G); the answer is three numbers.",
    section="Two questions",
    page=RIGHT,
)


# 4. My scores


_ROWS = ("projected truth", "V V^T", "correlation")


@lru_cache(maxsize=64)
def _my_rows(variant: Variant) -> dict[str, np.ndarray]:
    """Matrices that the student scores, by name."""
    mine = own_network(*variant)
    kept, J = mine.snaps.loadings @ mine.snaps.loadings.T, mine.law[0]
    correlation = np.corrcoef(np.concatenate(mine.snaps.raw).T)
    rows = {"projected truth": kept @ J @ kept, "V V^T": kept, "correlation": correlation, "J": J, "once": kept @ J}
    return {name: np.round(w, 12) for name, w in rows.items()}  # equal weights stay equal


@lru_cache(maxsize=256)
def _my_scores(
    variant: Variant, score: Callable = _existence, names: tuple = _ROWS, columns: tuple = (0, 2)
) -> np.ndarray:
    mine, rows = own_network(*variant), _my_rows(variant)
    scored = [score(rows[name], mine.circuit.network, mine.rewired) for name in names]
    return np.array(scored)[:, list(columns)]


_MY_SLIPS = {
    "The diagonal is among the pairs; leave it out.": lambda v: _my_scores(v, _RANKING_SLIPS[0]),
    "Weights are ranked with their signs; existence ranks by size.": lambda v: _my_scores(v, _RANKING_SLIPS[1]),
    "The matrix is transposed against the network: rows are targets.": lambda v: _my_scores(v, _RANKING_SLIPS[2]),
    "Only activations count as edges; network != 0 has them all.": lambda v: _my_scores(v, _RANKING_SLIPS[3]),
    "This is the true Jacobian before any projection: squeeze it through the components, on both sides.": lambda v: (
        _my_scores(v, names=("J",) * 3)
    ),
    "The Jacobian is projected on one side only; a model also hears genes through its components.": lambda v: (
        _my_scores(v, names=("once",) * 3)
    ),
    "The columns are exchanged: first the AUROC, then p.": lambda v: _my_scores(v)[:, ::-1],
    "The second number is the mean of the null; p is asked for.": lambda v: _my_scores(v, columns=(0, 1)),
}


def _my_row(row: int) -> Callable:
    """Compare one row with the student's own; the numbers of another row have a name as well."""
    others = {
        f"In the row of {_ROWS[row]} stand the numbers of {name}; the order is {', '.join(_ROWS)}.": (
            lambda v, name=name: _my_scores(v, names=(name,) * 3)
        )
        for name in _ROWS
        if name != _ROWS[row]
    }
    words = f"The row of {_ROWS[row]} is not that of your circuit: is STUDENT still what it was when you measured?"
    return own_numbers(_my_scores, np.s_[row], others | _MY_SLIPS, words, 0.012)


def _nothing(rng: np.random.Generator, variant: Variant | None = None) -> tuple:
    return ()


MY_SCORES = Exercise(
    call="my_scores()",
    inputs=_nothing,
    truth=lambda: np.zeros((3, 2)),
    mistakes=(),
    shapes="Three rows of two numbers: [[AUROC, p], [AUROC, p], [AUROC, p]].",
    section="A circuit that does not give in",
    page=RIGHT,
)


# 5. Reread


def _counts(rng: np.random.Generator, n_edges: int) -> tuple[int, int, int, int]:
    """Hits, misses, false activations and right repressions of a network a little better than luck."""
    activate = int(n_edges * rng.uniform(0.62, 0.75))
    hit, right = (int(rng.binomial(n, p)) for n, p in ((activate, 0.8), (n_edges - activate, 0.4)))
    return hit, activate - hit, n_edges - activate - right, right


def _script_f1(hit: int, miss: int, right: int) -> float:
    return 2 * hit / (2 * hit + miss + right)


def _reread_inputs(rng: np.random.Generator, digits: int | None = None, n_edges: int | None = None) -> tuple:
    while True:
        hit, miss, alarm, right = _counts(rng, n_edges or int(rng.integers(40, 90)))
        f1 = _script_f1(hit, miss, right)
        inputs = (f1 if digits is None else round(f1, digits), hit + miss, alarm + right, hit + alarm)
        raw = _hits(*inputs)
        off = abs(raw - hit)
        # Rounding must matter, and must not hide the count.
        if min(hit, miss, alarm, right) > 1 and (digits is None or 0.05 < off < 0.4):
            return inputs


def _hits(f1: float, n_activate: int, n_repress: int, n_called: int) -> float:
    """True activations called right, of an F1 in which correct repressions stand under FN."""
    if f1 >= 1:
        return float(n_activate)
    return f1 * (n_activate + n_repress - n_called) / (2 * (1 - f1))


def _judged(hit: float, n_activate: int, n_repress: int, n_called: int) -> np.ndarray:
    n, right = n_activate + n_repress, n_repress - (n_called - hit)
    a, c = n_activate / n, n_called / n
    balanced = (hit / n_activate + right / n_repress) / 2
    return np.array([(hit + right) / n, balanced, max(a, 1 - a), a * c + (1 - a) * (1 - c)])


def _reread(f1: float, n_activate: int, n_repress: int, n_called: int) -> np.ndarray:
    return _judged(round(_hits(f1, n_activate, n_repress, n_called)), n_activate, n_repress, n_called)


def _changed_last(change: Callable) -> Callable:
    def answer(f1: float, n_activate: int, n_repress: int, n_called: int) -> np.ndarray:
        out = _reread(f1, n_activate, n_repress, n_called)
        return change(out, n_activate / (n_activate + n_repress), n_called / (n_activate + n_repress))

    return answer


REREAD = Exercise(
    call="reread(f1, n_activate, n_repress, n_called)",
    inputs=_reread_inputs,
    truth=_reread,
    mistakes=(
        Mistake(
            lambda f, a, r, c: _judged(round(f * (a + c) / 2), a, r, c),
            "This takes f1 for the standard F1, 2 TP / (activations + calls); the script puts correct repressions "
            "under FN.",
        ),
        Mistake(
            lambda f, a, r, c: _judged(f * (a + c) / 2, a, r, c),
            "This takes f1 for the standard F1, and leaves a count that is not whole.",
        ),
        Mistake(
            lambda f, a, r, c: _judged(round(f * a), a, r, c),
            "This takes f1 for the share of activations that are found.",
        ),
        Mistake(
            lambda f, a, r, c: _judged(round(_hits(f, a, r, c)), a, r, c)[[1, 0, 2, 3]],
            "Accuracy and balanced accuracy are exchanged.",
        ),
        Mistake(
            lambda f, a, r, c: _judged(_hits(f, a, r, c), a, r, c),
            "The number of hits is not whole: f1 was printed with three digits, but counts are whole numbers.",
        ),
        Mistake(
            _changed_last(lambda out, a, c: np.array([*out[:3], 0.5])),
            "Luck is not one half: where activations are common and often called, luck is often right.",
        ),
        Mistake(
            _changed_last(lambda out, a, c: np.array([*out[:2], c, out[3]])),
            "The base rate is what one fixed sentence scores on the table; how often this network calls activation "
            "does not enter.",
        ),
        Mistake(
            _changed_last(lambda out, a, c: np.array([*out[:3], a * c])),
            "Luck is right about repressions, too: (1 - a)(1 - c) is missing.",
        ),
        Mistake(
            _changed_last(lambda out, a, c: out[[0, 1, 3, 2]]),
            "Base rate and luck are exchanged.",
        ),
    ),
    shapes="Four numbers: accuracy, balanced accuracy, base rate, luck.",
    section="Break it: a perfect score",
    page=RIGHT,
)


def _always(rng: np.random.Generator, variant: Variant) -> tuple:
    a, r = (int(n) for n in rng.integers(10, 40, size=2))
    return 1.0, a + r, r, a + 2 * r


# 6. Hold a gene


def _hold_inputs(rng: np.random.Generator, n: int = 4, n_genes: int = 4, t: float | None = None) -> tuple:
    A = rng.normal(size=(n_genes, n_genes)) - 1.5 * np.eye(n_genes)
    when = float(rng.uniform(0.5, 1.5)) if t is None else t
    gene, level = int(rng.integers(n_genes)), float(rng.uniform(1.5, 2.5))
    return A, rng.normal(size=n_genes), rng.normal(size=(n, n_genes)), gene, level, when


def _without_decay(rng: np.random.Generator, variant: Variant) -> tuple:
    """Another gene that is moved by the held one alone: what is left of A has no inverse."""
    A, b, x, gene, level, t = _hold_inputs(rng)
    row = (gene + 1) % len(A)
    A[row, np.arange(len(A)) != gene] = 0.0
    return A, b, x, gene, level, t


def _flow(A: np.ndarray, b: np.ndarray, x: np.ndarray, t: float) -> np.ndarray:
    size = len(A)
    lifted = np.zeros((size + 1, size + 1))
    lifted[:size, :size], lifted[:size, size] = A, b
    step = expm(lifted * t)
    return x @ step[:size, :size].T + step[:size, size]


def _hold(
    A: np.ndarray, b: np.ndarray, x: np.ndarray, gene: int, level: float, t: float, zero: str = "row offset start"
) -> np.ndarray:
    """Cells after time t with a gene held; `zero` names what of it goes: row, column, offset, and the start's value."""
    A, b, x = A.copy(), b.copy(), x.copy()
    if "row" in zero:
        A[gene] = 0.0
    if "column" in zero:
        A[:, gene] = 0.0
    if "offset" in zero:
        b[gene] = 0.0
    if "start" in zero:
        x[:, gene] = level
    return _flow(A, b, x, t)


def _overwritten(A: np.ndarray, b: np.ndarray, x: np.ndarray, gene: int, level: float, t: float) -> np.ndarray:
    out = _flow(A, b, x, t)
    out[:, gene] = level
    return out


HOLD = Exercise(
    call="hold_gene(A, b, x, gene, level, t)",
    inputs=_hold_inputs,
    truth=_hold,
    mistakes=(
        Mistake(
            lambda A, b, x, g, c, t: _flow(A, b, x, t),
            "This is where the undisturbed cells go: the gene is not held.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A, b, x, g, c, t, "start"),
            "The gene is set at the start and then let go: that is an initial knock. Held, its row of A and its offset "
            "are zero.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A, b, x, g, c, t, "row start"),
            "The gene still moves: its offset b must be zero as well.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A, b, x, g, c, t, "offset start"),
            "The gene still moves: its row of A must be zero as well.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A, b, x, g, c, t, "row offset"),
            "Each cell keeps the value it had: set the gene to `level` at the start.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A, b, x, g, c, t, "column offset start"),
            "The column of the gene has gone, as if it acted on nobody; what goes is its row, for nobody moves it.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A, b, x, g, c, t, "row column offset start"),
            "Row and column have gone: the others must still feel the held gene through its column.",
        ),
        Mistake(
            _overwritten,
            "Only the gene itself has changed: the others moved as if nobody had held it.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A.T, b, x, g, c, t),
            "A is transposed: rows are targets, so cells in rows are multiplied by the transpose, x @ E.T.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A, 0 * b, x, g, c, t),
            "The offset b of the other genes is missing.",
        ),
        Mistake(
            lambda A, b, x, g, c, t: _hold(A, b, x, g, c, 1.0),
            "The time t is not used.",
        ),
    ),
    shapes="x is (n, G), A is (G, G), b is (G,): the answer is (n, G).",
    section="Two copies of every cell",
    page=WHAT_IF,
)


# 7. My knock


@lru_cache(maxsize=64)
def _my_answers(variant: Variant) -> dict[str, np.ndarray]:
    """For each way the predicted change of each gene."""
    mine = own_network(*variant)
    A, b = mine.law
    start, gene = mine.snaps.raw[0], mine.gene
    held = _hold(A, b, start, gene, 0.0, 4.0)
    let_go = _hold(A, b, start, gene, 0.0, 4.0, "start")
    control = _flow(A, b, start, 4.0)
    R = np.corrcoef(np.concatenate(mine.snaps.raw).T)
    return {
        "law": (held - control).mean(0),
        "let go": (let_go - control).mean(0),
        "from the start": (held - start).mean(0),
        "column": -A[:, gene],
        "row": -A[gene],
        "correlation": -R[:, gene],
    }


def _six(shift: np.ndarray, gene: int) -> np.ndarray:
    size = np.abs(shift)
    size[gene] = -1.0
    return np.argsort(-size)[:6]


def _my_knock(
    variant: Variant,
    names: tuple = ("law", "column", "correlation"),
    sign: float = 1.0,
    among: Callable = _six,
) -> np.ndarray:
    mine, said = own_network(*variant), _my_answers(variant)
    six = among(mine.shift, mine.gene)
    return np.array([np.mean(sign * said[name][six] * mine.shift[six] > 0) for name in names])


_KNOCK_SLIPS = {
    "These are numbers of genes; give shares.": lambda v: 6 * _my_knock(v),
    "So it comes out if the direction is turned round: without the gene its targets lose what it gave.": lambda v: (
        _my_knock(v, sign=-1.0)
    ),
    "This is the share among all ten genes: take the six others with the largest true shift.": lambda v: _my_knock(
        v, among=lambda shift, gene: np.arange(10)
    ),
    "This is the share among all nine others: take the six with the largest true shift.": lambda v: _my_knock(
        v, among=lambda shift, gene: np.delete(np.arange(10), gene)
    ),
    "The knocked gene is among the six; everybody gets that one right. Leave it out.": lambda v: _my_knock(
        v, among=lambda shift, gene: np.argsort(-np.abs(shift))[:6]
    ),
    "So it comes out if the gene is set to 0 and let go; the experiment held it.": lambda v: _my_knock(
        v, ("let go",) * 3
    ),
    "So it comes out against the cells at the start; compare with undisturbed cells at time 4.": lambda v: _my_knock(
        v, ("from the start",) * 3
    ),
    "So it comes out with the gene's row, what others do to it.": lambda v: _my_knock(v, ("row",) * 3),
    "The shares are in another order: law, column, correlation.": lambda v: _my_knock(v)[[1, 2, 0]],
    "The shares stand in another order: law, column, correlation.": lambda v: _my_knock(v)[[2, 0, 1]],
}


def _my_share(entry: int, what: str) -> Callable:
    words = f"The share of {what} is not that of your circuit: is STUDENT still what it was when you measured?"
    return own_numbers(_my_knock, np.s_[entry], _KNOCK_SLIPS, words, 0.02)


MY_KNOCK = Exercise(
    call="my_knock()",
    inputs=_nothing,
    truth=lambda: np.zeros(3),
    mistakes=(),
    shapes="Three shares: [law, column, correlation].",
    section="One album, two answers",
    page=WHAT_IF,
)


ASSIGNMENT = Assignment(
    number="4",
    slug="genes-and-doubt",
    title="Genes and doubt",
    questions=(
        Question(
            "pushes",
            PUSHES,
            (
                Line(
                    "the pushes of the genes",
                    5,
                    fault=in_part(_pushes, _GENES, "The pushes of the genes, all columns but the last, are off."),
                ),
                Line(
                    "the push of the offset",
                    3,
                    fault=in_part(_pushes, _OFFSET, "The last column, the push of the offset, is off."),
                ),
                Line(
                    "one cell alone, other numbers of genes and components",
                    2,
                    lambda rng, variant: _pushes_inputs(rng, 1, 9, 2),
                    hidden=True,
                ),
                Line(
                    "float32 comes back as float32",
                    2,
                    lambda rng, variant: _in_float32(_pushes_inputs(rng)),
                    in_part(_pushes, np.s_[:], "The numbers are off in float32.", 1e-3, np.float32),
                    hidden=True,
                    tolerance=1e-3,
                ),
            ),
        ),
        Question(
            "push_gene",
            PUSH_GENE,
            (
                Line(
                    "a law that bends", 5, fault=in_part(_push_gene, np.s_[:], "The answer to the push is off.", 1e-3)
                ),
                Line(
                    "a cell at zero among them",
                    2,
                    _at_zero,
                    in_part(_push_gene, np.s_[1], "The answer of the cell at zero is off.", 1e-3),
                ),
                Line(
                    "states in float32",
                    2,
                    lambda rng, variant: _in_float32(_push_gene_inputs(rng)),
                    in_part(_push_gene, np.s_[:], "In float32 the step of the push drowns in rounding.", 3e-3),
                    hidden=True,
                    tolerance=3e-3,
                ),
                Line(
                    "one cell alone, other numbers of genes and components",
                    2,
                    lambda rng, variant: _push_gene_inputs(rng, 1, 8, 2),
                    in_part(_push_gene, np.s_[:], "The answer of a single cell is off.", 1e-3),
                    hidden=True,
                ),
            ),
        ),
        Question(
            "existence",
            EXISTENCE,
            (
                Line("the AUROC", 5, fault=in_part(_existence, np.s_[0], "The first number, the AUROC, is off.")),
                Line(
                    "mean of the null, and p",
                    4,
                    fault=in_part(_existence, np.s_[1:], "The mean of the null, or p, is off."),
                ),
                Line(
                    "many weights are equal",
                    2,
                    lambda rng, variant: _existence_inputs(rng, ties=True),
                    in_part(_existence, np.s_[:2], "AUROC or mean of the null is off: a tie counts one half."),
                    hidden=True,
                ),
                Line(
                    "a small network, and one rewired network only",
                    2,
                    lambda rng, variant: _existence_inputs(rng, 4, 4, 1),
                    in_part(_existence, np.s_[:2], "AUROC or mean of the null is off in a small network."),
                    hidden=True,
                ),
            ),
        ),
        Question(
            "my_scores",
            MY_SCORES,
            (
                Line("the projected truth", 4, _nothing, _my_row(0), trials=1),
                Line("loadings alone", 4, _nothing, _my_row(1), trials=1),
                Line("correlation", 3, _nothing, _my_row(2), trials=1),
            ),
        ),
        Question(
            "reread",
            REREAD,
            (
                Line(
                    "accuracy and balanced accuracy",
                    4,
                    fault=in_part(_reread, np.s_[:2], "Accuracy or balanced accuracy is off: rebuild the four counts."),
                ),
                Line(
                    "base rate and luck",
                    3,
                    fault=in_part(_reread, np.s_[2:], "Base rate or luck is off."),
                ),
                Line("who calls everything an activation", 2, _always, hidden=True),
                Line(
                    "an F1 printed with three digits",
                    2,
                    lambda rng, variant: _reread_inputs(rng, 3, 160),
                    hidden=True,
                ),
            ),
        ),
        Question(
            "hold_gene",
            HOLD,
            (
                Line("where the cells are after a while", 4),
                Line(
                    "at time 0 the gene is set and nothing else",
                    2,
                    lambda rng, variant: _hold_inputs(rng, t=0.0),
                ),
                Line("another gene does not decay", 2, _without_decay, hidden=True),
                Line(
                    "one cell alone, nine genes",
                    2,
                    lambda rng, variant: _hold_inputs(rng, 1, 9),
                    hidden=True,
                ),
            ),
        ),
        Question(
            "my_knock",
            MY_KNOCK,
            (
                Line("the law, followed", 3, _nothing, _my_share(0, "the law"), trials=1),
                Line("the column alone", 2, _nothing, _my_share(1, "the column"), trials=1),
                Line("correlation", 2, _nothing, _my_share(2, "correlation"), trials=1),
            ),
        ),
    ),
    by_hand={
        "Answer 1: a prediction with its reason": 7,
        "Answer 2: a figure read critically": 9,
        "Answer 3: a verdict": 9,
    },
)
