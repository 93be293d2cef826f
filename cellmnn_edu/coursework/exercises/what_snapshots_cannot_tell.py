"""Exercises of the chapter "Two laws, the same photographs: which one is true?"."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov, sqrtm

from ..exercise import Exercise, Mistake


def _covariance(rng: np.random.Generator, dim: int = 3) -> np.ndarray:
    root = rng.normal(size=(dim, dim))
    return root @ root.T / dim + 0.5 * np.eye(dim)


def _invisible_inputs(rng: np.random.Generator) -> tuple:
    m = rng.normal(size=(3, 3))
    return _covariance(rng), m - m.T


def _root(c: np.ndarray) -> np.ndarray:
    return np.linalg.cholesky(c)


def _invisible(c: np.ndarray, w: np.ndarray) -> np.ndarray:
    return w @ np.linalg.inv(c)


INVISIBLE = Exercise(
    call="invisible(C, W)",
    inputs=_invisible_inputs,
    truth=_invisible,
    mistakes=(
        Mistake(lambda c, w: w, "This is W itself, which hides in round crowds only: C has to come in."),
        Mistake(
            lambda c, w: np.linalg.inv(c) @ w,
            "The inverse of C stands on the wrong side: K C must be W, and here C K is W. See hint 2.",
        ),
        Mistake(
            lambda c, w: _invisible(c, w) / 2,
            "This hides, but it is half of what is asked: K C is W/2. The first term alone grows by W; see hint 1.",
        ),
        Mistake(
            lambda c, w: w * np.linalg.inv(c),
            "The star multiplies entry by entry; the product of two matrices is written with @.",
        ),
        Mistake(
            lambda c, w: w @ np.linalg.inv(_root(c)),
            "Only the Cholesky factor of C was undone, which is half of the way: undo C itself.",
        ),
        Mistake(
            lambda c, w: w @ np.linalg.inv(_root(c)).T,
            "Only the transposed Cholesky factor of C was undone, which is half of the way: undo C itself.",
        ),
        Mistake(
            lambda c, w: _root(c) @ w @ np.linalg.inv(_root(c)),
            "This hides, but W was put into the coordinates in which the crowd is round (Cholesky): K C is not W.",
        ),
        Mistake(
            lambda c, w: sqrtm(c) @ w @ np.linalg.inv(sqrtm(c)),
            "This hides, but W was put into the coordinates in which the crowd is round (square root): K C is not W.",
        ),
        Mistake(
            lambda c, w: -w @ np.linalg.inv(c),
            "This hides too, but it turns the other way: K C is -W. A transpose too many or too few changes the sign.",
        ),
        Mistake(
            lambda c, w: -np.linalg.inv(c) @ w,
            "This is K transposed: rows and columns changed places.",
        ),
        Mistake(lambda c, w: w @ c, "This multiplies by C; undo C instead, so that K C is W. See hint 1."),
        Mistake(lambda c, w: c @ w, "This multiplies by C, and from the left; undo C instead, so that K C is W."),
        Mistake(
            lambda c, w: w / c,
            "This divides entry by entry; what is needed is the inverse of the matrix C: see hint 2.",
        ),
        Mistake(
            lambda c, w: (_invisible(c, w) + _invisible(c, w).T) / 2,
            "This is the symmetric part of K alone; the turn was lost with the rest.",
        ),
        Mistake(
            lambda c, w: (_invisible(c, w) - _invisible(c, w).T) / 2,
            "This is the antisymmetric part of K alone; a crowd that is not round needs the symmetric part too.",
        ),
    ),
    section="The roundabout, exactly",
    shapes="C, W and the answer are all matrices of the shape (D, D).",
)


def _spread_inputs(rng: np.random.Generator) -> tuple:
    return rng.normal(size=(3, 3)), _covariance(rng), rng.uniform(0.4, 0.8)


def _spread(a: np.ndarray, c: np.ndarray, dt: float) -> np.ndarray:
    move = expm(a * dt)
    return move @ c @ move.T


def _rate(a: np.ndarray, c: np.ndarray) -> np.ndarray:
    return a @ c + c @ a.T


SPREAD = Exercise(
    call="spread(A, C, dt)",
    inputs=_spread_inputs,
    truth=_spread,
    mistakes=(
        Mistake(
            lambda a, c, dt: a @ c @ a.T,
            "Cells are moved by the exponential of A dt, not by A: here A itself was used.",
        ),
        Mistake(
            lambda a, c, dt: expm(a * dt) @ c @ expm(a * dt),
            "The second factor is not transposed, so the answer is not even symmetric: see hint 2.",
        ),
        Mistake(
            lambda a, c, dt: expm(a * dt).T @ c @ expm(a * dt),
            "The transposed factor stands on the left: this is the spread under A transposed.",
        ),
        Mistake(
            lambda a, c, dt: expm(a * dt) @ c @ expm(-a * dt),
            "The second factor is the inverse of the first: that is a change of coordinates. Here it must be the "
            "transpose; see hint 2.",
        ),
        Mistake(
            lambda a, c, dt: expm((a + a.T) * dt) @ c,
            "exp(A dt) and exp(A^T dt) were drawn together into exp((A + A^T) dt): C stands between them, and A and "
            "A^T do not change places freely either.",
        ),
        Mistake(
            lambda a, c, dt: expm(a * dt) @ c,
            "C was multiplied from one side only. A covariance is a mean of z z^T, and both z move.",
        ),
        Mistake(
            lambda a, c, dt: _rate(a, c),
            "This is the rate dC/dt at the start, not the covariance after dt.",
        ),
        Mistake(
            lambda a, c, dt: dt * _rate(a, c),
            "This is the rate dC/dt times dt, and so a change; the covariance at the start is missing, and the rate "
            "changes on the way.",
        ),
        Mistake(
            lambda a, c, dt: _spread(a, c, dt) - c,
            "This is by how much the covariance has changed, not what it is after dt.",
        ),
        Mistake(
            lambda a, c, dt: dt * _spread(a, c, 1),
            "dt stands outside: it belongs inside the exponential, exp(A dt).",
        ),
        Mistake(
            lambda a, c, dt: dt**2 * _spread(a, c, 1),
            "dt stands outside of both factors: it belongs inside the exponential, exp(A dt).",
        ),
        Mistake(
            lambda a, c, dt: c + dt * _rate(a, c),
            "This is one straight step along dC/dt; the rate changes on the way.",
        ),
        Mistake(
            lambda a, c, dt: expm(a) @ c @ expm(a).T, "The time step is missing: the exponential is of A times dt."
        ),
        Mistake(
            lambda a, c, dt: np.exp(a * dt) @ c @ np.exp(a * dt).T,
            "np.exp acts on each entry alone; the exponential of a matrix is in hint 2.",
        ),
        Mistake(
            lambda a, c, dt: expm(a * dt) @ expm(a * dt).T,
            "C is missing: this is what becomes of a round crowd of spread 1.",
        ),
        Mistake(
            lambda a, c, dt: expm(2 * a * dt) @ c,
            "The two factors were drawn together into exp(2 A dt); that holds only if C and A change places freely.",
        ),
        Mistake(lambda a, c, dt: _spread(a, c, -dt), "This runs time backwards: check the sign of dt."),
    ),
    section="The roundabout, exactly",
    shapes="A, C and the answer are all matrices of the shape (D, D), and dt is a number.",
)


def _calmest_inputs(rng: np.random.Generator) -> tuple:
    c = _covariance(rng)
    return c, _rate(rng.normal(size=(3, 3)), c)


def _inside(c: np.ndarray, dc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes of the crowd as columns, and the answer in these axes."""
    values, axes = np.linalg.eigh(c)
    return axes, axes.T @ dc @ axes / (values[:, None] + values)


