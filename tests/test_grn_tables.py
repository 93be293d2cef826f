"""Tables of edges against brute force and scipy.stats; round trips through networkx, GraphML and h5ad."""

import tracemalloc
from fractions import Fraction
from pathlib import Path

import anndata
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse, stats

import cellmnn_edu as ce
from cellmnn_edu.grn import tables
from cellmnn_edu.grn.tables import (
    differential,
    edges,
    ensemble,
    false_selections,
    matrix,
    to_anndata,
    to_networkx,
    write,
    write_graphml,
)

FEW = settings(max_examples=30, deadline=None)
SIZES = st.integers(1, 6)


def names(n):
    return [f"gene{i}" for i in range(n)]


def random_operators(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# Small whole numbers: many ties, many zeros.
tied = SIZES.flatmap(lambda n: arrays(np.int64, (n, n), elements=st.integers(-2, 2)))
tied_ensemble = st.tuples(st.integers(2, 5), st.integers(2, 5)).flatmap(
    lambda mn: arrays(np.int64, (mn[0], mn[1], mn[1]), elements=st.integers(-3, 3))
)


# --- edges and matrix ------------------------------------------------------------------------------------------------


def test_columns_act_on_rows():
    table = edges([[9.0, -3.0], [0.5, 7.0]], ["a", "b"])
    assert table.to_dict("list") == {"regulator": ["b", "a"], "target": ["a", "b"], "weight": [-3.0, 0.5]}
    assert edges([[9.0, -3.0], [0.5, 7.0]], ["a", "b"], self_loops=True)["weight"].tolist() == [9, 7, -3, 0.5]


@given(W=tied, self_loops=st.booleans(), top=st.none() | st.integers(1, 40))
@FEW
def test_edges_are_those_of_a_stable_sort_of_all_pairs(W, self_loops, top):
    genes = names(len(W))
    pairs = [(genes[j], genes[i], W[i, j]) for i in range(len(W)) for j in range(len(W)) if self_loops or i != j]
    wanted = sorted(pairs, key=lambda pair: -abs(pair[2]))[:top]
    table = edges(W, genes, self_loops=self_loops, top=top)
    assert list(table.itertuples(index=False, name=None)) == wanted
    assert table.index.tolist() == list(range(len(wanted)))


@given(W=tied)
@FEW
def test_matrix_undoes_edges(W):
    genes = names(len(W))
    np.testing.assert_array_equal(matrix(edges(W, genes, self_loops=True), genes), W)
    np.testing.assert_array_equal(matrix(edges(W, genes), genes), W - np.diag(np.diag(W)))


def test_permuting_genes_permutes_the_result():
    genes, order = np.array(names(7)), np.random.default_rng(1).permutation(7)
    first, second = random_operators(2, 5, 7, 7)
    readers = [
        lambda p: edges(first[0][np.ix_(p, p)], genes[p]),
        lambda p: ensemble(first[:, p][:, :, p], genes[p], top=0.3),
        lambda p: differential(first[:, p][:, :, p], second[:, p][:, :, p], genes[p]),
    ]
    for reader in readers:
        # No ties, so that the rows themselves stay where they were.
        pd.testing.assert_frame_equal(reader(order), reader(np.arange(7)), rtol=1e-12)
    table = edges(first[0], genes, self_loops=True)
    np.testing.assert_array_equal(matrix(table, genes[order]), first[0][np.ix_(order, order)])


def test_tensors_sparse_matrices_and_lists_are_read():
    W, genes = random_operators(3, 4, 4), names(4)
    for same in (torch.tensor(W[0], requires_grad=True), sparse.csr_matrix(W[0]), W[0].tolist()):
        pd.testing.assert_frame_equal(edges(same, pd.Index(genes)), edges(W[0], genes))
    for same in (torch.tensor(W), list(W), [torch.tensor(w, requires_grad=True) for w in W]):
        pd.testing.assert_frame_equal(ensemble(same, genes), ensemble(W, genes))


def test_many_genes_with_top_need_little_memory():
    W = random_operators(3000, 3000)
    W[5, 7] = 100.0
    tracemalloc.start()
    try:
        table = edges(W, names(3000), top=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * W.nbytes
    assert table.iloc[0].tolist() == ["gene7", "gene5", 100.0]
    strength = np.abs(W)[~np.eye(3000, dtype=bool)]
    np.testing.assert_array_equal(table["weight"].abs(), np.sort(strength)[:-101:-1])


@pytest.mark.parametrize(
    ("W", "genes", "message"),
    [
        (np.ones((2, 3)), names(2), r"shape \(2, 2\), got shape \(2, 3\)"),
        (np.ones((2, 2)), names(3), r"shape \(3, 3\), got shape \(2, 2\)"),
        (np.ones((5, 2, 2)), names(2), "mean over cells"),
        (np.ones((2, 2)), ["a", "a"], "'a' more than once"),
        (np.ones((2, 2)), [0, 1], "names"),
        (np.ones((2, 2)), "ab", "names"),
        (np.ones((0, 0)), [], "names"),
        (np.array([[1.0, np.nan], [0, 1]]), names(2), "NaN or inf"),
        (np.ones((2, 2)) * 1j, names(2), "real numbers"),
        (np.array([["1", "2"], ["3", "4"]]), names(2), "real numbers"),
    ],
)
def test_what_is_no_operator_is_refused(W, genes, message):
    with pytest.raises(ValueError, match=message):
        edges(W, genes)


@pytest.mark.parametrize("top", [0, -1, 0.5, True])
def test_top_of_edges_is_a_count(top):
    with pytest.raises(ValueError, match="top to be an integer"):
        edges(np.eye(3), names(3), top=top)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.rename(columns={"weight": "difference"}), "weight, got"),
        (lambda table: pd.concat([table, table.iloc[:1]]), "'gene1' -> 'gene0' more than once"),
        (lambda table: table.assign(weight=np.inf), "finite weights"),
        (lambda table: table.replace("gene1", "other"), "'other' -> 'gene0' .2 such"),
    ],
)
def test_what_is_no_table_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        matrix(change(edges([[0, 2], [1, 0]], names(2))), names(2))


