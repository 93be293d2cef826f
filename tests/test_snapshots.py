"""Snapshots against sklearn, algebra, and every bad input the issue tracker could think of."""

import dataclasses
from itertools import pairwise

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import chisquare
from sklearn.decomposition import PCA

import cellmnn_edu as ce
from cellmnn_edu import snapshots


def make_adata(times=(0.0, 1.0, 3.0, 4.0), n_cells=20, n_genes=8, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(times, n_cells)
    x = rng.normal(size=(len(labels), n_genes)) @ np.diag(np.arange(1.0, n_genes + 1)) + labels[:, None]
    index = [f"cell{i}" for i in range(len(x))]
    var = pd.DataFrame(index=[f"gene{j}" for j in range(n_genes)])
    return AnnData(x, obs=pd.DataFrame({"time": labels}, index=index), var=var)


def test_coordinates_are_sklearns_whitened_components():
    adata = make_adata()
    snaps = ce.Snapshots.from_anndata(adata, n_components=3)
    expected = PCA(3, svd_solver="full").fit_transform(adata.X)
    expected /= expected.std(0)
    np.testing.assert_allclose(np.concatenate(snaps.states), expected, atol=1e-10)
    assert snaps.loadings.shape == (8, 3)
    np.testing.assert_allclose(snaps.loadings.T @ snaps.loadings, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(snaps.centre, adata.X.mean(0))


def test_arpack_gives_the_same_axes_as_the_full_svd(monkeypatch):
    cells = make_adata(n_cells=60, n_genes=30).X
    full = snapshots._principal_axes(cells, 4)
    monkeypatch.setattr(snapshots, "FULL_SVD_ENTRIES", 0)
    np.testing.assert_allclose(snapshots._principal_axes(cells, 4), full, atol=1e-8)


def test_principal_components_without_rescale_are_centred():
    adata = make_adata()
    snaps = ce.Snapshots.from_anndata(adata, n_components=3, rescale=False)
    np.testing.assert_allclose(snaps.centre, adata.X.mean(0))
    np.testing.assert_array_equal(snaps.scale, 1)


def test_rounding_noise_is_no_component():
    adata = make_adata()
    adata.X = adata.X[:, :2] @ np.random.default_rng(0).normal(size=(2, 8))
    with pytest.raises(ValueError, match="at most 2 components"):
        ce.Snapshots.from_anndata(adata, n_components=5)
    adata.X[:] = 1.0
    with pytest.raises(ValueError, match="All cells are the same"):
        ce.Snapshots.from_anndata(adata, n_components=2)


@pytest.mark.parametrize("cells", [np.ones((3, 1)), np.ones((3, 5)), 1.0])
def test_cells_of_other_genes_are_refused(cells):
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=3)
    for function in (snaps.encode, snaps.decode):
        with pytest.raises(ValueError, match="columns, got shape"):
            function(cells)


def test_tensors_and_sparse_cells_are_encoded():
    adata = make_adata()
    snaps = ce.Snapshots.from_anndata(adata, n_components=3)
    expected = snaps.encode(adata.X)
    np.testing.assert_allclose(snaps.encode(torch.tensor(adata.X, requires_grad=True)), expected)
    np.testing.assert_allclose(snaps.encode(sparse.csr_matrix(adata.X)), expected)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_a_file_on_disk_gives_the_same_states(tmp_path, kind):
    adata = make_adata()
    expected = np.concatenate(ce.Snapshots.from_anndata(adata, n_components=3).states)
    adata.X = kind(adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    np.testing.assert_allclose(np.concatenate(ce.Snapshots.from_anndata(backed, n_components=3).states), expected)
    backed.file.close()


def test_few_genes_give_few_components():
    assert ce.Snapshots.from_anndata(make_adata(n_genes=3)).n_components == 3


def test_hold_out_fits_on_the_other_times_only():
    adata = make_adata()
    snaps = ce.Snapshots.from_anndata(adata, n_components=3)
    train, held = snaps.hold_out(2)
    others = adata[adata.obs["time"] != 3.0].X
    pca = PCA(3, svd_solver="full").fit(others)
    scale = pca.transform(others).std(0)
    np.testing.assert_allclose(train.centre, others.mean(0))
    np.testing.assert_allclose(train.scale, scale)
    np.testing.assert_allclose(held.state, pca.transform(adata[adata.obs["time"] == 3.0].X) / scale, atol=1e-10)
    np.testing.assert_allclose(held.previous, train.states[1])
    assert (held.time, held.previous_time) == (3.0, 1.0)
    assert train.times.tolist() == [0.0, 1.0, 4.0]
    assert "0, 1, 4" in train.protocol


@given(n_components=st.sampled_from([1, 3, 8, None]), rescale=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_decode_inverts_encode_on_the_kept_components(n_components, rescale, seed):
    snaps = ce.Snapshots.from_anndata(make_adata(seed=seed), n_components=n_components, rescale=rescale)
    z = np.random.default_rng(seed).normal(size=(7, snaps.dim))
    np.testing.assert_allclose(snaps.encode(snaps.decode(z)), z, atol=1e-9)
    if n_components in (8, None):
        np.testing.assert_allclose(snaps.decode(np.concatenate(snaps.states)), np.concatenate(snaps.raw), atol=1e-9)


def test_gene_space_keeps_genes_as_coordinates():
    adata = make_adata()
    scaled = ce.Snapshots.from_anndata(adata, n_components=None)
    assert scaled.loadings is None
    assert scaled.dim == 8
    np.testing.assert_allclose(np.concatenate(scaled.states).std(0), 1)
    plain = ce.Snapshots.from_anndata(adata, n_components=None, rescale=False)
    np.testing.assert_allclose(np.concatenate(plain.states), adata.X)


def test_a_gene_that_never_changes_stays_at_zero():
    adata = make_adata()
    adata.X[:, 3] = 2.5
    snaps = ce.Snapshots.from_anndata(adata, n_components=None)
    assert np.all(np.concatenate(snaps.states)[:, 3] == 0)
    np.testing.assert_allclose(snaps.decode(snaps.states[0])[:, 3], 2.5)


def test_use_rep_is_taken_as_it_stands_and_never_refitted():
    adata = make_adata()
    adata.obsm["X_umap"] = np.random.default_rng(1).normal(3, 7, size=(adata.n_obs, 4))
    snaps = ce.Snapshots.from_anndata(adata, use_rep="X_umap")
    train, held = snaps.hold_out(1)
    np.testing.assert_array_equal(np.concatenate(snaps.states), adata.obsm["X_umap"])
    np.testing.assert_array_equal(held.state, adata.obsm["X_umap"][adata.obs["time"] == 1.0])
    np.testing.assert_array_equal(train.scale, np.ones(4))
    assert "as they stand" in train.protocol
    first_two = ce.Snapshots.from_anndata(adata, use_rep="X_umap", n_components=2)
    np.testing.assert_array_equal(np.concatenate(first_two.states), adata.obsm["X_umap"][:, :2])
    with pytest.raises(ValueError, match="loadings are not known"):
        snaps.decode(snaps.states[0])


def test_use_rep_with_rescale_is_z_scored_on_the_training_times():
    adata = make_adata()
    adata.obsm["X_umap"] = np.random.default_rng(1).normal(3, 7, size=(adata.n_obs, 2))
    train, _ = ce.Snapshots.from_anndata(adata, use_rep="X_umap", rescale=True).hold_out(1)
    cells = np.concatenate(train.states)
    np.testing.assert_allclose([*cells.mean(0), *cells.std(0)], [0, 0, 1, 1], atol=1e-12)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.float32])
def test_sparse_and_single_precision_give_the_same_states(kind):
    adata = make_adata()
    expected = np.concatenate(ce.Snapshots.from_anndata(adata, n_components=3).states)
    adata.X = kind(adata.X)
    got = np.concatenate(ce.Snapshots.from_anndata(adata, n_components=3).states)
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("labels", "order", "expected"),
    [
        (["0", "1", "3", "4"], None, [0, 1, 3, 4]),
        (
            ["day 0", "day 1", "day 3", "day 4"],
            {"day 0": 0, "day 1": 1, "day 3": 3, "day 4": 4},
            [0, 1, 3, 4],
        ),
        (["egg", "larva", "pupa", "fly"], ["egg", "larva", "pupa", "fly"], [0, 1, 2, 3]),
    ],
)
@pytest.mark.parametrize("categorical", [False, True])
def test_times_may_be_labels(labels, order, expected, categorical):
    adata = make_adata()
    names = np.repeat(labels, 20)
    adata.obs["stage"] = pd.Categorical(names) if categorical else names
    snaps = ce.Snapshots.from_anndata(adata, time_key="stage", n_components=2, time_order=order)
    assert snaps.times.tolist() == expected
    np.testing.assert_allclose(snaps.raw[1], adata.X[20:40])


