"""Knock a gene down or up, follow the cells, and compare their fates; circuits give the true answer.

A knock multiplies the expression of a gene by a factor: 0 knocks it out, 0.5 halves it, 2 doubles it. "initial" does
so once, at the start, and lets the gene recover; "clamped" holds it at the knocked value all the way, as a knock-out
does. Control and knocked cells start from the same measured cells, so every comparison is paired.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import DBSCAN
from sklearn.metrics import pairwise_distances_argmin

from .model import check_integers
from .operators import DenseOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from .simulate import GeneCircuit
    from .snapshots import Snapshots

    # The decoded expression (n, G) of cells to one label each, (n,).
    Classify = Callable[[np.ndarray], ArrayLike]

MODES = ("initial", "clamped")
UNITS = ("log1p", "log2", "linear")


@dataclass(frozen=True, eq=False)
class Knock:
    """The same cells with and without a knock, row by row.

    Attributes
    ----------
    genes : tuple of str
        What was knocked.
    factors : tuple of float
        By what the expression of each of these genes was multiplied, in linear units.
    mode : {"initial", "clamped"}
    t0, t1 : float
        Time of the knock, and the time at which its effect is looked at.
    start, start_knocked : ndarray (n, D)
        States at `t0`.
    control, knocked : ndarray (n, D)
        States at `t1`.
    kept : Series
        For each knocked gene the share of the knock that survives encoding and decoding: 1 in gene space,
        (V V^T)_gg for one gene and components V; NaN where the knock changes no cell, because the gene is silent.
        With several genes knocked at once, one can undo or add to another's, so that the share may leave 0..1.
    decode : callable
        States (n, D) to expression (n, G).
    """

    genes: tuple[str, ...]
    factors: tuple[float, ...]
    mode: str
    t0: float
    t1: float
    start: np.ndarray = field(repr=False)
    start_knocked: np.ndarray = field(repr=False)
    control: np.ndarray = field(repr=False)
    knocked: np.ndarray = field(repr=False)
    kept: pd.Series = field(repr=False)
    decode: Callable[[np.ndarray], np.ndarray] = field(repr=False)

    @property
    def control_expression(self) -> np.ndarray:
        """Expression of the control at `t1`, (n, G), in the units of the snapshots."""
        return self.decode(self.control)

    @property
    def knocked_expression(self) -> np.ndarray:
        """Expression of the knocked cells at `t1`, (n, G), in the units of the snapshots."""
        return self.decode(self.knocked)


def knock(
    model: Any,
    snaps: Snapshots,
    gene: str | Sequence[str],
    factor: float | Sequence[float],
    t0: float,
    t1: float,
    mode: str = "initial",
    units: str = "log1p",
    n_steps: int = 20,
    cells: ArrayLike | None = None,
) -> Knock:
    """Multiply the expression of a gene at t0 and let a model say what becomes of the cells at t1.

    Parameters
    ----------
    model : CellMNN or any other
        What moves states: an object with ``propagate(z, t0, t1)``, such as a rival of `baselines` (with noise: one
        that draws the same noise for the same call). "clamped" also needs ``operator(z, t)`` (n, D, D) and
        ``offset(z, t)`` (n, D).
    snaps : Snapshots
        The coordinates of the model, and the cells.
    gene : str or sequence of str
        One gene, or several that are knocked at once.
    factor : float or one float per gene
        >= 0, in linear units.
    t0, t1 : float
        Time of the knock (one of ``snaps.times``, unless `cells` are given) and time to look, t1 >= t0.
    mode : {"initial", "clamped"}
        "clamped" freezes the operator for one step at a time, sets the gene's row of A and its offset to zero, and
        moves the cells in closed form: the gene stays, the others feel it through its column of A. Only in gene
        space, for no single component is a gene.
    units : {"log1p", "log2", "linear"}
        What the expression is: x becomes log1p(factor * expm1(x)), or x + log2(factor) but never less than the
        lowest value of the gene in ``snaps.raw`` (the detection limit: what factor 0 gives), or factor * x.
    n_steps : int
        Equal steps from t0 to t1; the operator is evaluated anew at each. Models whose ``propagate`` has no
        ``n_steps`` step as they were set up.
    cells : array (n, G), optional
        Expression at `t0` of the cells to knock, in place of the snapshot at `t0`.

    Returns
    -------
    Knock

    Raises
    ------
    ValueError
        For unknown genes, modes or units, factors below 0, times that are not those of a snapshot, coordinates
        without genes, and negative expression with "log1p".
    FloatingPointError
        Where the model carries cells to infinity.

    Notes
    -----
    A knocked cell is a cell that the model never saw: what it says there is an extrapolation. Look at `Knock.kept`
    first: few components cannot take one gene and leave the others.
    """
    check_integers(1, n_steps=n_steps)
    _check_request(mode, t0, t1)
    _check_space(model, snaps, mode)
    columns, factors = _targets(snaps.genes, gene, factor)
    x = _snapshot(snaps, t0) if cells is None else _checked_cells(cells, len(snaps.genes))
    floor = np.min([raw[:, columns].min(0) for raw in snaps.raw if len(raw)], axis=0)
    changed = x.copy()
    changed[:, columns] = _multiplied(x[:, columns], factors, units, floor)
    start, start_knocked = snaps.encode(x), snaps.encode(changed)
    control = _propagated(model, start, t0, t1, n_steps)
    if mode == "initial":
        knocked = _propagated(model, start_knocked, t0, t1, n_steps)
    else:
        knocked = _clamped(model, start_knocked, columns, t0, t1, n_steps)
    _check_finite(control, knocked)
    genes = tuple(str(snaps.genes[column]) for column in columns)
    kept = _kept(genes, (changed - x)[:, columns], (snaps.decode(start_knocked) - snaps.decode(start))[:, columns])
    facts = (genes, tuple(factors.tolist()), mode, float(t0), float(t1))
    return Knock(*facts, start, start_knocked, control, knocked, kept, snaps.decode)


def circuit_knock(
    circuit: GeneCircuit,
    gene: str | Sequence[str],
    factor: float | Sequence[float],
    t0: float,
    t1: float,
    n_cells: int = 1000,
    mode: str = "initial",
    seed: int = 0,
    cells: ArrayLike | None = None,
    dt: float = 0.02,
) -> Knock:
    """The truth beside `knock`: the circuit itself with the gene knocked in the same way.

    Parameters
    ----------
    circuit : GeneCircuit
        From `simulate.gene_circuit`.
    gene, factor, t0, t1, mode
        As in `knock`; t0 >= 0. The factor multiplies x. "clamped" takes drift and noise from the gene.
    n_cells : int
        Cells that start at time 0 and live undisturbed until `t0`; without effect where `cells` are given.
    seed : int
        Control and knocked cells share the noise after `t0`, so that they differ by the knock alone.
    cells : array (n, G), optional
        The cells at `t0`, in x (not log1p).
    dt : float
        Longest step of the simulation.

    Returns
    -------
    Knock
        States and expression are both log1p(x), for the "linear" circuit x itself, as ``circuit.snapshots`` gives
        them.

    Raises
    ------
    ValueError
        As in `knock`, and as in ``circuit.simulate``.
    """
    _check_request(mode, t0, t1)
    columns, factors = _targets(circuit.genes, gene, factor)
    if cells is None:
        values = circuit.snapshots([t0], n_cells, seed, dt=dt).X
        x = np.expm1(values) if circuit.kinetics.positive else values
    else:
        x = _checked_cells(cells, len(circuit.genes))
    changed = x.copy()
    changed[:, columns] *= factors
    held = np.isin(np.arange(len(circuit.genes)), columns)
    altered = circuit if mode == "initial" else replace(circuit, kinetics=_Held(circuit.kinetics, held))
    noise = np.random.SeedSequence([seed, 1])  # not that of the cells' life before t0
    control = circuit.simulate(x, [t1 - t0], dt, noise)[0]
    knocked = altered.simulate(changed, [t1 - t0], dt, noise)[0]
    start, start_knocked, control, knocked = (_measured(circuit, cell) for cell in (x, changed, control, knocked))
    genes = tuple(str(circuit.genes[column]) for column in columns)
    change = (start_knocked - start)[:, columns]
    facts = (genes, tuple(factors.tolist()), mode, float(t0), float(t1))
    return Knock(*facts, start, start_knocked, control, knocked, _kept(genes, change, change), np.asarray)


def fates(expression: np.ndarray, classify: Classify) -> pd.Series:
    """Share of the cells in each fate.

    Parameters
    ----------
    expression : ndarray (n, G)
        Or states (n, D), if that is what `classify` reads.
    classify : callable
        Gives one label per cell, (n,), for instance `nearest_fate`.

    Returns
    -------
    Series
        Fates in sorted order; they sum to 1.

    Raises
    ------
    ValueError
        For no cells, or another number of labels than cells.
    """
    names, counts = np.unique(_labels(expression, classify), return_counts=True)
    return pd.Series(counts / counts.sum(), index=pd.Index(names, name="fate"), name="share")


def fate_shift(
    knock: Knock, classify: Classify, n_boot: int = 1000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """How many more cells reach each fate after the knock, with an interval.

    Parameters
    ----------
    knock : Knock
    classify : callable
        Decoded expression (n, G) to one label per cell, for instance `nearest_fate`.
    n_boot : int
        Bootstrap samples. A sample draws cells, each with both of its fates: control and knocked are paired.
    level : float
        Of the interval, in (0, 1).
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        ``fate``, ``control``, ``knocked`` (shares of the cells), ``shift`` = knocked - control, ``low``, ``high``.
        The interval holds the chance of having drawn these cells, not the error of the model. Where no cell changes
        its fate it is a point: then rarer changes than about 3 in n cells may have gone unseen.

    Raises
    ------
    ValueError
        For labels that are not one per cell, `n_boot` below 1, or a level outside (0, 1).
    """
    check_integers(1, n_boot=n_boot)
    if not 0 < level < 1:
        raise ValueError(f"Expected level between 0 and 1, such as 0.95; got {level!r}.")
    before, after = (_labels(x, classify) for x in (knock.control_expression, knock.knocked_expression))
    names, codes = np.unique(np.concatenate([before, after]), return_inverse=True)
    n, size = len(before), len(names)
    # To draw n cells with replacement is to draw the table of their pairs of fates from a multinomial.
    pairs = np.bincount(codes[:n] * size + codes[n:], minlength=size**2)
    drawn = np.random.default_rng(seed).multinomial(n, pairs / n, n_boot).reshape(n_boot, size, size)
    low, high = np.quantile((drawn.sum(1) - drawn.sum(2)) / n, [(1 - level) / 2, (1 + level) / 2], axis=0)
    counts = pairs.reshape(size, size)
    shares = {"fate": names, "control": counts.sum(1) / n, "knocked": counts.sum(0) / n}
    return pd.DataFrame(shares | {"shift": (counts.sum(0) - counts.sum(1)) / n, "low": low, "high": high})


def nearest_fate(centres: pd.DataFrame | Mapping[str, ArrayLike]) -> Classify:
    """A rule that gives every cell the fate whose centre is nearest, in Euclidean distance.

    Parameters
    ----------
    centres : DataFrame or mapping
        One row per fate and one column per gene, as `attractors` gives them, or name -> expression (G,). Genes in
        the order, and values in the units, of the expression that will be classified.

    Returns
    -------
    callable
        Expression (n, G) to names (n,).

    Raises
    ------
    ValueError
        For centres that do not have the same genes or are not finite; the rule, for expression of other genes.
    """
    table = centres if isinstance(centres, pd.DataFrame) else pd.DataFrame.from_dict(dict(centres), orient="index")
    names, points = table.index.to_numpy(), table.to_numpy(dtype=float)
    if not points.size or not np.isfinite(points).all():
        raise ValueError(
            f"Expected at least one centre, each a finite number for every gene; got a table of shape {points.shape}. "
            "Give all of them the same genes."
        )

    def classify(expression: np.ndarray) -> np.ndarray:
        return names[pairwise_distances_argmin(_checked_cells(expression, points.shape[1]), points)]

    return classify


def attractors(
    circuit: GeneCircuit, n_cells: int = 400, t: float = 60.0, seed: int = 0, least: float = 0.02
) -> pd.DataFrame:
    """Stable states of a circuit: where its cells come to rest once the noise is switched off.

    Parameters
    ----------
    circuit : GeneCircuit
    n_cells : int
        Cells that are followed from each of the times 0, 2, 5 and 10, reached with noise. A state that none of them
        comes near is not found.
    t : float
        How long they are followed without noise.
    seed : int
    least : float
        States are left out in which less than this share of the cells come to rest; 0 gives all.

    Returns
    -------
    DataFrame
        One row per state, one column per gene, in the units of ``circuit.snapshots`` (log1p(x); x for "linear"). A
        row is named after the genes that are on: above a quarter of the highest one, in x. ``attrs["share"]`` says
        which share of the cells came to rest in each state; what is missing to 1 went elsewhere, or did not rest.

    Raises
    ------
    ValueError
        Where no cell comes to rest: `t` is too short, or the circuit oscillates.
    """
    start = circuit.snapshots([0.0, 2.0, 5.0, 10.0], n_cells, seed).X
    x = np.expm1(start) if circuit.kinetics.positive else start
    x = circuit.simulate(x, [t], dt=0.05, noise=False)[0]
    # Euler steps rest where the field is zero. A cell that set out on a watershed may rest on a saddle.
    rests = np.abs(circuit.velocity(x)).max(1) < 1e-6 * (1 + np.abs(x).max(1))
    stable = rests & (np.linalg.eigvals(circuit.jacobian(x)).real.max(1) < 0)
    if not stable.any():
        raise ValueError(
            f"No cell of the {circuit.name} circuit comes to rest within t={t:g}: take a longer t; a circuit that "
            "oscillates has no stable state."
        )
    groups = DBSCAN(eps=1e-3, min_samples=1).fit_predict(x[stable])
    shares = np.bincount(groups) / len(x)
    states = np.stack([x[stable][groups == group].mean(0) for group in range(len(shares))])[shares >= least]
    names = _distinct([_name(state, circuit.genes) for state in states])
    table = pd.DataFrame(_measured(circuit, states), index=names, columns=circuit.genes).sort_index()
    table.attrs["share"] = dict(zip(names, shares[shares >= least].tolist(), strict=True))
    return table


def agreement(
    truth: Mapping[str, pd.DataFrame], predicted: Mapping[str, pd.DataFrame], least: float = 0.10
) -> pd.DataFrame:
    """Whether a model says in which direction each knock shifts the fates.

    Parameters
    ----------
    truth, predicted : mapping from the name of a knock to its `fate_shift`
        Of `circuit_knock` and of `knock`, with one and the same `classify`.
    least : float
        Knocks count whose largest true shift of a fate exceeds this share of the cells.

    Returns
    -------
    DataFrame
        One row per such knock: ``knock``, ``fate`` (the one that truly shifts most), ``true``, ``predicted`` (its
        shifts) and ``right``, whether they have the same sign; no predicted shift is wrong. ``attrs["share_right"]``
        is the share that is right (NaN without rows), which a coin brings to one half.

    Raises
    ------
    ValueError
        For a knock without prediction, or a prediction that shares no fate with the truth.
    """
    rows = []
    for name, table in truth.items():
        shifts = table.set_index("fate")["shift"]
        fate = shifts.abs().idxmax()
        if abs(shifts[fate]) <= least:
            continue
        if name not in predicted:
            raise ValueError(
                f"Expected a prediction for every knock, got none for {name!r} (there are {[*predicted]})."
            )
        answers = predicted[name].set_index("fate")["shift"]
        if answers.index.intersection(shifts.index).empty:
            raise ValueError(
                f"Expected the fates {[*shifts.index]} for the knock {name!r}, got {[*answers.index]}: use the same "
                "classify for truth and prediction."
            )
        # A fate that the model's cells reach neither with nor without the knock does not shift.
        answer = float(answers.get(fate, 0.0))
        rows.append((name, fate, float(shifts[fate]), answer, bool(answer * shifts[fate] > 0)))
    table = pd.DataFrame(rows, columns=["knock", "fate", "true", "predicted", "right"])
    table.attrs["share_right"] = float(np.mean(table["right"])) if rows else float("nan")
    return table


@dataclass(frozen=True, eq=False)
class _Held:
    """The kinetics of a circuit in which some genes neither drift nor fluctuate."""

    kinetics: Any
    held: np.ndarray  # (G,) bool

    @property
    def positive(self) -> bool:
        return self.kinetics.positive

    def facts(self) -> dict[str, Any]:
        return self.kinetics.facts() | {"held": self.held}

    def terms(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Drift and diffusion, (..., G) each."""
        drift, spread = self.kinetics.terms(x)
        held = torch.as_tensor(self.held, device=x.device)
        return drift.masked_fill(held, 0.0), spread.masked_fill(held, 0.0)

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        held = torch.as_tensor(self.held, device=x.device)
        return self.kinetics.jacobian(x).masked_fill(held[:, None], 0.0)


