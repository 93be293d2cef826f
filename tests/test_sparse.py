"""Interactions that are nowhere: exactly zero, for every cell and time, before and after training."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import cellmnn_edu as ce
from cellmnn_edu import sparse


@pytest.fixture(scope="module")
def snaps():
    circuit = ce.simulate.gene_circuit("linear", n_genes=4, seed=1)
    return ce.Snapshots.from_anndata(circuit.snapshots([0, 0.5, 1], 60, seed=0), n_components=None)


def dense(seed=0, **options):
    return ce.CellMNN(4, head="dense", width=16, depth=2, seed=seed, **options)


def anywhere(model, seed=0):
    rng = np.random.default_rng(seed)
    return model.operator(5 * rng.standard_normal((50, 4)), rng.uniform(0, 1, 50))


@pytest.mark.parametrize("affine", [True, False])
def test_what_is_not_allowed_is_zero_for_every_cell_and_time(snaps, affine):
    allowed = np.zeros((4, 4), dtype=bool)
    allowed[0, 1] = allowed[3, 2] = True
    model = sparse.restrict(dense(affine=affine), allowed)
    kept = allowed | np.eye(4, dtype=bool)
    ce.fit(model, snaps, 20, progress=False, ema=0.9)
    found = anywhere(model)
    assert (found[:, ~kept] == 0).all()
    assert (np.abs(found[:, kept]) > 0).any(0).all()
    assert (sparse.support(model) == kept).all()
    if affine:
        assert (np.abs(model.offset(snaps.states[0], 0.0)) > 0).any()


def test_allowing_everything_changes_nothing(snaps):
    free, masked = dense(), sparse.restrict(dense(), np.ones((4, 4), dtype=bool))
    for model in (free, masked):
        ce.fit(model, snaps, 15, progress=False)
    assert (anywhere(free) == anywhere(masked)).all()


def test_no_charge_is_plain_training(snaps):
    free, charged = dense(), dense()
    ce.fit(free, snaps, 15, seed=3, progress=False)
    sparse.fit(charged, snaps, group=0.0, seed=3, steps=15, progress=False)
    assert (anywhere(free) == anywhere(charged)).all()


def test_a_large_charge_leaves_decay_only(snaps):
    model = dense()
    sparse.fit(model, snaps, group=50.0, steps=30, progress=False)
    assert (sparse.support(model) == np.eye(4, dtype=bool)).all()
    assert (anywhere(model)[:, ~np.eye(4, dtype=bool)] == 0).all()


def test_more_charge_means_fewer_interactions(snaps):
    counts = []
    for group in (0.0, 1.0, 3.0, 50.0):
        model = dense()
        sparse.fit(model, snaps, group=group, steps=60, progress=False)
        counts.append(int(sparse.support(model).sum()))
    assert counts[0] == 16
    assert counts[-1] == 4
    assert counts == sorted(counts, reverse=True)


def test_one_step_is_the_proximal_map():
    """It minimises |v - w|^2 / 2 + by |v| for every row; here by a general minimiser."""
    model, by = dense(), 0.02
    with torch.no_grad():
        model.network[-1].bias += 0.01
    before = copy.deepcopy(model.network[-1])
    sparse._shorten(model, by)
    after = model.network[-1]
    for entry in (1, 7, 14):  # off the diagonal
        w = torch.cat([before.weight[entry], before.bias[entry, None]]).detach().double().numpy()
        v = torch.cat([after.weight[entry], after.bias[entry, None]]).detach().double().numpy()
        found = minimize(lambda u, w=w: ((u - w) ** 2).sum() / 2 + by * np.sqrt((u**2).sum() + 1e-18), w, tol=1e-12)
        assert v == pytest.approx(found.x, abs=1e-5)
    assert (after.weight[[0, 5, 10, 15]] == before.weight[[0, 5, 10, 15]]).all()


def test_the_hook_is_gone_after_an_error(snaps):
    model = dense()
    with pytest.raises(ValueError, match="lr"):
        sparse.fit(model, snaps, group=1.0, lr=-1.0, progress=False)
    assert not model._forward_pre_hooks


def test_errors(snaps):
    with pytest.raises(ValueError, match="dense head"):
        sparse.restrict(ce.CellMNN(4), np.ones((4, 4), dtype=bool))
    with pytest.raises(ValueError, match="booleans"):
        sparse.restrict(dense(), np.ones((4, 4)))
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        sparse.restrict(dense(), np.ones((5, 5), dtype=bool))
    model = sparse.restrict(dense(), np.eye(4, dtype=bool))
    with pytest.raises(ValueError, match="already"):
        sparse.restrict(model, np.eye(4, dtype=bool))
    with pytest.raises(ValueError, match="not restricted"):
        sparse.fit(model, snaps, group=1.0)
    with pytest.raises(ValueError, match="constant learning rate"):
        sparse.fit(dense(), snaps, group=1.0, ema=0.9)
    with pytest.raises(ValueError, match="group"):
        sparse.fit(dense(), snaps, group=-1.0)