def test_the_snapshots_do_not_change_when_the_file_does():
    adata = make_adata()
    snaps = ce.Snapshots.from_anndata(adata, n_components=2)
    before = snaps.hold_out(1)[0].states[0].copy()
    adata.X[:] = 0
    np.testing.assert_array_equal(snaps.hold_out(1)[0].states[0], before)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (0, "1 to 2"),
        (3, "1 to 2"),
        (4, "1 to 2"),
        (-1, "1 to 2"),
        (1.0, "1 to 2"),
        (True, "1 to 2"),
        (None, "1 to 2"),
    ],
)
def test_only_inner_snapshots_can_be_held_out(index, message):
    with pytest.raises(ValueError, match=message):
        ce.Snapshots.from_anndata(make_adata(), n_components=2).hold_out(index)


def test_holding_out_needs_three_times():
    with pytest.raises(ValueError, match="at least three times"):
        ce.Snapshots.from_anndata(make_adata((0.0, 1.0)), n_components=2).hold_out(1)


def break_nan(adata):
    adata.X[3, 2] = np.nan


def break_inf(adata):
    adata.X[3, 2] = np.inf


def break_sparse_nan(adata):
    adata.X[3, 2] = np.nan
    adata.X = sparse.csr_matrix(adata.X)


def break_time_nan(adata):
    adata.obs.loc["cell3", "time"] = np.nan


