"""Knocks against scipy's exponential, the units' formulas, circuits with known answers, and a counted coverage."""

from dataclasses import replace
from itertools import pairwise

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from cellmnn_edu import CellMNN, Snapshots, baselines, perturb
from cellmnn_edu.simulate import gene_circuit

GENES = ["a", "b", "c", "d"]


class LinearModel:
    """dz/dt = A z + b in numpy and scipy alone."""

    def __init__(self, matrix, offset):
        self.matrix, self.constant = np.asarray(matrix), np.asarray(offset)

    def operator(self, z, t):
        return np.broadcast_to(self.matrix, (len(z), *self.matrix.shape))

    def offset(self, z, t):
        return np.broadcast_to(self.constant, z.shape)

    def propagate(self, z, t0, t1, n_steps=1):
        return lifted_flow(self.matrix, self.constant, z, t1 - t0)


class OnlyMoves:
    """A rival: nothing but propagate, and no steps to choose."""

    def propagate(self, z, t0, t1):
        return z * (1 + t1 - t0)


class FieldOfCircuit:
    """A model whose field is that of the circuit, in the coordinates of snapshots in gene space."""

    def __init__(self, circuit, snaps):
        self.circuit, self.snaps = circuit, snaps

    def operator(self, z, t):
        x = np.expm1(self.snaps.decode(z)).clip(min=0)
        return self.circuit.jacobian(x, log=True) * self.snaps.scale / self.snaps.scale[:, None]

    def offset(self, z, t):
        x = np.expm1(self.snaps.decode(z)).clip(min=0)
        velocity = self.circuit.velocity(x) / (1 + x) / self.snaps.scale
        return velocity - np.einsum("nij,nj->ni", self.operator(z, t), z)

    def propagate(self, z, t0, t1, n_steps=1):
        for start, end in pairwise(np.linspace(t0, t1, n_steps + 1)):
            # exponential Rosenbrock: with J and f - J z, the frozen operator is exact to second order
            lifted = np.zeros((len(z), len(z[0]) + 1, len(z[0]) + 1))
            lifted[:, :-1, :-1], lifted[:, :-1, -1] = self.operator(z, start), self.offset(z, start)
            moves = torch.linalg.matrix_exp(torch.from_numpy(lifted * (end - start))).numpy()
            z = np.einsum("nij,nj->ni", moves, np.c_[z, np.ones(len(z))])[:, :-1]
        return z


def lifted_flow(matrix, offset, z, duration):
    lifted = np.block([[matrix, np.reshape(offset, (-1, 1))], [np.zeros((1, len(matrix) + 1))]])
    ends = np.concatenate([z, np.ones((*z.shape[:-1], 1))], axis=-1) @ expm(lifted * duration).T
    return ends[..., :-1]


def snapshots(n_components=None, seed=0, n=30, n_genes=4, **options):
    rng = np.random.default_rng(seed)
    mixed = rng.exponential(1.0, (3 * n, n_genes)) @ rng.uniform(0.2, 1, (n_genes, n_genes))
    genes = [*GENES, *(f"g{i}" for i in range(n_genes))][:n_genes]
    adata = anndata.AnnData(
        np.log1p(mixed),
        obs=pd.DataFrame({"time": np.repeat([0.0, 1.0, 2.0], n)}, index=np.arange(3 * n).astype(str)),
        var=pd.DataFrame(index=genes),
    )
    adata.obsm["X_own"] = adata.X[:, :2].copy()
    return Snapshots.from_anndata(adata, n_components=n_components, **options)


def linear_model(dim=4, seed=1):
    rng = np.random.default_rng(seed)
    return LinearModel(rng.normal(0, 0.7, (dim, dim)), rng.normal(0, 1, dim))


def any_knock(before, after):
    """A knock whose cells end in given places."""
    kept = pd.Series([1.0], index=["a"])
    return perturb.Knock(("a",), (0.0,), "initial", 0.0, 1.0, before, before, before, after, kept, np.asarray)


def first_gene(expression):
    return np.where(expression[:, 0] > 0.5, "high", "low")


# The start


