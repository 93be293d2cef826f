"""The peers against closed forms, brute force and independent implementations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.optimize import linprog
from scipy.stats import ortho_group

from cellmnn_edu import CellMNN, Snapshots, baselines
from cellmnn_edu.grn import peers
from cellmnn_edu.grn.genes import lifting, read
from cellmnn_edu.grn.peers import (
    PEERS,
    correlation,
    field_jacobian,
    lagged_regression,
    no_dynamics,
    partial_correlation,
    trees,
)


def snapshots(raw, times=None, genes=None, **options):
    """Snapshots of the arrays `raw`, in gene space unless told otherwise."""
    times = np.arange(len(raw)) if times is None else times
    labels = np.repeat(np.asarray(times, dtype=float), [len(x) for x in raw])
    genes = [f"g{k}" for k in range(raw[0].shape[1])] if genes is None else genes
    index = np.arange(len(labels)).astype(str)
    adata = AnnData(
        np.concatenate(raw), obs=pd.DataFrame({"time": labels}, index=index), var=pd.DataFrame(index=list(genes))
    )
    return Snapshots.from_anndata(adata, **{"n_components": None} | options)


def mixed(n_genes=5, sizes=(60, 50, 70), seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((n_genes, n_genes)) + 2 * np.eye(n_genes)
    return [rng.standard_normal((n, n_genes)) @ mix + k * mix[0] for k, n in enumerate(sizes)]


# The controls without time


def test_correlation_is_that_of_numpy_without_its_diagonal():
    raw = mixed()
    expected = np.corrcoef(np.concatenate(raw).T) - np.eye(5)
    np.testing.assert_allclose(correlation(snapshots(raw)), expected, atol=1e-12)
    np.testing.assert_allclose(correlation(snapshots(raw, n_components=2)), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["correlation", "partial-correlation", "trees"])
@pytest.mark.parametrize("level", [0.0, 0.1, 1e6 / 3])
def test_a_gene_that_never_changes_has_no_relations(name, level):
    raw = [np.insert(x, 2, level, axis=1) for x in mixed(4)]
    w = PEERS[name](snapshots(raw))
    assert not w[2].any()
    assert not w[:, 2].any()
    rest = np.delete(np.delete(w, 2, 0), 2, 1)
    assert np.all(rest[~np.eye(4, dtype=bool)] != 0)


def residual_correlations(x):
    """Partial correlations by definition: of what is left of two genes after regression on all others."""
    n_genes = x.shape[1]
    x = x - x.mean(0)
    w = np.zeros((n_genes, n_genes))
    for i in range(n_genes):
        for j in set(range(n_genes)) - {i}:
            others = np.delete(x, [i, j], axis=1)
            left = [x[:, k] - others @ np.linalg.lstsq(others, x[:, k])[0] for k in (i, j)]
            w[i, j] = np.corrcoef(*left)[0, 1]
    return w


def test_partial_correlation_without_penalty_is_the_correlation_of_residuals():
    raw = mixed()
    found = partial_correlation(snapshots(raw), alpha=0)
    np.testing.assert_allclose(found, residual_correlations(np.concatenate(raw)), atol=1e-9)


CHAIN = 2 * np.eye(6) + np.diag(np.full(5, -0.9), 1) + np.diag(np.full(5, -0.9), -1)


def chain(n=20_000, seed=0):
    cells = np.random.default_rng(seed).multivariate_normal(np.zeros(6), np.linalg.inv(CHAIN), n)
    return np.array_split(cells, 2)


@pytest.mark.parametrize("most", [200, 3])
def test_partial_correlation_finds_a_known_precision(monkeypatch, most):
    # Above `most` genes the shrunken inverse takes the place of the lasso.
    monkeypatch.setattr(peers, "LASSO_GENES", most)
    truth = -CHAIN / 2 + np.eye(6)
    np.testing.assert_allclose(partial_correlation(snapshots(chain())), truth, atol=0.03)


def test_the_lasso_sets_pairs_to_zero_and_correlation_does_not():
    snaps = snapshots(chain(2000))
    no_edge = (CHAIN == 0) & ~np.eye(6, dtype=bool)
    assert np.mean(partial_correlation(snaps, alpha=0.15)[no_edge] == 0) >= 0.9
    assert np.all(correlation(snaps)[no_edge] != 0)
    assert not partial_correlation(snaps, alpha=1.0).any()  # no correlation is as large as the penalty


def test_folds_are_not_times():
    # Between times a level shifts; folds that are times would see cells unlike all they were fitted on.
    raw = [x + 5 * k for k, x in enumerate(np.array_split(chain(4000)[0], 5))]
    found = partial_correlation(snapshots(raw))
    np.testing.assert_allclose(found, residual_correlations(np.concatenate(raw)), atol=0.1)


def test_copies_of_a_gene_need_regularisation():
    raw = [np.column_stack([x, x[:, 0]]) for x in mixed(4)]
    snaps = snapshots(raw)
    with pytest.raises(ValueError, match="larger one"):
        partial_correlation(snaps, alpha=0)
    w = partial_correlation(snaps)
    assert np.isfinite(w).all()
    assert np.argmax(np.abs(w[0])) == 4


@pytest.mark.parametrize("alpha", [-1, np.nan, "auto"])
def test_a_wrong_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        partial_correlation(snapshots(mixed()), alpha=alpha)


@settings(deadline=None, max_examples=20)
@given(factors=st.lists(st.floats(0.01, 100), min_size=5, max_size=5), shift=st.floats(-10, 10))
def test_units_of_genes_change_no_correlation(factors, shift):
    raw = mixed()
    other = snapshots([x * factors + shift for x in raw])
    np.testing.assert_allclose(correlation(other), correlation(snapshots(raw)), atol=1e-9)
    np.testing.assert_allclose(partial_correlation(other, 0), partial_correlation(snapshots(raw), 0), atol=1e-7)


def test_no_dynamics_is_what_the_identity_reads_as():
    snaps = snapshots(mixed(), n_components=3)
    left, right = lifting(snaps)
    np.testing.assert_allclose(no_dynamics(snaps), left @ right, atol=1e-12)
    # A projection of rank 3.
    np.testing.assert_allclose(no_dynamics(snaps) @ no_dynamics(snaps), no_dynamics(snaps), atol=1e-12)
    assert np.trace(no_dynamics(snaps)) == pytest.approx(3)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_no_dynamics_does_not_know_rotations_orders_and_signs_of_components(seed):
    snaps = snapshots(mixed(), n_components=3)
    turn = ortho_group.rvs(3, random_state=seed)
    signs = np.diag(np.random.default_rng(seed).choice([-1, 1], 3))[np.random.default_rng(seed).permutation(3)]
    for other in (turn, signs):
        found = no_dynamics(replace(snaps, loadings=snaps.loadings @ other))
        np.testing.assert_allclose(found, no_dynamics(snaps), atol=1e-12)


def test_no_dynamics_needs_components():
    with pytest.raises(ValueError, match="gene space"):
        no_dynamics(snapshots(mixed()))


# Lagged regression

FLOW = np.array([[-0.5, 1.0, 0.0, 0.0], [0.0, -0.4, 0.0, 0.8], [0.6, 0.0, -0.7, 0.0], [0.0, 0.0, -0.9, -0.3]])


def flown(times, offset=0.0, n=80, seed=0):
    """Well separated cells, at each time in another order, moved exactly by x' = FLOW (x - offset)."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-3, 3, (n, 4)) * [1, 2, 3, 4]
    return [rng.permutation((start - offset) @ expm(FLOW * t).T + offset) for t in times]


