"""What answers are called with or through: importable in the student's process, and free of solutions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .assignment import Variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from torch import Tensor

    from ..simulate import GeneCircuit
    from ..snapshots import Snapshots


# The capstone


def own_time_course(student: str, term: str = "open") -> AnnData:
    """Simulate a time course of one's own, for those who have no data: five uneven times of the myeloid circuit.

    Parameters
    ----------
    student, term : str
        Times, numbers of cells and noise follow from both.

    Returns
    -------
    AnnData
        ``X`` log1p of expression, 11 genes; ``obs["time"]``; about 125 cells a time. The circuit, and so the true
        network, is ``gene_circuit("myeloid")``.
    """
    from ..simulate import gene_circuit

    rng = Variant(student, term).rng("time course")
    times = np.array([0.5, 1.3, 2.4, 3.9, 6.0]) + rng.uniform(-0.1, 0.1, 5).round(2)
    n_cells = rng.integers(110, 141, 5).tolist()
    return gene_circuit("myeloid").snapshots(times, n_cells, seed=int(rng.integers(2**31)), dt=0.1)


def with_other_cells(answer: Callable, x: np.ndarray, times: np.ndarray, held: float, other: np.ndarray) -> np.ndarray:
    """Coordinates of the same cells twice, and once with other cells at the held-out time: (3, n, D)."""
    changed = x.copy()
    changed[times == held] = other
    return np.stack([np.asarray(answer(cells.copy(), times.copy(), held)) for cells in (x, x, changed)])


def in_another_order(answer: Callable, x: np.ndarray, times: np.ndarray, held: float, order: np.ndarray) -> np.ndarray:
    """Coordinates of the cells in the given order, and in another one and put back: (2, n, D)."""
    turned = np.asarray(answer(x[order], times[order], held))
    return np.stack([np.asarray(answer(x.copy(), times.copy(), held)), turned[np.argsort(order)]])


# Genes and doubt


class OwnNetwork(NamedTuple):
    """A circuit of ten genes with a known network, its cells, and one experiment.

    Attributes
    ----------
    circuit : GeneCircuit
        20 interactions, of which 13 activate.
    snaps : Snapshots
        Cells at five times, in four components.
    gene : int
        The gene that was knocked: the one with most targets.
    shift : ndarray (G,)
        Truth: by how much the mean expression (log1p) of each gene changes at time 4 when `gene` is held at 0 from
        time 0 on.
    law : tuple of ndarray (G, G) and (G,)
        A and b of a linear law for log1p expression: the true field, made linear at the average cell.
    rewired : ndarray (99, G, G)
        Networks of ones and zeros in which every gene keeps its number of targets and of regulators.
    """

    circuit: GeneCircuit
    snaps: Snapshots
    gene: int
    shift: np.ndarray
    law: tuple[np.ndarray, np.ndarray]
    rewired: np.ndarray


@lru_cache(maxsize=64)
def own_network(student: str, term: str = "open") -> OwnNetwork:
    """Make the circuit of "Genes and doubt" for one student.

    Parameters
    ----------
    student, term : str
        As written in the notebook.

    Returns
    -------
    OwnNetwork
    """
    from ..grn import mean_jacobian
    from ..snapshots import Snapshots

    variant = Variant(student, term)
    networks, seed = variant.rng("network"), int(variant.rng("cells").integers(2**31))
    shifts = np.zeros(10)
    while np.sort(np.abs(shifts))[-7] < 0.03:  # the knock must be felt, beside the knocked gene by six others
        circuit = _hub_circuit(networks)
        gene = int((circuit.network != 0).sum(0).argmax())
        cells = circuit.snapshots([0, 0.5, 1, 2, 4], 150, seed, dt=0.1)
        snaps = Snapshots.from_anndata(cells, n_components=4)
        shifts = _knock_out(circuit, gene, snaps.raw[0])
    x = np.expm1(np.concatenate(snaps.raw))
    jacobian = mean_jacobian(circuit, snaps)
    # The velocity of log1p(x) is f(x) / (1 + x).
    offset = (circuit.velocity(x) / (1 + x)).mean(0) - jacobian @ np.log1p(x).mean(0)
    return OwnNetwork(circuit, snaps, gene, shifts, (jacobian, offset), _rewired(circuit.network, variant.rng("null")))


def _knock_out(circuit: GeneCircuit, gene: int, start: np.ndarray) -> np.ndarray:
    """Mean change of each gene at time 4, log1p."""
    from ..perturb import circuit_knock

    knock = circuit_knock(circuit, circuit.genes[gene], 0, 0, 4, mode="clamped", cells=np.expm1(start), dt=0.1)
    return (knock.knocked_expression - knock.control_expression).mean(0)


def _hub_circuit(rng: np.random.Generator) -> GeneCircuit:
    """A random circuit in which 13 of 20 interactions activate, and from whose busiest gene every other is reached."""
    from ..simulate import gene_circuit

    while True:
        circuit = gene_circuit("random", n_genes=10, n_regulators=2, seed=int(rng.integers(2**31)))
        edge = circuit.network != 0
        targets = edge.sum(0)
        reach = np.linalg.matrix_power(edge + np.eye(10, dtype=int), 9)[:, targets.argmax()] > 0
        if (circuit.network > 0).sum() == 13 and targets.max() == 5 and (targets == 5).sum() == 1 and reach.all():
            return circuit


def _rewired(network: np.ndarray, rng: np.random.Generator, n: int = 99) -> np.ndarray:
    from ..grn import rewire

    target, regulator = np.nonzero(network)
    allowed, made = ~np.eye(len(network), dtype=bool), np.zeros((n, *network.shape), dtype=int)
    for k, one in enumerate(made):
        target = rewire(regulator, target, allowed, 13 if k else 200, rng)  # a chain, as in `grn.score`
        one[target, regulator] = 1
    return made


class CurvedLaw:
    """A law z' = A(z) z whose operator bends with the state: A(z) = base + sum_k tanh(z . directions_k) bends_k.

    NumPy arrays and torch tensors come back as such, with the digits of z, as from a trained network.

    Parameters
    ----------
    base : ndarray (D, D)
    directions : ndarray (K, D)
    bends : ndarray (K, D, D)
    """

    def __init__(self, base: np.ndarray, directions: np.ndarray, bends: np.ndarray) -> None:
        self.base, self.directions, self.bends = base, directions, bends

    def operator(self, z: np.ndarray | Tensor) -> np.ndarray | Tensor:
        """A(z) of each row of z, (n, D, D)."""
        base, directions, bends = (_alike(part, z) for part in (self.base, self.directions, self.bends))
        turned = z @ directions.T
        weights = np.tanh(turned) if isinstance(z, np.ndarray) else turned.tanh()
        return base + (weights[..., None, None] * bends).sum(-3)

    def __call__(self, z: np.ndarray | Tensor) -> np.ndarray | Tensor:
        """Velocity A(z) z of each row of z, (n, D)."""
        return (self.operator(z) @ z[..., None])[..., 0]


def _alike(array: np.ndarray, z: np.ndarray | Tensor) -> np.ndarray | Tensor:
    """The array as z is: of NumPy or torch, with as many digits."""
    if isinstance(z, np.ndarray):
        return array.astype(z.dtype if z.dtype == np.float32 else float)
    import torch

    return torch.as_tensor(array).to(z)


# Operators and the proposition


@dataclass(frozen=True, eq=False)
class Circuit:
    """Genes that each have one activator and one repressor, and a state in which all of them rest.

    The velocity of gene i, in concentration per day, is

        basal_i + rate_i * a(x_j / half_i) * r(x_k / block_i) - decay_i * x_i,

    where j is its activator and k its repressor, a(u) = h = u^2 / (1 + u^2), or 4 h (1 - h) for a gene with `bump`,
    whose activator turns to a repressor when it is plenty, and r(v) = 1 / (1 + v^2). The decay is what makes `rest`
    a state of rest.

    Attributes
    ----------
    rest : ndarray (D,)
        State of rest, in concentration.
    activator, repressor : ndarray of int (D,)
        Of each gene.
    bump : ndarray of float (D,)
        1 where much of the activator represses, else 0.
    half, block, rate, basal : ndarray (D,)
    """

    rest: np.ndarray
    activator: np.ndarray
    repressor: np.ndarray
    bump: np.ndarray
    half: np.ndarray
    block: np.ndarray
    rate: np.ndarray
    basal: np.ndarray

    def __call__(self, x: Any, t: float = 0.0) -> Any:
        """Velocity of states x (..., D), per day; arrays give arrays, tensors give tensors. There is no clock."""
        basal, rest = _like(x, self.basal), _like(x, self.rest)
        decay = (basal + self._production(rest)) / rest
        return basal + self._production(x) - decay * x

    def velocity(self, x: Any, t: float = 0.0) -> Any:
        """Velocity again, under the name by which the package calls a field."""
        return self(x, t)

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Partial derivatives of the velocity, (..., D, D): rows are targets, columns are regulators."""
        h, r, v = *self._parts(x), x[..., self.repressor] / _like(x, self.block)
        rate, bump, half = _like(x, self.rate), _like(x, self.bump), _like(x, self.half)
        slope = 2 * x[..., self.activator] / half**2 * (1 - h) ** 2
        by_activator = rate * slope * (1 + bump * (3 - 8 * h)) * r
        by_repressor = -2 * v * r**2 * rate * h * (1 + bump * (3 - 4 * h)) / _like(x, self.block)
        decay = (self.basal + self._production(self.rest)) / self.rest
        units = np.eye(len(self.rest), dtype=x.dtype)
        return (
            by_activator[..., None] * units[self.activator]
            + by_repressor[..., None] * units[self.repressor]
            - _like(x, decay)[:, None] * units
        )

    def single(self) -> Circuit:
        """The same circuit with its numbers in float32."""
        names = ("rest", "bump", "half", "block", "rate", "basal")
        return replace(self, **{name: getattr(self, name).astype(np.float32) for name in names})

    def _parts(self, x: Any) -> tuple[Any, Any]:
        u, v = x[..., self.activator] / _like(x, self.half), x[..., self.repressor] / _like(x, self.block)
        return u**2 / (1 + u**2), 1 / (1 + v**2)

    def _production(self, x: Any) -> Any:
        h, r = self._parts(x)
        return _like(x, self.rate) * h * (1 + _like(x, self.bump) * (3 - 4 * h)) * r


