"""Real data as AnnData: two sets in the box, one by download, your own file; and the TRRUST network."""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ._progress import progress_bar

_HERE = Path(__file__).resolve().parent
_EB_COMMIT = "70e098c7250e1f8ff2994bbce750a449d932bc25"
_EB = f"https://raw.githubusercontent.com/BasisResearch/wasserstein-residuals/{_EB_COMMIT}/data/RNA_PCA_5"
_TRRUST = "https://www.grnpedia.org/trrust/data"
# Path in the cache: folder of the address (the file name is the same), sha256, bytes.
_REMOTE = {
    "eb/data.npy": (_EB, "3d7b48827a12689f29dc41bbc4673430c8ee26431250ce20010bab1903c686de", 672888),
    "eb/sample_labels.npy": (_EB, "8e97086b3b69aae3add4d72e1d9f69fc6d73c433c10c988ac7e794a339d4b7c4", 134680),
    "trrust/trrust_rawdata.human.tsv": (
        _TRRUST,
        "9b909319ccc8e36588b5a1bd3640e0dfba03936c6fc154cc4304d742bec11bed",
        297659,
    ),
    "trrust/trrust_rawdata.mouse.tsv": (
        _TRRUST,
        "4847c960c7c2ce0173b056184137b1cc71e8d61d1b1edc825247504ad882dd55",
        220353,
    ),
}
_RENAMED = {
    "Creb312": "Creb3l2",
    "DppaI": "Dppa1",
    "Snail": "Snai1",
    "Tcfap2a": "Tfap2a",
    "Tcfap2c": "Tfap2c",
}


def guo2010(repair: bool = False) -> AnnData:
    """Mouse embryo from 2 to 64 cells, single-cell qPCR: 428 cells x 48 genes, in the box.

    Parameters
    ----------
    repair : bool
        False: values as packaged in Bioconductor destiny 3.12.0. There each value is taken against the
        housekeeping level of a *wrong cell* (R recycled the vector of levels along the genes): noise of
        1.9 cycles. True: each value against Actb and Gapdh of its own cell, recovered exactly.

    Returns
    -------
    AnnData
        ``X`` float32, log2 expression = -delta-Ct, so higher means more expressed; ``obs["time"]`` float,
        log2 of the cell number (1..6); ``obs["n_cells"]``; ``var_names`` mouse gene symbols; ``uns`` origin.

    Notes
    -----
    Source: Guo et al. 2010, doi:10.1016/j.devcel.2010.02.012.
    """
    table = pd.read_csv(shipped("guo2010.csv"), dtype={"cell": str}, index_col="cell")
    delta_ct = table.drop(columns="n_cells").rename(columns=_RENAMED)
    values = _own_housekeeping(delta_ct) if repair else delta_ct.to_numpy()
    obs = pd.DataFrame({"time": np.log2(table["n_cells"]), "n_cells": table["n_cells"]})
    facts = _facts("guo2010.csv") | {"normalisation": "own cell" if repair else "as packaged"}
    return AnnData((-values).astype(np.float32), obs=obs, var=pd.DataFrame(index=delta_ct.columns), uns=facts)


def hsmm() -> AnnData:
    """Human myoblasts 0, 1, 2, 3 days after the serum switch, RNA-seq: 271 cells x 4967 genes, in the box.

    Returns
    -------
    AnnData
        ``X`` float32, natural log1p of FPKM (stored as float16, relative error 5e-4); ``obs["time"]`` float,
        days; ``obs["hours"]``, ``obs["medium"]``, ``obs["mapped_fragments"]``; ``var_names`` gene symbols.
        The 4000 most variable genes were chosen on all cells, a small leak when a time is held out.

    Notes
    -----
    Source: Trapnell et al. 2014, doi:10.1038/nbt.2859.
    """
    adata = from_h5ad(shipped("hsmm.h5ad"), time_key="hours", log1p=True)
    adata.obs["time"] /= 24.0
    adata.uns.update(_facts("hsmm.h5ad"))
    return adata


