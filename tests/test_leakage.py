"""No method may see the held-out cells: replace them, and the weights must not change by a bit."""

from itertools import cycle

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


SETTINGS = {
    "crowds": {},
    "early stopping": {"patience": 2, "check_every": 4},
    "early stopping of an average": {"patience": 2, "check_every": 4, "ema": 0.9, "schedule": "cosine"},
    "median bandwidth": {"bandwidth": "median", "kernel": "gaussian", "unbiased": True},
    "flow matching": {"objective": "flow-matching", "patience": 2, "check_every": 4, "deviation": 0.1},
    "splines": {"objective": "flow-matching", "path": "spline", "ema": 0.9, "l1": 0.1},
    "frozen matching": {"objective": "frozen-matching", "patience": 2, "check_every": 4, "schedule": "cosine"},
    "the paper": {"preset": "paper", "steps": 25, "check_every": 4},
}


@pytest.mark.parametrize(
    ("options", "head"),
    list(zip(SETTINGS.values(), cycle(["eigen", "dense", "rotational"]), strict=False)),
    ids=SETTINGS.keys(),
)
def test_no_way_to_train_sees_the_held_out_cells(options, head):
    """Scaled before, NaN after; the same weights, losses and checks to the last bit."""
    runs = []
    for damage in (1, 100, np.nan):
        adata = make_adata()
        hidden = (adata.obs["time"] == 3.0).to_numpy()
        adata.X[hidden] *= 1 if np.isnan(damage) else damage
        snaps = ce.Snapshots.from_anndata(adata, n_components=3)
        if np.isnan(damage):
            snaps.raw[HELD][:] = np.nan
            snaps.states[HELD][:] = np.nan
        train, _ = snaps.hold_out(HELD)
        model = ce.CellMNN(3, head=head, width=8, depth=1)
        history = ce.fit(model, train, **{"steps": 20, "progress": False, "device": "cpu", **options})
        assert not history.leaky
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        runs.append((weights, history.terms, history.checks, history.best_step))
    for run in runs[1:]:
        assert torch.equal(run[0], runs[0][0])
        assert run[1:] == runs[0][1:]


def test_the_leak_that_can_be_asked_for_is_one():
    """The same run with other held-out cells stops elsewhere: what the label warns of."""
    ends = []
    for factor in (1, -3):
        adata = make_adata()
        adata.X[(adata.obs["time"] == 3.0).to_numpy()] *= factor
        train, held = ce.Snapshots.from_anndata(adata, n_components=3).hold_out(HELD)
        model = ce.CellMNN(3, width=8, depth=1)
        options = {"steps": 40, "lr": 0.02, "patience": 2, "check_every": 2, "progress": False, "device": "cpu"}
        history = ce.fit(model, train, leaky_stopping=held, **options)
        assert history.leaky
        ends.append((history.checks, history.best_step))
    assert ends[0][0] != ends[1][0]


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
