"""No method may see the held-out cells: replace them, and the weights must not change by a bit."""

import numpy as np
import pytest
import torch
from test_snapshots import make_adata

import cellmnn_edu as ce

HELD = 2  # the snapshot at time 3


def scaled(cells):
    return 100 * cells


def permuted(cells):
    return np.random.default_rng(5).permutation(cells.ravel()).reshape(cells.shape)


def trained_weights(snaps):
    train, _ = snaps.hold_out(HELD)
    model = ce.CellMNN(train.dim)
    ce.fit(model, train, steps=25, progress=False, device="cpu")
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("n_components", [3, None])
@pytest.mark.parametrize("replacement", [scaled, permuted])
def test_other_held_out_cells_give_the_same_weights(replacement, n_components):
    adata = make_adata()
    clean = trained_weights(ce.Snapshots.from_anndata(adata, n_components=n_components))
    hidden = (adata.obs["time"] == 3.0).to_numpy()
    adata.X[hidden] = replacement(adata.X[hidden])
    assert torch.equal(clean, trained_weights(ce.Snapshots.from_anndata(adata, n_components=n_components)))


def test_nan_in_the_stored_held_out_cells_gives_the_same_weights():
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=3)
    clean = trained_weights(snaps)
    snaps.raw[HELD][:] = np.nan
    snaps.states[HELD][:] = np.nan
    assert torch.equal(clean, trained_weights(snaps))


def test_other_training_cells_do_change_the_weights():
    adata = make_adata()
    clean = trained_weights(ce.Snapshots.from_anndata(adata, n_components=3))
    seen = (adata.obs["time"] == 1.0).to_numpy()
    adata.X[seen] = permuted(adata.X[seen])
    assert not torch.equal(clean, trained_weights(ce.Snapshots.from_anndata(adata, n_components=3)))


@pytest.mark.parametrize("method", ["persistence", "ot-interpolation", "cell-mnn"])
def test_a_method_predicts_the_same_whatever_was_held_out(method):
    options = {"steps": 25, "progress": False} if method == "cell-mnn" else {}
    predictions = []
    for factor in (1, 100):
        adata = make_adata()
        adata.X[(adata.obs["time"] == 3.0).to_numpy()] *= factor
        train, held = ce.Snapshots.from_anndata(adata, n_components=3).hold_out(HELD)
        fitted = ce.baselines.get(method, **options).fit(train, seed=0)
        predictions.append(fitted.propagate(held.previous, held.previous_time, held.time, seed=0))
    np.testing.assert_array_equal(*predictions)
