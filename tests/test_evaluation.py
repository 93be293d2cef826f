"""Held-out scores on real data: the published protocol, and what the method reaches without a leak."""

import numpy as np
import pytest
from test_snapshots import make_adata

import cellmnn_edu as ce
from cellmnn_edu.baselines.ot_interpolation import _draw_partners


@pytest.mark.parametrize(("index", "ot_w1", "still_w1"), [(1, 0.736, 1.663), (2, 0.736, 1.251), (3, 0.774, 0.759)])
def test_eb_has_the_published_numbers(seeded_cache, index, ot_w1, still_w1):
    """Data, metric and protocol are the published ones if these agree."""
    snaps = ce.Snapshots.from_anndata(ce.datasets.embryoid_body(), use_rep="X_pca")
    train, held = snaps.hold_out(index)
    assert ce.wasserstein(held.previous, held.state) == pytest.approx(still_w1, abs=0.002)
    lines = ce.baselines.get("ot-interpolation").fit(train, seed=0)
    w1 = ce.wasserstein(lines.propagate(held.previous, held.previous_time, held.time, seed=0), held.state)
    assert w1 == pytest.approx(ot_w1, abs=0.01)
    if index == 1:  # the floor takes longer than all the rest
        assert ce.noise_floor(held.state, len(held.previous), len(held.state)).high < w1


def test_the_result_says_what_was_done():
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=3)
    row = ce.leave_one_out(snaps, "cell-mnn", 2, seed=3, steps=5, progress=False)
    assert {"w1", "mmd", "floor", "seconds", "steps", "protocol"} <= set(row)
    assert (row["time"], row["steps"], row["seed"]) == (3.0, 5, 3)
    assert "held out time 3" in row["protocol"]
    assert "fitted on times 0, 1, 4" in row["protocol"]
    _, held = snaps.hold_out(2)
    still = ce.leave_one_out(snaps, "persistence", 2)
    assert still["w1"] == ce.wasserstein(held.previous, held.state)
    assert still["mmd"] == ce.mmd(held.previous, held.state)


def test_ot_interpolation_walks_real_time_fractions():
    """A cloud that only shifts is matched cell by cell, so each cell walks the shift."""
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=None, rescale=False)
    train, _ = snaps.hold_out(2)
    # Times 0, 1, 4: first two units back, then six forward.
    train.states[1][:] = train.states[0] - 2.0
    train.states[2][:] = train.states[1] + 6.0
    fitted = ce.baselines.get("ot-interpolation").fit(train)

    for t1, expected in ((1.0, 0.0), (3.0, 4.0), (4.0, 6.0)):
        np.testing.assert_allclose(fitted.propagate(train.states[1], 1.0, t1), train.states[1] + expected)
    through = fitted.propagate(train.states[0], 0.0, 2.5)  # past the snapshot at 1, half of the way to 4
    np.testing.assert_allclose(through, train.states[0] - 2.0 + 3.0)


def test_partners_are_drawn_from_the_rows_of_the_plan():
    """Three targets with one source: each is drawn about a third of the time."""
    z, targets = np.zeros((1, 2)), np.array([[1.0, 0], [0, 1], [-1, 0]])
    rng = np.random.default_rng(0)
    drawn = np.concatenate([_draw_partners(z, targets, rng) for _ in range(3000)])
    shares = [(drawn == target).all(1).mean() for target in targets]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)


@pytest.mark.parametrize(("t0", "t1"), [(1.0, 0.0), (1.0, 9.0), (-1.0, 1.0), (np.nan, 1.0)])
def test_ot_interpolation_refuses_to_extrapolate(t0, t1):
    train, _ = ce.Snapshots.from_anndata(make_adata(), n_components=2).hold_out(2)
    with pytest.raises(ValueError, match="between training times, 0 to 4"):
        ce.baselines.get("ot-interpolation").fit(train).propagate(train.states[0], t0, t1)


