"""Answers to the exercises of "Two laws, the same photographs": right ones, and wrong ones with a word of the message.

The right ones take another road than the check: through the eigenvectors of C, through the equation for dC/dt, and
through a system of linear equations for all entries.
"""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm, fractional_matrix_power, solve_discrete_lyapunov


def spread_by_its_equation(A, C, dt):
    def rate(_, c):
        c = c.reshape(C.shape)
        return (A @ c + c @ A.T).ravel()

    return solve_ivp(rate, (0, dt), C.ravel(), rtol=1e-9, atol=1e-11).y[:, -1].reshape(C.shape)


def calmest_by_eigenvectors(C, dC):
    values, vectors = np.linalg.eigh(C)
    inside = vectors.T @ dC @ vectors / (values[:, None] + values)
    return vectors @ inside @ vectors.T


def calmest_by_entries(C, dC):
    one = np.eye(len(C))
    return np.linalg.solve(np.kron(C, one) + np.kron(one, C), dC.ravel()).reshape(C.shape)


SOLUTIONS = {
    "invisible": lambda C, W: np.linalg.solve(C, W.T).T,
    "spread": spread_by_its_equation,
    "calmest": calmest_by_eigenvectors,
}


def in_place(C, W):
    W /= 2
    return W @ np.linalg.inv(C)


def round_first(C, W):
    L = np.linalg.cholesky(C)
    return L @ W @ np.linalg.inv(L)


def in_axes(C, dC):
    c, V = np.linalg.eigh(C)
    return V.T @ dC @ V / np.add.outer(c, c)


def never_turned(C, dC):
    c, _ = np.linalg.eigh(C)
    return dC / np.add.outer(c, c)


def only_turned_back(C, dC):
    c, V = np.linalg.eigh(C)
    return V @ (dC / np.add.outer(c, c)) @ V.T


def turned_twice(C, dC):
    _, V = np.linalg.eigh(C)
    return V.T @ in_axes(C, dC) @ V


def rows_for_columns(C, dC):
    c, V = np.linalg.eigh(C)
    S = np.empty_like(dC)
    for i in range(len(c)):
        for j in range(len(c)):
            S[i, j] = V[i] @ dC @ V[j] / (c[i] + c[j])
    return V.T @ S @ V


def whitened(C, dC):
    half = fractional_matrix_power(C, -0.5)
    return half @ dC @ half / 2


def whitened_by_cholesky(C, dC):
    L = np.linalg.cholesky(C)
    return np.linalg.solve(L, np.linalg.solve(L, dC).T).T / 2


