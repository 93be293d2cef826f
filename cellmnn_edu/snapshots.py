"""Time-stamped populations of cells, and the only place that splits them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

from .datasets import obs_times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData


FULL_SVD_ENTRIES = 20_000_000


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One snapshot kept from training, in the coordinates of the training snapshots.

    Attributes
    ----------
    time : float
        The held-out time.
    state : ndarray (n, D)
        The held-out cells: only for scoring.
    previous : ndarray (m, D)
        All cells of the preceding snapshot: where a prediction starts.
    previous_time : float
        The time of the preceding snapshot.
    """

    time: float
    state: np.ndarray
    previous: np.ndarray
    previous_time: float


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Populations of cells at increasing times, in one coordinate system.

    Build one with `from_anndata`. A cell with expression ``x`` has the state ``z = (x - centre) V / scale``.

    Attributes
    ----------
    times : ndarray (T,)
        Real times, increasing, not necessarily equally spaced.
    states : list of ndarray (n_i, D)
        The cells of each time.
    n_components : int or None
        Number of principal components, or None in gene space.
    loadings : ndarray (G, D) or None
        V, one orthonormal column per component; None where no PCA was made.
    centre : ndarray
        What is subtracted: (G,) genes, or (D,) coordinates taken from ``obsm``.
    scale : ndarray (D,)
        Standard deviation of each coordinate over the cells it was fitted on.
    genes : ndarray of str (G,)
        Gene symbols.
    protocol : str
        One sentence: where the coordinates come from and on which cells they were fitted.
    raw : list of ndarray
        The input of the coordinates, cells x genes (or cells x obsm columns), one array per time.
    """

    times: np.ndarray
    states: list[np.ndarray] = field(repr=False)
    n_components: int | None
    loadings: np.ndarray | None = field(repr=False)
    centre: np.ndarray = field(repr=False)
    scale: np.ndarray = field(repr=False)
    genes: np.ndarray = field(repr=False)
    protocol: str
    raw: list[np.ndarray] = field(repr=False)
    use_rep: str | None = None
    rescale: bool = True

    @classmethod
    def from_anndata(
        cls,
        adata: AnnData,
        time_key: str = "time",
        n_components: int | str | None = "auto",
        use_rep: str | None = None,
        rescale: bool | None = None,
        time_order: Sequence | Mapping | None = None,
    ) -> Snapshots:
        """Read snapshots from an AnnData of log-scale expression.

        Parameters
        ----------
        adata : AnnData
            Cells x genes; ``X`` dense or sparse, already on a log scale.
        time_key : str
            Column of ``obs`` with the time of each cell: numbers, numeric strings, or ordered categories.
        n_components : int, None or "auto"
            Principal components to keep (by default 5, or as many as there can be); None stays in gene space.
            With `use_rep`, the number of leading columns to take (all by default).
        use_rep : str, optional
            Take the coordinates from ``obsm[use_rep]`` as they stand: nothing is fitted, so a scaling leak in
            them stays, and `protocol` says so.
        rescale : bool, optional
            Divide each coordinate by its standard deviation over these cells (and centre it). True by default,
            except for `use_rep`.
        time_order : sequence or mapping, optional
            Order of non-numeric time labels, or a mapping from label to time.

        Returns
        -------
        Snapshots
            Fitted on all times; `hold_out` fits anew on the training times.

        Raises
        ------
        ValueError
            For NaN or inf, fewer than two times, an empty snapshot, unknown keys, duplicate genes, or more
            components than cells or genes.
        """
        times, labels = np.unique(obs_times(adata, time_key, time_order), return_inverse=True)
        if len(times) < 2:
            raise ValueError(
                f"Expected cells of at least two times in obs[{time_key!r}], got one: {times.tolist()}. "
                "A single snapshot says nothing about change; choose the column that holds the time."
            )
        values, genes = _coordinates(adata, use_rep)
        n_components = _checked_components(n_components, values, use_rep)
        if use_rep is not None and n_components is not None:
            values = values[:, :n_components]
        raw = [values[labels == i] for i in range(len(times))]
        rescale = use_rep is None if rescale is None else rescale
        return cls._fitted(times, raw, genes, n_components, use_rep, rescale)

    @classmethod
    def _fitted(
        cls,
        times: np.ndarray,
        raw: list[np.ndarray],
        genes: np.ndarray,
        n_components: int | None,
        use_rep: str | None,
        rescale: bool,
    ) -> Snapshots:
        """Fit centre, PCA and scale on these cells and no others."""
        cells = np.concatenate(raw)
        loadings = _principal_axes(cells, n_components) if use_rep is None and n_components is not None else None
        centre = cells.mean(0) if rescale or loadings is not None else np.zeros(cells.shape[1])
        scale = np.ones(n_components if loadings is not None else cells.shape[1])
        unscaled = cls(
            times, [], n_components, loadings, centre, scale, genes, "", raw, use_rep=use_rep, rescale=rescale
        )
        if rescale:
            unscaled = replace(unscaled, scale=_spread(unscaled.encode(cells), loadings is not None))
        states = [unscaled.encode(x) for x in raw]
        return replace(unscaled, states=states, protocol=unscaled._describe())

    def _describe(self) -> str:
        fitted = f"times {', '.join(f'{t:g}' for t in self.times)}"
        if self.use_rep is not None:
            how = (
                f"z-scored on {fitted}"
                if self.rescale
                else "as they stand (fitted by their authors, perhaps on all cells)"
            )
            return f"coordinates obsm[{self.use_rep!r}], {how}"
        what = "gene space" if self.n_components is None else f"{self.n_components} principal components"
        return f"{what}, {'z-scored' if self.rescale else 'not scaled'}, fitted on {fitted}"

    @property
    def dim(self) -> int:
        """Dimension D of the states."""
        return len(self.scale)

    def encode(self, x: np.ndarray) -> np.ndarray:
        """State of cells from their expression.

        Parameters
        ----------
        x : ndarray (n, G)
            Log expression (or ``obsm`` coordinates where `use_rep` was given).

        Returns
        -------
        ndarray (n, D)
            ``(x - centre) V / scale``.

        Raises
        ------
        ValueError
            For another number of genes.
        """
        shifted = _columns(x, len(self.centre), "expression") - self.centre
        return (shifted if self.loadings is None else shifted @ self.loadings) / self.scale

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Expression of cells from their state: back to gene space.

        Parameters
        ----------
        z : ndarray (n, D)
            States.

        Returns
        -------
        ndarray (n, G)
            ``(z * scale) V^T + centre``, the closest expression within the kept components.

        Raises
        ------
        ValueError
            For another dimension, or where the coordinates came from ``obsm`` and no loadings are known.
        """
        if self.use_rep is not None:
            raise ValueError(
                f"Cannot go back to genes: the coordinates were taken from obsm[{self.use_rep!r}], whose loadings "
                "are not known. Build Snapshots without use_rep so that the PCA is fitted here."
            )
        unscaled = _columns(z, self.dim, "states") * self.scale
        return (unscaled if self.loadings is None else unscaled @ self.loadings.T) + self.centre

    def hold_out(self, index: int) -> tuple[Snapshots, HeldOut]:
        """Keep one inner snapshot from training; fit centre, PCA and scale on the others.

        Parameters
        ----------
        index : int
            Position in `times`, 1 to T - 2: there must be a snapshot before and one after.

        Returns
        -------
        train : Snapshots
            The other times, in coordinates that never saw the held-out cells.
        held : HeldOut
            The held-out cells and those of the preceding snapshot, in the same coordinates.

        Raises
        ------
        ValueError
            If `index` is not an inner position.
        """
        self._check_inner(index)
        rest = [i for i in range(len(self.times)) if i != index]
        raw = [self.raw[i] for i in rest]
        n_cells = sum(map(len, raw))
        if self.loadings is not None and self.n_components > n_cells - 1:
            raise ValueError(
                f"Expected more than {self.n_components} training cells for {self.n_components} components, "
                f"got {n_cells}: use fewer components."
            )
        train = self._fitted(self.times[rest], raw, self.genes, self.n_components, self.use_rep, self.rescale)
        held = HeldOut(
            time=float(self.times[index]),
            state=train.encode(self.raw[index]),
            previous=train.states[index - 1],
            previous_time=float(self.times[index - 1]),
        )
        return train, held

    def hold_back(self, fraction: float, seed: int = 0) -> tuple[Snapshots, Snapshots]:
        """Keep a share of the cells of every snapshot from training, to check on.

        Parameters
        ----------
        fraction : float
            Between 0 and 1; at least one cell of each snapshot stays on either side.
        seed : int
            Of the choice.

        Returns
        -------
        rest, kept : Snapshots
            In the coordinates of this one, which are not fitted anew.

        Raises
        ------
        ValueError
            If a snapshot has fewer than two cells.
        """
        if not 0 < fraction < 1 or min(map(len, self.states)) < 2:
            raise ValueError(
                f"Expected a fraction between 0 and 1 and at least two cells at every time, got {fraction} and "
                f"{min(map(len, self.states))}: there is nothing to keep back."
            )
        rng = np.random.default_rng(seed)
        sides: tuple[list, list] = ([], [])
        for state in self.states:
            n_kept = min(max(1, round(fraction * len(state))), len(state) - 1)
            order = rng.permutation(len(state))
            sides[0].append(np.sort(order[n_kept:]))
            sides[1].append(np.sort(order[:n_kept]))
        return tuple(
            replace(
                self,
                states=[state[rows] for state, rows in zip(self.states, side, strict=True)],
                raw=[raw[rows] for raw, rows in zip(self.raw, side, strict=True)],
            )
            for side in sides
        )

    def _check_inner(self, index: int) -> None:
        last = len(self.times) - 1
        is_int = isinstance(index, (int, np.integer)) and not isinstance(index, bool)
        if last < 2:
            raise ValueError(
                f"Holding out needs at least three times, got {len(self.times)} ({self.times.tolist()}): "
                "interpolation has to start before and end after the held-out time."
            )
        if not is_int or not 1 <= index <= last - 1:
            raise ValueError(
                f"Expected the index of an inner snapshot, 1 to {last - 1}, got {index!r}: the first and the last "
                "snapshot have no neighbour on one side, so there is nothing to interpolate."
            )