@pytest.mark.parametrize("offset", [0.0, 5.0])
@pytest.mark.parametrize("options", [{}, {"rescale": False}, {"n_components": 3}])
def test_lagged_regression_finds_a_linear_flow(offset, options):
    times = [0, 0.001, 0.002]
    snaps = snapshots(flown(times, offset), times, **options)
    found = lagged_regression(snaps, alpha=0)
    np.testing.assert_allclose(found, (expm(FLOW * 0.001) - np.eye(4)) / 0.001, atol=1e-8)
    np.testing.assert_allclose(found, FLOW, atol=1e-3)


def test_lagged_regression_divides_by_the_time_that_passed():
    times = [0, 0.001, 0.004]  # uneven
    found = lagged_regression(snapshots(flown(times), times), alpha=0)
    np.testing.assert_allclose(found, FLOW, atol=5e-3)
    slow = lagged_regression(snapshots(flown(times), 10 * np.array(times)), alpha=0)
    np.testing.assert_allclose(slow, found / 10, atol=1e-9)


def plan_by_linear_programme(x, y):
    cost = ((x[:, None] - y[None]) ** 2).sum(-1)
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    masses = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=masses).x.reshape(n, m)


@pytest.mark.parametrize("n_components", [2, None])
def test_lagged_regression_is_ridge_on_mean_partners(n_components):
    raw, times = mixed(3, (7, 5, 9)), [0, 1, 3]
    snaps = snapshots(raw, times, n_components=n_components)
    inputs, outputs = [], []
    for k in range(2):
        plan = plan_by_linear_programme(snaps.states[k], snaps.states[k + 1])
        inputs.append(raw[k])
        outputs.append((plan @ raw[k + 1] * len(raw[k]) - raw[k]) / (times[k + 1] - times[k]))
    x, y = (np.concatenate(parts) for parts in (inputs, outputs))
    x, y = x - x.mean(0), y - y.mean(0)
    expected = np.linalg.solve(x.T @ x + 2.0 * np.eye(3), x.T @ y).T
    np.testing.assert_allclose(lagged_regression(snaps, alpha=2.0), expected, atol=1e-8)


