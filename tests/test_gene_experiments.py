"""The parts of the stored experiments on gene networks."""

import numpy as np
import pytest
import torch

import cellmnn_edu as ce
from cellmnn_edu import gene_experiments as genes
from cellmnn_edu.grn import read


@pytest.fixture(scope="module")
def myeloid():
    return ce.simulate.gene_circuit("myeloid")


@pytest.mark.parametrize("seed", [0, 1])
def test_half_of_the_noisy_prior_is_true(myeloid, seed):
    prior = genes.noisy_prior(myeloid.network, seed)
    edge = (myeloid.network != 0) & ~np.eye(11, dtype=bool)
    assert prior[edge].all()
    assert prior.sum() == 2 * edge.sum()
    assert not np.diag(prior).any()
    assert (prior == genes.noisy_prior(myeloid.network, seed)).all()
    assert (prior != genes.noisy_prior(myeloid.network, seed + 5)).any()


def test_a_dense_network_leaves_no_room_for_as_many_wrong_edges():
    network = np.ones((3, 3), dtype=int)
    network[0, 1] = 0
    assert genes.noisy_prior(network, 0).sum() == 6


def test_rich_starts_change_one_gene_each(myeloid):
    starts = genes._rich_starts(myeloid)
    changed = starts != starts[0]
    assert len(starts) == 23
    assert (changed.sum(1) <= 1).all()
    # A gene that is absent in the progenitor can only be set high.
    assert (changed[2::2].argmax(1) == np.arange(11)).all()
    assert (starts[1::2][np.arange(11), np.arange(11)] == 0).all()


def test_more_times_take_no_more_cells(myeloid):
    few, many = genes._cells(myeloid, 0), genes._cells(myeloid, 0, more_times=True)
    assert many.times.tolist() == [0, 0.5, 1, 1.5, 2, 3, 4, 6, 8]
    assert sum(map(len, many.states)) <= sum(map(len, few.states))


def test_votes_are_those_of_a_double_loop():
    snaps = ce.Snapshots.from_anndata(ce.datasets.guo2010(repair=True), n_components=3)
    model = ce.CellMNN(3, seed=0)
    found = genes._votes(model, snaps)
    full = read(model, snaps).full()
    up = snaps.decode(np.concatenate(snaps.states)) > snaps.centre
    for i, j in ((0, 1), (7, 3), (40, 40)):
        assert found[i, j] == pytest.approx(np.sign(full[up[:, j], i, j]).mean())


def test_what_a_matrix_scores():
    truth = np.array([[-1.0, 0.5, 0.0], [0.0, -1.0, -0.2], [0.3, 0.0, -1.0]])
    off, network = ~np.eye(3, dtype=bool), np.sign(truth) * ~np.eye(3, dtype=bool)
    perfect = genes._compared(2 * truth, truth, network, off)
    assert perfect == pytest.approx({"auroc": 1, "auprc": 1, "sign_accuracy": 1, "correlation": 1})
    assert genes._compared(-truth, truth, network, off)["sign_accuracy"] == 0
    assert np.isnan(genes._compared(np.abs(truth), truth, network, off)["sign_accuracy"])
    assert np.isnan(list(genes._compared(None, truth, network, off).values())).all()


def test_marker_rules_mark_some_of_the_cells_they_ask_about():
    for dataset, n in (("guo", 428), ("hsmm", 271)):
        positive, asked = genes.marker_positive(dataset)
        assert len(positive) == len(asked) == n
        assert 0.05 < positive[asked].mean() < 0.6
    assert genes.marker_positive("embryoid-body") is None


def test_representations_are_what_they_say():
    model = ce.CellMNN(3, seed=0)
    rng = np.random.default_rng(0)
    z, t = rng.standard_normal((40, 3)), rng.uniform(0, 2, 40)
    seen = {what: genes.represented(model, z, t, what, 0) for what in genes.REPRESENTATIONS}
    a = model.operator(z, t)
    assert seen["operator"].reshape(40, 3, 3) == pytest.approx(a)
    assert seen["velocity"] == pytest.approx(np.einsum("nij,nj->ni", a, z), abs=1e-6)
    assert seen["operator, one time"] == pytest.approx(model.operator(z, np.median(t)).reshape(40, -1))
    assert seen["cells and time"].shape == (40, 4)
    for what in ("operator, times shuffled", "operator, untrained"):
        assert np.abs(seen[what] - seen["operator"]).max() > 0


def test_neighbours_know_what_is_planted_and_nothing_else():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 60)
    assert genes._neighbour_accuracy(label[:, None] + 0.01 * rng.standard_normal((180, 1)), label, 0) == 1
    assert genes._neighbour_accuracy(rng.standard_normal((180, 4)), label, 0) == pytest.approx(1 / 3, abs=0.12)


# --- the picture of the embryoid bodies ------------------------------------------------------------------------------


def test_a_picture_keeps_groups_apart_and_is_the_same_again():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 40)
    features = 20 * np.eye(5)[label] + rng.standard_normal((120, 5))
    n_threads = torch.get_num_threads()
    picture = genes._umap(features)
    assert torch.get_num_threads() == n_threads
    assert picture.shape == (120, 2)
    assert genes._neighbour_accuracy(picture, label, 0) == 1
    assert (picture == genes._umap(features)).all()


def picture_of(representation):
    return ce.results.load("states-picture").query("representation == @representation")


@pytest.mark.parametrize("representation", genes.PICTURES)
def test_the_stored_picture_has_the_accuracy_that_stands_beside_it(representation):
    cells = picture_of(representation)
    assert len(cells) == genes.PICTURE_CELLS == cells["n_cells"].iloc[0]
    assert not cells.isna().any(axis=None)
    assert (cells["time"].to_numpy() == picture_of("cells")["time"].to_numpy()).all()
    found = genes._neighbour_accuracy(cells[["x", "y"]].to_numpy(), cells["time"].to_numpy().astype(int), 0)
    assert found == pytest.approx(cells["picture_accuracy"].iloc[0], rel=1e-6)


def test_in_the_picture_an_untrained_network_does_nearly_as_well_and_false_times_worse_than_cells():
    """What the book says of it."""
    scores = ce.results.load("states-picture").groupby("representation")[["time_accuracy", "picture_accuracy"]].first()
    cells, operator = scores.loc["cells"], scores.loc["operator"]
    untrained, shuffled = scores.loc["operator, untrained"], scores.loc["operator, times shuffled"]
    assert (operator > cells + 0.15).all()
    assert (untrained > cells + 0.75 * (operator - cells)).all()
    assert (shuffled < cells - 0.1).all()