def break_time_inf(adata):
    adata.obs.loc["cell3", "time"] = np.inf


def break_one_time(adata):
    adata.obs["time"] = 1.0


def break_gene_names(adata):
    adata.var_names = ["Actb", "Actb", *adata.var_names[2:]]


def break_empty_snapshot(adata):
    adata.obs["time"] = pd.Categorical(
        np.repeat(["a", "b", "d", "e"], 20), categories=["a", "b", "c", "d", "e"], ordered=True
    )


@pytest.mark.parametrize(
    ("damage", "options", "message"),
    [
        (break_nan, {}, "'cell3', column 2"),
        (break_inf, {}, "inf for cell 'cell3'"),
        (break_sparse_nan, {}, "nan for cell 'cell3'"),
        (break_time_nan, {}, "time"),
        (break_time_inf, {}, "time"),
        (break_one_time, {}, "at least two times"),
        (break_gene_names, {}, "var_names_make_unique"),
        (break_empty_snapshot, {}, "'?c'?"),
        (None, {"time_key": "day"}, "day"),
        (None, {"n_components": 9}, "at most 8"),
        (None, {"n_components": 0}, "positive integer"),
        (None, {"n_components": -2}, "positive integer"),
        (None, {"n_components": 2.5}, "positive integer"),
        (None, {"n_components": "five"}, "positive integer"),
        (None, {"n_components": True}, "positive integer"),
        (None, {"use_rep": "X_pca"}, "X_pca"),
    ],
)
def test_bad_input_is_refused_by_name(damage, options, message):
    adata = make_adata()
    if damage is not None:
        damage(adata)
    with pytest.raises(ValueError, match=message):
        ce.Snapshots.from_anndata(adata, **options)


def test_more_components_than_cells_is_refused():
    with pytest.raises(ValueError, match="at most 7"):
        ce.Snapshots.from_anndata(make_adata(n_cells=2, n_genes=30), n_components=8)


def test_more_components_than_training_cells_is_refused():
    snaps = ce.Snapshots.from_anndata(make_adata(n_cells=2, n_genes=30), n_components=7)
    with pytest.raises(ValueError, match="use fewer components"):
        snaps.hold_out(1)