WRONG = {
    "invisible": [
        (lambda C, W: W, "round crowds only"),
        (lambda C, W: np.linalg.solve(C, W), "wrong side"),
        (lambda C, W: np.linalg.solve(C, W).T, "turns the other way"),
        (lambda C, W: (W @ np.linalg.inv(C)).T, "K transposed"),
        (lambda C, W: W @ C, "undo C instead"),
        (lambda C, W: C @ W, "from the left"),
        (lambda C, W: W / C, "entry by entry"),
        (lambda C, W: (W @ np.linalg.inv(C) - np.linalg.inv(C) @ W) / 2, "symmetric part of K alone; the turn"),
        (lambda C, W: (W @ np.linalg.inv(C) + np.linalg.inv(C) @ W) / 2, "antisymmetric part"),
        (lambda C, W: 0.5 * W @ np.linalg.inv(C), "half of what is asked"),
        (lambda C, W: W * np.linalg.inv(C), "star multiplies"),
        (lambda C, W: np.linalg.solve(np.linalg.cholesky(C).T, W.T).T, "Only the Cholesky factor"),
        (lambda C, W: np.linalg.solve(np.linalg.cholesky(C), W.T).T, "Only the transposed Cholesky"),
        (round_first, r"round \(Cholesky\)"),
        (lambda C, W: fractional_matrix_power(C, 0.5) @ W @ fractional_matrix_power(C, -0.5), r"round \(square root\)"),
        (in_place, "in place"),
        (lambda C, W: np.zeros((3, 3)), "wrong numbers"),
        (lambda C, W: W[0], r"shape \(3, 3\)"),
    ],
    "spread": [
        (lambda A, C, dt: A @ C @ A.T, "not by A"),
        (lambda A, C, dt: expm(A * dt) @ C @ expm(A * dt), "not transposed"),
        (lambda A, C, dt: expm(A.T * dt) @ C @ expm(A.T * dt).T, "on the left"),
        (lambda A, C, dt: expm(A * dt) @ C, "one side only"),
        (lambda A, C, dt: C @ A.T + A @ C, "rate dC/dt"),
        (lambda A, C, dt: C + (A @ C + C @ A.T) * dt, "one straight step"),
        (lambda A, C, dt: expm(A) @ C @ expm(A.T), "time step is missing"),
        (lambda A, C, dt: np.exp(A * dt) @ C @ np.exp(A.T * dt), "each entry alone"),
        (lambda A, C, dt: expm(A * dt) @ expm(A.T * dt), "C is missing"),
        (lambda A, C, dt: expm(A * dt) @ expm(A * dt) @ C, "drawn together"),
        (lambda A, C, dt: np.linalg.inv(expm(A * dt)) @ C @ np.linalg.inv(expm(A * dt)).T, "backwards"),
        (lambda A, C, dt: expm(A * dt) @ C @ np.linalg.inv(expm(A * dt)), "inverse of the first"),
        (lambda A, C, dt: dt * expm(A) @ C @ expm(A).T, "dt stands outside:"),
        (lambda A, C, dt: (dt * expm(A)) @ C @ (dt * expm(A)).T, "outside of both"),
        (lambda A, C, dt: dt * (A @ C + C @ A.T), "rate dC/dt times dt"),
        (lambda A, C, dt: spread_by_its_equation(A, C, dt) - C, "by how much"),
        (lambda A, C, dt: expm((A + A.T) * dt) @ C, r"exp\(\(A \+ A\^T\) dt\)"),
        (lambda A, C, dt: C, "wrong numbers"),
        (lambda A, C, dt: np.diag(expm(A * dt) @ C @ expm(A * dt).T), r"shape \(3, 3\)"),
    ],
    "calmest": [
        (lambda C, dC: np.linalg.solve(C, dC).T / 2, "pays for a turn"),
        (lambda C, dC: np.linalg.solve(C, dC) / 2, "stands on the left"),
        (lambda C, dC: (np.linalg.solve(C, dC) / 2 + np.linalg.solve(C, dC).T / 2) / 2, "averaged with its transpose"),
        (lambda C, dC: dC @ np.linalg.inv(C), "one of the two terms"),
        (lambda C, dC: dC / 2, "C is missing"),
        (lambda C, dC: dC, "dC itself"),
        (lambda C, dC: -calmest_by_entries(C, dC), "sign is turned"),
        (lambda C, dC: 2 * calmest_by_entries(C, dC), "Twice too large"),
        (lambda C, dC: calmest_by_entries(C, dC) / 2, "Half of what"),
        (lambda C, dC: calmest_by_eigenvectors(dC, C), "changed places"),
        (lambda C, dC: dC @ np.linalg.inv(C) + np.linalg.inv(C) @ dC, "is then 2 dC"),
        (lambda C, dC: 0.5 * (dC @ np.linalg.inv(C) + np.linalg.inv(C) @ dC), "is then dC and"),
        (whitened, "square root of C"),
        (whitened_by_cholesky, "Cholesky factor of C"),
        (in_axes, "turn it back"),
        (never_turned, "in the given coordinates; that holds"),
        (only_turned_back, "never turned"),
        (turned_twice, "wrong direction"),
        (rows_for_columns, "both times"),
        (solve_discrete_lyapunov, "discrete"),
        (lambda C, dC: np.linalg.inv(C), "wrong numbers"),
    ],
}