def _sums(c: np.ndarray) -> np.ndarray:
    values = np.linalg.eigvalsh(c)
    return values[:, None] + values


def _twisted(c: np.ndarray, dc: np.ndarray) -> np.ndarray:
    axes = np.linalg.eigh(c)[1]
    return axes.T @ (axes @ dc @ axes.T / _sums(c)) @ axes


def _turned_back(c: np.ndarray, x: np.ndarray) -> np.ndarray:
    axes = np.linalg.eigh(c)[1]
    return axes @ x @ axes.T


def _round(root: np.ndarray, dc: np.ndarray) -> np.ndarray:
    return np.linalg.inv(root) @ dc @ np.linalg.inv(root).T / 2


def _calmest(c: np.ndarray, dc: np.ndarray) -> np.ndarray:
    return solve_continuous_lyapunov(c, dc)


CALMEST = Exercise(
    call="calmest(C, dC)",
    inputs=_calmest_inputs,
    truth=_calmest,
    mistakes=(
        Mistake(
            lambda c, dc: dc @ np.linalg.inv(c) / 2,
            "This explains the photographs, A C + C A^T = dC, but it is not symmetric: it pays for a turn that "
            "nobody sees.",
        ),
        Mistake(
            lambda c, dc: np.linalg.inv(c) @ dc / 2,
            "The inverse of C stands on the left: this is neither symmetric nor does it explain dC.",
        ),
        Mistake(
            lambda c, dc: (dc @ np.linalg.inv(c) + np.linalg.inv(c) @ dc) / 4,
            "This is symmetric, but it does not explain dC: a matrix that explains dC may not simply be averaged "
            "with its transpose.",
        ),
        Mistake(
            lambda c, dc: dc @ np.linalg.inv(c),
            "Only one of the two terms of A C + C A^T was counted, and the result is not symmetric.",
        ),
        Mistake(
            lambda c, dc: dc @ np.linalg.inv(c) + np.linalg.inv(c) @ dc,
            "This is symmetric, but S C + C S is then 2 dC and two terms more: it does not explain dC.",
        ),
        Mistake(
            lambda c, dc: (dc @ np.linalg.inv(c) + np.linalg.inv(c) @ dc) / 2,
            "This is symmetric, but S C + C S is then dC and two terms more: it does not explain dC.",
        ),
        Mistake(
            lambda c, dc: _round(sqrtm(c), dc),
            "This is the right answer for the coordinates in which the crowd is round (square root of C), and S was "
            "asked in the given ones.",
        ),
        Mistake(
            lambda c, dc: _round(np.linalg.cholesky(c), dc),
            "This is the right answer for the coordinates in which the crowd is round (Cholesky factor of C), and S "
            "was asked in the given ones.",
        ),
        Mistake(
            lambda c, dc: _inside(c, dc)[1],
            "This is S in the axes of the crowd; turn it back into the given coordinates, as hint 2 says.",
        ),
        Mistake(
            lambda c, dc: dc / _sums(c),
            "dC was divided by c_i + c_j in the given coordinates; that holds in the axes of the crowd only: turn dC "
            "there first, and the result back, as hint 2 says.",
        ),
        Mistake(
            lambda c, dc: _turned_back(c, dc / _sums(c)),
            "The result was turned back, but dC was never turned into the axes of the crowd: see hint 2.",
        ),
        Mistake(
            lambda c, dc: _inside(c, dc)[0].T @ _inside(c, dc)[1] @ _inside(c, dc)[0],
            "The way back goes in the wrong direction: dC went in by V^T dC V, so the result comes back by V ... V^T; "
            "see hint 2.",
        ),
        Mistake(
            _twisted,
            "V and its transpose changed places both times: the eigenvectors are the columns of V, so V^T dC V goes "
            "into their axes; see hint 2.",
        ),
        Mistake(
            lambda c, dc: solve_discrete_lyapunov(c, dc),
            "This solves the discrete equation, X = a X a^T + q; needed is the continuous one of hint 2.",
        ),
        Mistake(lambda c, dc: dc / 2, "This would be right for a round crowd of spread 1: C is missing."),
        Mistake(lambda c, dc: dc, "This is dC itself, a rate of the spread; wanted is the matrix that moves cells."),
        Mistake(lambda c, dc: -_calmest(c, dc), "The sign is turned: this crowd grows where the true one shrinks."),
        Mistake(lambda c, dc: 2 * _calmest(c, dc), "Twice too large: both terms S C and C S are in dC already."),
        Mistake(lambda c, dc: _calmest(c, dc) / 2, "Half of what is needed: S C + C S must be dC, not half of it."),
        Mistake(
            lambda c, dc: solve_continuous_lyapunov(dc, c),
            "C and dC changed places: see hint 2 for which comes first.",
        ),
    ),
    section="What kinetic energy picks",
    shapes="C, dC and the answer are all matrices of the shape (D, D).",
)


EXERCISES = {"invisible": INVISIBLE, "spread": SPREAD, "calmest": CALMEST}
