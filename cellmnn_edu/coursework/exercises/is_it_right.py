"""Exercises of the chapter "Is it right?"."""

from __future__ import annotations

import numpy as np

from ..exercise import Exercise, Mistake


def _confusion_inputs(rng: np.random.Generator) -> tuple:
    # Four different counts, so that no exchange of two of them goes unseen, and neither class fills half.
    counts = rng.choice(np.arange(2, 12), size=4, replace=False)
    while counts[0] + counts[1] in (counts[2] + counts[3], counts[0] + counts[2], counts[1] + counts[3]):
        counts = rng.choice(np.arange(2, 12), size=4, replace=False)
    order = rng.permutation(counts.sum())
    sign, call = np.repeat([1, 1, -1, -1], counts), np.repeat([1, -1, 1, -1], counts)
    return sign[order], call[order]


def _confusion(sign: np.ndarray, call: np.ndarray) -> np.ndarray:
    return np.array([[np.sum((sign == s) & (call == c)) for c in (1, -1)] for s in (1, -1)])


def _right_and_wrong(sign: np.ndarray, call: np.ndarray) -> np.ndarray:
    m = _confusion(sign, call)
    return np.array([m[0], m[1, ::-1]])


CONFUSION = Exercise(
    call="confusion(sign, call)",
    inputs=_confusion_inputs,
    truth=_confusion,
    mistakes=(
        Mistake(
            lambda s, c: _confusion(s, c).T,
            "Rows and columns are exchanged: a row is what the table says, a column what the network calls.",
        ),
        Mistake(
            _right_and_wrong,
            "The columns are right and wrong, not activation and repression: now a correct repression stands where a "
            "false activation should. This is the trap of the chapter.",
        ),
        Mistake(
            lambda s, c: _right_and_wrong(s, c)[:, ::-1],
            "The columns are wrong and right; they should be the calls, activation and repression.",
        ),
        Mistake(
            lambda s, c: _confusion(s, c)[::-1, ::-1],
            "Repressions come first here; put activations first, in rows and in columns.",
        ),
        Mistake(
            lambda s, c: _confusion(s, c)[::-1],
            "The rows are in the wrong order: the first belongs to the activations of the table.",
        ),
        Mistake(
            lambda s, c: _confusion(s, c)[:, ::-1],
            "The columns are in the wrong order: the first belongs to the calls of activation.",
        ),
        Mistake(
            lambda s, c: _confusion(s, c) / len(s),
            "These are shares of all edges; a confusion matrix holds counts.",
        ),
        Mistake(
            lambda s, c: _confusion(s, c) / _confusion(s, c).sum(1, keepdims=True),
            "Each row is scaled to sum 1, which hides how rare repressions are; give counts.",
        ),
        Mistake(
            lambda s, c: np.diag(np.diag(_confusion(s, c))),
            "Only the right calls are counted; the errors stand beside the diagonal.",
        ),
        Mistake(
            lambda s, c: np.array([[np.sum(s > 0), np.sum(s < 0)], [np.sum(c > 0), np.sum(c < 0)]]),
            "These count each column by itself; every entry counts pairs of a sign and a call.",
        ),
    ),
    section="Break it: a perfect score",
    shapes="Four counts: the answer is (2, 2).",
)


def _null_inputs(rng: np.random.Generator) -> tuple:
    # 17 activations and 8 repressions, of which 11 and 5 are called right. With every order comes its inverse:
    # shuffling the calls instead of the signs is as good. Draw until no two of the rules for p agree by luck.
    sign, call = np.repeat([1, 1, -1, -1], [11, 6, 3, 5]), np.repeat([1, -1, 1, -1], [11, 6, 3, 5])
    for _ in range(100):
        order = rng.permutation(len(sign))
        orders = np.array([rng.permutation(len(sign)) for _ in range(30)])
        inputs = sign[order], call[order], np.concatenate([orders, np.argsort(orders, axis=1)])
        lucky, seen = _lucky(*inputs)
        found = {round(rule(lucky, seen), 6) for rule in (_one_sided, *_WRONG_P)}
        if len(found) == 1 + len(_WRONG_P):
            break
    return inputs


def _lucky(sign: np.ndarray, call: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, float]:
    """Accuracy in every shuffle, rounded so that ties are exact, and the observed one."""
    return (sign[orders] == call).mean(1).round(9), float((sign == call).mean().round(9))


def _p(hits: np.ndarray) -> float:
    return float((1 + hits.sum()) / (1 + len(hits)))


def _one_sided(lucky: np.ndarray, seen: float) -> float:
    return _p(lucky >= seen)


_WRONG_P = (
    lambda lucky, seen: float((lucky >= seen).mean()),
    lambda lucky, seen: _p(lucky > seen),
    lambda lucky, seen: _p(lucky <= seen),
    lambda lucky, seen: 1 - _p(lucky >= seen),
    lambda lucky, seen: _p(abs(lucky - lucky.mean()) >= abs(seen - lucky.mean())),
    lambda lucky, seen: _p(lucky >= 0.5),
)