def test_lagged_regression_draws_cells_of_large_snapshots():
    snaps = snapshots(mixed())
    few = [lagged_regression(snaps, n_cells=30, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(few[0], few[1])
    assert not np.allclose(few[0], few[2])
    np.testing.assert_array_equal(lagged_regression(snaps, n_cells=70), lagged_regression(snaps))
    with pytest.raises(ValueError, match="n_cells"):
        lagged_regression(snaps, n_cells=0)


# Trees


def test_trees_rank_a_planted_regulator_first():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 6))
    x[:, 5] = np.sin(2 * x[:, 3]) + 0.1 * rng.standard_normal(400)  # hardly any correlation sees this
    x[:, 0] = x[:, 1] ** 2 + 0.1 * rng.standard_normal(400)
    w = trees(snapshots(np.array_split(x, 2)), n_estimators=50)
    assert np.argmax(w[5]) == 3
    assert np.argmax(w[0]) == 1
    assert w[5, 3] > 2 * np.sort(w[5])[-2]


def test_trees_share_out_the_variance_of_each_target():
    snaps = snapshots(mixed())
    w = trees(snaps, n_estimators=10)
    assert w.min() >= 0
    assert not np.diag(w).any()
    np.testing.assert_allclose(w.sum(1), 1)
    np.testing.assert_array_equal(w, trees(snaps, n_estimators=10))
    assert not np.allclose(w, trees(snaps, n_estimators=10, seed=1))


# All that need only the snapshots


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("n_components", [3, None])
def test_the_order_of_genes_does_not_matter(name, n_components):
    if name == "no-dynamics" and n_components is None:
        return
    raw, order = mixed(), [3, 0, 4, 2, 1]
    names = np.array(["Pax6", "Sox2", "Gata1", "Fos", "Jun"])
    w = PEERS[name](snapshots(raw, genes=names, n_components=n_components))
    turned = snapshots([x[:, order] for x in raw], genes=names[order], n_components=n_components)
    # The lasso stops within its tolerance.
    atol = 1e-3 if name == "partial-correlation" else 1e-8
    assert w.shape == (5, 5)
    np.testing.assert_allclose(PEERS[name](turned), w[np.ix_(order, order)], rtol=0, atol=atol)


@pytest.mark.parametrize("name", PEERS)
def test_coordinates_without_genes_are_refused(name):
    snaps = snapshots(mixed(), n_components=3)
    index = np.arange(sum(map(len, snaps.states))).astype(str)
    times = np.repeat(snaps.times, [len(z) for z in snaps.states])
    adata = AnnData(obs=pd.DataFrame({"time": times}, index=index), obsm={"X_pca": np.concatenate(snaps.states)})
    with pytest.raises(ValueError, match="use_rep"):
        PEERS[name](Snapshots.from_anndata(adata, use_rep="X_pca"))