def test_no_expression_and_no_rep_is_refused():
    adata = AnnData(obs=make_adata().obs, obsm={"X_pca": np.zeros((80, 2))})
    with pytest.raises(ValueError, match="X_pca"):
        ce.Snapshots.from_anndata(adata)


def test_obsm_with_more_components_than_columns_is_refused():
    adata = make_adata()
    adata.obsm["X_pca"] = np.eye(80, 2)
    with pytest.raises(ValueError, match="at most 2"):
        ce.Snapshots.from_anndata(adata, use_rep="X_pca", n_components=3)


# Cells kept back


def labelled(sizes, seed=0):
    """Snapshots whose cells are numbered, so that each can be followed."""
    adata = make_adata(times=range(len(sizes)), n_cells=1, n_genes=3, seed=seed)
    snaps = ce.Snapshots.from_anndata(adata, n_components=None, rescale=False)
    starts = np.cumsum([0, *sizes])
    states = [np.arange(a, b)[:, None] * np.ones(3) for a, b in pairwise(starts)]
    return dataclasses.replace(snaps, states=states, raw=[-state for state in states])


@given(
    sizes=st.lists(st.integers(2, 60), min_size=2, max_size=5),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_cells_kept_back_and_the_rest_are_all_cells_once(sizes, fraction, seed):
    snaps = labelled(sizes)
    rest, kept = snaps.hold_back(fraction, seed=seed)
    for whole, one, other in zip(snaps.states, rest.states, kept.states, strict=True):
        together = np.concatenate([one, other])
        np.testing.assert_array_equal(np.sort(together, axis=0), whole)
        assert len(one) >= 1
        assert len(other) == min(max(1, round(fraction * len(whole))), len(whole) - 1)
        assert (np.diff(one[:, 0]) > 0).all()
        assert (np.diff(other[:, 0]) > 0).all()
    for side in (rest, kept):
        assert side.times.tolist() == snaps.times.tolist()
        assert (side.scale == snaps.scale).all()
        assert side.dim == snaps.dim
        for state, raw in zip(side.states, side.raw, strict=True):
            np.testing.assert_array_equal(raw, -state)
    again = snaps.hold_back(fraction, seed=np.int64(seed))
    for a, b in zip(rest.states + kept.states, again[0].states + again[1].states, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_seed_and_not_the_values_choose_which_cells_are_kept():
    snaps = labelled([50, 50, 200])
    kept = snaps.hold_back(0.2, seed=0)[1]
    assert [len(state) for state in kept.states] == [10, 10, 40]
    other = snaps.hold_back(0.2, seed=1)[1]
    assert any((a != b).any() for a, b in zip(kept.states, other.states, strict=True))
    # Not the same places at every time, and any place at some seed.
    assert (kept.states[0][:, 0] != kept.states[1][:, 0] - 50).any()
    drawn = np.concatenate([snaps.hold_back(0.2, seed=k)[1].states[0][:, 0] for k in range(200)])
    counts = np.bincount(drawn.astype(int), minlength=50)
    assert chisquare(counts).pvalue > 1e-3
    changed = dataclasses.replace(snaps, states=[state**2 for state in snaps.states])
    for a, b in zip(changed.hold_back(0.2, seed=0)[1].states, kept.states, strict=True):
        np.testing.assert_array_equal(a, b**2)


def test_cells_kept_back_leave_the_coordinates_alone():
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=3)
    rest, kept = snaps.hold_back(0.3)
    for side in (rest, kept):
        np.testing.assert_array_equal(side.loadings, snaps.loadings)
        np.testing.assert_allclose(side.encode(side.raw[1]), side.states[1], atol=1e-12)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, np.nan])
def test_a_share_is_between_zero_and_one(fraction):
    with pytest.raises(ValueError, match="fraction between 0 and 1"):
        labelled([5, 5]).hold_back(fraction)


def test_of_one_cell_nothing_can_be_kept_back():
    with pytest.raises(ValueError, match=r"at least two cells at every time, got 0\.1 and 1"):
        labelled([5, 1]).hold_back(0.1)
