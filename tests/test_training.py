"""Training: known answers, bit-identical repeats, and refusals."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy.linalg import expm

import cellmnn_edu as ce
from cellmnn_edu import training

QUICK = {"steps": 20, "progress": False, "device": "cpu"}


def linear_world(n_cells=300, times=(0.0, 0.5, 1.0), seed=0):
    """Four clusters moved by one known operator, in raw coordinates."""
    rng = np.random.default_rng(seed)
    truth = np.array([[0.5, 0.6], [0.4, -0.7]])  # a real spectrum, which both heads can reach
    corners = np.array([[2.0, 0], [0, 2], [-2, 0.5], [1, -2]])
    cells, labels = [], []
    for t in times:
        start = corners[rng.integers(4, size=n_cells)] + 0.2 * rng.normal(size=(n_cells, 2))
        cells.append(start @ expm(truth * t).T)
        labels += [t] * n_cells
    cells = np.concatenate(cells)
    index = [f"cell{i}" for i in range(len(cells))]
    adata = AnnData(cells, obs=pd.DataFrame({"time": labels}, index=index), var=pd.DataFrame(index=["a", "b"]))
    return ce.Snapshots.from_anndata(adata, n_components=None, rescale=False), truth


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("head", ["eigen", "dense", "rotational"])
def test_training_moves_the_crowd_where_the_truth_moves_it(head):
    snaps, truth = linear_world()
    model = ce.CellMNN(2, head=head)
    ce.fit(model, snaps, steps=1000, l_kin=0.0, progress=False, device="cpu")
    moved = model.propagate(snaps.states[0], 0.0, 1.0)
    apart = ce.wasserstein(snaps.states[0], snaps.states[-1])
    assert ce.wasserstein(moved, snaps.states[-1]) < 0.25 * apart
    # The same cells, moved by the truth: an answer for each cell, which the crowds alone do not give away.
    error = np.linalg.norm(moved - snaps.states[0] @ expm(truth).T, axis=1).mean()
    assert error < 0.35 * np.linalg.norm(moved - snaps.states[0], axis=1).mean()


@pytest.mark.parametrize("head", ["eigen", "dense"])
def test_one_seed_gives_the_same_weights_to_the_last_bit(head):
    snaps, _ = linear_world()
    models = [ce.CellMNN(2, head=head) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        torch.rand(3)  # the global stream must not matter
        ce.fit(model, snaps, seed=seed, **QUICK)
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert not torch.equal(weights(models[0]), weights(models[2]))


def test_the_first_loss_is_the_discounted_sum_written_as_loops():
    """Every cell of every training time, all later times, each distance on its own."""
    snaps, _ = linear_world(n_cells=40, times=(0.0, 0.5, 1.0, 2.0))
    model, gamma = ce.CellMNN(2, seed=3), 0.3
    expected = 0.0
    for i in range(3):
        for j in range(i + 1, 4):
            moved = model.propagate(snaps.states[i].astype(np.float32), snaps.times[i], snaps.times[j])
            expected += gamma ** (j - i - 1) * ce.mmd(moved, snaps.states[j], bandwidth=0.7)
    # A batch that holds every cell once leaves nothing to chance.
    sampler = training._Sampler(snaps, 120, 0, torch.zeros(1))
    sampler.n_target = 40
    terms = training._loss_terms(model, sampler, 0.1, gamma, 0.7)
    assert terms["mmd"].item() == pytest.approx(expected, rel=1e-4)


def test_kinetic_energy_slows_cells_down():
    snaps, _ = linear_world()
    speeds = []
    for l_kin in (0.0, 10.0):
        model = ce.CellMNN(2)
        ce.fit(model, snaps, steps=150, l_kin=l_kin, progress=False)
        speeds.append(np.square(model.velocity(snaps.states[0], 0.0)).mean())
    assert speeds[1] < 0.5 * speeds[0]


def test_the_history_tells_what_happened():
    snaps, _ = linear_world()
    history = ce.fit(ce.CellMNN(2), snaps, **QUICK)
    frame = history.to_frame()
    assert list(frame.index) == [1, 10, 20]
    np.testing.assert_allclose(frame["loss"], frame[["mmd", "kinetic", "barrier"]].sum(axis=1), rtol=1e-5)
    assert history.steps == 20
    assert history.seconds > 0
    assert history.device == "cpu"


def test_no_steps_leave_the_model_as_it_was():
    snaps, _ = linear_world()
    model = ce.CellMNN(2)
    before = weights(model)
    history = ce.fit(model, snaps, steps=0, progress=False)
    assert torch.equal(before, weights(model))
    assert history.to_frame().empty


def test_snapshots_smaller_than_the_batch_are_drawn_with_replacement():
    snaps, _ = linear_world(n_cells=7)
    sampler = training._Sampler(snaps, 200, 0, torch.zeros(1))
    assert sampler.targets().shape == (2, 200, 2)
    cells, times = sampler.sources()
    assert cells.shape == (200, 2)
    assert times.tolist() == [0.0] * 100 + [0.5] * 100
    known = {tuple(np.float32(cell)) for cell in np.concatenate(snaps.states)}
    assert {tuple(cell.numpy()) for cell in cells} <= known


def test_large_snapshots_are_drawn_without_repeats():
    snaps, _ = linear_world(n_cells=300)
    targets = training._Sampler(snaps, 200, 0, torch.zeros(1)).targets()
    assert all(len(torch.unique(cells, dim=0)) == 200 for cells in targets)


def test_interruption_keeps_what_was_reached(monkeypatch):
    snaps, _ = linear_world()
    model, calls = ce.CellMNN(2), []
    real = training._loss_terms

    def interrupt_at_the_fifth(*args):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training, "_loss_terms", interrupt_at_the_fifth)
    with pytest.warns(UserWarning, match="after 4 of 20 steps"):
        history = ce.fit(model, snaps, **QUICK)
    monkeypatch.undo()
    assert history.steps == 4
    same = ce.CellMNN(2)
    ce.fit(same, snaps, **QUICK | {"steps": 4})
    assert torch.equal(weights(model), weights(same))


def test_an_explosion_stops_with_step_term_and_remedy():
    snaps, _ = linear_world()
    model = ce.CellMNN(2)
    with torch.no_grad():
        model.network[-1].bias[0] = 1e4
    with pytest.raises(FloatingPointError, match=r"step 1 \(term: .*kinetic.*smaller lr"):
        ce.fit(model, snaps, **QUICK)


def test_progress_is_shown_unless_the_book_builds(monkeypatch, capfd):
    monkeypatch.setattr("cellmnn_edu._progress.DELAY", 0)
    monkeypatch.delenv("CELLMNN_EDU_BOOK", raising=False)
    snaps, _ = linear_world()
    ce.fit(ce.CellMNN(2), snaps, **QUICK | {"progress": True})
    assert "training" in capfd.readouterr().err
    monkeypatch.setenv("CELLMNN_EDU_BOOK", "1")
    ce.fit(ce.CellMNN(2), snaps, **QUICK | {"progress": True})
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps to be an integer of at least 0, got -1"),
        ({"steps": 2.5}, "steps to be an integer of at least 0, got 2.5"),
        ({"seed": None}, "seed to be an integer"),
        ({"batch_size": 0}, "batch_size to be an integer of at least 1"),
        ({"batch_size": 1.5}, "batch_size to be an integer"),
        ({"lr": -1.0}, "lr to be a number"),
        ({"lr": "fast"}, "lr to be a number"),
        ({"bandwidth": 0.0}, "bandwidth to be a number"),
        ({"bandwidth": np.inf}, "bandwidth to be a number"),
        ({"l_kin": -1}, "l_kin to be a number from 0"),
        ({"l_kin": np.nan}, "l_kin to be a number"),
        ({"gamma": 2}, "gamma to be a number from 0 to 1"),
        ({"device": "gpu"}, "device='gpu'"),
    ],
)
def test_bad_settings_are_refused(options, message):
    snaps, _ = linear_world()
    with pytest.raises(ValueError, match=message):
        ce.fit(ce.CellMNN(2), snaps, **options)


def test_a_model_of_another_dimension_is_refused():
    snaps, _ = linear_world()
    with pytest.raises(ValueError, match=r"dimension 2, got CellMNN\(dim=3\)"):
        ce.fit(ce.CellMNN(3), snaps)


@pytest.mark.parametrize(
    "option", [{"lr": 1e-4}, {"gamma": 0.9}, {"bandwidth": 0.2}, {"l_kin": 0.9}, {"batch_size": 50}]
)
def test_every_setting_reaches_the_training(option):
    snaps, _ = linear_world()
    default, other = ce.CellMNN(2), ce.CellMNN(2)
    ce.fit(default, snaps, **QUICK)
    ce.fit(other, snaps, **QUICK | option)
    assert not torch.equal(weights(default), weights(other))


def test_kinetic_and_barrier_written_as_loops():
    snaps, _ = linear_world(n_cells=40, times=(0.0, 0.5, 2.0))
    model, l_kin, squares, dets = ce.CellMNN(2, seed=3), 0.7, [], []
    terms = training._loss_terms(model, training._Sampler(snaps, 80, 0, torch.zeros(1)), l_kin, 0.1, 1.0)
    for state, t in zip(snaps.states[:-1], snaps.times[:-1], strict=True):
        z = torch.tensor(state, dtype=torch.float32)
        operator = model(z, torch.full((40,), t))
        dets.append(operator.basis.det())
        for f in np.linspace(0, 1, training.KINETIC_POINTS):
            squares.append(operator.apply(operator.flow(z, torch.full((40,), f * (2.0 - t)))).square())
    assert terms["kinetic"].item() == pytest.approx(l_kin * torch.stack(squares).mean().item(), rel=1e-4)
    assert terms["barrier"].item() == pytest.approx((1 / (torch.cat(dets).abs() + 1e-4)).mean().item(), rel=1e-4)


def test_the_optimiser_is_the_papers(monkeypatch):
    seen, real = {}, torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda p, **k: (seen.update(k), real(p, **k))[1])
    ce.fit(ce.CellMNN(2), linear_world()[0], **QUICK | {"steps": 1}, lr=3e-4)
    assert seen == {"lr": 3e-4, "weight_decay": 1e-5}


def test_numpy_seeds_are_seeds():
    snaps, _ = linear_world()
    first, second = ce.CellMNN(2, seed=np.int64(3)), ce.CellMNN(2, seed=3)
    ce.fit(first, snaps, seed=np.int64(3), **QUICK)
    ce.fit(second, snaps, seed=3, **QUICK)
    assert torch.equal(weights(first), weights(second))