def _null(sign: np.ndarray, call: np.ndarray, orders: np.ndarray) -> np.ndarray:
    lucky, seen = _lucky(sign, call, orders)
    return np.array([lucky.mean(), _one_sided(lucky, seen)])


def _with(change_mean: object = None, change_p: object = None) -> object:
    """The right answer with another first or second number."""

    def answer(sign: np.ndarray, call: np.ndarray, orders: np.ndarray) -> np.ndarray:
        mean, p = _null(sign, call, orders)
        lucky, seen = _lucky(sign, call, orders)
        mean = mean if change_mean is None else change_mean(sign, lucky, seen)
        return np.array([mean, p if change_p is None else change_p(lucky, seen)])

    return answer


SIGN_NULL = Exercise(
    call="sign_null(sign, call, orders)",
    inputs=_null_inputs,
    truth=_null,
    mistakes=(
        Mistake(
            _with(change_p=_WRONG_P[0]),
            "The real order is one of the possible ones: add 1 above and below, or p can be 0.",
        ),
        Mistake(
            _with(change_p=_WRONG_P[1]),
            "A shuffle that does *as well* is a success of chance, too: compare with >=.",
        ),
        Mistake(
            _with(change_p=_WRONG_P[2]),
            "This counts the shuffles that do worse; p counts those that do at least as well.",
        ),
        Mistake(
            _with(change_p=_WRONG_P[3]),
            "This is 1 - p: small p must mean that chance seldom does as well.",
        ),
        Mistake(
            _with(change_p=_WRONG_P[4]),
            "This asks for shuffles as far away on either side; to be worse than chance is no success.",
        ),
        Mistake(
            _with(change_p=_WRONG_P[5]),
            "This compares with one half; compare with the accuracy of the network.",
        ),
        Mistake(
            lambda s, c, o: np.array([(s == c).mean(), 1.0]),
            "Signs and calls are shuffled together, so that every pair stays a pair: shuffle only one of them.",
        ),
        Mistake(
            _with(change_mean=lambda sign, lucky, seen: max((sign > 0).mean(), (sign < 0).mean())),
            "The first number is the base rate. The null mean depends on how often the network calls activation, too.",
        ),
        Mistake(
            _with(change_mean=lambda sign, lucky, seen: 0.5),
            "The null mean is not one half: where activations are common and often called, chance is often right.",
        ),
        Mistake(
            _with(change_mean=lambda sign, lucky, seen: seen),
            "The first number is the accuracy of the network; the mean over the shuffles is asked for.",
        ),
        Mistake(
            _with(change_mean=lambda sign, lucky, seen: lucky.mean() * len(sign)),
            "The first number counts right calls; divide by the number of edges.",
        ),
        Mistake(lambda s, c, o: _null(s, c, o)[::-1], "The two numbers are exchanged: first the mean, then p."),
    ),
    section="Two questions",
    shapes="sign and call have one entry for each edge; the answer is two numbers, the null mean and p.",
)


def _stands_inputs(rng: np.random.Generator) -> tuple:
    # One p-value in each slot between the thresholds of the rules that could be confused: .05 / 10, / 9, ... / 1.
    slots = [
        (0.0010, 0.0045), (0.0051, 0.0055), (0.0057, 0.0062), (0.0073, 0.0078), (0.0079, 0.0083), (0.0085, 0.0099),
        (0.0260, 0.0300), (0.0450, 0.0490), (0.3000, 0.6000), (0.6000, 0.9000),
    ]  # fmt: skip
    p = np.array([rng.uniform(*slot) for slot in slots])
    base = np.full(len(p), rng.uniform(0.6, 0.7))
    accuracy = base + rng.uniform(0.02, 0.1, size=len(p))
    accuracy[[1, 8]] = base[0] - rng.uniform(0.02, 0.1, size=2)
    order = rng.permutation(len(p))
    return accuracy[order], base[order], p[order]


def _holm(p: np.ndarray, level: float = 0.05) -> np.ndarray:
    """Which of the tests hold by Holm's rule."""
    order = np.argsort(p)
    passed = p[order] <= level / np.arange(len(p), 0, -1)
    held = np.zeros(len(p), dtype=bool)
    held[order] = np.cumprod(passed).astype(bool)
    return held


def _no_stop(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p)
    held = np.zeros(len(p), dtype=bool)
    held[order] = p[order] <= 0.05 / np.arange(len(p), 0, -1)
    return held


def _stands(accuracy: np.ndarray, base_rate: np.ndarray, p: np.ndarray) -> np.ndarray:
    return _holm(p) & (accuracy > base_rate)


def _corrected_late(accuracy: np.ndarray, base_rate: np.ndarray, p: np.ndarray) -> np.ndarray:
    held, better = np.zeros(len(p), dtype=bool), accuracy > base_rate
    held[better] = _holm(p[better])
    return held


def _false_discoveries(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p)
    passed = np.flatnonzero(p[order] <= 0.05 * np.arange(1, len(p) + 1) / len(p))
    held = np.zeros(len(p), dtype=bool)
    held[order[: passed.max() + 1]] = True
    return held


def _backwards(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p)
    held = np.zeros(len(p), dtype=bool)
    held[order] = p[order] <= 0.05 / np.arange(1, len(p) + 1)
    return held