def _propagated(model: Any, z: np.ndarray, t0: float, t1: float, n_steps: int) -> np.ndarray:
    steps = {"n_steps": n_steps} if "n_steps" in signature(model.propagate).parameters else {}
    return np.asarray(model.propagate(z, t0, t1, **steps))


def _clamped(model: Any, z: np.ndarray, columns: np.ndarray, t0: float, t1: float, n_steps: int) -> np.ndarray:
    """Move cells with the operator of every step, in which the held genes have no row and no offset."""
    held, step = z[:, columns], (t1 - t0) / n_steps
    duration = torch.full((len(z),), step, dtype=torch.float64)
    for k in range(n_steps):
        a, b = (np.array(part(z, t0 + k * step), dtype=float) for part in (model.operator, model.offset))
        a[:, columns], b[:, columns] = 0.0, 0.0
        operator = DenseOperator(torch.from_numpy(a), torch.from_numpy(b))
        z = operator.flow(torch.tensor(z, dtype=torch.float64), duration).numpy()
        z[:, columns] = held  # to the last digit
    return z


def _multiplied(x: np.ndarray, factors: np.ndarray, units: str, floor: np.ndarray) -> np.ndarray:
    """Expression (n, genes) of which each column is multiplied by a factor in linear units."""
    if units == "linear":
        return x * factors
    if units == "log2":
        with np.errstate(divide="ignore"):
            lowered = x + np.log2(factors)
        return np.maximum(lowered, np.minimum(floor, x))
    if units != "log1p":
        raise ValueError(f"Expected units as one of {', '.join(UNITS)}; got {units!r}.")
    if (x < 0).any():
        raise ValueError(
            f"Expected log1p(counts), which is never negative; got {x.min():.3g}. Say what the expression is: "
            'units="log2" (a logarithm of any sign) or "linear".'
        )
    return np.where(factors == 1, x, np.log1p(factors * np.expm1(x)))  # factor 1 keeps the last digit