def _like(x: Any, values: np.ndarray) -> Any:
    """Constants as what x is, an array or a tensor, and in its dtype."""
    return values.astype(x.dtype) if isinstance(x, np.ndarray) else x.new_tensor(values)


def random_circuit(rng: np.random.Generator, n_genes: int = 3) -> Circuit:
    """Draw a circuit: a ring of activators and a ring of repressors, and one gene with a bump."""
    order = rng.permutation(n_genes)
    activator, repressor = np.empty(n_genes, int), np.empty(n_genes, int)
    activator[order], repressor[order] = np.roll(order, 1), np.roll(order, -1)
    rest, bump = rng.uniform(0.8, 1.2, n_genes), np.zeros(n_genes)
    bump[order[0]] = 1.0
    # At rest the bump is still to come; the others are half-way up.
    half = rest[activator] / np.where(bump > 0, rng.uniform(0.28, 0.34, n_genes), rng.uniform(0.7, 1.0, n_genes))
    block = rest[repressor] * rng.uniform(1.0, 1.5, n_genes)
    rate, basal = rng.uniform(4.0, 5.0, n_genes), rng.uniform(0.2, 0.4, n_genes)
    return Circuit(rest, activator, repressor, bump, half, block, rate, basal)


class OwnCircuit(NamedTuple):
    """A student's own circuit, cell and jump.

    Attributes
    ----------
    circuit : Circuit
        Three genes.
    cell : ndarray (3,)
        Concentrations.
    target, regulator : int
        The pair of genes whose effect is to be read: regulator on target.
    hours : int
        Length of the jump.
    """

    circuit: Circuit
    cell: np.ndarray
    target: int
    regulator: int
    hours: int