def _spread(states: np.ndarray, components: bool) -> np.ndarray:
    """Standard deviations to divide by; rounding noise must not be blown up to spread 1."""
    spread = states.std(0)
    flat = spread <= max(1e-10 * spread.max(), 1e-12)
    if components and flat.any():
        rank = int((~flat).sum())
        raise ValueError(
            f"Expected cells that vary in at least {len(spread)} directions, got {rank}: "
            f"ask for at most {rank} components (copies of genes or of cells add none)."
        )
    # A gene that never changes carries no information; dividing by 1 leaves it at zero.
    return np.where(flat, 1.0, spread)


def _columns(x: np.ndarray, n_columns: int, what: str) -> np.ndarray:
    """Float array (n, n_columns) from an array, a tensor or a sparse matrix."""
    values = x.detach().cpu().numpy() if hasattr(x, "detach") else x
    values = np.asarray(values.toarray() if sparse.issparse(values) else values, dtype=float)
    if values.ndim == 0 or values.shape[-1] != n_columns:
        raise ValueError(
            f"Expected {what} with {n_columns} columns, got shape {values.shape}: "
            "use cells of the same genes and Snapshots."
        )
    return values


def _coordinates(adata: AnnData, use_rep: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Dense float copy of X or of an obsm entry, checked, with the gene names."""
    if adata.isbacked:
        adata = adata.to_memory()
    genes = np.asarray(adata.var_names, dtype=object)
    if use_rep is None:
        if not adata.var_names.is_unique:
            twice = adata.var_names[adata.var_names.duplicated()][0]
            raise ValueError(
                f"Expected unique gene names, but {twice!r} stands more than once: a gene must be one row of the "
                "loadings. Merge or drop the copies, or call adata.var_names_make_unique()."
            )
        if adata.X is None:
            raise ValueError(
                f"adata.X is empty, so there is nothing to fit a PCA on. Pass use_rep= with one of {list(adata.obsm)}."
            )
        values, name = adata.X, "adata.X"
    else:
        if use_rep not in adata.obsm:
            raise ValueError(f"Expected a key of adata.obsm, got use_rep={use_rep!r}; there are {list(adata.obsm)}.")
        values, name = adata.obsm[use_rep], f"adata.obsm[{use_rep!r}]"
    dense = values.toarray() if sparse.issparse(values) else np.asarray(values)
    if dense.ndim != 2 or dense.dtype.kind not in "fiub" or not dense.shape[1]:
        raise ValueError(
            f"Expected a table of real numbers, cells x columns, in {name}; got shape {dense.shape} of {dense.dtype}."
        )
    dense = np.array(dense, dtype=float)
    bad = ~np.isfinite(dense)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"Expected finite numbers in {name}, got {dense[row, column]} for cell {adata.obs_names[row]!r}, column "
            f"{column} ({bad.sum()} such entries in all). Drop or impute them before building Snapshots."
        )
    return dense, genes


def _checked_components(n_components: int | str | None, values: np.ndarray, use_rep: str | None) -> int | None:
    n_cells, n_columns = values.shape
    if n_components == "auto":
        n_components = min(5, n_columns, n_cells - 1) if use_rep is None else n_columns
    if n_components is None:
        return n_columns if use_rep is not None else None
    if isinstance(n_components, bool) or not isinstance(n_components, (int, np.integer)) or n_components < 1:
        raise ValueError(
            f"Expected n_components to be a positive integer, or None for gene space; got {n_components!r}."
        )
    most = n_columns if use_rep is not None else min(n_cells - 1, n_columns)
    if n_components > most:
        source = f"{n_columns} columns" if use_rep is not None else f"{n_cells} cells x {n_columns} genes"
        raise ValueError(
            f"Expected at most {most} components for {source}, got n_components={n_components}: ask for fewer."
        )
    return int(n_components)


def _principal_axes(cells: np.ndarray, n_components: int) -> np.ndarray:
    """Loadings (G, D). Exact for tables that fit a full SVD in seconds, ARPACK (also deterministic) above."""
    if np.all(cells == cells[0]):
        raise ValueError("All cells are the same, so there are no components: choose genes that vary.")
    solver = "full" if cells.size <= FULL_SVD_ENTRIES or n_components >= min(cells.shape) - 1 else "arpack"
    return PCA(n_components, svd_solver=solver, random_state=0).fit(cells).components_.T