def embryoid_body() -> AnnData:
    """Human embryoid bodies, five time bins: 16819 cells x 5 principal components; a download of 0.8 MB.

    Returns
    -------
    AnnData
        ``obsm["X_pca"]`` (16819, 5) float64 as published, no ``X``; ``obs["time"]`` float 0..4. PCA and
        z-scores were computed on all cells (``uns["protocol"]``), so holding a time out leaks its scale.

    Raises
    ------
    ConnectionError
        No network, or a server that does not answer.
    ValueError
        A truncated or altered download.
    PermissionError
        A cache folder that cannot be written. Each message says what to do.

    Notes
    -----
    Source: Moon et al. 2019, doi:10.1038/s41587-019-0336-3, as published at a pinned commit of
    BasisResearch/wasserstein-residuals (Apache-2.0).
    """
    states = np.load(_fetch("eb/data.npy"), allow_pickle=False)
    labels = np.load(_fetch("eb/sample_labels.npy"), allow_pickle=False)
    facts = {
        "origin": f"Moon et al. 2019, five principal components as in TrajectoryNet, from {_EB}",
        "doi": "10.1038/s41587-019-0336-3",
        "licence": "Apache-2.0 (BasisResearch/wasserstein-residuals)",
        "units": "principal components, z-scored",
        "protocol": "PCA and z-scores pre-computed on all cells, held-out times included",
    }
    obs = pd.DataFrame({"time": float_times(labels)}, index=np.arange(len(labels)).astype(str))
    return AnnData(obs=obs, obsm={"X_pca": states}, uns=facts)


def trrust(species: str = "human", source: str = "official") -> pd.DataFrame:
    """Known regulations: transcription factor, target, sign, papers (TRRUST v2, CC BY-SA 4.0).

    Parameters
    ----------
    species : {"human", "mouse"}
    source : {"official", "shipped"}
        "official": the complete file, downloaded once (0.3 MB; human 9396 rows, mouse 7057). A pair may come
        with several modes. "shipped": in the box, no network, human only: 6305 pairs that OmniPath
        attributes to TRRUST, one row a pair, with OmniPath's sign.

    Returns
    -------
    DataFrame
        Text columns regulator, target, mode (Activation, Repression, Unknown), pmids (separated by ``;``).

    Raises
    ------
    ValueError
        Unknown species or source, mouse from the box, damaged download.
    ConnectionError
        No network, or a server that does not answer.
    PermissionError
        A cache folder that cannot be written. Each message says what to do.

    Notes
    -----
    Source: Han et al. 2018, doi:10.1093/nar/gkx1013.
    """
    if species not in ("human", "mouse") or source not in ("official", "shipped"):
        raise ValueError(
            f'Expected species "human" or "mouse" and source "official" or "shipped", got {species!r} and {source!r}.'
        )
    if source == "shipped" and species == "mouse":
        raise ValueError('No mouse table is in the box: trrust("mouse") downloads the official one.')
    boxed = source == "shipped"
    path = shipped("trrust_human.tsv") if boxed else _fetch(f"trrust/trrust_rawdata.{species}.tsv")
    names, header = ["regulator", "target", "mode", "pmids"], 0 if boxed else None
    # na_filter=False: no gene may turn into a missing value because it is called NaN or NA.
    return pd.read_csv(path, sep="\t", names=names, header=header, dtype=str, na_filter=False)


def from_h5ad(
    path: str | os.PathLike[str],
    time_key: str = "time",
    time_order: Mapping[Any, float] | Sequence[Any] | None = None,
    log1p: bool = False,
) -> AnnData:
    """Read your own time course.

    Parameters
    ----------
    path : an .h5ad file, cells in rows.
    time_key : the column of ``obs`` with each cell's time.
    time_order : what the labels of that column mean, see :func:`float_times`.
    log1p : take the natural log1p of ``X``; for counts or normalised counts that are not logged yet.

    Returns
    -------
    AnnData
        The file's content; ``obs["time"]`` holds float times (a former column of that name is replaced).

    Raises
    ------
    ValueError
        File missing, damaged or not .h5ad; repeated gene names; times that are no numbers (see
        :func:`float_times`); ``log1p`` of negative, missing or already logged values.
    """
    import anndata

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"No file {path}: give the path of an .h5ad file (the current folder is {Path.cwd()}).")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Variable names are not unique")
            adata = anndata.read_h5ad(path)
    except Exception as error:  # h5py and anndata raise a dozen different types for a damaged file
        raise ValueError(
            f"Cannot read {path} as .h5ad ({type(error).__name__}), it is damaged, incomplete or of another "
            "kind: copy or download it again, or write it anew with adata.write_h5ad."
        ) from error
    if not adata.var_names.is_unique:
        gene = adata.var_names[adata.var_names.duplicated()][0]
        raise ValueError(
            f"{path} names gene {gene!r} more than once: read it with anndata.read_h5ad, "
            "call adata.var_names_make_unique(), and write it again."
        )
    times = obs_times(adata, time_key, time_order)
    if log1p:
        _log1p_in_place(adata, path)
    adata.obs["time"] = times
    return adata