STANDS = Exercise(
    call="stands(accuracy, base_rate, p)",
    inputs=_stands_inputs,
    truth=_stands,
    mistakes=(
        Mistake(
            lambda a, b, p: (p <= 0.05) & (a > b),
            "Every p is compared with 0.05, as if it were the only test. Holm's first threshold is 0.05 / len(p).",
        ),
        Mistake(lambda a, b, p: p <= 0.05, "Neither the number of tests nor the base rate is asked."),
        Mistake(
            lambda a, b, p: _holm(p),
            "One row has a small p and does not beat the base rate: it beats only its own shuffles.",
        ),
        Mistake(lambda a, b, p: a > b, "This looks at the base rate alone; p is not asked."),
        Mistake(
            lambda a, b, p: (p <= 0.05 / len(p)) & (a > b),
            "This is Bonferroni's rule, one threshold for all: safe, but Holm's threshold grows after each success.",
        ),
        Mistake(
            lambda a, b, p: _no_stop(p) & (a > b),
            "A row after the first failure was let through: the first that fails stops all with larger p.",
        ),
        Mistake(
            _corrected_late,
            "Rows below the base rate were thrown out before the correction: they were tests as well, so they count.",
        ),
        Mistake(
            lambda a, b, p: _false_discoveries(p) & (a > b),
            "This is the rule of Benjamini and Hochberg: it bounds the share of false claims, not the chance of one.",
        ),
        Mistake(
            lambda a, b, p: _backwards(p) & (a > b),
            "The thresholds run the wrong way: the smallest p has the strictest one, 0.05 / len(p).",
        ),
        Mistake(lambda a, b, p: ~_stands(a, b, p), "True and False are exchanged: True means that the claim stands."),
    ),
    section="Real cells",
    shapes="One True or False for each row, in the order of the rows.",
)


def _twin_inputs(rng: np.random.Generator) -> tuple:
    z = rng.normal(0.6, 1.0, size=(12, 3)) * np.array([1.6, 1.0, 0.7])
    return rng.normal(size=(12, 3, 3)), z, rng.normal(size=(3, 3))


def _room(z: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """Mean of |z|^2 I - z z^T, or the same of another second moment."""
    second = z.T @ z / len(z) if second is None else second
    return np.trace(second) * np.eye(len(second)) - second


def _twin(A: np.ndarray, z: np.ndarray, goal: np.ndarray) -> np.ndarray:
    return (goal - A.mean(0)) @ np.linalg.inv(_room(z))


TWIN = Exercise(
    call="twin(A, z, goal)",
    inputs=_twin_inputs,
    truth=_twin,
    mistakes=(
        Mistake(
            lambda A, z, g: np.linalg.inv(_room(z)) @ (g - A.mean(0)),
            "The inverse stands on the wrong side: M @ B = C gives M = C @ inv(B).",
        ),
        Mistake(
            lambda A, z, g: g @ np.linalg.inv(_room(z)),
            "The mean of A is forgotten: M has to add only what is missing from it to the goal.",
        ),
        Mistake(lambda A, z, g: -_twin(A, z, g), "The sign is turned round: what is missing is goal minus mean of A."),
        Mistake(
            lambda A, z, g: (g - A.mean(0)) @ np.linalg.inv(_room(z, np.cov(z.T, bias=True))),
            "This uses the covariance; the mean of z z^T is taken about 0, not about the average cell.",
        ),
        Mistake(
            lambda A, z, g: (g - A.mean(0)) @ np.linalg.inv(_room(z, np.cov(z.T))),
            "This uses the covariance, with n - 1; the mean of z z^T is taken about 0, over n.",
        ),
        Mistake(
            lambda A, z, g: (g - A.mean(0)) @ np.linalg.inv(z.T @ z / len(z)),
            "Only z z^T is left of the bracket; |z|^2 times the identity is missing.",
        ),
        Mistake(
            lambda A, z, g: (g - A.mean(0)) / np.square(z).sum(1).mean(),
            "Only |z|^2 is left of the bracket; z z^T is missing, and cells would move differently.",
        ),
        Mistake(lambda A, z, g: -2 * A.mean(0) @ np.linalg.inv(_room(z)), "This reaches minus the mean, not the goal."),
        Mistake(
            lambda A, z, g: _twin(A, z, g) / len(z),
            "The bracket is summed over the cells; take its mean, as for A.",
        ),
        Mistake(
            lambda A, z, g: (g - A.mean(0)) @ _room(z),
            "Multiplied by the mean of the bracket where it should be divided: use its inverse.",
        ),
        Mistake(
            lambda A, z, g: (g - A.mean(0)) / _room(z),
            "Divided entry by entry; a matrix is divided by its inverse, numpy.linalg.inv.",
        ),
    ),
    section="Any network you like, and no cell moves differently",
    shapes="A is (cells, D, D), z is (cells, D), goal and the answer are (D, D): one M for all cells.",
)


EXERCISES = {"confusion": CONFUSION, "sign-null": SIGN_NULL, "stands": STANDS, "twin": TWIN}