# --- ensembles -------------------------------------------------------------------------------------------------------


@given(W=tied_ensemble, top=st.floats(0.01, 1), level=st.sampled_from([0.5, 0.95]))
@FEW
def test_an_ensemble_is_its_definition_pair_by_pair(W, top, level):
    m, genes = len(W), names(W.shape[1])
    table = ensemble(W, genes, top=top, level=level)
    pairs = [(i, j) for i in range(len(genes)) for j in range(len(genes)) if i != j]
    n_top = max(1, round(top * len(pairs)))
    strongest = [set(sorted(pairs, key=lambda p: -abs(w[p]))[:n_top]) for w in W]
    chosen = [{p for p in strongest[k] if W[k][p] != 0} for k in range(m)]
    assert len(table) == len(pairs)
    assert (np.diff(table["weight"].abs()) <= 0).all()
    for row in table.itertuples():
        i, j = genes.index(row.target), genes.index(row.regulator)
        w = W[:, i, j].astype(float)
        sign = np.sign(w.mean())
        assert row.weight == pytest.approx(w.mean())
        assert row.agreement == sum(np.sign(x) == sign for x in w) / m
        assert row.selected == sum((i, j) in chosen[k] and np.sign(w[k]) == sign for k in range(m)) / m
        half = stats.t.ppf((1 + level) / 2, m - 1) * w.std(ddof=1) / m**0.5
        assert (row.low, row.high) == pytest.approx((w.mean() - half, w.mean() + half))
    assert table.attrs["n_selected"] == pytest.approx(np.mean([len(c) for c in chosen]))
    assert (table.attrs["n_pairs"], table.attrs["members"]) == (len(pairs), m)


def test_intervals_of_an_ensemble_are_scipys():
    W, genes = random_operators(6, 5, 5), names(5)
    table = ensemble(W, genes, level=0.9).set_index(["target", "regulator"])
    interval = stats.ttest_1samp(W, 0).confidence_interval(0.9)
    for (target, regulator), row in table.iterrows():
        place = genes.index(target), genes.index(regulator)
        np.testing.assert_allclose([row["low"], row["high"]], [interval.low[place], interval.high[place]], rtol=1e-12)


def test_members_that_agree_are_stable_and_without_width():
    W = random_operators(4, 4)
    table = ensemble(np.stack([W] * 4), names(4), top=0.25)  # the mean of four equal numbers has no rounding
    np.testing.assert_array_equal(table[["low", "high"]], table[["weight", "weight"]])
    assert (table["agreement"] == 1).all()
    assert table["selected"].tolist() == [1.0] * 3 + [0.0] * 9