@given(x=st.floats(0, 8), factor=st.floats(0, 4))
@settings(max_examples=50, deadline=None)
def test_log1p_multiplies_the_counts(x, factor):
    cells = np.full((2, 4), x)
    knocked = perturb.knock(OnlyMoves(), snapshots(rescale=False), "b", factor, 0.0, 0.0, cells=cells).start_knocked
    np.testing.assert_allclose(np.expm1(knocked[:, 1]), factor * np.expm1(x), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(knocked[:, [0, 2, 3]], cells[:, [0, 2, 3]])


def test_log2_adds_and_stops_at_the_lowest_value_seen_at_any_time():
    snaps = snapshots(rescale=False)
    lowest = np.concatenate(snaps.raw)[:, 2].min()
    ask = {"units": "log2", "t0": 2.0, "t1": 2.0}
    halved = perturb.knock(OnlyMoves(), snaps, "c", 0.5, **ask).start_knocked[:, 2]
    np.testing.assert_allclose(halved, np.maximum(snaps.raw[2][:, 2] - 1, lowest), rtol=1e-12)
    assert (halved == lowest).any()
    assert (halved > lowest).any()
    out = perturb.knock(OnlyMoves(), snaps, "c", 0.0, **ask).start_knocked
    np.testing.assert_allclose(out[:, 2], lowest, rtol=1e-12)
    below = np.full((1, 4), lowest - 3)  # a cell below the limit is not lifted to it
    np.testing.assert_array_equal(perturb.knock(OnlyMoves(), snaps, "c", 0.0, **ask, cells=below).start_knocked, below)


def test_linear_multiplies_and_several_genes_take_one_factor_or_their_own():
    snaps = snapshots(rescale=False)
    x = snaps.raw[1]
    one = perturb.knock(OnlyMoves(), snaps, ["d", "a"], 3.0, 1.0, 1.0, units="linear")
    np.testing.assert_allclose(one.start_knocked, x * [3, 1, 1, 3], rtol=1e-12)
    own = perturb.knock(OnlyMoves(), snaps, ["d", "a"], [0.0, 2.0], 1.0, 1.0, units="linear")
    np.testing.assert_allclose(own.start_knocked, x * [2, 1, 1, 0], rtol=1e-12)
    assert (own.genes, own.factors) == (("d", "a"), (0.0, 2.0))


def test_the_cells_are_those_of_the_snapshot_in_the_coordinates_of_the_model():
    snaps = snapshots()
    found = perturb.knock(OnlyMoves(), snaps, "a", 0.0, 1.0, 2.0)
    np.testing.assert_array_equal(found.start, snaps.states[1])
    np.testing.assert_allclose(found.control_expression, snaps.decode(2 * snaps.states[1]))
    gone = snaps.raw[1].copy()
    gone[:, 0] = 0
    np.testing.assert_allclose(found.start_knocked, snaps.encode(gone))
    np.testing.assert_allclose(found.knocked_expression, snaps.decode(2 * snaps.encode(gone)))


# What survives the encoder


@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_components_keep_the_squared_row_of_the_loadings(n_components):
    snaps = snapshots(n_components, n_genes=8, seed=3)
    projection = snaps.loadings @ snaps.loadings.T
    for row, gene in enumerate(snaps.genes):
        kept = perturb.knock(OnlyMoves(), snaps, gene, 0.0, 0.0, 1.0).kept
        assert kept[gene] == pytest.approx(projection[row, row], rel=1e-9)
        assert 0 <= kept[gene] <= 1


def test_all_is_kept_in_gene_space_and_nothing_is_said_of_a_silent_gene():
    snaps = snapshots()
    assert perturb.knock(OnlyMoves(), snaps, ["a", "b"], 0.3, 0.0, 1.0).kept.tolist() == pytest.approx([1, 1])
    assert np.isnan(perturb.knock(OnlyMoves(), snaps, "a", 1.0, 0.0, 1.0).kept["a"])
    assert np.isnan(perturb.knock(OnlyMoves(), snaps, "a", 0.0, 0.0, 1.0, cells=np.zeros((3, 4))).kept["a"])


def test_a_knock_does_not_depend_on_the_signs_of_the_components():
    snaps = snapshots(3)
    signs = np.array([1, -1, -1])
    other = replace(snaps, loadings=snaps.loadings * signs, states=[z * signs for z in snaps.states])
    model = linear_model(3)
    turned = LinearModel(model.matrix * signs * signs[:, None], model.constant * signs)
    for factor in (0.0, 2.0):
        one, two = (perturb.knock(m, s, "b", factor, 0.0, 1.5) for m, s in ((model, snaps), (turned, other)))
        np.testing.assert_allclose(one.knocked_expression, two.knocked_expression, rtol=1e-9, atol=1e-9)
        assert one.kept["b"] == pytest.approx(two.kept["b"])


# Following the cells


def test_control_and_knocked_follow_the_exponential():
    model, snaps = linear_model(), snapshots()
    found = perturb.knock(model, snaps, "c", 0.5, 1.0, 2.3)
    np.testing.assert_allclose(found.control, lifted_flow(model.matrix, model.constant, found.start, 1.3))
    np.testing.assert_allclose(found.knocked, lifted_flow(model.matrix, model.constant, found.start_knocked, 1.3))


@pytest.mark.parametrize("genes", [["b"], ["d", "a"]])
@pytest.mark.parametrize("n_steps", [1, 7])
def test_a_clamped_gene_stays_and_the_others_follow_the_exponential_without_its_row(genes, n_steps):
    model, snaps = linear_model(), snapshots()
    rows = [GENES.index(gene) for gene in genes]
    matrix, offset = model.matrix.copy(), model.constant.copy()
    matrix[rows], offset[rows] = 0, 0
    found = perturb.knock(model, snaps, genes, 0.0, 0.0, 1.7, "clamped", n_steps=n_steps)
    np.testing.assert_allclose(found.knocked, lifted_flow(matrix, offset, found.start_knocked, 1.7), rtol=1e-10)
    np.testing.assert_array_equal(found.knocked[:, rows], found.start_knocked[:, rows])
    np.testing.assert_allclose(found.knocked_expression[:, rows], 0, atol=1e-12)
    np.testing.assert_allclose(found.control, lifted_flow(model.matrix, model.constant, found.start, 1.7))
    np.testing.assert_array_equal(model.matrix, linear_model().matrix)  # not changed by the knock


def test_a_clamped_gene_acts_through_its_column():
    # d' = a, all else stands still: holding a at 0 (in x) leaves d where it was.
    matrix = np.zeros((4, 4))
    matrix[3, 0] = 1.0
    snaps = snapshots(rescale=False)
    found = perturb.knock(LinearModel(matrix, np.zeros(4)), snaps, "a", 0.0, 0.0, 2.0, "clamped")
    np.testing.assert_allclose(found.knocked[:, 3], found.start[:, 3], rtol=1e-12)
    np.testing.assert_allclose(found.control[:, 3], found.start[:, 3] + 2 * found.start[:, 0], rtol=1e-12)


def test_the_network_is_asked_anew_at_every_step_of_a_clamped_knock():
    snaps = snapshots()
    model = CellMNN(4, head="dense", affine=True, seed=3).double()
    with torch.no_grad():
        model.network[-1].weight *= 10

    def field(t, z):
        velocity = model.velocity(z.reshape(-1, 4), t)
        velocity[:, 2] = 0
        return velocity.ravel()

    start = perturb.knock(model, snaps, "c", 0.0, 0.0, 1.0).start_knocked
    exact = solve_ivp(field, (0, 1), start.ravel(), rtol=1e-8, atol=1e-8).y[:, -1].reshape(-1, 4)
    errors = [
        np.abs(perturb.knock(model, snaps, "c", 0.0, 0.0, 1.0, "clamped", n_steps=n).knocked - exact).max()
        for n in (8, 16, 32)
    ]
    assert np.abs(exact - start).max() > 0.1
    assert errors[2] < 0.05 * np.abs(exact - start).max()
    # order 1; the network has kinks
    assert all(1.6 < coarse / fine < 2.5 for coarse, fine in pairwise(errors))


def test_factor_one_changes_nothing():
    for snaps, model in ((snapshots(), linear_model()), (snapshots(2), CellMNN(2))):
        for units in perturb.UNITS:
            found = perturb.knock(model, snaps, ["a", "c"], 1.0, 0.0, 2.0, units=units)
            np.testing.assert_allclose(found.knocked, found.control, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["persistence", "mean-shift", "ot-interpolation"])
def test_rivals_can_be_knocked_at_the_start(name):
    snaps = snapshots(2)
    model = baselines.get(name).fit(snaps)
    found = perturb.knock(model, snaps, "a", 0.0, 0.0, 1.0)
    np.testing.assert_array_equal(found.control, model.propagate(snaps.states[0], 0.0, 1.0))
    np.testing.assert_array_equal(found.knocked, model.propagate(found.start_knocked, 0.0, 1.0))


def test_a_model_with_steps_takes_them():
    snaps, model = snapshots(2), CellMNN(2, seed=1)
    found = perturb.knock(model, snaps, "a", 0.0, 0.0, 2.0, n_steps=3)
    np.testing.assert_array_equal(found.control, model.propagate(snaps.states[0], 0.0, 2.0, n_steps=3))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gene": "z"}, "'z' is not among them"),
        ({"gene": []}, "one or more different genes"),
        ({"gene": ["a", "a"]}, "different genes"),
        ({"factor": -0.5}, "factor >= 0"),
        ({"factor": np.nan}, "factor >= 0"),
        ({"gene": ["a", "b"], "factor": [1, 2, 3]}, "one for each of 2"),
        ({"t0": 0.5}, r"one of the times \[0.0, 1.0, 2.0\]"),
        ({"t1": -1.0}, "t0 <= t1"),
        ({"t1": np.inf}, "finite times"),
        ({"mode": "held"}, "initial, clamped"),
        ({"units": "counts"}, "log1p, log2, linear"),
        ({"n_steps": 0}, "n_steps"),
        ({"cells": np.ones((3, 2))}, r"\(n, 4\)"),
        ({"cells": np.full((3, 4), np.nan)}, "finite expression"),
        ({"cells": -np.ones((3, 4))}, "never negative"),
        ({"snaps": snapshots(2), "mode": "clamped"}, "n_components=None"),
        ({"snaps": snapshots(use_rep="X_own")}, "without use_rep"),
        ({"model": OnlyMoves(), "mode": "clamped"}, "model.operator"),
    ],
)
def test_what_cannot_be_knocked_is_said(change, words):
    asked = {"model": linear_model(), "snaps": snapshots(), "gene": "a", "factor": 0.0, "t0": 0.0, "t1": 1.0}
    with pytest.raises(ValueError, match=words):
        perturb.knock(**asked | change)