def test_unknown_methods_and_options_are_refused():
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=2)
    with pytest.raises(ValueError, match=r"persistence, mean-shift, .*cell-mnn; got 'magic'"):
        ce.leave_one_out(snaps, "magic", 1)
    with pytest.raises(ValueError, match=r"\['colour'\]"):
        ce.leave_one_out(snaps, "cell-mnn", 1, colour="red")
    with pytest.raises(ValueError, match="1 to 2"):
        ce.leave_one_out(snaps, "persistence", 3)


def test_leave_one_out_hands_each_part_to_its_place(monkeypatch):
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=2)
    _, held = snaps.hold_out(2)
    seen = {}

    class Spy:
        steps = 7

        def fit(self, train, seed=0):
            seen["fit"] = (train.times.tolist(), seed)
            return self

        def propagate(self, z, t0, t1, seed=0):
            seen["move"] = (z.copy(), t0, t1, seed)
            return z + 0.1

    monkeypatch.setattr(ce.evaluation.baselines, "get", lambda name, **options: Spy())
    row = ce.leave_one_out(snaps, "spy", 2, seed=5)
    assert seen["fit"] == ([0.0, 1.0, 4.0], 5)
    np.testing.assert_array_equal(seen["move"][0], held.previous)
    assert seen["move"][1:] == (1.0, 3.0, 5)
    floor = ce.noise_floor(held.state, len(held.previous), len(held.state))
    assert (row["floor"], row["floor_low"], row["floor_high"]) == floor
    assert row["w1"] == ce.wasserstein(held.previous + 0.1, held.state)


def test_cell_mnn_is_model_and_fit_with_every_option():
    train, held = ce.Snapshots.from_anndata(make_adata(), n_components=2).hold_out(2)
    quick = {"steps": 5, "lr": 1e-2, "device": "cpu", "progress": False}
    got = ce.baselines.get("cell-mnn", n_steps=3, head="dense", width=8, **quick).fit(train, seed=4)
    model = ce.CellMNN(2, head="dense", width=8, seed=4)
    ce.fit(model, train, seed=4, **quick)
    expected = model.propagate(held.previous, 1.0, 3.0, n_steps=3)
    np.testing.assert_array_equal(got.propagate(held.previous, 1.0, 3.0), expected)


def test_partners_depend_on_the_seed_and_persistence_gives_a_copy():
    train, held = ce.Snapshots.from_anndata(make_adata()[7:], n_components=2).hold_out(2)
    ot, z = ce.baselines.get("ot-interpolation").fit(train), held.previous[:7]
    a, b, c = (ot.propagate(z, 1.0, 3.0, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert not np.shares_memory(ce.baselines.get("persistence").fit(train).propagate(z, 0, 1), z)


def test_methods_without_options_say_so():
    with pytest.raises(ValueError, match="persistence takes no options"):
        ce.baselines.get("persistence", steps=4)


def test_a_known_floor_is_not_measured_again(monkeypatch):
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=2)
    monkeypatch.setattr(ce.evaluation, "noise_floor", None)
    row = ce.leave_one_out(snaps, "persistence", 1, floor=ce.metrics.NoiseFloor(0.2, 0.1, 0.3))
    assert (row["floor"], row["floor_low"], row["floor_high"]) == (0.2, 0.1, 0.3)


def test_leaky_stopping_hands_over_the_held_out_cells_and_says_so(monkeypatch):
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=2)
    _, held = snaps.hold_out(2)
    leaks = []

    class Spy(ce.baselines.persistence.Persistence):
        def fit(self, train, seed=0, leak=None):
            leaks.append(leak)
            return self

    monkeypatch.setattr(ce.evaluation.baselines, "get", lambda name, **options: Spy(**options))
    leaky, clean = (ce.leave_one_out(snaps, "spy", 2, leaky_stopping=flag) for flag in (True, False))
    np.testing.assert_array_equal(leaks[0].state, held.state)
    assert leaks[1] is None
    assert leaky["protocol"] == f"LEAKY: stopping looked at the held-out cells; {clean['protocol']}"


def test_leaky_stopping_needs_a_method_that_stops_by_a_score():
    snaps = ce.Snapshots.from_anndata(make_adata(), n_components=2)
    with pytest.raises(ValueError, match="persistence does not stop by a score"):
        ce.leave_one_out(snaps, "persistence", 1, leaky_stopping=True)