def test_intervals_cover_the_truth_as_often_as_they_say():
    W = 0.3 + random_operators(5, 60, 60, seed=2)
    table = ensemble(W, names(60), level=0.9)
    inside = ((table["low"] <= 0.3) & (table["high"] >= 0.3)).mean()
    assert abs(inside - 0.9) < 5 * (0.09 / len(table)) ** 0.5


@given(share=st.floats(0, 1), n=st.integers(1, 10_000))
@FEW
def test_two_independent_selections_reach_the_bound(share, n):
    # An edge is in both of two independent draws of q among p with probability (q / p)^2: E[V] = q^2 / p.
    assert false_selections(share * n, n, 1.0) == pytest.approx(n * share**2)


@given(m=st.integers(2, 30), share=st.floats(0.01, 1), data=st.data())
@FEW
def test_independent_selections_never_exceed_the_bound(m, share, data):
    k = data.draw(st.integers(m // 2 + 1, m))
    expected = 1000 * stats.binom.sf(k - 1, m, share)
    assert expected <= false_selections(1000 * share, 1000, k / m) * (1 + 1e-9)


def test_noise_is_selected_as_often_as_chance_says():
    runs = [ensemble(random_operators(2, 20, 20, seed=s), names(20), top=0.1) for s in range(200)]
    counts = [(table["selected"] == 1).sum() for table in runs]
    # Both members choose 38 of 380, and the signs agree in half of what they share: 38^2 / 380 / 2.
    assert abs(np.mean(counts) - 1.9) < 5 * np.std(counts) / 200**0.5
    assert np.mean(counts) < runs[0].attrs["false_selections"][1.0] == pytest.approx(3.8)


def test_attrs_give_the_bound_for_every_share_above_a_half():
    attrs = ensemble(random_operators(5, 6, 6), names(6), top=0.2).attrs
    assert attrs["n_selected"] == 6
    exact = {k / 5: float(Fraction(36) / ((Fraction(2 * k, 5) - 1) * 30)) for k in (3, 4, 5)}
    assert attrs["false_selections"] == pytest.approx(exact)


@pytest.mark.parametrize("arguments", [(3, 10, 0.5), (3, 10, 1.1), (11, 10, 0.9), (-1, 10, 0.9), (0, 0, 0.9)])
def test_a_bound_needs_possible_numbers(arguments):
    with pytest.raises(ValueError, match="Expected"):
        false_selections(*arguments)


@pytest.mark.parametrize(
    ("W", "options", "message"),
    [
        (np.ones((1, 3, 3)), {}, "at least two members"),
        (np.ones((3, 3)), {}, "one matrix for each member"),
        (np.ones((3, 3, 3)), {"top": 0}, "share of all pairs"),
        (np.ones((3, 3, 3)), {"top": 5}, "share of all pairs"),
        (np.ones((3, 3, 3)), {"level": 95}, "level between 0 and 1"),
        (np.full((3, 3, 3), np.nan), {}, "NaN or inf"),
    ],
)
def test_what_is_no_ensemble_is_refused(W, options, message):
    with pytest.raises(ValueError, match=message):
        ensemble(W, names(3), **options)


# --- differences -----------------------------------------------------------------------------------------------------


def test_differences_are_those_of_the_paired_t_test():
    (first, second), genes = random_operators(2, 6, 5, 5), names(5)
    second += 3 * first  # members have much in common: pairing matters
    table = differential(first, second, genes, level=0.8)
    test = stats.ttest_rel(second, first)
    interval = test.confidence_interval(0.8)
    for row in table.itertuples():
        place = genes.index(row.target), genes.index(row.regulator)
        got = [row.first, row.second, row.difference, row.low, row.high]
        means = first.mean(0)[place], second.mean(0)[place], (second - first).mean(0)[place]
        np.testing.assert_allclose(got, [*means, interval.low[place], interval.high[place]], rtol=1e-10)
    # The clearest first: the order of the p-values.
    p = [test.pvalue[genes.index(t), genes.index(r)] for t, r in zip(table["target"], table["regulator"], strict=True)]
    assert p == sorted(p)
    assert len(p) == 20


def test_swapping_the_readings_turns_the_differences_round():
    first, second = random_operators(2, 4, 5, 5)
    there, back = differential(first, second, names(5)), differential(second, first, names(5))
    columns = ["regulator", "target", "second", "first", "difference", "high", "low"]
    back[["difference", "low", "high"]] *= -1
    pd.testing.assert_frame_equal(there, back[columns].set_axis(there.columns, axis=1))


def test_differences_without_width_come_first_and_rounding_last():
    first = random_operators(3, 4, 4)
    first[:, 1, 0] = 0.1
    second = first.copy()
    second[:, 0, 1] += 1.0  # the same in all members
    second[:, 2, 3] += 2.0
    second[:, 3, 0] += [1.0, 1.1, 1.2]
    second[:, 1, 0] = np.nextafter(0.1, 1)  # no difference but the last digit, and no width either
    table = differential(first, second, names(4))
    assert table["target"].tolist()[:3] == ["gene2", "gene0", "gene3"]
    assert (table["difference"][3:].abs() < 1e-12).all()
    nothing = differential(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)), names(3))
    assert (nothing.drop(columns=["regulator", "target"]) == 0).all(axis=None)


