"""Real data as AnnData: two sets in the box, three by download, your own file; and the TRRUST network."""

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
_GITHUB = "https://raw.githubusercontent.com"
_EB = f"{_GITHUB}/BasisResearch/wasserstein-residuals/70e098c7250e1f8ff2994bbce750a449d932bc25/data/RNA_PCA_5"
_CITE = f"{_GITHUB}/ngushchin/LightSB/70aa4ee5826ccefbbba644bcf831c32a994ceb76/data/full_cite_pcas_50_day"
_MENDELEY = "https://data.mendeley.com/public-files/datasets/hhny5ff7yj/files"
_MULTI = f"{_MENDELEY}/5f4b6e5b-f122-4f5a-8ede-0d188c5cf00c/file_downloaded"
_TRRUST = "https://www.grnpedia.org/trrust/data/trrust_rawdata"
# Path in the cache: address, sha256, bytes.
_REMOTE = {
    "eb/data.npy": (f"{_EB}/data.npy", "3d7b48827a12689f29dc41bbc4673430c8ee26431250ce20010bab1903c686de", 672888),
    "eb/sample_labels.npy": (
        f"{_EB}/sample_labels.npy",
        "8e97086b3b69aae3add4d72e1d9f69fc6d73c433c10c988ac7e794a339d4b7c4",
        134680,
    ),
    "cite/day_2.npy": (f"{_CITE}_2.npy", "ba7cc587e6df22382099e8592939e188b1fe32681a71640473058719f56f1bf4", 1214328),
    "cite/day_3.npy": (f"{_CITE}_3.npy", "3b427bff70dfae37e3c4793d3ae9b3493c96a88cb507518e41387b7eeca62f94", 1528728),
    "cite/day_4.npy": (f"{_CITE}_4.npy", "db70a163f9ae8ec7ae26ea41a330f0de814facc97d1928f14e00cc3fa48a741b", 1697128),
    "cite/day_7.npy": (f"{_CITE}_7.npy", "b8409dad032f03afba90ffd7762e49a6413b0b2ef8bfc3304a46ea143536bc07", 1439128),
    "multi/op_train_multi_targets_0.h5ad": (
        _MULTI,
        "a16c28ef861503111bb2f4c6ab6b1d5ed3df07d49eb0baa7378515fc098af4d2",
        1059236146,
    ),
    "trrust/trrust_rawdata.human.tsv": (
        f"{_TRRUST}.human.tsv",
        "9b909319ccc8e36588b5a1bd3640e0dfba03936c6fc154cc4304d742bec11bed",
        297659,
    ),
    "trrust/trrust_rawdata.mouse.tsv": (
        f"{_TRRUST}.mouse.tsv",
        "4847c960c7c2ce0173b056184137b1cc71e8d61d1b1edc825247504ad882dd55",
        220353,
    ),
}
# Day: cells.
_CITE_CELLS = {2: 6071, 3: 7643, 4: 8485, 7: 7195}
_UNSCALED = {
    "units": "principal components, not standardised: take n_components=5 and rescale=True",
    "protocol": "PCA pre-computed by others, presumably on all cells, held-out times included",
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
    return AnnData(obs=_numbered_cells(float_times(labels)), obsm={"X_pca": states}, uns=facts)


def cite() -> AnnData:
    """Human blood stem cells, CITE-seq on days 2, 3, 4, 7: 29394 cells x 50 components; a download of 6 MB.

    Returns
    -------
    AnnData
        ``obsm["X_pca"]`` (29394, 50) float32 as published, no ``X``; ``obs["time"]`` float, days. The columns
        are *not* standardised: take ``n_components=5`` and ``rescale=True`` in `Snapshots.from_anndata`.

    Raises
    ------
    ConnectionError, ValueError, PermissionError
        As `embryoid_body`; ValueError also for another number of cells or components.

    Notes
    -----
    Source: Open Problems multimodal competition (2022), components as published with Korotin et al. 2024,
    arXiv:2310.01174, at a pinned commit of ngushchin/LightSB (MIT). It does not say how they were computed;
    presumably on all days together. Published comparisons mostly read ``op_cite_inputs_0.h5ad`` instead; whether
    the two agree is not known to us, so compare numbers with care.
    """
    days = []
    for day, n_cells in _CITE_CELLS.items():
        path = _fetch(f"cite/day_{day}.npy")
        states = np.load(path, allow_pickle=False)
        if states.shape != (n_cells, 50):
            raise ValueError(
                f"Expected {n_cells} cells x 50 components in {path}, got shape {states.shape}: "
                "its sha256 is the pinned one, so please report this."
            )
        days.append(states)
    facts = {
        "origin": f"Open Problems multimodal competition 2022, CITE-seq, principal components from {_CITE}_*.npy",
        "doi": "10.48550/arXiv.2310.01174",
        "licence": "MIT (ngushchin/LightSB)",
    }
    times = np.repeat(np.array(list(_CITE_CELLS), float), [len(states) for states in days])
    return AnnData(obs=_numbered_cells(times), obsm={"X_pca": np.concatenate(days)}, uns=facts | _UNSCALED)


def multi() -> AnnData:
    """Human blood stem cells, Multiome gene expression on days 2, 3, 4, 7; a download of 1.06 GB.

    Returns
    -------
    AnnData
        ``obsm["X_pca"]`` as published, not standardised (take ``n_components=5`` and ``rescale=True`` in
        `Snapshots.from_anndata`), no ``X``: the gene table of the file is not read. ``obs`` as in the file,
        and ``obs["time"]`` float, days. Every call checks the hash of the cached file, which takes seconds.

    Raises
    ------
    ConnectionError, ValueError, PermissionError
        As `embryoid_body`; ValueError also for a file without the expected columns or days.

    Notes
    -----
    Source: Open Problems multimodal competition (2022), ``op_train_multi_targets_0.h5ad`` of
    doi:10.17632/hhny5ff7yj.1, the file that public code of the published comparisons reads.

    *Not verified by us*: we never held this file. Its size and sha256 are quoted by other public code, and so is
    its layout: ``obs["day"]`` and ``obsm["X_pca"]`` with 100 components, all cells used. Number of cells, donor,
    licence and how the PCA was computed are not known to us.
    """
    obs, states = _obs_and_states(_fetch("multi/op_train_multi_targets_0.h5ad"))
    facts = {
        "origin": f"Open Problems multimodal competition 2022, Multiome, principal components from {_MULTI}",
        "doi": "10.17632/hhny5ff7yj.1",
        "licence": "not verified: see https://data.mendeley.com/datasets/hhny5ff7yj/1",
    }
    return AnnData(obs=obs, obsm={"X_pca": states}, uns=facts | _UNSCALED)


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


def _numbered_cells(times: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"time": times}, index=np.arange(len(times)).astype(str))