def own_circuit(student: str, term: str = "open") -> OwnCircuit:
    """Draw the circuit of "Operators and the proposition" for one student.

    Parameters
    ----------
    student, term : str
        As written in the notebook.

    Returns
    -------
    OwnCircuit
    """
    rng = Variant(student, term).rng("circuit")
    circuit = random_circuit(rng)
    target = int(circuit.bump.argmax())
    regulator = int(circuit.activator[target])
    cell = circuit.rest * rng.uniform(0.6, 1.6, 3)
    cell[circuit.repressor[target]] = circuit.rest[circuit.repressor[target]] * rng.uniform(1.7, 2.2)
    cell[regulator] = circuit.half[target] * rng.uniform(2.0, 2.3)  # beyond the top of the bump
    return OwnCircuit(circuit, cell, target, regulator, int(rng.integers(3, 7)))


# Snapshots and distances


class OwnSnapshots(NamedTuple):
    """A student's own time course and held-out time.

    Attributes
    ----------
    snaps : Snapshots
        Cells at five uneven times (in days), in three components that were fitted on all of them.
    index : int
        Position of the snapshot to hold out.
    """

    snaps: Snapshots
    index: int


@lru_cache(maxsize=64)
def own_snapshots(student: str, term: str = "open") -> OwnSnapshots:
    """Simulate the time course of "Snapshots and distances" for one student.

    Parameters
    ----------
    student, term : str
        As written in the notebook.

    Returns
    -------
    OwnSnapshots
        The decay rates of the circuit, the times, the numbers of cells and the held-out time follow from both.
    """
    from ..simulate import gene_circuit
    from ..snapshots import Snapshots

    rng = Variant(student, term).rng("snapshots")
    index = int(rng.integers(1, 3))
    # The long gap lies before the held-out time, a short one after it: half-way in the list is not half-way in time.
    before = np.arange(4) % 2 == (index - 1) % 2
    gaps = np.where(before, rng.uniform(1.0, 1.3, 4), rng.uniform(0.4, 0.6, 4))
    start = 0.2 + (0.3 * rng.random() if index == 1 else 0.0)
    times = np.round(start + np.concatenate([[0.0], np.cumsum(gaps)]), 2)
    circuit = gene_circuit("myeloid", decay=rng.uniform(0.9, 1.1, 11))
    n_cells = rng.integers(60, 91, 5).tolist()
    cells = circuit.snapshots(times, n_cells, seed=int(rng.integers(2**31)), dt=0.1)
    return OwnSnapshots(Snapshots.from_anndata(cells, n_components=3), index)