# Jacobians of fields


def brute_force(field, snaps, z, t, eps=1e-5):
    """Move one gene of a decoded cell, encode, and look how the velocity of all genes changes."""

    def speed(x, time):
        with torch.no_grad():
            velocity = field(torch.as_tensor(snaps.encode(x)), torch.tensor(time, dtype=torch.float64)).numpy()
        return snaps.decode(velocity) - snaps.centre

    columns = []
    for gene in range(len(snaps.genes)):
        step = eps * np.eye(len(snaps.genes))[gene]
        moved = [
            (speed(x[None] + step, time) - speed(x[None] - step, time))[0] / (2 * eps)
            for x, time in zip(snaps.decode(z), t, strict=True)
        ]
        columns.append(np.mean(moved, axis=0))
    return np.array(columns).T


@pytest.mark.parametrize("n_components", [3, None])
def test_field_jacobian_of_any_field_is_a_difference_quotient(monkeypatch, n_components):
    monkeypatch.setattr(peers, "BATCH", 3)
    snaps = snapshots(mixed(), n_components=n_components)
    weights = torch.randn(snaps.dim, snaps.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def field(z, t):
        return torch.tanh(z @ weights) * (1 + t.reshape(-1, 1)) + z.square()

    z, t = snaps.states[1][:7], np.linspace(0, 2, 7)
    expected = brute_force(field, snaps, z, t)
    np.testing.assert_allclose(field_jacobian(field, snaps, z, t), expected, atol=1e-7)
    at_one = brute_force(field, snaps, z, np.ones(7))
    np.testing.assert_allclose(field_jacobian(field, snaps, z, 1.0), at_one, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("neural-ode", {}),
        ("i-cfm", {}),
        ("ot-cfm", {}),
        ("mfm", {}),
        ("sf2m", {"dynamics": "ode"}),
        ("sf2m", {"dynamics": "sde"}),
    ],
)
def test_field_jacobian_reads_every_rival_with_a_field(name, options):
    snaps = snapshots(mixed(), n_components=2)
    method = baselines.get(name, steps=3, width=8, depth=1, device="cpu", progress=False, **options).fit(snaps)
    z, t = snaps.states[0][:4], np.full(4, 0.5)
    found = field_jacobian(method, snaps, z, t)
    if name != "sf2m":
        expected = brute_force(method.field.double(), snaps, z, t)
    else:
        flow, pull = method.bridge.flow.double(), method.bridge.pull.double()
        drift = flow if options["dynamics"] == "ode" else lambda z, t: flow(z, t) + pull(z, t)
        expected = brute_force(drift, snaps, z, t)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_field_jacobian_of_a_model_is_what_read_gives():
    snaps = snapshots(mixed(), n_components=3)
    model = CellMNN(3, head="dense", width=8, depth=1, seed=0).double()
    z = snaps.states[0]
    expected = read(model, snaps, z, 0.5, which="jacobian").mean()
    np.testing.assert_allclose(field_jacobian(model, snaps, z, 0.5), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["persistence", "ot-interpolation", "neural-ode", "sf2m", "cell-mnn"])
def test_methods_without_a_field_or_not_yet_fitted_are_refused(name):
    snaps = snapshots(mixed(), n_components=3)
    with pytest.raises(ValueError, match="fitted method that keeps a velocity field"):
        field_jacobian(baselines.get(name), snaps, snaps.states[0], 0.0)


def test_field_jacobian_refuses_cells_of_other_coordinates():
    snaps = snapshots(mixed(), n_components=3)
    with pytest.raises(ValueError, match=r"\(n, 3\)"):
        field_jacobian(lambda z, t: z, snaps, np.zeros((4, 2)), 0.0)
    method = baselines.get("ot-cfm", steps=1, width=4, depth=1, device="cpu", progress=False).fit(snaps)
    other = snapshots(mixed(), n_components=2)
    with pytest.raises(ValueError, match="3 dimensions"):
        field_jacobian(method, other, other.states[0], 0.0)
