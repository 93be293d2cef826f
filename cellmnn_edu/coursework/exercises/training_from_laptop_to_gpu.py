"""Exercises of the chapter "Training, from laptop to GPU"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..exercise import Exercise, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Gradient = Callable[[np.ndarray, int], np.ndarray]
    Identity = dict[str, Any]

DECAY, RATE = 0.9, 0.1  # of the update rule in the exercise "go-on"


def _longest_inputs(rng: np.random.Generator) -> tuple:
    batch = int(rng.integers(90, 300))
    cells = batch * int(rng.integers(20, 90)) + int(rng.integers(batch // 5, batch // 2))
    return cells, batch, int(rng.integers(200, 2000)), rng.uniform(0.003, 0.05)


LONGEST_RUN = Exercise(
    call="longest_run(n_cells, batch_size, epochs, seconds)",
    inputs=_longest_inputs,
    truth=lambda n, b, e, s: (n // b) * e * s / 3600,
    mistakes=(
        Mistake(
            lambda n, b, e, s: n / b * e * s / 3600,
            "The cells left over are counted in: every epoch leaves them out, so n_cells // batch_size comes first.",
        ),
        Mistake(
            lambda n, b, e, s: -(-n // b) * e * s / 3600,
            "Rounded up: here the last cells, too few for a batch, make no step.",
        ),
        Mistake(lambda n, b, e, s: (n // b) * e * s, "These are seconds; asked for are hours."),
        Mistake(lambda n, b, e, s: (n // b) * e * s / 60, "These are minutes; asked for are hours."),
        Mistake(lambda n, b, e, s: (n // b) * s / 3600, "This is one epoch only."),
        Mistake(
            lambda n, b, e, s: round((n // b) * e * s / 3600),
            "Rounded to whole hours: give them as they come, with a fraction.",
        ),
        Mistake(
            lambda n, b, e, s: e * s / 3600, "One step for each epoch: an epoch has n_cells // batch_size of them."
        ),
        Mistake(
            lambda n, b, e, s: n * e * s / 3600,
            "A step for every cell: a step takes batch_size cells at once, which is the point of a batch.",
        ),
        Mistake(
            lambda n, b, e, s: (n // b) * e * b * s / 3600,
            "The batch counts twice: `seconds` is the time of a whole step, not of a cell.",
        ),
        Mistake(lambda n, b, e, s: (n // b) * e, "This is the number of steps; multiply by the time of one."),
        Mistake(
            lambda n, b, e, s: (n // b) * e / s / 3600,
            "Divided by the time of a step, slower steps make a shorter run.",
        ),
    ),
    section="Why a GPU may be slower",
    hint="Try 450 cells, batches of 200, 450 epochs and 2 seconds: 900 steps, so 0.5 hours.",
    shapes="Four numbers go in, one comes out.",
)


def _apply_inputs(rng: np.random.Generator) -> tuple:
    return rng.normal(size=(6, 3, 3)), rng.normal(size=(4, 6, 3))


def _apply_all(a: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.einsum("nij,knj->kni", a, z)


APPLY_ALL = Exercise(
    call="apply_all(A, z)",
    inputs=_apply_inputs,
    truth=_apply_all,
    mistakes=(
        Mistake(
            lambda a, z: np.einsum("nji,knj->kni", a, z),
            "The matrices are transposed: rows of A are targets, so the sum runs over the second index of A.",
        ),
        Mistake(
            lambda a, z: z @ a[0].T,
            "Every cell gets the matrix of the first one: keep the index n of the cell in A.",
        ),
        Mistake(
            lambda a, z: z @ a.mean(0).T,
            "Every cell gets the same, averaged matrix: keep the index n of the cell in A.",
        ),
        Mistake(
            lambda a, z: z @ a.sum(0).T,
            "The matrices are added up: an index that is missing after -> is summed over, so keep n on both sides.",
        ),
        Mistake(
            lambda a, z: _apply_all(a, np.broadcast_to(z[0], z.shape)),
            "Every time gets the cells of the first time: keep the index k.",
        ),
        Mistake(
            lambda a, z: np.broadcast_to(_apply_all(a, z).sum(0), z.shape),
            "The times are added up: keep the index k after the arrow.",
        ),
        Mistake(
            lambda a, z: np.einsum("nii,kni->kni", a, z),
            "Only the diagonals of the matrices act: coordinates must also drive each other.",
        ),
        Mistake(
            lambda a, z: z * a.sum(-1),
            "Each coordinate is multiplied by the sum of its row: the entries of a row meet different coordinates.",
        ),
        Mistake(
            lambda a, z: z + _apply_all(a, z),
            "This is one straight step, z + A z: asked for is the velocity A z.",
        ),
    ),
    section="One van, many parcels",
    hint="Try A = np.stack([k * np.array([[0, 1], [0, 0]]) for k in range(n)]): at every time cell k must get k times "
    "its second coordinate, then 0.",
    shapes="They are NumPy arrays: A is (n, D, D), one matrix for each cell; z is (K, n, D), and so is the answer.",
)


def _go_on_inputs(rng: np.random.Generator) -> tuple:
    aim, stretch, seed = rng.normal(size=3), rng.uniform(0.3, 1.0, 3), int(rng.integers(2**31))

    def gradient(weight: np.ndarray, step: int) -> np.ndarray:
        noise = np.random.default_rng([seed, step]).normal(size=3)  # the batch of this step
        return stretch * (np.asarray(weight) - aim) + noise

    step = int(rng.integers(5, 9))
    return gradient, rng.normal(size=3), rng.normal(size=3), step, step + int(rng.integers(4, 8))


def _steps(
    gradient: Gradient,
    weight: np.ndarray,
    momentum: np.ndarray,
    steps: Iterable[tuple[int, int]],
    decay: float = DECAY,
    sign: int = 1,
) -> np.ndarray:
    """Take steps, each a pair: the number that picks the batch, and the number that sets the rate."""
    for batch, clock in steps:
        momentum = decay * momentum + gradient(weight, batch)
        weight = weight - sign * RATE / np.sqrt(1 + clock) * momentum
    return weight


def _same(numbers: Iterable[int]) -> list[tuple[int, int]]:
    return [(k, k) for k in numbers]


def _late_momentum(gradient: Gradient, weight: np.ndarray, momentum: np.ndarray, step: int, until: int) -> np.ndarray:
    """The slip of moving with the momentum of the step before."""
    for k in range(step, until):
        moved = weight - RATE / np.sqrt(1 + k) * momentum
        momentum, weight = DECAY * momentum + gradient(weight, k), moved
    return weight


def _late_gradient(gradient: Gradient, weight: np.ndarray, momentum: np.ndarray, step: int, until: int) -> np.ndarray:
    """The slip of swapping the two lines."""
    for k in range(step, until):
        weight = weight - RATE / np.sqrt(1 + k) * momentum
        momentum = DECAY * momentum + gradient(weight, k)
    return weight


GO_ON = Exercise(
    call="go_on(gradient, weight, momentum, step, until)",
    inputs=_go_on_inputs,
    truth=lambda g, w, m, k, u: _steps(g, w, m, _same(range(k, u))),
    mistakes=(
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(u))),
            "All steps are done once more on top of those in the file: begin at `step`.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(k, k + u))),
            "These are `until` more steps; `until` counts the steps of the whole run, those before the cut included.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, [(j - k, j) for j in range(k, u)]),
            "The batches begin again at 0, so the run sees its first batches twice and never its last ones.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, [(j, j - k) for j in range(k, u)]),
            "The rate begins again at its largest value: it belongs to the step of the whole run.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(u - k))),
            "The right number of steps, but counted from 0: batches and rate are those of the beginning.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, 0 * m, _same(range(k, u))),
            "The momentum starts from zero: the file kept it for this moment.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, 0 * m, _same(range(u - k))),
            "Only the weight survived: momentum, batches and rate begin anew.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, 0 * w, 0 * m, _same(range(u))),
            "This is a new run from zero: it starts at the weight of the file.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(k, u + 1))),
            "One step too many: step number `until` is not taken any more.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(k + 1, u))),
            "One step too few: step number `step` has not been taken yet.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(k + 1, u + 1))),
            "Every number is one too large: the next step to take has the number `step`.",
        ),
        Mistake(_late_momentum, "The weight moves with the old momentum: add the gradient first, then move."),
        Mistake(
            _late_gradient,
            "The two lines are swapped: the weight moves with the old momentum, and the gradient is taken where it "
            "arrives. First the momentum, then the weight.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(k, u)), decay=1.0),
            "The momentum never fades: multiply it by 0.9 before the gradient is added.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(k, u)), decay=0.0),
            "There is no momentum left: this is the plain step along the gradient.",
        ),
        Mistake(
            lambda g, w, m, k, u: _steps(g, w, m, _same(range(k, u)), sign=-1),
            "This climbs: the weight moves against the momentum.",
        ),
    ),
    section="A run that survives the night",
    hint="Try a gradient that returns k, with weight 1, momentum 1, step 3 and until 4: 1 - 0.05 * (0.9 + 3) = 0.805.",
    shapes="weight and momentum are (3,), step and until are integers; the answer is the weight, (3,).",
)


def _same_run_inputs(rng: np.random.Generator) -> tuple:
    steps = int(rng.integers(500, 900))
    wanted = {"version": "0.2.0", "data": f"{rng.integers(2**60):x}", "seed": 3, "lr": 0.001, "steps": steps}
    wanted |= {"bandwidth": [0.5, 2.0]}
    without = {name: value for name, value in wanted.items() if name != "seed"}
    files = [
        dict(wanted),
        wanted | {"steps": steps + 100},
        wanted | {"steps": steps - 100},
        wanted | {"lr": 0.002},
        wanted | {"seed": 4},
        wanted | {"data": f"{rng.integers(2**60):x}"},
        wanted | {"version": "0.1.0"},
        wanted | {"ema": 0.999},
        without,
        wanted | {"bandwidth": (0.5, 2.0)},
        wanted | {"bandwidth": [0.5, 1.0]},
        dict(reversed(wanted.items())),
    ]
    return wanted, [files[k] for k in rng.permutation(len(files))]


def _plain(value: object) -> object:
    """Tuples as lists, as in a file."""
    return list(value) if isinstance(value, tuple) else value


def _agree(wanted: Identity, stored: Identity, names: Iterable[str], plain: Callable = _plain) -> bool:
    missing = object()
    return all(plain(wanted.get(name, missing)) == plain(stored.get(name, missing)) for name in names)


def _all_names(wanted: Identity, stored: Identity) -> set[str]:
    return {*wanted, *stored} - {"steps"}


def _same_run(wanted: Identity, files: list[Identity]) -> list[bool]:
    return [_agree(wanted, stored, _all_names(wanted, stored)) for stored in files]


SAME_RUN = Exercise(
    call="same_run(wanted, files)",
    inputs=_same_run_inputs,
    truth=_same_run,
    mistakes=(
        Mistake(
            lambda w, files: [_agree(w, s, {*w, *s}) for s in files],
            "A longer run is refused: the number of steps is the one thing that may differ.",
        ),
        Mistake(
            lambda w, files: [w == s for s in files],
            "A plain == refuses a longer run, and it takes (0.5, 2.0) and [0.5, 2.0] for two different settings.",
        ),
        Mistake(
            lambda w, files: [_agree(w, s, _all_names(w, s), lambda value: value) for s in files],
            "(0.5, 2.0) and [0.5, 2.0] are the same setting; files often know only one of the two kinds.",
        ),
        Mistake(
            lambda w, files: [_agree(w, s, {*w} - {"steps"}) for s in files],
            "A file with one setting more slips through: look at the names of both sides.",
        ),
        Mistake(
            lambda w, files: [_agree(w, s, {*s} - {"steps"}) for s in files],
            "A file that lacks a setting slips through: look at the names of both sides.",
        ),
        Mistake(
            lambda w, files: [_agree(w, s, {*w} & {*s} - {"steps"}) for s in files],
            "A setting that only one side has slips through, whichever side it is.",
        ),
        Mistake(
            lambda w, files: [_agree(w, s, _all_names(w, s)) and s["steps"] <= w["steps"] for s in files],
            "A file of a run that was planned longer is refused: the plan may change either way.",
        ),
        Mistake(
            lambda w, files: [_agree(w, s, ["data"]) for s in files],
            "Only the data are compared: other settings make another run as well.",
        ),
        Mistake(
            lambda w, files: [_agree(w, s, _all_names(w, s) - {"data"}) for s in files],
            "Weights trained on other data slip through.",
        ),
        Mistake(
            lambda w, files: [_agree(w, s, _all_names(w, s) - {"version"}) for s in files],
            "A file of another version slips through: its arithmetic may differ in the last bit.",
        ),
        Mistake(
            lambda w, files: [not same for same in _same_run(w, files)],
            "Upside down: True means that the run may go on from the file.",
        ),
        Mistake(lambda w, files: [True] * len(files), "Every file is accepted."),
        Mistake(lambda w, files: [False] * len(files), "Every file is refused, even one of the very same run."),
    ),
    section="A run that survives the night",
    hint="Leave 'steps' out of both dicts, make tuples into lists, and compare the two with ==.",
    shapes="wanted is a dict, files a list of them; the answer is a list of True or False, one for each file.",
)

EXERCISES = {"longest-run": LONGEST_RUN, "apply-all": APPLY_ALL, "go-on": GO_ON, "same-run": SAME_RUN}
