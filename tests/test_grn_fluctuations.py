"""Spread and flow of crowds whose interactions are known: linear circuits with noise, in closed form."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_lyapunov

import cellmnn_edu as ce
from cellmnn_edu.grn import fluctuations

A = np.array([[-1.0, 0.5, 0.0], [-0.8, -1.5, 0.3], [0.0, 0.6, -0.7]])
D = np.array([0.4, 1.0, 0.2])


def covariance(time):
    """C(t) of dx = A x dt + sqrt(D) dW from C(0) = I, by an ODE solver."""

    def change(_, c):
        c = c.reshape(3, 3)
        return (A @ c + c @ A.T + np.diag(D)).ravel()

    return solve_ivp(change, (0, time), np.eye(3).ravel(), rtol=1e-10, atol=1e-12).y[:, -1].reshape(3, 3)


@pytest.mark.parametrize("time", [0.1, 1.0, 20.0])
def test_flow_and_spread_together_give_the_drift(time):
    c = covariance(time)
    # The only field that is affine, moves this Gaussian, and has a symmetric part beside A: v = f - D grad log p / 2.
    flow = A + np.diag(D) @ np.linalg.inv(c) / 2
    assert flow @ c + c @ flow.T == pytest.approx(A @ c + c @ A.T + np.diag(D), abs=1e-9)
    assert fluctuations.drift_jacobian(flow, np.linalg.inv(c), D) == pytest.approx(A)


def test_a_standing_crowd_has_a_flow_that_only_turns_it():
    c = solve_continuous_lyapunov(A, -np.diag(D))
    flow = A + np.diag(D) @ np.linalg.inv(c) / 2
    turning = flow @ c
    assert turning == pytest.approx(-turning.T, abs=1e-12)


def snapshots_of(*crowds, names=None):
    cells = np.concatenate(crowds)
    adata = ce.datasets.AnnData(
        cells, obs={"time": np.repeat(np.arange(len(crowds)), [len(c) for c in crowds]).astype(float)}
    )
    if names is not None:
        adata.var_names = names
    return ce.Snapshots.from_anndata(adata, n_components=None)


def symmetric_crowd(n, seed):
    """Standing crowd of a symmetric A with -1 on its diagonal and D = 0.5: C = -A^-1 D / 2."""
    a = np.array([[-1.0, 0.6, 0.0], [0.6, -1.0, -0.3], [0.0, -0.3, -1.0]])
    rng = np.random.default_rng(seed)
    return a, rng.multivariate_normal([3, 1, 2], -np.linalg.inv(a) * 0.25, n)


def test_the_spread_of_a_standing_crowd_gives_a_symmetric_matrix_back():
    a, first = symmetric_crowd(20_000, 0)
    _, second = symmetric_crowd(20_000, 1)
    found = fluctuations.fluctuation_operator(snapshots_of(first, second), decay=1.0)
    assert found == pytest.approx(a, abs=0.03)
    assert fluctuations.fluctuation_operator(snapshots_of(first, second), decay=3.0) == pytest.approx(3 * found)


def test_permuting_genes_permutes_it_and_a_constant_gene_says_nothing():
    _, first = symmetric_crowd(500, 0)
    _, second = symmetric_crowd(500, 1)
    order = [2, 0, 1]
    plain = fluctuations.fluctuation_operator(snapshots_of(first, second), most=1)
    permuted = fluctuations.fluctuation_operator(snapshots_of(first[:, order], second[:, order]), most=1)
    assert permuted == pytest.approx(plain[np.ix_(order, order)])
    wide = [np.hstack([crowd, np.full((500, 1), 4.0)]) for crowd in (first, second)]
    found = fluctuations.fluctuation_operator(snapshots_of(*wide), most=1)
    assert found[:3, :3] == pytest.approx(plain)
    assert (found[3] == 0).all()
    assert (found[:, 3] == 0).all()


def test_groups_are_found_within_each_snapshot():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((300, 2))
    two = np.concatenate([rng.standard_normal((200, 2)) + 12, rng.standard_normal((150, 2)) - 12])
    sizes = sorted(len(g) for g in fluctuations.groups(snapshots_of(one, two)))
    assert sizes == [150, 200, 300]
    # A group below `least` is left out.
    few = np.concatenate([rng.standard_normal((200, 2)) + 12, rng.standard_normal((20, 2)) - 12])
    assert sorted(len(g) for g in fluctuations.groups(snapshots_of(one, few))) == [200, 300]
    with pytest.raises(ValueError, match="at least one group of 500 cells"):
        fluctuations.groups(snapshots_of(one, two), least=500)


def test_two_clusters_of_independent_genes_fool_the_pooled_cells_only():
    rng = np.random.default_rng(1)
    apart = np.concatenate([rng.normal(8, 1, (400, 2)), rng.normal(-8, 1, (400, 2))])
    snaps = snapshots_of(apart, apart + 0.1)
    assert abs(ce.grn.correlation(snaps)[0, 1]) > 0.9
    assert abs(fluctuations.fluctuation_operator(snaps)[0, 1]) < 0.1


def test_genes_are_needed():
    with pytest.raises(ValueError, match="use_rep"):
        fluctuations.groups(SimpleNamespace(use_rep="X_pca"))