def _targets(genes: np.ndarray, gene: str | Sequence[str], factor: float | Sequence[float]) -> tuple:
    """Columns of the genes, and a factor for each."""
    wanted = [gene] if isinstance(gene, str) else list(gene)
    missing = [name for name in wanted if name not in set(genes)]
    if missing or not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(
            f"Expected one or more different genes of this data, got {wanted!r}"
            f"{f'; {missing[0]!r} is not among them' if missing else ''}. There are {len(genes)}: "
            f"{', '.join(map(str, genes[:12]))}{' ...' if len(genes) > 12 else ''}."
        )
    factors = np.asarray(factor, dtype=float)
    if factors.shape not in ((), (len(wanted),)) or not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(
            f"Expected a factor >= 0, or one for each of {len(wanted)} genes; got {factor!r}. 0 knocks a gene out, "
            "0.5 halves and 2 doubles its expression."
        )
    columns = np.array([list(genes).index(name) for name in wanted])
    return columns, np.broadcast_to(factors, len(wanted)).copy()


def _snapshot(snaps: Snapshots, t0: float) -> np.ndarray:
    there = np.flatnonzero(np.isclose(snaps.times, t0))
    if not len(there):
        raise ValueError(
            f"Expected t0 as one of the times {snaps.times.tolist()}, got {t0!r}: there are no cells to knock at any "
            "other. Pass their expression as cells=... to start elsewhere."
        )
    return snaps.raw[there[0]]