def test_unpaired_members_are_refused():
    with pytest.raises(ValueError, match="got 2 and 3: member k"):
        differential(np.ones((2, 3, 3)), np.ones((3, 3, 3)), names(3))


# --- networkx and GraphML --------------------------------------------------------------------------------------------


@given(W=tied)
@FEW
def test_networkx_gives_the_operator_back(W):
    genes = names(len(W))
    graph = to_networkx(edges(W, genes, self_loops=True))
    graph.add_nodes_from(genes)  # those without an edge
    assert graph.number_of_edges() == np.count_nonzero(W)
    # networkx's own rows are the sources.
    np.testing.assert_array_equal(nx.to_numpy_array(graph, nodelist=genes).T, W)
    assert all(type(d["sign"]) is int and d["sign"] == np.sign(d["weight"]) for *_, d in graph.edges(data=True))


def test_edges_carry_plain_numbers_and_no_text():
    table = ensemble(random_operators(3, 4, 4).astype(np.float32), names(4))
    table = table.assign(papers=np.arange(12), known=True, mode="Activation", small=np.float32(0.5))
    graph = to_networkx(table, top=5)
    kept = table.iloc[:5]
    assert set(graph.edges) == set(zip(kept["regulator"], kept["target"], strict=True))
    for source, target, data in graph.edges(data=True):
        assert type(source) is type(target) is str
        row = kept[(kept["regulator"] == source) & (kept["target"] == target)].iloc[0]
        assert data == {"sign": np.sign(row["weight"]), **row.drop(["regulator", "target", "mode"])}
        kinds = {name: type(value) for name, value in data.items()}
        assert kinds == {**dict.fromkeys(kinds, float), "sign": int, "papers": int, "known": bool}


def test_the_strongest_are_kept_in_whatever_order_they_come():
    table = edges(random_operators(6, 6), names(6))
    shuffled = table.sample(frac=1, random_state=0)
    assert set(to_networkx(shuffled, top=7).edges) == set(to_networkx(table, top=7).edges)
    assert to_networkx(shuffled, top=7).number_of_edges() == 7


def test_a_table_without_weight_says_what_to_do():
    table = differential(*random_operators(2, 3, 3, 3), names(3))
    with pytest.raises(ValueError, match="assign"):
        to_networkx(table)
    graph = to_networkx(table.assign(weight=table["difference"]))
    assert all(data["weight"] == data["difference"] for *_, data in graph.edges(data=True))


def test_graphml_is_read_back(tmp_path):
    genes = ["Pou5f1", "T", "H2-K1", "a&b <c>", "β-catenin"]
    table = ensemble(random_operators(3, 5, 5), genes).assign(known=True)
    path = tmp_path / "network.graphml"
    path.write_text("an older file")
    write_graphml(table, path)
    back, graph = nx.read_graphml(path), to_networkx(table)
    assert back.is_directed()
    assert set(back.nodes) == set(graph.nodes) == set(genes)
    assert {(u, v): d for u, v, d in back.edges(data=True)} == {(u, v): d for u, v, d in graph.edges(data=True)}
    write_graphml(table, str(path), top=2)
    assert nx.read_graphml(path).number_of_edges() == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_graph_that_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "network.graphml"
    path.write_text("an older file")
    table = edges(random_operators(3, 3), names(3))
    with pytest.raises(ValueError, match="finite weights"):
        write_graphml(table.assign(weight=np.nan), path)
    assert path.read_text() == "an older file"
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="the disk is full"):
        write_graphml(table, path)
    assert path.read_text() == "an older file"
    with pytest.raises(FileNotFoundError):
        write_graphml(table, tmp_path / "nowhere" / "network.graphml")


