"""Answers to the exercises of "What if?": right ones, and wrong ones with a word of the expected message.

The right ones take another road than the check: counting cell by cell, a search tree, a projection by least squares,
and waiting until everything rests.
"""

import numpy as np
from scipy.linalg import expm
from scipy.spatial import KDTree


def shifts_by_counting(before, after, fate, draws):
    out = []
    for sample in draws:
        reached = sum(after[cell] == fate and before[cell] != fate for cell in sample)
        left = sum(before[cell] == fate and after[cell] != fate for cell in sample)
        out.append((reached - left) / len(sample))
    return np.array(out)


def far_by_tree(cells, crowd):
    tree = KDTree(crowd)
    return tree.query(cells)[0] / np.median(tree.query(crowd, k=2)[0][:, 1])


def arrives_by_least_squares(V, gene, change):
    wanted = np.zeros((len(change), len(V)))
    wanted[:, gene] = change
    return np.stack([V @ np.linalg.lstsq(V, row, rcond=None)[0] for row in wanted])


def rest_by_waiting(A, b, gene, level):
    lifted = np.zeros((len(A) + 1, len(A) + 1))
    lifted[:-1, :-1], lifted[:-1, -1] = A, b
    lifted[gene] = 0
    start = np.ones(len(A) + 1)
    start[gene] = level
    return (expm(lifted * 60) @ start)[:-1]


SOLUTIONS = {
    "shifts": shifts_by_counting,
    "how-far": far_by_tree,
    "arrives": arrives_by_least_squares,
    "rest-clamped": rest_by_waiting,
}


def pairs_broken(before, after, fate, draws):
    knocked = np.array([(after[sample] == fate).mean() for sample in draws[::-1]])
    return knocked - np.array([(before[sample] == fate).mean() for sample in draws])


def one_copy_drawn(before, after, fate, draws):
    return np.array([(after[sample] == fate).mean() for sample in draws]) - (before == fate).mean()


def other_copy_drawn(before, after, fate, draws):
    return (after == fate).mean() - np.array([(before[sample] == fate).mean() for sample in draws])


def any_change(before, after, fate, draws):
    return np.array([(before[sample] != after[sample]).mean() for sample in draws])


def arrivals_only(before, after, fate, draws):
    return np.array([((after[s] == fate) & (before[s] != fate)).mean() for s in draws])


def arrivals_and_departures(before, after, fate, draws):
    return np.array([((after[s] == fate) ^ (before[s] == fate)).mean() for s in draws])


def distances(a, b):
    return np.linalg.norm(a[:, None, :] - b[None, :, :], axis=2)


def usual(crowd, summary=np.median, neighbour=1):
    return summary(np.sort(distances(crowd, crowd), axis=1)[:, neighbour])


def itself_is_nearest(cells, crowd):
    with np.errstate(divide="ignore"):
        return distances(cells, crowd).min(axis=1) / np.median(distances(crowd, crowd).min(axis=1))


def own_gap(cells, crowd):
    return distances(cells, crowd).min(axis=1) / usual(cells)


def projection(V, gene):
    return (V @ V.T)[:, gene]


def only_the_gene(V, gene, change):
    out = np.zeros((len(change), len(V)))
    out[:, gene] = change
    return out


def only_its_share(V, gene, change):
    return only_the_gene(V, gene, change) * projection(V, gene)[gene]


def solved(matrix, right, gene, level):
    free = [g for g in range(len(matrix)) if g != gene]
    x = np.full(len(matrix), level)
    x[free] = np.linalg.solve(matrix[free][:, free], right[free])
    return x


def nobody_told(A, b, gene, level):
    x = -np.linalg.inv(A) @ b
    x[gene] = level
    return x


def level_as_change(A, b, gene, level):
    return rest_by_waiting(A, b, gene, (-np.linalg.inv(A) @ b)[gene] + level)


