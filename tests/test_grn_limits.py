"""The limits of projection against brute force and the cases that have a closed form."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ortho_group

from cellmnn_edu import Snapshots
from cellmnn_edu.grn import limits
from cellmnn_edu.grn.limits import limits_table, mean_jacobian, projection_limits
from cellmnn_edu.grn.peers import no_dynamics
from cellmnn_edu.simulate import gene_circuit

PARTS = ("projected_truth", "oracle", "unprojected")


PERFECT = pytest.approx({"auroc": 1, "auprc": 1, "sign_accuracy": 1})


@pytest.fixture(autouse=True)
def short_searches(monkeypatch):
    monkeypatch.setattr(limits, "STEPS", 100)


def world(name="random", n_components=3, n_cells=40, times=(0, 1, 2), seed=0, **options):
    if name in ("random", "linear"):
        options = {"n_genes": 6} | options
    circuit = gene_circuit(name, seed=seed, **options)
    adata = circuit.snapshots(times, n_cells, seed=seed)
    return circuit, Snapshots.from_anndata(adata, n_components=n_components)


def counted(w, network):
    """AUROC by counting pairs, average precision by walking down the ranking, and signs, all in plain loops."""
    size = len(w)
    pairs = [(i, j) for i in range(size) for j in range(size) if i != j]
    edges = [abs(w[p]) for p in pairs if network[p]]
    others = [abs(w[p]) for p in pairs if not network[p]]
    auroc = np.mean([(e > o) + 0.5 * (e == o) for e in edges for o in others])
    auprc = np.mean([sum(x >= e for x in edges) / sum(x >= e for x in edges + others) for e in edges])
    signs = np.mean([np.sign(w[p]) == network[p] for p in pairs if network[p]])
    return {"auroc": pytest.approx(auroc), "auprc": pytest.approx(auprc), "sign_accuracy": pytest.approx(signs)}


def test_the_true_jacobian_is_that_of_the_field_of_the_data():
    circuit, snaps = world("myeloid", n_cells=2)
    cells = np.concatenate(snaps.raw)

    def speed(y):  # of y = log1p(x)
        return circuit.velocity(np.expm1(y)) / np.exp(y)

    # Far enough from 0 that both sides of the quotient are concentrations.
    snaps = replace(snaps, raw=[x + 0.1 for x in snaps.raw])
    step = 1e-6
    columns = [
        (speed(cells + 0.1 + step * unit) - speed(cells + 0.1 - step * unit)).mean(0) / (2 * step)
        for unit in np.eye(len(circuit.genes))
    ]
    np.testing.assert_allclose(mean_jacobian(circuit, snaps), np.array(columns).T, atol=1e-7)


def test_the_true_jacobian_of_a_linear_circuit_is_its_matrix():
    matrix = np.array([[-1.0, 0.5, 0.0], [0.0, -1.0, -0.7], [0.3, 0.0, -1.0]])
    circuit, snaps = world("linear", n_genes=3, n_components=None, matrix=matrix)
    np.testing.assert_allclose(mean_jacobian(circuit, snaps), matrix, atol=1e-12)


@pytest.mark.parametrize("name", ["random", "linear", "myeloid"])
@pytest.mark.parametrize("n_components", [2, 4])
def test_projected_truth_is_the_operator_of_states_lifted_back(name, n_components):
    circuit, snaps = world(name, n_components)
    result = projection_limits(circuit, snaps, n_restarts=0)
    jacobian, v, s = mean_jacobian(circuit, snaps), snaps.loadings, np.diag(snaps.scale)
    operator = np.linalg.inv(s) @ v.T @ jacobian @ v @ s  # what a perfect model of the states would learn
    lifted = v @ s @ operator @ np.linalg.inv(s) @ v.T
    assert result["n_components"] == n_components
    assert result["projected_truth"] == counted(lifted, circuit.network)
    assert result["unprojected"] == counted(jacobian, circuit.network)
    assert result["unprojected"] == PERFECT


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_components", [1, 2, 4])
def test_the_oracle_is_never_below_the_projected_truth(seed, n_components):
    circuit, snaps = world("random", n_components, seed=seed)
    result = projection_limits(circuit, snaps, n_restarts=2)
    for score, value in result["projected_truth"].items():
        assert value <= result["oracle"][score] <= 1


@pytest.mark.parametrize("name", ["random", "linear", "myeloid"])
def test_nothing_is_lost_without_projection(name):
    circuit, snaps = world(name, None)
    result = projection_limits(circuit, snaps)
    assert result["n_components"] is None
    assert result["projected_truth"] == result["unprojected"] == PERFECT
    assert result["oracle"] == PERFECT
    # As many components as genes are gene space, turned.
    full = projection_limits(*world(name, len(circuit.genes)))
    for part in PARTS:
        assert full[part] == PERFECT


@pytest.mark.parametrize("seed", range(4))
def test_one_component_leaves_no_choice(seed):
    # W = m v v^T: its ranking is that of v v^T whatever m is, and its signs are those of v v^T or all turned.
    circuit, snaps = world("random", 1, seed=seed)
    result = projection_limits(circuit, snaps, n_restarts=2)
    plain = no_dynamics(snaps)
    either = [counted(sign * plain, circuit.network) for sign in (1, -1)]
    best = max(each["sign_accuracy"].expected for each in either)
    assert result["oracle"] == either[0] | {"sign_accuracy": pytest.approx(best)}


def test_no_random_matrix_beats_the_oracle(monkeypatch):
    monkeypatch.setattr(limits, "STEPS", 600)
    circuit, snaps = world("myeloid", 2, n_cells=100)
    result = projection_limits(circuit, snaps)
    rng, v = np.random.default_rng(0), snaps.loadings
    off = ~np.eye(11, dtype=bool)
    edge, signs = (circuit.network != 0)[off], circuit.network[off]
    w = np.einsum("ia,nab,jb->nij", v, rng.standard_normal((20_000, 2, 2)), v)[:, off]
    ranks = np.argsort(np.argsort(np.abs(w), axis=1), axis=1)[:, edge] + 1
    aurocs = (ranks.sum(1) - edge.sum() * (edge.sum() + 1) / 2) / (edge.sum() * (~edge).sum())
    assert aurocs.max() <= result["oracle"]["auroc"] + 0.005
    # Of signs, one edge may be missed: the last ones can need an M in a narrow cone.
    most = np.mean(np.sign(w) == signs, axis=1, where=edge).max()
    assert most <= result["oracle"]["sign_accuracy"] + 1.01 / edge.sum()


def test_a_network_made_of_components_is_found(monkeypatch):
    # Edges are the largest entries of V M V^T for a secret M, so the oracle could be perfect.
    _, snaps = world("random", 3, n_genes=8)
    secret = np.random.default_rng(1).standard_normal((3, 3))
    w = snaps.loadings @ secret @ snaps.loadings.T
    np.fill_diagonal(w, 0)
    network = np.where(np.abs(w) > np.quantile(np.abs(w), 0.7), np.sign(w), 0)
    circuit = gene_circuit("linear", matrix=network - 8 * np.eye(8))
    monkeypatch.setattr(limits, "STEPS", 600)
    found = projection_limits(circuit, replace(snaps, genes=circuit.genes))["oracle"]
    assert found["auroc"] > 0.98
    assert found["sign_accuracy"] == 1


def test_turned_components_say_the_same():
    circuit, snaps = world("linear", 3)
    turned = replace(snaps, loadings=snaps.loadings @ ortho_group.rvs(3, random_state=0))
    flipped = replace(snaps, loadings=snaps.loadings * [1, -1, -1], scale=snaps.scale * 3)
    first = projection_limits(circuit, snaps)
    for other in (turned, flipped):
        result = projection_limits(circuit, other)
        assert result["projected_truth"] == pytest.approx(first["projected_truth"])
        for score in ("auroc", "sign_accuracy"):  # found by a search, from other starts
            assert result["oracle"][score] == pytest.approx(first["oracle"][score], abs=0.06)


def test_the_same_seed_gives_the_same():
    circuit, snaps = world("linear", 2)
    assert projection_limits(circuit, snaps, 2, seed=3) == projection_limits(circuit, snaps, 2, seed=3)


def test_large_networks_compare_some_pairs_in_each_step(monkeypatch):
    monkeypatch.setattr(limits, "COMPARED", 10)
    circuit, snaps = world("myeloid", 4)
    result = projection_limits(circuit, snaps, n_restarts=2)
    assert result["oracle"]["auroc"] > result["projected_truth"]["auroc"] + 0.1


def test_networks_of_one_sign_have_signs_too():
    matrix = np.array([[-1.0, 0.5, 0.0], [0.0, -1.0, 0.7], [0.3, 0.0, -1.0]])
    circuit, snaps = world("linear", 1, n_genes=3, matrix=matrix)
    assert projection_limits(circuit, snaps, n_restarts=0)["oracle"]["sign_accuracy"] >= 1 / 3


def test_the_table_has_one_row_for_each_number_of_components():
    circuit = gene_circuit("linear", n_genes=5, seed=1)
    adata = circuit.snapshots([0, 1], 50, seed=0)
    table = limits_table(circuit, adata, components=[1, 3, None], n_restarts=1)
    assert table["n_components"].tolist()[:2] == [1, 3]
    assert pd.isna(table["n_components"][2])
    made = limits_table(
        circuit, lambda n: Snapshots.from_anndata(adata, n_components=n), components=[1, 3, None], n_restarts=1
    )
    pd.testing.assert_frame_equal(table, made)
    single = projection_limits(circuit, Snapshots.from_anndata(adata, n_components=3), n_restarts=1)
    for part in PARTS:
        for score, value in single[part].items():
            assert table[f"{part}_{score}"][1] == value


def test_questions_without_an_answer_are_refused():
    with pytest.raises(ValueError, match="nothing to rank"):
        projection_limits(*world("toggle", 1))  # each of the two genes acts on the other: all pairs are edges
    circuit, snaps = world("random", 3)
    with pytest.raises(ValueError, match="circuit's 6 genes"):
        projection_limits(circuit, replace(snaps, genes=snaps.genes[::-1]))
    with pytest.raises(ValueError, match="use_rep"):
        projection_limits(circuit, replace(snaps, use_rep="X_pca"))
