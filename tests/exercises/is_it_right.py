"""Answers to the exercises of "Is it right?": right ones, and wrong ones with a word of the expected message.

The right ones take another road than the check: a library's table, loops, Holm's adjusted p-values, a solved system.
"""

import numpy as np
from sklearn.metrics import confusion_matrix


def confusion_by_sklearn(sign, call):
    return confusion_matrix(sign, call, labels=[1, -1])


def null_in_loops(sign, call, orders):
    def right(signs):
        return sum(int(a == b) for a, b in zip(signs, call, strict=True))

    counts = [right([sign[i] for i in order]) for order in orders]
    better = sum(count >= right(sign) for count in counts)
    return np.array([sum(counts) / len(counts) / len(sign), (better + 1) / (len(counts) + 1)])


def stands_by_adjusted_p(accuracy, base_rate, p):
    answer = []
    for k in range(len(p)):
        no_larger = [q for q in p if q <= p[k]]
        adjusted = max(q * sum(other >= q for other in p) for q in no_larger)
        answer.append(adjusted <= 0.05 and accuracy[k] > base_rate[k])
    return answer


def twin_by_least_squares(A, z, goal):
    dim = z.shape[1]
    bracket = sum(np.dot(cell, cell) * np.eye(dim) - np.outer(cell, cell) for cell in z) / len(z)
    return np.linalg.solve(bracket.T, (goal - sum(A) / len(A)).T).T


SOLUTIONS = {
    "confusion": confusion_by_sklearn,
    "sign-null": null_in_loops,
    "stands": stands_by_adjusted_p,
    "twin": twin_by_least_squares,
}


def counts_of_script(sign, call):
    table = {"TP": 0, "FP": 0, "TN": 0, "FN": 0}
    for s, c in zip(sign, call, strict=True):
        if s > 0:
            table["TP" if s == c else "FP"] += 1
        else:
            table["FN" if s == c else "TN"] += 1
    return np.array([[table["TP"], table["FP"]], [table["FN"], table["TN"]]])


def wrong_then_right(sign, call):
    return np.array([[sum((sign == s) & (call != s)), sum((sign == s) & (call == s))] for s in (1, -1)])


def right_only(sign, call):
    return np.array([[sum((sign > 0) & (call > 0)), 0], [0, sum((sign < 0) & (call < 0))]])


def margins(sign, call):
    return np.array([[sum(x == 1), sum(x == -1)] for x in (sign, call)])


def accuracies(sign, call, orders):
    return np.array([np.mean(sign[order] == call) for order in orders])


def null_of(mean, p):
    """A student's two lines: one for the mean, one for p."""

    def answer(sign, call, orders):
        lucky, seen = accuracies(sign, call, orders), np.mean(sign == call)
        return [mean(sign, lucky, seen), p(lucky, seen)]

    return answer


def usual_mean(sign, lucky, seen):
    return lucky.mean()


def usual_p(lucky, seen):
    return (1 + sum(lucky > seen - 1e-9)) / (1 + len(lucky))


def shuffled_together(sign, call, orders):
    lucky = np.array([np.mean(sign[o] == call[o]) for o in orders])
    return lucky.mean(), (1 + np.sum(lucky >= np.mean(sign == call) - 1e-9)) / (1 + len(orders))


def holm(p, thresholds, stop=True):
    held, going = [False] * len(p), True
    for rank, k in enumerate(np.argsort(p)):
        passed = p[k] <= thresholds[rank]
        going = going and passed
        held[k] = bool(going if stop else passed)
    return np.array(held)


def usual(p):
    return holm(p, [0.05 / (len(p) - rank) for rank in range(len(p))])


def only_better_rows(accuracy, base_rate, p):
    answer = np.zeros(len(p), dtype=bool)
    rows = np.flatnonzero(accuracy > base_rate)
    answer[rows] = usual(p[rows])
    return answer


def benjamini_hochberg(accuracy, base_rate, p):
    n = len(p)
    largest = max(q for q in p if q <= 0.05 * sum(p <= q) / n)
    return (p <= largest) & (accuracy > base_rate)


def bracket_of(z):
    return np.mean([c @ c * np.eye(3) - np.outer(c, c) for c in z], axis=0)


def with_covariance(A, z, goal, bias):
    S = np.cov(z, rowvar=False, bias=bias)
    return (goal - A.mean(axis=0)) @ np.linalg.inv(np.trace(S) * np.eye(3) - S)