# --- AnnData ---------------------------------------------------------------------------------------------------------


def make_adata(n_genes=8, n_cells=20, times=(0.0, 1.0, 3.0), kind=np.asarray):
    rng = np.random.default_rng(3)
    labels = np.repeat(times, n_cells)
    x = rng.normal(size=(len(labels), n_genes)) + labels[:, None]
    obs = pd.DataFrame({"time": labels}, index=[f"cell{i}" for i in range(len(x))])
    return AnnData(kind(x), obs=obs, var=pd.DataFrame(index=names(n_genes)))


def make_model(adata, n_components=3, **options):
    snaps = ce.Snapshots.from_anndata(adata, n_components=n_components, **options)
    model = ce.CellMNN(snaps.dim, head="dense", affine=True, seed=1, time_range=(0.0, 3.0))
    return snaps, model


def entries(adata):
    return [*adata.obsm, *adata.varp, *adata.uns]


def same(one, other):
    """Equal whatever the container."""
    dense = [x.toarray() if sparse.issparse(x) else np.asarray(x) for x in (one, other)]
    np.testing.assert_array_equal(*dense)


def test_all_that_is_written_is_read_back_from_disk(tmp_path):
    adata = make_adata()
    snaps, model = make_model(adata)
    W = random_operators(8, 8)
    out = write(adata, snaps, W, model)
    out.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad")
    states = np.concatenate(snaps.states)  # the cells stand in order of time
    np.testing.assert_allclose(back.obsm["X_cellmnn"], states)
    np.testing.assert_allclose(
        back.obsm["cellmnn_velocity"], model.velocity(states, adata.obs["time"].to_numpy()), rtol=1e-6, atol=1e-9
    )
    same(back.varp["cellmnn_operator"], W)
    about = back.uns["cellmnn"]
    assert about["genes"].tolist() == names(8)
    assert about["times"].tolist() == [0, 1, 3]
    assert about["protocol"] == snaps.protocol
    assert "rows = targets" in about["orientation"]
    assert about["version"] == ce.__version__
    assert (about["time_key"], about["model"]) == ("time", f"CellMNN({model.extra_repr()})")
    assert set(about) == set(out.uns["cellmnn"])
    # and a second time, from what was read
    write(back, snaps, W, model, copy=False).write_h5ad(tmp_path / "again.h5ad")
    pd.testing.assert_frame_equal(edges(back.varp["cellmnn_operator"], back.var_names), edges(W, names(8)))


def test_a_copy_is_written_by_default():
    adata = make_adata()
    snaps, model = make_model(adata)
    out = write(adata, snaps, random_operators(8, 8), model)
    assert out is not adata
    assert entries(adata) == []
    assert write(adata, snaps, random_operators(8, 8), model, copy=False) is adata
    same(adata.varp["cellmnn_operator"], out.varp["cellmnn_operator"])


def test_genes_are_found_by_name_among_others():
    small = make_adata()
    snaps, model = make_model(small)
    W = random_operators(8, 8)
    plain = write(small, snaps, W, model)
    more = anndata.concat(
        [small, AnnData(np.ones((60, 3)), obs=small.obs, var=pd.DataFrame(index=list("xyz")))], axis=1
    )
    more.obs = small.obs
    order = np.random.default_rng(5).permutation(11)
    out = write(more[:, order].copy(), snaps, W, model)
    np.testing.assert_allclose(out.obsm["X_cellmnn"], plain.obsm["X_cellmnn"])
    np.testing.assert_allclose(out.obsm["cellmnn_velocity"], plain.obsm["cellmnn_velocity"], atol=1e-9)
    found = pd.DataFrame(out.varp["cellmnn_operator"], out.var_names, out.var_names)
    same(found.loc[names(8), names(8)], W)
    assert not found.loc[list("xyz")].any(axis=None)
    assert not found[list("xyz")].any(axis=None)
    assert out.uns["cellmnn"]["genes"].tolist() == names(8)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_many_genes_are_stored_sparse(kind, tmp_path):
    adata = make_adata(n_genes=600, kind=kind)
    snaps, _ = make_model(adata[:, :550].copy())
    W = random_operators(550, 550)
    out = write(adata, snaps, W, top=30)
    kept = out.varp["cellmnn_operator"]
    assert sparse.issparse(kept)
    assert kept.format == "csr"
    assert kept.nnz == 550 + 30
    np.testing.assert_array_equal(kept.diagonal()[:550], np.diag(W))
    out.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad").varp["cellmnn_operator"]
    pd.testing.assert_frame_equal(edges(back, adata.var_names, top=30), edges(W, names(550), top=30))
    order = np.random.default_rng(6).permutation(600)
    found = write(adata[:, order].copy(), snaps, W).varp["cellmnn_operator"].toarray()
    place = np.argsort(order)
    same(found[np.ix_(place[:550], place[:550])], W)
    assert np.count_nonzero(found) == 550**2