def obs_times(
    adata: AnnData, time_key: str = "time", time_order: Mapping[Any, float] | Sequence[Any] | None = None
) -> np.ndarray:
    """Float times (n,) of the cells from a column of ``obs``; ValueError as in :func:`float_times`."""
    if time_key not in adata.obs:
        found = ", ".join(map(str, adata.obs.columns)) or "no columns at all"
        raise ValueError(f"obs has no column {time_key!r}: pass time_key= one of those it has ({found}).")
    try:
        return float_times(adata.obs[time_key], time_order)
    except ValueError as error:
        raise ValueError(f"obs[{time_key!r}]: {error}") from None


def float_times(labels: Any, time_order: Mapping[Any, float] | Sequence[Any] | None = None) -> np.ndarray:
    """Turn time labels into numbers.

    Parameters
    ----------
    labels : (n,) numbers, texts or a pandas Categorical, one label a cell.
    time_order : a mapping label -> time, or the labels in their order, which then stand for 0, 1, 2, ...

    Returns
    -------
    ndarray (n,) float64
        Numbers, and labels that all read as numbers, as they stand; an ordered Categorical of other labels
        as positions 0, 1, 2, ...

    Raises
    ------
    ValueError
        Missing or infinite times; dates, durations, booleans; texts without an order; a label missing from
        the order; a label of the order without cells (an empty snapshot).
    """
    if np.ndim(labels) != 1 or len(labels) == 0:
        raise ValueError(f"Expected one time label a cell, (n,) with n > 0, got shape {np.shape(labels)}.")
    column = pd.Series(labels).reset_index(drop=True)
    if column.isna().any():
        raise ValueError(f"{int(column.isna().sum())} cells have no time: drop them or fill the time in.")
    kind = pd.api.types.infer_dtype(column.cat.categories if column.dtype == "category" else column)
    if kind.startswith(("date", "time", "bool", "period", "interval", "complex")):
        raise ValueError(
            f"Times are of type {kind}, not numbers: convert them first, for dates for example "
            "(dates - dates.min()).dt.total_seconds() / 86400 for days."
        )
    found = column.unique().tolist()
    if time_order is None:
        meaning = {label: _as_number(label) for label in found}
        if None in meaning.values():
            meaning = _positions(column, found)
    else:
        meaning = _meaning(time_order, found)
    if not np.isfinite(list(meaning.values())).all():
        wrong = [label for label, time in meaning.items() if not np.isfinite(time)]
        raise ValueError(f"Times must be finite, got {_show(wrong)}: drop or correct those cells.")
    return column.astype(object).map(meaning).to_numpy(np.float64)


def verify() -> bool:
    """Compare every shipped file with the manifest's sha256; True, or ValueError naming the damaged file."""
    for name, entry in _manifest().items():
        if hashlib.sha256(shipped(name).read_bytes()).hexdigest() != entry["sha256"]:
            raise ValueError(f"{shipped(name)} is not the file that was shipped: install cellmnn-edu again.")
    return True


def _as_number(label: Any) -> float | None:
    try:
        return float(label)
    except (TypeError, ValueError):
        return None


def _show(labels: Sequence[Any]) -> str:
    return ", ".join(map(repr, labels[:8])) + (", ..." if len(labels) > 8 else "")


def _positions(column: pd.Series, found: list[Any]) -> dict[Any, float]:
    if column.dtype == "category" and column.cat.ordered:
        order = column.cat.categories.tolist()
        empty = [label for label in order if label not in found]
        if empty:
            raise ValueError(
                f"Empty snapshot: no cell has the time {_show(empty)}; call .cat.remove_unused_categories()."
            )
        return {label: float(position) for position, label in enumerate(order)}
    raise ValueError(
        f"Cannot tell the order of the times {_show(found)}: pass it, for example time_order={found[:8]} "
        "(earliest first), or a mapping from label to number."
    )


def _meaning(time_order: Mapping[Any, float] | Sequence[Any], found: list[Any]) -> dict[Any, float]:
    if isinstance(time_order, Mapping):
        numbers = {label: _as_number(time) for label, time in time_order.items()}
        if None in numbers.values():
            raise ValueError(f"time_order must map every label to a number, got {dict(time_order)}.")
    else:
        order = [time_order] if isinstance(time_order, str) else list(time_order)
        numbers = {label: float(position) for position, label in enumerate(order)}
        if len(numbers) < len(order):
            raise ValueError(f"time_order repeats a label: {order}.")
    unknown = [label for label in found if label not in numbers]
    if unknown:
        raise ValueError(f"time_order lacks the time {_show(unknown)} of some cells: add it, or drop those cells.")
    empty = [label for label in numbers if label not in found]
    if empty:
        raise ValueError(f"Empty snapshot: no cell has the time {_show(empty)}; take it out of time_order.")
    return numbers