def _checked_cells(cells: ArrayLike, n_genes: int) -> np.ndarray:
    x = np.array(cells, dtype=float)
    if x.ndim != 2 or len(x) == 0 or x.shape[1] != n_genes or not np.isfinite(x).all():
        raise ValueError(f"Expected finite expression, (n, {n_genes}) with n > 0; got shape {x.shape}.")
    return x


def _check_request(mode: str, t0: float, t1: float) -> None:
    if mode not in MODES:
        raise ValueError(f"Expected mode as one of {', '.join(MODES)}; got {mode!r}.")
    if not -np.inf < t0 <= t1 < np.inf:
        raise ValueError(f"Expected finite times t0 <= t1, for a knock acts forward; got t0={t0!r}, t1={t1!r}.")


def _check_space(model: Any, snaps: Snapshots, mode: str) -> None:
    if snaps.use_rep is not None:
        raise ValueError(
            f"Cannot knock a gene in obsm[{snaps.use_rep!r}]: how genes enter these coordinates is not known. Build "
            "Snapshots from the expression, without use_rep, and train the model on those."
        )
    if mode == "initial":
        return
    if snaps.loadings is not None:
        raise ValueError(
            f"A gene cannot be held among {snaps.n_components} components, each a mixture of genes. Train a model in "
            'gene space, on Snapshots.from_anndata(adata, n_components=None), or use mode="initial".'
        )
    if not (hasattr(model, "operator") and hasattr(model, "offset")):
        raise ValueError(
            f"A clamped knock needs model.operator(z, t) and model.offset(z, t), which {type(model).__name__} lacks: "
            'use a CellMNN, or mode="initial".'
        )


