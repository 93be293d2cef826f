"""Gene circuits with known network, field and Jacobian, and unpaired snapshots drawn from them.

Hill kinetics: each gene i is made and decays,

    f_i(x) = (basal_i + sum_activators rate_ij h(x_j)) * prod_repressors (1 - h(x_k)) - decay_i x_i,
    h(x_j) = u / (1 + u),  u = (x_j / threshold_ij)^hill_ij,

and a cell of size ``volume`` follows the chemical Langevin equation
dx_i = f_i dt + sqrt((production_i + decay_i x_i) / volume) dW_i. Every regulator acts with one sign wherever x > 0,
so the signs of the Jacobian off its diagonal are the network. The linear circuit is dx = (A x + b) dt + noise_std dW.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy.integrate import solve_ivp

from ._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

# Gene: (activators, repressors). Krumsiek, Marr, Schroeder, Theis 2011, doi:10.1371/journal.pone.0022649, table 1.
_MYELOID = {
    "Gata2": ("Gata2", "Gata1 Fog1 Pu.1"),
    "Gata1": ("Gata1 Gata2 Fli1", "Pu.1"),
    "Fog1": ("Gata1", ""),
    "EKLF": ("Gata1", "Fli1"),
    "Fli1": ("Gata1", "EKLF"),
    "SCL": ("Gata1", "Pu.1"),
    "Cebpa": ("Cebpa", "Gata1 Fog1 SCL"),
    "Pu.1": ("Cebpa Pu.1", "Gata1 Gata2"),
    "cJun": ("Pu.1", "Gfi1"),
    "EgrNab": ("Pu.1 cJun", "Gfi1"),
    "Gfi1": ("Cebpa", "EgrNab"),
}


def gene_circuit(name: str, n_genes: int | None = None, seed: int = 0, **options: Any) -> GeneCircuit:
    """A gene circuit by name.

    Parameters
    ----------
    name : {"toggle", "repressilator", "myeloid", "random", "linear"}
        "toggle": two genes repress each other, two stable states. "repressilator": three genes in a ring, each
        represses the next, a limit cycle. "myeloid": the 11 genes of Krumsiek et al. 2011; interactions and signs
        are published, the numbers are ours (jointly acting regulators act one by one here), and a progenitor reaches
        four fates. "random": Hill kinetics on a random signed network. "linear": an Ornstein-Uhlenbeck process.
    n_genes : int, optional
        Size of "random" and "linear" (5 by default); the others have their own.
    seed : int
        Draws the network and the starts of "random" and "linear"; without effect on the others.
    **options
        Hill circuits: ``rate``, ``threshold``, ``hill`` (>= 1), a number or (G, G); ``basal``, ``decay``, a number or
        (G,); ``volume``, 200 by default: larger means less noise, inf none. "random" also: ``n_regulators`` of each
        gene (2). "linear": ``matrix`` A (G, G), or ``density`` (0.3) of a random stable A whose slowest mode decays
        at rate 0.5; ``offset`` b (0); ``noise_std`` (0.3) per square root of unit time; both a number or (G,).

    Returns
    -------
    GeneCircuit

    Raises
    ------
    ValueError
        For an unknown name or option, or a value out of its range or shape.
    """
    if name not in _BUILDERS:
        raise ValueError(f"Expected one of {', '.join(_BUILDERS)}; got {name!r}.")
    build, own_size, known = _BUILDERS[name]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"{name!r} has no option {', '.join(unknown)}: it takes {', '.join(known)}.")
    if own_size is None:
        return build(n_genes, seed, **options)
    if n_genes not in (None, own_size):
        raise ValueError(f"{name!r} has {own_size} genes, got n_genes={n_genes!r}: leave n_genes out.")
    return build(**options)


@dataclass(frozen=True, eq=False)
class GeneCircuit:
    """A gene circuit; make one with `gene_circuit`.

    numpy arrays and torch tensors are both accepted and come back as such, also in float32; `velocity`, `jacobian`
    and `diffusion` are torch operations that torch.func and autograd can differentiate, `simulate` is not.

    Attributes
    ----------
    name : str
    genes : ndarray of str (G,)
    network : ndarray of int (G, G)
        1 activation, -1 repression, 0 none; rows are targets, columns are regulators. Decay is not part of it,
        except in "linear", where it is the sign of A with its diagonal.
    initial : ndarray (k, G)
        Centres of the mixture of cells at time 0, all of equal weight.
    initial_std : float
        Standard deviation of each gene around its centre.
    """

    name: str
    genes: np.ndarray
    network: np.ndarray
    initial: np.ndarray
    initial_std: float
    kinetics: _Hill | _Linear

    def velocity(self, x: ArrayLike | torch.Tensor) -> np.ndarray | torch.Tensor:
        """Field f(x), the drift without noise: (..., G) to (..., G), in x per unit time; ValueError for other sizes.

        A Hill circuit is defined for x >= 0; below, regulators count as absent.
        """
        return _as_given(self.kinetics.terms(self._tensor(x))[0], x)

    def jacobian(self, x: ArrayLike | torch.Tensor, log: bool = False) -> np.ndarray | torch.Tensor:
        """Exact Jacobian of the field.

        Parameters
        ----------
        x : (..., G)
            Concentrations, also where ``log`` is True.
        log : bool
            The Jacobian of the field of y = log1p(x) instead, which is f(x) / (1 + x):
            diag(1 / (1 + x)) J diag(1 + x) - diag(f / (1 + x)).

        Returns
        -------
        (..., G, G)
            Rows are targets, columns are regulators.

        Raises
        ------
        ValueError
            For another number of genes, or ``log`` for the linear circuit, whose values may be negative.
        """
        if log and not self.kinetics.positive:
            raise ValueError("The linear circuit has values of any sign and no log1p: leave log out.")
        states = self._tensor(x)
        jacobian = self.kinetics.jacobian(states)
        if log:
            up, speed = 1 + states, self.kinetics.terms(states)[0]
            jacobian = jacobian * up[..., None, :] / up[..., :, None] - torch.diag_embed(speed / up)
        return _as_given(jacobian, x)

    def diffusion(self, x: ArrayLike | torch.Tensor) -> np.ndarray | torch.Tensor:
        """Standard deviation of the noise per square root of unit time, (..., G); each gene has its own noise."""
        return _as_given(self.kinetics.terms(self._tensor(x))[1], x)

    def simulate(
        self,
        x0: ArrayLike | torch.Tensor,
        times: ArrayLike,
        dt: float = 0.02,
        seed: int | np.random.SeedSequence = 0,
        noise: bool = True,
        increments: ArrayLike | None = None,
    ) -> np.ndarray | torch.Tensor:
        """Paths of cells that start at time 0, by Euler-Maruyama.

        Parameters
        ----------
        x0 : (n, G)
            Cells at time 0.
        times : (T,)
            Increasing, the first one >= 0.
        dt : float
            Longest step; every interval between times is cut into equal steps.
        seed : int
        noise : bool
            False: the field alone (Euler, so the error is of order dt).
        increments : (steps, n, G), optional
            Brownian increments to use in place of random ones: independent, variance = length of the step.

        Returns
        -------
        (T, n, G)
            Hill circuits stay positive: after each step what is below 0 is set to 0. Where that happens often, the
            strong order falls below the 1/2 of the scheme.

        Raises
        ------
        ValueError
            For wrong times, dt or shapes, negative starts of a Hill circuit, or paths that overflow.
        """
        times = _increasing(times)
        counts, sizes = _steps(times, dt)
        start = self._tensor(x0)
        self._check_states(start, "x0")
        draw = _increments(increments, (int(counts.sum()), *start.shape), seed)
        with torch.no_grad(), progress_bar(None, total=int(counts.sum()), desc="simulate", leave=False) as bar:
            cells, paths = start.clone(), []
            for count, size in zip(counts, sizes, strict=True):
                for _ in range(count):
                    drift, spread = self.kinetics.terms(cells)
                    cells = cells + drift * size + (spread * draw(size).to(cells) if noise else 0.0)
                    cells = cells.clamp(min=0) if self.kinetics.positive else cells
                    bar.update()
                paths.append(cells)
        out = torch.stack(paths)
        if not torch.isfinite(out).all():
            raise ValueError(f"The paths overflow before time {times[-1]:g}: take a smaller dt or a stable matrix.")
        return _as_given(out, x0)

    def snapshots(
        self,
        times: ArrayLike,
        n_cells: int | Sequence[int],
        seed: int = 0,
        initial: ArrayLike | None = None,
        initial_std: float | None = None,
        capture: float | None = None,
        dt: float = 0.02,
    ) -> AnnData:
        """Unpaired snapshots: for each time fresh cells start at time 0, as measuring a cell destroys it.

        Parameters
        ----------
        times : (T,)
            Increasing, the first one >= 0.
        n_cells : int or one int for each time
        seed : int
            Cells of one time do not depend on the later times, nor on ``capture``.
        initial : (k, G), optional
            Centres of the mixture at time 0, in x; the circuit's own by default.
        initial_std : float, optional
            Standard deviation around the centres (for Hill circuits cut off at 0); the circuit's own by default.
        capture : float in (0, 1], optional
            Each of the round(x * volume) molecules is caught with this probability; x becomes the molecules caught
            / volume. None measures x itself. Not for the linear circuit.
        dt : float
            Longest step of `simulate`.

        Returns
        -------
        AnnData
            ``X`` float64, log1p(x), for "linear" x itself (``uns["units"]`` says which); ``obs["time"]`` float;
            ``var_names`` genes; ``uns`` how it was made.

        Raises
        ------
        ValueError
            For times that do not increase or are negative, fewer than one cell, or starts, widths, capture or dt
            out of range.
        """
        times = _increasing(times)
        sizes = _cells_per_time(n_cells, len(times))
        centres, width = self._mixture(initial, initial_std)
        self._check_capture(capture)
        cells = []
        for child, time, n in zip(np.random.SeedSequence(seed).spawn(len(times)), times, sizes, strict=True):
            start_seed, path_seed, capture_seed = child.spawn(3)
            start = self._start(centres, width, n, np.random.default_rng(start_seed))
            end = self.simulate(start, [time], dt, path_seed)[0]
            cells.append(end if capture is None else self._caught(end, capture, np.random.default_rng(capture_seed)))
        values = np.concatenate(cells)
        index = np.arange(len(values)).astype(str)
        facts = {"origin": f"simulated: cellmnn_edu.simulate, circuit {self.name!r}", "circuit": self.name}
        facts |= {"seed": seed, "dt": dt, "initial": centres, "initial_std": width} | self.kinetics.facts()
        facts |= {"capture": capture} if capture is not None else {}
        return AnnData(
            np.log1p(values) if self.kinetics.positive else values,
            obs=pd.DataFrame({"time": np.repeat(times, sizes)}, index=index),
            var=pd.DataFrame(index=self.genes),
            uns=facts,
        )

    def period(self, horizon: float = 100.0) -> float:
        """Period of the oscillation without noise, measured over the second half of ``horizon`` (in unit time).

        The field is integrated from ``initial[0]``; the period is the mean time between upward passages of the gene
        that swings most through the middle of its swing. ValueError where fewer than three passages are left.
        """
        grid = np.linspace(horizon / 2, horizon, 10_001)
        solved = solve_ivp(lambda _, x: self.velocity(x), (0, horizon), self.initial[0], t_eval=grid, rtol=1e-8)
        values = solved.y[np.ptp(solved.y, axis=1).argmax()]
        swing = values - (values.max() + values.min()) / 2
        before = np.flatnonzero((swing[:-1] < 0) & (swing[1:] >= 0))
        if np.ptp(swing) < 1e-3 or len(before) < 3:
            raise ValueError(f"The {self.name} circuit does not oscillate within {horizon:g} time units: no period.")
        passages = grid[before] - swing[before] * (grid[1] - grid[0]) / (swing[before + 1] - swing[before])
        return float(np.diff(passages).mean())

    def _tensor(self, x: ArrayLike | torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.Tensor):
            x = np.asarray(x)
            # A fresh copy: torch warns about arrays it must not write to.
            x = torch.from_numpy(np.array(x, dtype=x.dtype if x.dtype == np.float32 else np.float64, order="C"))
        if x.ndim == 0 or x.shape[-1] != len(self.genes):
            raise ValueError(f"Expected x with {len(self.genes)} genes in its last axis, got shape {tuple(x.shape)}.")
        return x if x.is_floating_point() else x.double()

    def _check_states(self, x: torch.Tensor, name: str) -> None:
        if x.ndim != 2 or len(x) == 0 or not torch.isfinite(x).all():
            raise ValueError(f"Expected {name} finite, (n, {len(self.genes)}) with n > 0, got shape {tuple(x.shape)}.")
        if self.kinetics.positive and (x < 0).any():
            raise ValueError(f"{name} holds {int((x < 0).sum())} negative concentrations: they must be >= 0.")

    def _mixture(self, initial: ArrayLike | None, initial_std: float | None) -> tuple[np.ndarray, float]:
        centres = self._tensor(self.initial if initial is None else np.atleast_2d(np.asarray(initial, dtype=float)))
        self._check_states(centres, "initial")
        width = self.initial_std if initial_std is None else initial_std
        if not 0 <= width < np.inf:
            raise ValueError(f"Expected initial_std >= 0 and finite, got {width}.")
        return centres.numpy(), float(width)

    def _start(self, centres: np.ndarray, width: float, n: int, rng: np.random.Generator) -> np.ndarray:
        cells = centres[rng.integers(len(centres), size=n)] + width * rng.standard_normal((n, centres.shape[1]))
        return cells.clip(min=0) if self.kinetics.positive else cells

    def _check_capture(self, capture: float | None) -> None:
        if capture is None:
            return
        if not self.kinetics.positive or self.kinetics.volume == np.inf:
            raise ValueError("capture counts molecules, x * volume: it needs a Hill circuit of finite volume.")
        if not 0 < capture <= 1:
            raise ValueError(f"Expected capture in (0, 1], the probability to catch a molecule, got {capture}.")

    def _caught(self, x: np.ndarray, capture: float, rng: np.random.Generator) -> np.ndarray:
        molecules = np.rint(x * self.kinetics.volume).astype(np.int64)
        return rng.binomial(molecules, capture) / self.kinetics.volume


@dataclass(frozen=True, eq=False)
class _Hill:
    """Hill kinetics of G genes and E edges; the formula is at the top of the module."""

    source: torch.Tensor  # (E,) regulator of each edge
    threshold: torch.Tensor  # (E,)
    hill: torch.Tensor  # (E,)
    activation: torch.Tensor  # (E, G) rate of an activating edge at its target, else 0
    repression: torch.Tensor  # (E, G) 1 for a repressing edge at its target, else 0
    basal: torch.Tensor  # (G,)
    decay: torch.Tensor  # (G,)
    volume: float
    positive = True

    def facts(self) -> dict[str, Any]:
        return {"units": "log1p of the concentration x", "volume": self.volume, "log1p": {}}

    def _production(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Load u of every edge, (..., E); what activators allow, and the share that repressors leave, (..., G) each."""
        basal, activation, repression = _like(x, self.basal, self.activation, self.repression)
        threshold, hill = _like(x, self.threshold, self.hill)
        load = (x[..., self.source].clamp(min=0) / threshold) ** hill
        return load, basal + load / (1 + load) @ activation, torch.exp(-torch.log1p(load) @ repression)

    def terms(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Drift and diffusion, (..., G) each."""
        _, active, share = self._production(x)
        gain, loss = active * share, _like(x, self.decay)[0] * x
        return gain - loss, torch.sqrt((gain + loss).clamp(min=0) / self.volume)

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        load, active, share = (part[..., None] for part in self._production(x))
        active, share = active.mT, share.mT  # (..., 1, G), beside load (..., E, 1)
        threshold, hill, activation, repression = _like(x, self.threshold, self.hill, self.activation, self.repression)
        by_load = activation * share / (1 + load) ** 2 - repression * active * share / (1 + load)
        # du/dx without a division by x, which may be 0
        slope = hill / threshold * (x[..., self.source].clamp(min=0) / threshold) ** (hill - 1)
        source = _like(x, torch.nn.functional.one_hot(self.source, len(self.basal)))[0]
        return torch.einsum("...e,...ei,ej->...ij", slope, by_load, source) - torch.diag(_like(x, self.decay)[0])


@dataclass(frozen=True, eq=False)
class _Linear:
    """dx = (A x + b) dt + noise_std dW."""

    matrix: torch.Tensor  # (G, G)
    offset: torch.Tensor  # (G,)
    noise_std: torch.Tensor  # (G,)
    positive = False

    def facts(self) -> dict[str, Any]:
        return {"units": "x itself, of any sign; no log1p was taken", "noise_std": self.noise_std.numpy()}

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        return _like(x, self.matrix)[0].expand(*x.shape, x.shape[-1]).clone()

    def terms(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Drift and diffusion, (..., G) each."""
        matrix, offset, noise_std = _like(x, self.matrix, self.offset, self.noise_std)
        return x @ matrix.T + offset, noise_std.expand(x.shape)


def _like(x: torch.Tensor, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(t.to(dtype=x.dtype, device=x.device) for t in tensors)


def _as_given(out: torch.Tensor, x: ArrayLike | torch.Tensor) -> np.ndarray | torch.Tensor:
    return out if isinstance(x, torch.Tensor) else out.numpy()


def _hill_circuit(
    name: str,
    genes: Sequence[str],
    network: np.ndarray,
    initial: ArrayLike,
    initial_std: float,
    rate: ArrayLike = 1.0,
    basal: ArrayLike = 0.02,
    threshold: ArrayLike = 0.5,
    hill: ArrayLike = 4.0,
    decay: ArrayLike = 1.0,
    volume: float = 200.0,
) -> GeneCircuit:
    size = len(genes)
    target, source = np.nonzero(network)
    sign = network[target, source]
    each = {"rate": rate, "threshold": threshold, "hill": hill}
    each = {key: _filled(key, value, (size, size), 0.0)[target, source] for key, value in each.items()}
    if not ((each["rate"] > 0) & (each["threshold"] > 0) & (each["hill"] >= 1)).all():
        raise ValueError("Expected rate > 0, threshold > 0 and hill >= 1 at every edge of the network.")
    if not volume > 0:
        raise ValueError(f"Expected volume > 0 (inf for no noise), got {volume}.")
    at_target = np.eye(size)[target]
    kinetics = _Hill(
        source=torch.from_numpy(source),
        threshold=torch.from_numpy(each["threshold"]),
        hill=torch.from_numpy(each["hill"]),
        activation=torch.from_numpy(((sign > 0) * each["rate"])[:, None] * at_target),
        repression=torch.from_numpy((sign < 0)[:, None] * at_target),
        basal=torch.from_numpy(_filled("basal", basal, (size,), 0.0)),
        decay=torch.from_numpy(_filled("decay", decay, (size,), 0.0)),
        volume=float(volume),
    )
    return GeneCircuit(name, np.array(genes), network, np.array(initial, dtype=float), initial_std, kinetics)


def _toggle(**kinetics: Any) -> GeneCircuit:
    # With hill 2 and threshold 1 the fixed points have a closed form: x y = 1 and x + y = basal, or x = y.
    network = np.array([[0, -1], [-1, 0]])
    chosen = {"basal": 6.0, "threshold": 1.0, "hill": 2.0} | kinetics
    return _hill_circuit("toggle", ["geneA", "geneB"], network, [[1.0, 1.0]], 0.3, **chosen)


def _repressilator(**kinetics: Any) -> GeneCircuit:
    # One state near the cycle: cells start in phase. A ring of three needs hill > 2 to leave its fixed point.
    network = -np.roll(np.eye(3, dtype=int), 1, axis=0)
    chosen = {"basal": 10.0, "threshold": 1.0, "hill": 4.0} | kinetics
    return _hill_circuit("repressilator", ["geneA", "geneB", "geneC"], network, [[3.2, 4.9, 0.7]], 0.2, **chosen)


def _myeloid(**kinetics: Any) -> GeneCircuit:
    genes = list(_MYELOID)
    network, threshold = np.zeros((11, 11), dtype=int), np.full((11, 11), 0.5)
    for row, groups in enumerate(_MYELOID.values()):
        for sign, names in zip((1, -1), groups, strict=True):
            network[row, [genes.index(gene) for gene in names.split()]] = sign
    # Weaker than the rest, so that neither branch takes all the cells and Pu.1 cells keep their Cebpa.
    threshold[genes.index("Pu.1"), genes.index("Gata2")] = 1.0
    threshold[genes.index("Cebpa"), network[genes.index("Cebpa")] < 0] = 0.7
    progenitor = {"Gata2": 1.0, "Cebpa": 1.0, "Gata1": 0.2, "Pu.1": 0.4}
    start = [[progenitor.get(gene, 0.0) for gene in genes]]
    return _hill_circuit("myeloid", genes, network, start, 0.15, **{"threshold": threshold} | kinetics)


def _random(n_genes: int | None, seed: int, n_regulators: int = 2, **kinetics: Any) -> GeneCircuit:
    size = _size(n_genes, least=2)
    if not 1 <= n_regulators < size:
        raise ValueError(f"Expected n_regulators from 1 to n_genes - 1 = {size - 1}, got {n_regulators}.")
    rng = np.random.default_rng(seed)
    network = np.zeros((size, size), dtype=int)
    for row in range(size):
        others = np.delete(np.arange(size), row)
        network[row, rng.choice(others, n_regulators, replace=False)] = rng.choice([-1, 1], n_regulators)
    activators = (network > 0).sum(1)
    chosen = {
        # Each gene can reach about 1, whatever the number of its activators.
        "rate": np.broadcast_to(1 / np.maximum(activators, 1)[:, None], network.shape),
        "basal": np.where(activators == 0, 1.0, 0.1),
        "threshold": rng.uniform(0.3, 0.9, network.shape),
        "hill": 2.0,
    }
    starts = rng.uniform(0, 1.5, (4, size))
    return _hill_circuit("random", _names(size), network, starts, 0.1, **chosen | kinetics)


def _linear(
    n_genes: int | None,
    seed: int,
    matrix: ArrayLike | None = None,
    density: float = 0.3,
    offset: ArrayLike = 0.0,
    noise_std: ArrayLike = 0.3,
) -> GeneCircuit:
    rng = np.random.default_rng(seed)
    if matrix is None:
        matrix = _stable_matrix(_size(n_genes), density, rng)
    else:
        matrix = np.array(matrix, dtype=float)
        size = matrix.shape[0] if matrix.ndim and n_genes is None else n_genes
        if matrix.shape != (size, size) or matrix.size == 0 or not np.isfinite(matrix).all():
            raise ValueError(f"Expected matrix finite and square, n_genes x n_genes, got shape {matrix.shape}.")
    size = len(matrix)
    kinetics = _Linear(
        torch.from_numpy(matrix),
        torch.from_numpy(_filled("offset", offset, (size,), -np.inf)),
        torch.from_numpy(_filled("noise_std", noise_std, (size,), 0.0)),
    )
    starts = 2 * rng.standard_normal((size + 1, size))  # several clusters: one alone says little about A
    return GeneCircuit("linear", np.array(_names(size)), np.sign(matrix).astype(int), starts, 0.3, kinetics)


def _stable_matrix(size: int, density: float, rng: np.random.Generator) -> np.ndarray:
    if not 0 <= density <= 1:
        raise ValueError(f"Expected density in [0, 1], the share of interactions off the diagonal, got {density}.")
    present = (rng.random((size, size)) < density) & ~np.eye(size, dtype=bool)
    weights = rng.uniform(0.5, 1.5, (size, size)) * rng.choice([-1, 1], (size, size))
    interactions = np.where(present, weights, 0.0) / np.sqrt(max(1.0, density * size))
    # A matrix without a diagonal has trace 0, so its rightmost eigenvalue is >= 0 and the new diagonal is negative.
    return interactions - (np.linalg.eigvals(interactions).real.max() + 0.5) * np.eye(size)


_HILL_OPTIONS = ("rate", "basal", "threshold", "hill", "decay", "volume")
_BUILDERS = {
    "toggle": (_toggle, 2, _HILL_OPTIONS),
    "repressilator": (_repressilator, 3, _HILL_OPTIONS),
    "myeloid": (_myeloid, 11, _HILL_OPTIONS),
    "random": (_random, None, ("n_regulators", *_HILL_OPTIONS)),
    "linear": (_linear, None, ("matrix", "density", "offset", "noise_std")),
}


def _names(size: int) -> list[str]:
    return [f"gene{i}" for i in range(size)]


def _size(n_genes: int | None, least: int = 1) -> int:
    if n_genes is None:
        return 5
    if isinstance(n_genes, bool) or not isinstance(n_genes, int | np.integer) or n_genes < least:
        raise ValueError(f"Expected n_genes a whole number >= {least}, got {n_genes!r}.")
    return int(n_genes)


def _filled(name: str, value: ArrayLike, shape: tuple[int, ...], low: float) -> np.ndarray:
    value = np.asarray(value, dtype=float)
    if value.shape not in ((), shape):
        raise ValueError(f"Expected {name} as a number or of shape {shape}, got shape {value.shape}.")
    if not (np.isfinite(value) & (value >= low)).all():
        raise ValueError(f"Expected {name} finite and >= {low:g}, got {value.min():g} to {value.max():g}.")
    return np.array(np.broadcast_to(value, shape))


def _increasing(times: ArrayLike) -> np.ndarray:
    times = np.atleast_1d(np.asarray(times, dtype=float))
    if times.ndim != 1 or times.size == 0 or not np.isfinite(times).all():
        raise ValueError(f"Expected times as finite numbers, (T,) with T > 0, got {times.tolist()}.")
    if times[0] < 0 or (np.diff(times) <= 0).any():
        raise ValueError(f"Expected times that increase from 0 or later, got {times.tolist()}.")
    return times


def _steps(times: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Number and length of the steps up to each time; at time 0 there are none."""
    if not 0 < dt < np.inf:
        raise ValueError(f"Expected dt > 0 and finite, got {dt}.")
    spans = np.diff(times, prepend=0.0)
    # An interval of 3.0000000001 dt is three steps: it came from rounding.
    counts = np.ceil(spans / dt - 1e-6).clip(min=spans > 0).astype(int)
    return counts, spans / np.maximum(counts, 1)


def _increments(
    given: ArrayLike | None, shape: tuple[int, ...], seed: int | np.random.SeedSequence
) -> Callable[[float], torch.Tensor]:
    """A function that returns the next Brownian increment (n, G) for a step of some length."""
    if given is None:
        rng = np.random.default_rng(seed)
        return lambda size: torch.from_numpy(np.sqrt(size) * rng.standard_normal(shape[1:]))
    given = torch.from_numpy(np.array(given, dtype=float))
    if given.shape != shape:
        raise ValueError(f"Expected increments (steps, n, G) = {shape}, got {tuple(given.shape)}.")
    source = iter(given)
    return lambda size: next(source)


def _cells_per_time(n_cells: int | Sequence[int], n_times: int) -> list[int]:
    per_time = [n_cells] * n_times if np.ndim(n_cells) == 0 else list(n_cells)
    try:
        sizes = [operator.index(n) for n in per_time]
    except TypeError:
        raise ValueError(f"Expected n_cells as whole numbers, got {n_cells!r}.") from None
    if len(sizes) != n_times or min(sizes) < 1:
        raise ValueError(f"Expected n_cells >= 1, one number or one for each of {n_times} times, got {n_cells!r}.")
    return sizes