class Coordinates:
    """Somebody's map from genes to scaled principal components; it may have looked at the held-out cells.

    Parameters
    ----------
    dim : int
        Number of components.
    looks : tuple of bool
        Whether the centre, the axes and the scale were fitted on all cells, held-out ones included.
    robust : bool
        Centre by the median and scale by the median size, where otherwise mean and standard deviation do.
    """

    def __init__(self, dim: int, looks: tuple[bool, bool, bool], robust: bool = False) -> None:
        self._dim, self._looks, self._robust = dim, looks, robust

    def __call__(self, x: np.ndarray, times: np.ndarray, held: float) -> np.ndarray:
        """Coordinates (n, dim) of cells x (n, G) measured at times (n,), of which `held` is held out."""
        all_of_them = np.ones(len(x), dtype=bool)
        centre, axes, scale = (all_of_them if looks else times != held for looks in self._looks)
        spread = x[axes] - x[axes].mean(0)
        directions = np.linalg.svd(spread, full_matrices=False)[2][: self._dim]
        largest = np.abs(directions).argmax(1)
        directions = directions * np.sign(directions[np.arange(self._dim), largest])[:, None]
        middle = np.median(x[centre], axis=0) if self._robust else x[centre].mean(0)
        z = (x - middle) @ directions.T
        return z / (np.median(np.abs(z[scale]), axis=0) if self._robust else z[scale].std(0))


def on_both(answer: Callable, first: Coordinates, second: Coordinates, *rest: Any) -> list:
    """What a test for leaks says of two maps, of which one is honest; None where it says nothing."""
    # In a lambda each, so that an answer can call them and not look inside.
    said = [answer(lambda *cells, c=c: c(*cells), *rest) for c in (first, second)]
    return None if any(one is None or one is ... for one in said) else said


# Train and race


@lru_cache(maxsize=64)
def own_race(student: str, term: str = "open") -> OwnSnapshots:
    """Make the race course of "Train and race" for one student.

    Parameters
    ----------
    student, term : str
        As written in the notebook.

    Returns
    -------
    OwnSnapshots
        Standing still is at least 2.5 times the upper end of the noise floor, and straight lines end between.
    """
    from ..simulate import gene_circuit
    from ..snapshots import Snapshots

    rng = Variant(student, term).rng("race")
    while True:
        times = (np.array([0, 0.8, 1.8, 3.2, 5.0]) + np.append(0, rng.uniform(-0.15, 0.15, 4))).round(2)
        circuit = gene_circuit("random", n_genes=8, seed=int(rng.integers(2**31)))
        cells = circuit.snapshots(times, int(rng.integers(100, 131)), int(rng.integers(2**31)), dt=0.1)
        race = OwnSnapshots(Snapshots.from_anndata(cells, n_components=3), int(rng.integers(1, 3)))
        if _worth_running(race):
            return race


def _worth_running(race: OwnSnapshots) -> bool:
    """Whether standing still, straight lines and the noise floor lie clearly apart."""
    from ..evaluation import leave_one_out

    still = leave_one_out(race.snaps, "persistence", race.index)
    top = still["floor_high"]
    if still["w1"] < 2.5 * top:
        return False
    return 1.15 * top < leave_one_out(race.snaps, "ot-interpolation", race.index)["w1"] < 0.75 * still["w1"]


def each_way(answer: Callable, a: np.ndarray, b: np.ndarray, c: np.ndarray, floor: float) -> np.ndarray:
    """What a verdict says about a and b, b and a, a and c: (3, 4)."""
    return np.stack([np.asarray(answer(x.copy(), y.copy(), floor)) for x, y in ((a, b), (b, a), (a, c))])


def with_other_hidden(
    answer: Callable, kept: np.ndarray, hidden: np.ndarray, other: np.ndarray, patience: int
) -> np.ndarray:
    """What a stopping rule says if the hidden cells score so, or otherwise: (2, 2)."""
    return np.stack([np.asarray(answer(kept.copy(), scores.copy(), patience)) for scores in (hidden, other)])