def _check_finite(control: np.ndarray, knocked: np.ndarray) -> None:
    lost = ~(np.isfinite(control).all(1) & np.isfinite(knocked).all(1))
    if lost.any():
        raise FloatingPointError(
            f"The model carries {lost.sum()} of {len(lost)} cells to infinity or NaN: take more n_steps or a shorter "
            "time, and look at how far t1 lies from the training times."
        )


def _kept(genes: tuple[str, ...], intended: np.ndarray, arrived: np.ndarray) -> pd.Series:
    """Slope through 0 of the change that arrives on the change intended, over the cells."""
    size = (intended**2).sum(0)
    slope = np.divide((arrived * intended).sum(0), size, out=np.full(len(genes), np.nan), where=size > 0)
    return pd.Series(slope, index=list(genes), name="kept")


def _labels(expression: np.ndarray, classify: Classify) -> np.ndarray:
    labels = np.asarray(classify(expression))
    if labels.shape != (len(expression),) or not len(labels):
        raise ValueError(
            f"Expected classify to give one label for each of {len(expression)} cells, at least one; got shape "
            f"{labels.shape}."
        )
    return labels


def _measured(circuit: GeneCircuit, x: np.ndarray) -> np.ndarray:
    return np.log1p(x) if circuit.kinetics.positive else x


def _name(state: np.ndarray, genes: np.ndarray) -> str:
    return "+".join(genes[(state > state.max() / 4) & (state > 0)]) or "none"


def _distinct(names: list[str]) -> list[str]:
    """States in which the same genes are on get a number."""
    return [f"{name} ({names[:k].count(name) + 1})" if names.count(name) > 1 else name for k, name in enumerate(names)]