def test_nothing_of_an_earlier_model_stays():
    adata = make_adata()
    snaps, model = make_model(adata)
    out = write(adata, snaps, random_operators(8, 8), model)
    out = write(out, snaps, None)
    assert list(out.obsm) == ["X_cellmnn"]
    assert not list(out.varp)
    assert "model" not in out.uns["cellmnn"]


def test_coordinates_from_obsm_and_states_at_hand():
    adata = make_adata()
    adata.obsm["X_own"] = random_operators(60, 4)
    snaps, model = make_model(adata, n_components=3, use_rep="X_own")
    out = write(adata, snaps, None, model)
    np.testing.assert_array_equal(out.obsm["X_cellmnn"], adata.obsm["X_own"][:, :3])
    again = write(adata, snaps, None, model, z=torch.tensor(adata.obsm["X_own"][:, :3]))
    same(again.obsm["cellmnn_velocity"], out.obsm["cellmnn_velocity"])
    del adata.obsm["X_own"]
    with pytest.raises(ValueError, match="X_own"):
        write(adata, snaps, None)


def test_held_out_cells_get_states_in_the_coordinates_of_training():
    adata = make_adata(times=(0.0, 1.0, 3.0, 4.0))
    train, held = ce.Snapshots.from_anndata(adata, n_components=3).hold_out(2)
    out = write(adata, train, None)
    np.testing.assert_allclose(out.obsm["X_cellmnn"][adata.obs["time"] == 3.0], held.state)
    assert out.uns["cellmnn"]["times"].tolist() == [0, 1, 4]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda a: a[:, :5].copy(), {}, "3 are missing, 'gene5' first"),
        (lambda a: anndata.AnnData(a.X, a.obs, pd.DataFrame(index=["gene0"] * 8)), {}, "var_names_make_unique"),
        (lambda a: a, {"W": np.ones((5, 8, 8))}, "mean over cells"),
        (lambda a: a, {"z": np.ones((60, 2))}, r"\(60, 3\), got shape \(60, 2\)"),
        (lambda a: AnnData(np.full(a.shape, np.nan), a.obs, a.var), {}, "NaN"),
        (lambda a: a, {"time_key": "day"}, "no column 'day'"),
        (lambda a: a, {"model": ce.CellMNN(5)}, "shape .n, 5."),
        (lambda a: a, {"top": 0}, "top to be an integer"),
    ],
)
@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_an_error_leaves_the_adata_as_it_was(change, options, message):
    adata = make_adata()
    snaps, model = make_model(adata)
    adata = change(adata)
    with pytest.raises(ValueError, match=message):
        write(adata, snaps, **{"W": random_operators(8, 8), "model": model, "copy": False, **options})
    assert entries(adata) == []


@pytest.mark.parametrize("n_genes", [5, 501])
def test_an_adjacency_anndata_holds_the_operator(n_genes, tmp_path):
    W, genes = random_operators(n_genes, n_genes), names(n_genes)
    table = edges(W, genes, top=50)
    adata = to_anndata(table, genes)
    adata.write_h5ad(tmp_path / "network.h5ad")
    back = anndata.read_h5ad(tmp_path / "network.h5ad")
    assert back.obs_names.tolist() == back.var_names.tolist() == genes
    assert sparse.issparse(back.X) == (n_genes > tables.DENSE_GENES)
    same(back.varp["cellmnn_operator"], matrix(table, genes))
    same(back.X, matrix(table, genes))
    first = table.iloc[0]
    assert back[first["target"], first["regulator"]].X[0, 0] == first["weight"]
    assert "rows = targets" in back.uns["cellmnn"]["orientation"]