WRONG = {
    "shifts": [
        (lambda before, after, fate, draws: shifts_by_counting(after, before, fate, draws), "turned round"),
        (one_copy_drawn, "Only the knocked copies"),
        (other_copy_drawn, "Only the control copies"),
        (pairs_broken, "breaks the pairs"),
        (lambda before, after, fate, draws: np.mean(after[draws] == fate, axis=1), "share after the knock"),
        (lambda before, after, fate, draws: np.mean(before[draws] == fate, axis=1), "control's share"),
        (lambda before, after, fate, draws: 12 * shifts_by_counting(before, after, fate, draws), "numbers of cells"),
        (lambda b, a, fate, draws: np.repeat(np.mean(a == fate) - np.mean(b == fate), 8), "again and again"),
        (any_change, "whichever it is"),
        (arrivals_only, "not those that leave"),
        (arrivals_and_departures, "opposite signs"),
        (lambda before, after, fate, draws: abs(shifts_by_counting(before, after, fate, draws)), "sign is lost"),
        (lambda b, a, fate, draws: (a[draws] == fate).mean(0) - (b[draws] == fate).mean(0), "each row of draws"),
        (lambda b, a, fate, draws: np.quantile(shifts_by_counting(b, a, fate, draws), [0.025, 0.975]), "each row"),
        (lambda before, after, fate, draws: shifts_by_counting(before, after, fate, draws) + 17, "wrong numbers"),
    ],
    "how-far": [
        (lambda cells, crowd: KDTree(crowd).query(cells)[0], "plain distances"),
        (lambda cells, crowd: distances(cells, crowd).mean(axis=1) / usual(crowd), "mean distance to all"),
        (lambda cells, crowd: distances(cells, crowd).max(axis=1) / usual(crowd), "farthest"),
        (lambda cells, crowd: np.linalg.norm(cells - crowd.mean(0), axis=1) / usual(crowd), "middle of the crowd"),
        (lambda cells, crowd: far_by_tree(cells, crowd) ** 2, "squared"),
        (lambda cells, crowd: KDTree(crowd).query(cells, p=1)[0] / usual(crowd), "absolute value"),
        (lambda cells, crowd: distances(cells, crowd).min(1) / usual(crowd, np.mean), "Take the median"),
        (lambda cells, crowd: distances(cells, crowd).min(1) / usual(crowd, neighbour=2), "second nearest"),
        (lambda cells, crowd: distances(cells, crowd).min(1) / np.median(distances(crowd, crowd)), "any two cells"),
        (lambda c, x: distances(c, x).min(1) / np.median(distances(c, x).min(1)), "cells that are judged"),
        (own_gap, "gap among the cells"),
        (lambda cells, crowd: usual(crowd) / distances(cells, crowd).min(axis=1), "upside down"),
        (itself_is_nearest, "division by zero"),
        (lambda cells, crowd: distances(cells, crowd) / usual(crowd), "One number for each row"),
        (lambda cells, crowd: far_by_tree(cells, crowd) + 17, "wrong numbers"),
    ],
    "arrives": [
        (only_the_gene, "intended"),
        (only_its_share, "do not stay where they were"),
        (lambda V, g, c: np.outer(c, projection(V, g)) - only_its_share(V, g, c), "own change arrives"),
        (lambda V, g, c: np.outer(c, projection(V, g)) / projection(V, g)[g], "whole change"),
        (lambda V, g, c: only_the_gene(V, g, c) - np.outer(c, projection(V, g)), "lost on the way"),
        (lambda V, g, c: np.outer(np.ones(len(c)), projection(V, g)), "own amount"),
        (lambda V, g, c: np.outer(c, projection(V, g) ** 2), "squared"),
        (lambda V, g, c: abs(np.outer(c, projection(V, g))), "signs are lost"),
        (lambda V, g, c: np.outer(-c, projection(V, g)), "turned round"),
        (lambda V, g, c: np.outer(c, V[g]), "decoding G"),
        (lambda V, g, c: only_the_gene(V, g, c) @ V.T @ V, "do not fit together"),
        (lambda V, g, c: arrives_by_least_squares(V, g, c) + 17, "wrong numbers"),
    ],
    "rest-clamped": [
        (lambda A, b, gene, level: np.linalg.lstsq(A, -b, rcond=None)[0], "undisturbed"),
        (nobody_told, "nobody had told them"),
        (lambda A, b, gene, level: solved(A, -b, gene, level), "column of the gene has gone"),
        (lambda A, b, gene, level: solved(A, -b - A[gene] * level, gene, level), "row of the gene"),
        (lambda A, b, gene, level: rest_by_waiting(A.T, b, gene, level), "exchanged"),
        (lambda A, b, gene, level: solved(A, b + A[:, gene] * level, gene, level), "A sign"),
        (lambda A, b, gene, level: rest_by_waiting(A, np.zeros(4), gene, level), "offset b is missing"),
        (lambda A, b, gene, level: solved(A, -b - A[:, gene], gene, level), "counts once"),
        (level_as_change, "taken for a change"),
        (lambda A, b, gene, level: np.delete(rest_by_waiting(A, b, gene, level), gene), "One value for each gene"),
        (lambda A, b, gene, level: rest_by_waiting(A, b, gene, level) + 17, "wrong numbers"),
    ],
}