def _obs_and_states(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """obs, with float times, and obsm["X_pca"] of the multi file; nothing else of it is read."""
    import h5py
    from anndata.io import read_elem

    instead = "read it with from_h5ad(path, time_key=...) and let Snapshots fit a PCA of its own"
    with h5py.File(path) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* written without encoding metadata")  # by anndata before 0.8
        found = {part: list(file.get(part, ())) for part in ("obs", "obsm")}
        if "day" not in found["obs"] or "X_pca" not in found["obsm"]:
            raise ValueError(f'Expected obs["day"] and obsm["X_pca"] in {path}, found {found}: {instead}.')
        obs, states = read_elem(file["obs"]), np.asarray(read_elem(file["obsm/X_pca"]))
    if states.ndim != 2 or len(states) != len(obs):
        raise ValueError(
            f'Expected {len(obs)} cells x components in obsm["X_pca"] of {path}, got shape {states.shape}: {instead}.'
        )
    obs["time"] = float_times(obs["day"])
    days = np.unique(obs["time"]).tolist()
    if days != [2, 3, 4, 7]:
        raise ValueError(f'Expected the days 2, 3, 4, 7 in obs["day"] of {path}, found {days}: {instead}.')
    return obs, states


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

    url, sha256, size = _REMOTE[name]
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
    if not path.is_file():
        return None
    with path.open("rb") as file:  # in pieces: the largest file has a gigabyte
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cause(error: Exception) -> str:
    answer = getattr(error, "response", None)
    return type(error).__name__ if answer is None else f"the server answered {answer.status_code}"


def _download(url: str, target: Path, size: int) -> None:
    import pooch
    import requests
    from tqdm.utils import CallbackIOWrapper

    # Mendeley is reported to answer 403 to the names that Python libraries give themselves.
    agent = {"User-Agent": "Mozilla/5.0 (compatible; cellmnn-edu)"}
    fetch = pooch.HTTPDownloader(timeout=20, chunk_size=2**16, headers=agent)
    for attempt in range(2):  # one retry: most failures of a download are passing
        options = {"total": size, "unit": "B", "unit_scale": True, "desc": target.name.rsplit(".", 2)[0]}
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