def _log1p_in_place(adata: AnnData, path: Path) -> None:
    if adata.X is None or "log1p" in adata.uns:
        state = "holds no X" if adata.X is None else 'is logged already (uns["log1p"])'
        raise ValueError(f"log1p=True, but {path} {state}: leave log1p out.")
    sparse = hasattr(adata.X, "tocsr")
    stored = adata.X.data if sparse else adata.X
    if not np.all(stored >= 0):  # also false for NaN
        raise ValueError(f"log1p=True needs values >= 0, but X of {path} holds negative or missing ones.")
    single = adata.X if adata.X.dtype == np.float64 else adata.X.astype(np.float32)
    adata.X = single.log1p() if sparse else np.log1p(single)
    adata.uns["log1p"] = {}  # the mark scanpy knows, so that nobody takes the logarithm twice


def _own_housekeeping(delta_ct: pd.DataFrame) -> np.ndarray:
    # destiny computed ct[gene, cell] - level, with `level` one number a cell. R recycles a vector down the
    # genes, so value (cell, gene) lost the level of cell `lost`. The levels solve level = mean of Actb and
    # Gapdh where ct = delta + level[lost]; their one free constant cancels in the result.
    values = delta_ct.to_numpy()
    n, n_genes = values.shape
    cells = np.arange(n)
    lost = (np.arange(n_genes) + n_genes * cells[:, None]) % n
    house = [delta_ct.columns.get_loc(gene) for gene in ("Actb", "Gapdh")]
    system = np.eye(n)
    for gene in house:
        np.add.at(system, (cells, lost[:, gene]), -0.5)
    level = np.linalg.lstsq(system, values[:, house].mean(axis=1), rcond=None)[0]
    return values + level[lost] - level[:, None]


def shipped(name: str) -> Path:
    """Path of a file that comes with the package; ValueError where it is missing."""
    # A wheel carries the data inside the package, an editable install reads the repository's folder.
    for folder in (_HERE / "_data", _HERE.parent / "data"):
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"The data file {name} of cellmnn-edu is missing: install the package again.")


def _manifest() -> dict[str, dict[str, Any]]:
    return json.loads(shipped("manifest.json").read_text(encoding="utf-8"))


def _facts(name: str) -> dict[str, str]:
    entry = _manifest()[name]
    facts = {key: entry[key] for key in ("origin", "doi", "licence", "time_units", "notes")}
    return facts | {"source": entry["source"], "units": entry["loaded_units"]}


def _cache() -> Path:
    import pooch

    return Path(os.environ.get("CELLMNN_EDU_CACHE") or pooch.os_cache("cellmnn-edu")).expanduser()


def _fetch(name: str) -> Path:
    """Path of a cached file, downloaded if it is not there or damaged; a valid file is only read."""
    import requests

    folder, sha256, size = _REMOTE[name]
    url = f"{folder}/{Path(name).name}"
    path = _cache() / name
    by_hand = f"put {url} (sha256 {sha256}) at {path}, or set CELLMNN_EDU_CACHE to a folder that holds {name}"
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        if _sha256(path) == sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(url, partial, size)
            got, arrived = _sha256(partial), partial.stat().st_size
            if got == sha256:
                partial.replace(path)
                return path
        finally:
            partial.unlink(missing_ok=True)
    except requests.RequestException as error:
        raise ConnectionError(
            f"Cannot download {url} ({_cause(error)}): connect to the network and try again, or {by_hand}."
        ) from None
    except OSError as error:
        raise PermissionError(
            f"Cannot use the cache folder {path.parent} ({error.strerror or error}): "
            "set CELLMNN_EDU_CACHE to a folder you may write to."
        ) from None
    problem = f"truncated, {arrived} of {size} bytes" if arrived < size else f"wrong, sha256 {got}"
    raise ValueError(f"The download of {url} is {problem}: try again later, or {by_hand}.")


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _cause(error: Exception) -> str:
    answer = getattr(error, "response", None)
    return type(error).__name__ if answer is None else f"the server answered {answer.status_code}"


def _download(url: str, target: Path, size: int) -> None:
    import pooch
    import requests
    from tqdm.utils import CallbackIOWrapper

    fetch = pooch.HTTPDownloader(timeout=20)
    for attempt in range(2):  # one retry: most failures of a short download are passing
        options = {"total": size, "unit": "B", "unit_scale": True, "desc": target.name.split(".part")[0]}
        with target.open("wb") as file, progress_bar(None, **options) as bar:
            try:
                return fetch(url, CallbackIOWrapper(bar.update, file, "write"), None)
            except requests.exceptions.ChunkedEncodingError:
                if attempt:
                    return None  # the caller counts the bytes that came
            except requests.RequestException as error:
                if error.response is not None:
                    error.response.close()  # pooch leaves the connection of a refused request open
                if attempt:
                    raise
    return None