def test_cells_may_start_at_any_time():
    found = perturb.knock(OnlyMoves(), snapshots(), "a", 0.0, 0.5, 1.0, cells=np.ones((3, 4)))
    assert found.control.shape == (3, 4)


def test_exploding_cells_are_refused():
    model = LinearModel(500 * np.eye(4), np.zeros(4))
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="to infinity or NaN"):
        perturb.knock(model, snapshots(), "a", 0.0, 0.0, 2.0, "clamped", n_steps=1)


# Fates


def test_shares_and_shift_are_counts():
    before = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]])
    after = np.array([[0.0], [1.0], [1.0], [1.0], [1.0]])
    table = perturb.fate_shift(any_knock(before, after), first_gene).set_index("fate")
    assert table.index.tolist() == ["high", "low"]
    np.testing.assert_allclose(table[["control", "knocked", "shift"]], [[0.6, 0.8, 0.2], [0.4, 0.2, -0.2]])
    assert perturb.fates(before, first_gene).to_dict() == pytest.approx({"high": 0.6, "low": 0.4})


@given(seed=st.integers(0, 1000), n=st.integers(1, 40), n_fates=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_shifts_cancel_and_the_interval_holds_them(seed, n, n_fates):
    before, after = np.random.default_rng(seed).integers(0, n_fates, (2, n, 1))
    table = perturb.fate_shift(any_knock(before, after), lambda x: x[:, 0])
    assert table["shift"].sum() == pytest.approx(0, abs=1e-12)
    assert table[["control", "knocked"]].sum().tolist() == pytest.approx([1, 1])
    np.testing.assert_allclose(table["knocked"] - table["control"], table["shift"], atol=1e-12)
    assert (table["low"] <= table["high"]).all()
    swapped = perturb.fate_shift(any_knock(after, before), lambda x: x[:, 0])
    np.testing.assert_allclose(swapped["shift"], -table["shift"])


def test_identical_populations_have_no_shift():
    cells = np.random.default_rng(0).uniform(0, 1, (200, 2))
    table = perturb.fate_shift(any_knock(cells, cells), first_gene)
    assert (table[["shift", "low", "high"]] == 0).all(axis=None)


def test_the_interval_is_that_of_drawing_cells_in_pairs():
    rng = np.random.default_rng(4)
    before, after = rng.uniform(0, 1, (2, 150, 1))
    after = np.where(rng.uniform(size=(150, 1)) < 0.7, before, after)
    change = (after[:, 0] > 0.5).astype(float) - (before[:, 0] > 0.5)
    drawn = change[rng.integers(0, 150, (20_000, 150))].mean(1)
    table = perturb.fate_shift(any_knock(before, after), first_gene, n_boot=20_000, level=0.9).set_index("fate")
    np.testing.assert_allclose(table.loc["high", ["low", "high"]].tolist(), np.quantile(drawn, [0.05, 0.95]), atol=7e-3)
    unpaired = np.sqrt(2 * 0.25 / 150) * 2 * 1.645
    assert np.ptp(np.quantile(drawn, [0.05, 0.95])) < 0.8 * unpaired


def test_the_interval_covers_the_true_shift_as_often_as_it_says():
    rng = np.random.default_rng(5)
    # 60 % keep their fate, 25 % go from low to high, 15 % back: the true shift is 0.10.
    hits = []
    for seed in range(400):
        kind = rng.choice(4, 200, p=[0.3, 0.3, 0.25, 0.15])
        before, after = np.array([[0, 1, 0, 1], [0, 1, 1, 0]], dtype=float)[:, kind, None]
        table = perturb.fate_shift(any_knock(before, after), first_gene, seed=seed).set_index("fate")
        hits.append(table.loc["high", "low"] <= 0.10 <= table.loc["high", "high"])
    # a percentile interval of 200 cells falls short of 95 % by about 1 %; 4.5 standard errors
    assert abs(np.mean(hits) - 0.945) < 4.5 * np.sqrt(0.95 * 0.05 / 400)


@pytest.mark.parametrize(
    ("change", "words"), [({"n_boot": 0}, "n_boot"), ({"level": 1.0}, "level"), ({"classify": len}, "one label")]
)
def test_wrong_questions_about_fates(change, words):
    cells = np.zeros((5, 1))
    with pytest.raises(ValueError, match=words):
        perturb.fate_shift(**{"knock": any_knock(cells, cells), "classify": first_gene} | change)


def test_the_nearest_centre_decides():
    rng = np.random.default_rng(0)
    centres, x = rng.normal(size=(5, 3)), rng.normal(size=(100, 3))
    table = pd.DataFrame(centres, index=list("vwxyz"))
    nearest = np.array(list("vwxyz"))[((x[:, None] - centres) ** 2).sum(2).argmin(1)]
    np.testing.assert_array_equal(perturb.nearest_fate(table)(x), nearest)
    np.testing.assert_array_equal(perturb.nearest_fate(dict(zip("vwxyz", centres, strict=True)))(x), nearest)
    with pytest.raises(ValueError, match=r"\(n, 3\)"):
        perturb.nearest_fate(table)(x[:, :2])
    with pytest.raises(ValueError, match="finite"):
        perturb.nearest_fate(table)(np.full((2, 3), np.nan))
    for wrong in ({}, {"a": [1.0, 2.0], "b": [1.0]}, {"a": [np.nan]}):
        with pytest.raises(ValueError, match="at least one centre"):
            perturb.nearest_fate(wrong)


# Circuits: the truth


def test_the_attractors_of_the_toggle_are_the_closed_form():
    states = np.expm1(perturb.attractors(gene_circuit("toggle"), n_cells=50))
    # x y = 1 and x + y = 6
    high, low = 3 + 8**0.5, 3 - 8**0.5
    assert states.index.tolist() == ["geneA", "geneB"]
    np.testing.assert_allclose(states, [[high, low], [low, high]], atol=1e-5)


def test_the_attractors_of_the_myeloid_circuit_are_the_published_fates():
    circuit = gene_circuit("myeloid")
    states = perturb.attractors(circuit, n_cells=50)
    published = ["Gata1 Fog1 EKLF SCL", "Gata1 Fog1 Fli1 SCL", "Cebpa Pu.1 cJun EgrNab", "Cebpa Pu.1 Gfi1"]
    assert {frozenset(name.split("+")) for name in states.index} == {frozenset(fate.split()) for fate in published}
    x = np.expm1(states.to_numpy())
    assert np.abs(circuit.velocity(x)).max() < 1e-5
    assert np.linalg.eigvals(circuit.jacobian(x)).real.max() < 0
    # a few start with EKLF = Fli1 = 0 and run, without noise, into the saddle between the two
    assert 0.9 < sum(states.attrs["share"].values()) <= 1
    # a cell at rest is classified as itself
    np.testing.assert_array_equal(perturb.nearest_fate(states)(states.to_numpy()), states.index)


def test_a_linear_circuit_rests_in_one_state_and_an_oscillator_nowhere():
    circuit = gene_circuit("linear", n_genes=3, seed=1, offset=1.0)
    states = perturb.attractors(circuit, n_cells=5)
    rest = np.linalg.solve(circuit.jacobian(np.zeros(3)), -np.ones(3))
    np.testing.assert_allclose(states.to_numpy(), [rest], atol=1e-5)
    with pytest.raises(ValueError, match="oscillates"):
        perturb.attractors(gene_circuit("repressilator"), n_cells=5)


@pytest.mark.parametrize("mode", perturb.MODES)
def test_without_its_gene_a_toggle_goes_to_the_other_side(mode):
    circuit = gene_circuit("toggle")
    rule = perturb.nearest_fate(perturb.attractors(circuit, n_cells=50))
    for gene, other in (("geneA", "geneB"), ("geneB", "geneA")):
        found = perturb.circuit_knock(circuit, gene, 0.0, 0.0, 8.0, n_cells=200, mode=mode)
        table = perturb.fate_shift(found, rule).set_index("fate")
        assert table.loc[other, "knocked"] > 0.98
        assert table.loc[other, "low"] > 0.3


def test_the_circuit_knock_is_the_simulation_with_the_same_noise():
    circuit = gene_circuit("myeloid")
    x = np.random.default_rng(0).uniform(0, 1, (10, 11))
    found = perturb.circuit_knock(circuit, "Gata1", 0.5, 2.0, 3.0, cells=x, seed=3)
    changed = x.copy()
    changed[:, 1] /= 2
    np.testing.assert_allclose(found.start_knocked, np.log1p(changed))
    noise = np.random.SeedSequence([3, 1])
    np.testing.assert_array_equal(found.control, np.log1p(circuit.simulate(x, [1.0], seed=noise)[0]))
    np.testing.assert_array_equal(found.knocked, np.log1p(circuit.simulate(changed, [1.0], seed=noise)[0]))
    np.testing.assert_array_equal(found.knocked_expression, found.knocked)
    same = perturb.circuit_knock(circuit, "Gata1", 1.0, 2.0, 3.0, cells=x, seed=3)
    np.testing.assert_array_equal(same.knocked, same.control)


def test_own_cells_of_the_circuit_have_lived_until_the_knock():
    circuit = gene_circuit("toggle")
    found = perturb.circuit_knock(circuit, "geneA", 0.0, 1.5, 2.0, n_cells=40, seed=7)
    np.testing.assert_allclose(found.start, circuit.snapshots([1.5], 40, seed=7).X, rtol=1e-12)


def test_clamping_a_circuit_holds_the_gene_and_frees_what_it_represses():
    circuit = gene_circuit("toggle", volume=np.inf)
    x = np.array([[2.0, 1.0], [5.0, 0.2]])
    found = perturb.circuit_knock(circuit, "geneA", 0.5, 0.0, 3.0, mode="clamped", cells=x, dt=0.005)
    # y' = 6 / (1 + a^2) - y with a held
    level = 6 / (1 + (x[:, 0] / 2) ** 2)
    expected = level + (x[:, 1] - level) * np.exp(-3)
    np.testing.assert_allclose(np.expm1(found.knocked), np.stack([x[:, 0] / 2, expected], 1), rtol=5e-3)
    noisy = perturb.circuit_knock(gene_circuit("toggle"), "geneA", 0.5, 0.0, 3.0, mode="clamped", cells=x)
    np.testing.assert_array_equal(noisy.knocked[:, 0], noisy.start_knocked[:, 0])


def test_a_linear_circuit_is_knocked_in_x_and_agrees_with_its_model():
    circuit = gene_circuit("linear", n_genes=4, seed=2, offset=0.5, noise_std=0.0)
    snaps = Snapshots.from_anndata(circuit.snapshots([0.0, 1.0], 20, seed=0), n_components=None, rescale=False)
    model = LinearModel(circuit.jacobian(np.zeros(4)), np.full(4, 0.5))
    for mode in perturb.MODES:
        mine = perturb.knock(model, snaps, "gene2", 0.0, 0.0, 1.0, mode, units="linear")
        true = perturb.circuit_knock(circuit, "gene2", 0.0, 0.0, 1.0, mode=mode, cells=snaps.raw[0], dt=1e-3)
        np.testing.assert_allclose(true.control, mine.control, atol=5e-3)
        np.testing.assert_allclose(true.knocked, mine.knocked, atol=5e-3)


@pytest.mark.parametrize("change", [{"gene": "x"}, {"mode": "held"}, {"t1": -1.0}, {"factor": -1}])
def test_the_truth_refuses_what_the_model_refuses(change):
    with pytest.raises(ValueError, match="Expected"):
        perturb.circuit_knock(
            **{"circuit": gene_circuit("toggle"), "gene": "geneA", "factor": 0, "t0": 0, "t1": 1} | change
        )


# Model against truth


def test_a_model_with_the_circuits_field_says_where_its_cells_go():
    truth, predicted = {}, {}
    for name, t0, end in (("toggle", 0.0, 8.0), ("myeloid", 2.0, 8.0)):
        circuit = gene_circuit(name)
        rule = perturb.nearest_fate(perturb.attractors(circuit, n_cells=50))
        snaps = Snapshots.from_anndata(circuit.snapshots([t0, end], 40, seed=0), n_components=None)
        for gene in circuit.genes if name == "toggle" else ["Gata1", "Cebpa"]:
            for mode in perturb.MODES:
                key = f"{name}: {gene}, {mode}"
                true = perturb.circuit_knock(circuit, gene, 0.0, t0, end, 150, mode, dt=0.05)
                mine = perturb.knock(FieldOfCircuit(circuit, snaps), snaps, gene, 0.0, t0, end, mode, n_steps=24)
                truth[key], predicted[key] = perturb.fate_shift(true, rule), perturb.fate_shift(mine, rule)
    table = perturb.agreement(truth, predicted)
    assert len(table) >= 6
    assert table.attrs["share_right"] == 1


def shift_table(**shifts):
    return pd.DataFrame({"fate": list(shifts), "shift": list(shifts.values())})


def test_agreement_looks_at_the_fate_that_truly_shifts_most():
    truth = {
        "right": shift_table(A=0.3, B=-0.1, C=-0.2),
        "wrong": shift_table(A=0.2, B=-0.6, C=0.4),
        "small": shift_table(A=0.1, B=-0.1),
        "blind": shift_table(A=0.5, B=-0.5),
        "unseen": shift_table(A=0.1, B=0.3, C=-0.4),
    }
    predicted = {
        "right": shift_table(A=0.01, B=0.2, C=-0.21),
        "wrong": shift_table(A=0.2, B=0.1, C=-0.3),
        "blind": shift_table(A=0.0, B=0.0),
        "unseen": shift_table(A=0.2, B=-0.2),
    }
    table = perturb.agreement(truth, predicted).set_index("knock")
    assert table["right"].to_dict() == {"right": True, "wrong": False, "blind": False, "unseen": False}
    assert table["fate"].to_dict() == {"right": "A", "wrong": "B", "blind": "A", "unseen": "C"}
    assert table.loc["unseen", "predicted"] == 0
    assert perturb.agreement(truth, predicted).attrs["share_right"] == 0.25
    assert perturb.agreement(truth, truth).attrs["share_right"] == 1
    assert len(perturb.agreement(truth, predicted, least=0.45)) == 2
    none = perturb.agreement(truth, predicted, least=0.9)
    assert none.empty
    assert np.isnan(none.attrs["share_right"])


def test_agreement_refuses_missing_predictions_and_other_fates():
    truth = {"k": shift_table(A=0.3, B=-0.3)}
    with pytest.raises(ValueError, match="none for 'k'"):
        perturb.agreement(truth, {})
    with pytest.raises(ValueError, match="same classify"):
        perturb.agreement(truth, {"k": shift_table(X=0.3, Y=-0.3)})