WRONG = {
    "confusion": [
        (lambda sign, call: confusion_matrix(call, sign, labels=[1, -1]), "exchanged"),
        (counts_of_script, "right and wrong"),
        (wrong_then_right, "wrong and right"),
        (lambda sign, call: confusion_matrix(sign, call), "Repressions come first"),
        (lambda sign, call: np.flipud(confusion_by_sklearn(sign, call)), "rows are in the wrong order"),
        (lambda sign, call: np.fliplr(confusion_by_sklearn(sign, call)), "columns are in the wrong order"),
        (lambda sign, call: confusion_matrix(sign, call, labels=[1, -1], normalize="all"), "shares"),
        (lambda sign, call: confusion_matrix(sign, call, labels=[1, -1], normalize="true"), "scaled to sum 1"),
        (right_only, "Only the right calls"),
        (margins, "by itself"),
        (lambda sign, call: confusion_by_sklearn(sign, call).ravel(), r"\(2, 2\)"),
        (lambda sign, call: np.mean(sign == call), r"\(2, 2\)"),
        (lambda sign, call: confusion_by_sklearn(sign, call) + 17, "wrong numbers"),
    ],
    "sign-null": [
        (null_of(usual_mean, lambda lucky, seen: np.mean(lucky > seen - 1e-9)), "add 1"),
        (null_of(usual_mean, lambda lucky, seen: (1 + sum(lucky > seen + 1e-9)) / (1 + len(lucky))), "as well"),
        (null_of(usual_mean, lambda lucky, seen: (1 + sum(lucky < seen + 1e-9)) / (1 + len(lucky))), "worse"),
        (null_of(usual_mean, lambda lucky, seen: 1 - usual_p(lucky, seen)), "1 - p"),
        (null_of(usual_mean, lambda lucky, seen: usual_p(lucky, 0.5)), "one half"),
        (shuffled_together, "together"),
        (null_of(lambda sign, lucky, seen: np.mean(sign == 1), usual_p), "base rate"),
        (null_of(lambda sign, lucky, seen: 0.5, usual_p), "not one half"),
        (null_of(lambda sign, lucky, seen: seen, usual_p), "accuracy of the network"),
        (null_of(lambda sign, lucky, seen: lucky.mean() * len(sign), usual_p), "counts right calls"),
        (lambda sign, call, orders: null_in_loops(sign, call, orders)[[1, 0]], "exchanged"),
        (lambda sign, call, orders: usual_p(accuracies(sign, call, orders), np.mean(sign == call)), "two numbers"),
        (accuracies, "two numbers"),
        (lambda sign, call, orders: null_in_loops(sign, call, orders) + 17, "wrong numbers"),
    ],
    "stands": [
        (lambda accuracy, base_rate, p: (p < 0.05) & (accuracy > base_rate), "only test"),
        (lambda accuracy, base_rate, p: p < 0.05, "Neither"),
        (lambda accuracy, base_rate, p: usual(p), "its own shuffles"),
        (lambda accuracy, base_rate, p: accuracy >= base_rate, "alone"),
        (lambda accuracy, base_rate, p: (p * len(p) < 0.05) & (accuracy > base_rate), "Bonferroni"),
        (lambda a, b, p: (a > b) & holm(p, 0.05 / np.arange(10, 0, -1), stop=False), "first failure"),
        (only_better_rows, "before the correction"),
        (benjamini_hochberg, "Benjamini"),
        (lambda a, b, p: (a > b) & holm(p, 0.05 / np.arange(1, 11), stop=False), "wrong way"),
        (lambda a, b, p: np.logical_not(usual(p) & (a > b)), "True and False are exchanged"),
        (lambda accuracy, base_rate, p: sum(p < 0.05), "One True or False"),
    ],
    "twin": [
        (lambda A, z, goal: np.linalg.solve(bracket_of(z), goal - A.mean(axis=0)), "wrong side"),
        (lambda A, z, goal: goal @ np.linalg.inv(bracket_of(z)), "forgotten"),
        (lambda A, z, goal: (A.mean(axis=0) - goal) @ np.linalg.inv(bracket_of(z)), "turned round"),
        (lambda A, z, goal: with_covariance(A, z, goal, True), "about the average cell"),
        (lambda A, z, goal: with_covariance(A, z, goal, False), "with n - 1"),
        (
            lambda A, z, goal: (goal - A.mean(axis=0)) @ np.linalg.inv(np.mean([np.outer(c, c) for c in z], 0)),
            "bracket",
        ),
        (lambda A, z, goal: (goal - A.mean(axis=0)) / np.mean([c @ c for c in z]), r"z z\^T is missing"),
        (lambda A, z, goal: -2 * A.mean(axis=0) @ np.linalg.inv(bracket_of(z)), "minus the mean"),
        (lambda A, z, goal: (goal - A.mean(axis=0)) @ np.linalg.inv(len(z) * bracket_of(z)), "summed"),
        (lambda A, z, goal: (goal - A.mean(axis=0)) @ bracket_of(z), "use its inverse"),
        (lambda A, z, goal: (goal - A.mean(axis=0)) / bracket_of(z), "entry by entry"),
        (lambda A, z, goal: (goal - A) @ np.linalg.inv(bracket_of(z)), "one M for all cells"),
        (lambda A, z, goal: twin_by_least_squares(A, z, goal) + 17, "wrong numbers"),
    ],
}
