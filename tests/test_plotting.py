"""Figures hold the data they were given."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from cellmnn_edu import plotting
from cellmnn_edu.training import History


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_snapshots_are_all_drawn_in_the_order_of_time():
    states = [np.random.default_rng(t).normal(size=(4 + t, 3)) for t in range(3)]
    ax = plotting.plot_snapshots(states, ["a", "b", "c"])
    for cells, dots in zip(states, ax.collections, strict=True):
        np.testing.assert_array_equal(dots.get_offsets(), cells[:, :2])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]
    brightness = plotting.time_colors(5)[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(brightness) > 0)


def test_each_cell_has_its_own_path():
    paths = np.random.default_rng(0).normal(size=(5, 7, 3))
    ax = plotting.plot_trajectories(paths)
    assert len(ax.lines) == 7
    np.testing.assert_array_equal(ax.lines[2].get_xydata(), paths[:, 2, :2])
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), paths[0, :, :2])


def test_the_terms_of_the_loss_are_drawn():
    terms = [{"step": s, "loss": 3.0, "mmd": 1.0 / s, "kinetic": 0.5, "barrier": 0.1} for s in (1, 10)]
    ax = plotting.plot_loss(History(terms))
    assert [line.get_label() for line in ax.lines] == ["mmd", "kinetic", "barrier"]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1, 1.0], [10, 0.1]])


def test_scores_stand_over_their_floor():
    rows = [
        {"method": m, "time": t, "w1": w, "floor_low": 0.4, "floor_high": 0.6}
        for m, w in (("persistence", 2.0), ("cell-mnn", 1.0))
        for t in (5.0, 3.0)
    ]
    ax = plotting.plot_scores(pd.DataFrame(rows))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "5"]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["noise floor", "persistence", "cell-mnn"]
    offsets = np.concatenate([dots.get_offsets() for dots in ax.collections[2:]])
    assert sorted(offsets[:, 1]) == [1.0, 1.0, 2.0, 2.0]
    assert ax.get_ylim()[0] == 0
    for band in ax.collections[:2]:
        height = band.get_paths()[0].vertices[:, 1]
        assert (height.min(), height.max()) == (0.4, 0.6)
    np.testing.assert_allclose(sorted(offsets[:, 0]), [-0.06, 0.06, 0.94, 1.06])
