"""Training: known answers, bit-identical repeats, stopping, and refusals."""

import math
import os
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy.linalg import expm

import cellmnn_edu as ce
from cellmnn_edu import loop, training
from cellmnn_edu.objectives import CrowdMatching, FrozenMatching, Penalties, VelocityMatching
from cellmnn_edu.paths import RENEW, PathSampler

OBJECTIVES = ["mmd", "flow-matching", "frozen-matching"]
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


def snapshots_of(times, states):
    """Snapshots of given states, taken as they stand."""
    dim = states[0].shape[1]
    genes = np.array([f"gene{i}" for i in range(dim)], dtype=object)
    return ce.Snapshots(
        np.asarray(times, dtype=float), list(states), None, None, np.zeros(dim), np.ones(dim), genes, "", list(states)
    )


def small(dim=2, head="eigen", **options):
    return ce.CellMNN(dim, head=head, width=8, depth=1, **options)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@contextmanager
def at_call(model, number, action):
    """Do something in the middle of a step: at a call of the network."""
    calls = []

    def hook(*_):
        calls.append(1)
        if len(calls) == number:
            action()

    handle = model.network.register_forward_hook(hook)
    yield calls
    handle.remove()


@pytest.fixture(autouse=True)
def ctrl_c_works():
    """A job in the background of a script is started deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    """A real Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


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
    objective = CrowdMatching(model, snaps, 120, 0, Penalties(), gamma=gamma, bandwidth=0.7)
    objective.n_target = 40
    assert objective()["mmd"].item() == pytest.approx(expected, rel=1e-4)


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
    objective = CrowdMatching(small(), snaps, 200, 0, Penalties())
    assert objective.targets().shape == (2, 200, 2)
    cells, times = objective.sources()
    assert cells.shape == (200, 2)
    assert times.tolist() == [0.0] * 100 + [0.5] * 100
    known = {tuple(np.float32(cell)) for cell in np.concatenate(snaps.states)}
    assert {tuple(cell.numpy()) for cell in cells} <= known


def test_large_snapshots_are_drawn_without_repeats():
    snaps, _ = linear_world(n_cells=300)
    targets = CrowdMatching(small(), snaps, 200, 0, Penalties()).targets()
    assert all(len(torch.unique(cells, dim=0)) == 200 for cells in targets)


def test_interruption_keeps_what_was_reached():
    snaps, _ = linear_world()
    model = ce.CellMNN(2)
    with at_call(model, 5, interrupt), pytest.warns(UserWarning, match="after 5 of 20 steps") as caught:
        history = ce.fit(model, snaps, **QUICK)
    assert caught[0].filename == __file__  # the warning points to the caller
    assert (history.steps, history.best_step, history.stopped) == (5, 5, "interrupted")
    same = ce.CellMNN(2)
    ce.fit(same, snaps, **QUICK | {"steps": 5})
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
        ({"bandwidth": 0.0}, "positive bandwidth"),
        ({"bandwidth": np.inf}, "positive bandwidth"),
        ({"bandwidth": [0.5, -1]}, "positive bandwidth"),
        ({"bandwidth": []}, "positive bandwidth"),
        ({"bandwidth": "mean"}, "positive bandwidth"),
        ({"bandwidth": None}, "positive bandwidth"),
        ({"l_kin": -1}, "l_kin to be a number from 0"),
        ({"l_kin": np.nan}, "l_kin to be a number"),
        ({"l_kin": None}, "l_kin to be a number"),
        ({"l1": -1}, "l1 to be a number"),
        ({"deviation": True}, "deviation to be a number"),
        ({"l_barrier": -0.1}, "l_barrier to be a number"),
        ({"gamma": 2}, "gamma to be a number from 0 to 1"),
        ({"ema": 1}, "ema to be a number from 0 to 1"),
        ({"ema": 1.5}, "ema to be a number"),
        ({"held_back": 0}, "held_back to be a number"),
        ({"held_back": 0.6}, "held_back to be a number from 1e-12 to 0.5"),
        ({"kinetic_times": 0}, "kinetic_times to be a number"),
        ({"patience": -1}, "patience to be an integer of at least 0"),
        ({"patience": 2.0}, "patience to be an integer"),
        ({"check_every": 0}, "check_every to be an integer of at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every to be an integer of at least 1"),
        ({"objective": "w1"}, "objective to be one of mmd, flow-matching, frozen-matching; got 'w1'"),
        ({"path": "geodesic"}, "path to be one of straight, spline"),
        ({"kernel": "cauchy"}, "kernel to be one of laplace, gaussian, energy"),
        ({"schedule": "linear"}, "schedule to be one of constant, cosine"),
        ({"preset": "fast"}, "preset to be one of default, paper"),
        ({"unbiased": True, "batch_size": 3}, "two cells per time for the unbiased MMD, got batch_size=3"),
        ({"resume": True}, "checkpoint="),
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
    ("option", "among"),
    [
        ({"lr": 1e-4}, {}),
        ({"gamma": 0.9}, {}),
        ({"bandwidth": 0.2}, {}),
        ({"bandwidth": [1.0, 0.2]}, {}),
        ({"bandwidth": "median"}, {}),
        ({"kernel": "gaussian"}, {}),
        ({"kernel": "energy"}, {}),
        ({"unbiased": True}, {}),
        ({"l_kin": 0.9}, {}),
        ({"kinetic_times": 3}, {}),
        ({"kinetic_times": 0.1}, {}),
        ({"batch_size": 50}, {}),
        ({"l1": 0.1}, {}),
        ({"deviation": 0.1}, {}),
        ({"l_barrier": 0.0}, {}),
        ({"schedule": "cosine"}, {}),
        ({"ema": 0.9}, {}),
        ({"patience": 3}, {}),
        ({"held_back": 0.3}, {"patience": 3}),
        ({"check_every": 1}, {"patience": 1, "lr": 0.1}),
        ({"objective": "flow-matching"}, {}),
        ({"objective": "frozen-matching"}, {"objective": "flow-matching"}),
        ({"path": "spline"}, {"objective": "flow-matching"}),
        ({"path": "spline"}, {"objective": "frozen-matching"}),
        ({"l1": 0.1}, {"objective": "flow-matching"}),
        ({"deviation": 0.1}, {"objective": "frozen-matching"}),
        ({"seed": 1}, {"objective": "flow-matching"}),
    ],
)
def test_every_setting_reaches_the_training(option, among):
    snaps, _ = linear_world(n_cells=60)
    common = {**QUICK, "batch_size": 40, **among}
    default, other = small(), small()
    ce.fit(default, snaps, **common)
    ce.fit(other, snaps, **common | option)
    assert not torch.equal(weights(default), weights(other))


def test_kinetic_and_barrier_written_as_loops():
    snaps, _ = linear_world(n_cells=40, times=(0.0, 0.5, 2.0))
    model, l_kin, squares, dets = ce.CellMNN(2, seed=3), 0.7, [], []
    terms = CrowdMatching(model, snaps, 80, 0, Penalties(), l_kin=l_kin, kinetic_times=5)()
    for state, t in zip(snaps.states[:-1], snaps.times[:-1], strict=True):
        z = torch.tensor(state, dtype=torch.float32)
        operator = model(z, torch.full((40,), t))
        dets.append(operator.basis.det())
        for f in np.linspace(0, 1, 5):
            squares.append(operator.apply(operator.flow(z, torch.full((40,), f * (2.0 - t)))).square())
    assert terms["kinetic"].item() == pytest.approx(l_kin * torch.stack(squares).mean().item(), rel=1e-4)
    assert terms["barrier"].item() == pytest.approx((1 / (torch.cat(dets).abs() + 1e-4)).mean().item(), rel=1e-4)


def test_the_optimiser_is_the_papers(monkeypatch):
    seen, real = {}, torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda p, **k: (seen.update(k), real(p, **k))[1])
    ce.fit(ce.CellMNN(2), linear_world()[0], **QUICK | {"steps": 1}, lr=3e-4)
    assert {name: seen[name] for name in ("lr", "weight_decay")} == {"lr": 3e-4, "weight_decay": 1e-5}
    assert set(seen) <= {"lr", "weight_decay", "fused"}


def test_numpy_seeds_are_seeds():
    snaps, _ = linear_world()
    first, second = ce.CellMNN(2, seed=np.int64(3)), ce.CellMNN(2, seed=3)
    ce.fit(first, snaps, seed=np.int64(3), **QUICK)
    ce.fit(second, snaps, seed=3, **QUICK)
    assert torch.equal(weights(first), weights(second))


def plain_loop(model, objective, rates):
    """What `optimise` does, without its conveniences; gives the weights after each step."""
    optimiser, after = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=1e-5), []
    for rate in rates:
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        sum(objective().values()).backward()
        optimiser.step()
        after.append(weights(model))
    return after


def objective_of(kind, model, snaps, batch_size=40, seed=0):
    if kind == "mmd":
        return CrowdMatching(model, snaps, batch_size, seed, Penalties())
    paths = PathSampler(snaps, batch_size, seed, next(model.parameters()), coupling="minibatch", renew=RENEW)
    return {"flow-matching": VelocityMatching, "frozen-matching": FrozenMatching}[kind](model, paths, Penalties())


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_loop_is_gradient_descent_on_the_objective(objective, schedule):
    snaps, _ = linear_world(n_cells=60)
    n, lr = 12, 0.01
    factors = [(1 + math.cos(math.pi * k / n)) / 2 if schedule == "cosine" else 1.0 for k in range(n)]
    model, same = small(), small()
    options = {"steps": n, "batch_size": 40, "objective": objective, "schedule": schedule, "lr": lr}
    ce.fit(model, snaps, **QUICK | options)
    plain = plain_loop(same, objective_of(objective, same, snaps), [lr * factor for factor in factors])
    torch.testing.assert_close(weights(model), plain[-1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_averaged_weights_are_the_recursion_written_out(objective):
    snaps, _ = linear_world(n_cells=60)
    model, same = small(), small()
    options = {"steps": 9, "batch_size": 40, "objective": objective, "lr": 0.01, "ema": 0.7}
    ce.fit(model, snaps, **QUICK | options)
    after = plain_loop(same, objective_of(objective, same, snaps), [0.01] * 9)
    average = after[0]
    for step in after[1:]:
        average = 0.7 * average + 0.3 * step
    torch.testing.assert_close(weights(model), average, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_no_steps_leave_the_averaged_and_the_watched_model_as_it_was(ema):
    snaps, _ = linear_world(n_cells=60)
    model = small()
    before = weights(model)
    history = ce.fit(model, snaps, **QUICK | {"steps": 0}, ema=ema, patience=2)
    assert torch.equal(before, weights(model))
    assert (history.steps, history.best_step, history.checks) == (0, 0, [])


# Early stopping


def run_with_scores(scores, patience, ema=0.0, steps=30, every=3):
    """Weights, history, and the weights at each check, of a run that is told these scores."""
    snaps, _ = linear_world(n_cells=60)
    model, seen, told = small(), [], iter(scores)
    model.network.register_forward_hook(lambda network, *_: seen_training.append(network.training))
    seen_training = []

    def score():
        seen.append(weights(model))
        assert all(seen_training)
        assert not model.training
        return next(told)

    watch = loop.Watch(score, every, patience)
    objective = objective_of("mmd", model, snaps)
    history = loop.optimise(model, objective, steps, 0.01, ema=ema, watch=watch, progress=False)
    return weights(model), history, seen


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize(
    ("scores", "patience", "n_checks", "best", "stopped"),
    [
        ([5, 4, 6, 6, 1, 1], 2, 4, 1, "patience"),  # a better score later does not count any more
        ([5, 4, 6, 3, 4, 4, 4], 3, 7, 3, "patience"),
        ([5, 4, 4, 4], 2, 4, 1, "patience"),  # as good is not better
        ([5, 4, 3, 2, 1, 0, -1, -2, -3, -4], 1, 10, 9, "steps"),
        ([5, 6, 7, 8, 1, 9, 9, 9, 9, 9], 6, 10, 4, "steps"),
    ],
)
def test_patience_returns_the_best_weights(scores, patience, n_checks, best, stopped, ema):
    final, history, seen = run_with_scores(scores, patience, ema)
    assert len(seen) == n_checks
    assert torch.equal(final, seen[best])
    assert history.best_step == 3 * (best + 1)
    assert history.steps == 3 * n_checks
    assert history.stopped == stopped
    assert history.checks == [{"step": 3 * (k + 1), "score": scores[k]} for k in range(n_checks)]


def test_what_is_checked_is_what_the_model_would_get_now():
    """With an average, the average; and checking changes nothing in the training."""
    for ema in (0.0, 0.9):
        *_, seen = run_with_scores([0.0] * 10, 99, ema)
        for k in (0, 3, 9):
            snaps, _ = linear_world(n_cells=60)
            model = small()
            loop.optimise(model, objective_of("mmd", model, snaps), 3 * (k + 1), 0.01, ema=ema, progress=False)
            assert torch.equal(seen[k], weights(model))


def test_a_check_that_fails_leaves_the_trained_weights():
    def fail():
        raise RuntimeError("no score")

    snaps, _ = linear_world(n_cells=60)
    model, same = small(), small()
    watch = loop.Watch(fail, 4, 2)
    with pytest.raises(RuntimeError, match="no score"):
        loop.optimise(model, objective_of("mmd", model, snaps), 8, 0.01, ema=0.9, watch=watch, progress=False)
    plain = plain_loop(same, objective_of("mmd", same, snaps), [0.01] * 4)
    torch.testing.assert_close(weights(model), plain[-1])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_cells_held_back_are_checked_and_never_trained_on(objective):
    snaps, _ = linear_world(n_cells=60)
    rest, kept = snaps.hold_back(0.2, seed=3)
    others, changed = np.random.default_rng(9), []
    for state, cells in zip(snaps.states, kept.states, strict=True):
        is_kept = (state[:, None] == cells).all(-1).any(1)
        assert is_kept.sum() == 12
        changed.append(np.where(is_kept[:, None], others.normal(size=state.shape), state))
    options = {"seed": 3, "objective": objective, "batch_size": 30, **QUICK}
    watched = {"patience": 50, "held_back": 0.2, **options}
    worlds = [snaps, snapshots_of(snaps.times, changed)]
    checked = [ce.fit(small(), world, check_every=5, **watched) for world in worlds]
    assert checked[0].terms == checked[1].terms
    scores = [[check["score"] for check in history.checks] for history in checked]
    assert len(scores[0]) == 4
    assert not set(scores[0]) & set(scores[1])
    # Where no check chooses between weights, they are those of a training without the cells.
    models = [small() for _ in range(3)]
    for model, world in zip(models, worlds, strict=False):
        ce.fit(model, world, check_every=21, **watched)
    ce.fit(models[2], rest, **options)
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert torch.equal(weights(models[0]), weights(models[2]))


@pytest.mark.parametrize(("objective", "n_steps"), [("mmd", 1), ("flow-matching", 20), ("frozen-matching", 1)])
def test_the_check_is_the_mmd_of_moved_cells_added_up(objective, n_steps):
    snaps, _ = linear_world(n_cells=60, times=(0.0, 0.2, 1.0))
    _, kept = snaps.hold_back(0.25, seed=0)
    model = small()
    options = {"steps": 6, "check_every": 6, "patience": 9, "held_back": 0.25, "batch_size": 30}
    history = ce.fit(model, snaps, **QUICK | options, objective=objective)
    expected = 0.0
    for k in range(2):
        moved = model.propagate(kept.states[k], kept.times[k], kept.times[k + 1], n_steps=n_steps)
        expected += ce.mmd(moved, kept.states[k + 1])
    assert history.checks == [{"step": 6, "score": pytest.approx(expected, rel=1e-6)}]


@pytest.mark.parametrize(("objective", "n_steps"), [("mmd", 1), ("flow-matching", 20)])
def test_the_leak_is_labelled_and_is_the_w1_on_the_held_out_cells(objective, n_steps):
    train, held = linear_world(n_cells=60, times=(0.0, 0.2, 0.7, 1.0))[0].hold_out(2)
    model, fair = small(), small()
    options = {"steps": 6, "check_every": 6, "patience": 9, "batch_size": 30, "objective": objective}
    history = ce.fit(model, train, **QUICK | options, leaky_stopping=held)
    moved = model.propagate(held.previous, 0.2, 0.7, n_steps=n_steps)
    assert history.checks == [{"step": 6, "score": pytest.approx(ce.wasserstein(moved, held.state), rel=1e-6)}]
    assert history.leaky
    # All training cells are trained on: there is no need to hold back any.
    full = ce.fit(fair, train, **QUICK | {"steps": 6, "batch_size": 30, "objective": objective})
    assert torch.equal(weights(model), weights(fair))
    assert not full.leaky
    assert not ce.fit(small(), train, **QUICK | options).leaky


def test_a_leak_without_stopping_is_refused():
    train, held = linear_world(n_cells=60)[0].hold_out(1)
    with pytest.raises(ValueError, match="without patience nothing stops"):
        ce.fit(small(), train, **QUICK, leaky_stopping=held)


def test_a_check_of_many_cells_looks_at_some_from_everywhere():
    cells = np.arange(5000.0)[:, None]
    some = training._some(cells)[:, 0]
    assert len(np.unique(some)) == 1000
    assert (some[0], some[-1]) == (0, 4999)
    assert np.diff(some).max() < 7
    np.testing.assert_array_equal(training._some(cells[:1000]), cells[:1000])
    assert training._some(cells[:1]).tolist() == [[0.0]]


def test_stopping_needs_two_cells_of_every_time():
    rng = np.random.default_rng(0)
    snaps = snapshots_of([0, 1], [rng.normal(size=(5, 2)), rng.normal(size=(1, 2))])
    with pytest.raises(ValueError, match="at least two cells at every time"):
        ce.fit(small(), snaps, **QUICK, patience=2)


# Presets


def prepared(monkeypatch, snaps, **options):
    """What `fit` hands to the loop."""
    seen = {}

    def catch(model, terms, steps, lr, **others):
        seen.update(others, terms=terms, steps=steps, lr=lr)
        return loop.History()

    monkeypatch.setattr(training, "optimise", catch)
    ce.fit(small(), snaps, device="cpu", **options)
    return seen


def test_the_papers_preset(monkeypatch):
    snaps, _ = linear_world(n_cells=350, times=(0.0, 0.25, 1.0))
    seen = prepared(monkeypatch, snaps, preset="paper")
    per_epoch = 1050 // 200
    assert (seen["lr"], seen["steps"]) == (2e-4, 1000 * per_epoch)
    assert (seen["watch"].every, seen["watch"].patience) == (10 * per_epoch, 10)
    assert (seen["schedule"], seen["ema"]) == ("constant", 0.0)
    terms = seen["terms"]
    assert sum(map(len, terms.states)) == 1050 - 105  # a tenth is held back
    # Speed is charged every 0.1, from each cell's start to the last time: 11 points from 0, 8 from 0.25.
    assert terms.kinetic_counts.sum(0).tolist() == [11.0] * 100 + [8.0] * 100
    assert terms.kinetic_dt[:, 0].tolist() == pytest.approx(np.arange(11) / 10)
    assert (terms.l_kin, terms.distance["bandwidth"], terms.distance["kernel"]) == (0.1, 1.0, "laplace")
    assert terms.weight.tolist() == pytest.approx([1.0, 0.1, 1.0])


def test_the_default_preset(monkeypatch):
    seen = prepared(monkeypatch, linear_world()[0])
    assert (seen["lr"], seen["steps"], seen["watch"]) == (1e-3, 1500, None)
    assert seen["terms"].kinetic_counts is None
    assert len(seen["terms"].kinetic_dt) == 5


def test_what_is_given_goes_before_the_preset(monkeypatch):
    options = {"steps": 7, "lr": 0.5, "kinetic_times": 3, "patience": 4, "check_every": 5}
    seen = prepared(monkeypatch, linear_world()[0], preset="paper", **options)
    assert (seen["steps"], seen["lr"]) == (7, 0.5)
    assert (seen["watch"].every, seen["watch"].patience) == (5, 4)
    assert len(seen["terms"].kinetic_dt) == 3
    assert prepared(monkeypatch, linear_world()[0], preset="paper", patience=0)["watch"] is None


def test_an_epoch_of_few_cells_is_one_step(monkeypatch):
    seen = prepared(monkeypatch, linear_world(n_cells=10)[0], preset="paper")
    assert (seen["steps"], seen["watch"].every) == (1000, 10)


def test_the_median_bandwidth_is_that_of_the_training_cells(monkeypatch):
    snaps, _ = linear_world(n_cells=40)
    cells = np.concatenate(snaps.states)
    far = [np.abs(x - y).mean() for i, x in enumerate(cells) for y in cells[:i]]
    seen = prepared(monkeypatch, snaps, bandwidth="median")
    assert seen["terms"].distance["bandwidth"] == pytest.approx(np.median(far))


# Unusual data, settings and callers


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("path", ["straight", "spline"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    ("times", "sizes"),
    [((0, 1), (1, 1)), ((0, 1), (3, 50)), ((-2, 0.001, 0.002, 70), (9, 1, 300, 2))],
    ids=["two cells", "two times", "uneven"],
)
def test_few_cells_two_times_and_uneven_gaps_can_be_trained_on(times, sizes, objective, path, dtype):
    rng = np.random.default_rng(0)
    snaps = snapshots_of(times, [rng.normal(size=(n, 3)) for n in sizes])
    model = small(3).to(dtype)
    history = ce.fit(model, snaps, **QUICK | {"steps": 10}, objective=objective, path=path, batch_size=12)
    assert np.isfinite(history.to_frame().to_numpy()).all()
    assert next(model.parameters()).dtype == dtype
    assert not model.training


def test_one_time_is_refused():
    snaps = snapshots_of([0], [np.zeros((4, 2))])
    for objective in OBJECTIVES:
        with pytest.raises(ValueError, match="at least two times"):
            ce.fit(small(), snaps, **QUICK, objective=objective)


def test_cells_that_are_nan_are_an_explosion_at_once():
    states = [np.zeros((4, 2)), np.full((4, 2), np.nan)]
    with pytest.raises(FloatingPointError, match=r"step 1 \(term: mmd\).*outlying cells"):
        ce.fit(small(), snapshots_of([0, 1], states), **QUICK)


def test_weights_that_are_lost_in_the_last_step_are_an_error():
    snaps, _ = linear_world(n_cells=60)
    model = small()
    model.network[-1].weight.register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(FloatingPointError, match=r"step 1 \(term: weights\)"):
        ce.fit(model, snaps, **QUICK | {"steps": 1})


def test_settings_may_be_numpys():
    snaps, _ = linear_world(n_cells=60)
    plain = {"steps": 10, "seed": 3, "lr": 0.5, "batch_size": 20, "kinetic_times": 4, "patience": 2, "check_every": 3}
    plain |= {"bandwidth": [0.5, 2.0]}
    numpys = {"steps": np.int16(10), "seed": np.int32(3), "lr": np.float32(0.5), "batch_size": np.int64(20)}
    numpys |= {"kinetic_times": np.int64(4), "patience": np.uint8(2), "check_every": np.int32(3)}
    numpys |= {"bandwidth": np.array([0.5, 2.0])}
    models = [small(), small()]
    for model, options in zip(models, (plain, numpys), strict=True):
        ce.fit(model, snaps, **QUICK | options)
    assert torch.equal(*map(weights, models))


def test_a_second_fit_goes_on_from_the_weights_of_the_first():
    snaps, _ = linear_world(n_cells=60)
    model, by_hand = small(), small()
    for _ in range(2):
        ce.fit(model, snaps, **QUICK | {"steps": 5, "lr": 0.01, "batch_size": 40})
        plain_loop(by_hand, objective_of("mmd", by_hand, snaps), [0.01] * 5)
    torch.testing.assert_close(weights(model), weights(by_hand), rtol=1e-6, atol=1e-8)


def test_a_thread_can_train():
    snaps, _ = linear_world(n_cells=60)
    model, same = small(), small()
    thread = threading.Thread(target=ce.fit, args=(model, snaps), kwargs=QUICK)
    thread.start()
    thread.join()
    ce.fit(same, snaps, **QUICK)
    assert torch.equal(weights(model), weights(same))


def test_a_callback_sees_every_logged_step():
    snaps, _ = linear_world(n_cells=60)
    seen = []
    ce.fit(small(), snaps, **QUICK | {"steps": 25}, callback=lambda h: seen.append((h.steps, len(h.terms))))
    assert seen == [(1, 1), (10, 2), (20, 3)]


@pytest.mark.parametrize("error", [RuntimeError("the plot broke"), KeyboardInterrupt()])
def test_an_error_of_a_callback_ends_training_and_leaves_ctrl_c_as_it_was(error):
    snaps, _ = linear_world(n_cells=60)
    before, model, same = signal.getsignal(signal.SIGINT), small(), small()

    def fail(history):
        if history.steps == 10:
            raise error

    with pytest.raises(type(error)):
        ce.fit(model, snaps, **QUICK, callback=fail)
    assert signal.getsignal(signal.SIGINT) is before
    ce.fit(same, snaps, **QUICK | {"steps": 10})
    assert torch.equal(weights(model), weights(same))


def test_ctrl_c_in_a_callback_waits_for_its_end():
    snaps, _ = linear_world(n_cells=60)
    model, finished = small(), []

    def press(history):
        interrupt()
        finished.append(history.steps)

    with pytest.warns(UserWarning, match="after 1 of 20 steps"):
        ce.fit(model, snaps, **QUICK, callback=press)
    assert finished == [1]


def test_a_second_ctrl_c_stops_at_once():
    snaps, _ = linear_world(n_cells=60)
    model = small()
    before = weights(model)

    def press_twice():
        interrupt()
        interrupt()

    with at_call(model, 1, press_twice), pytest.raises(KeyboardInterrupt):
        ce.fit(model, snaps, **QUICK)
    assert torch.equal(weights(model), before)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_the_last_step_is_too_late():
    snaps, _ = linear_world(n_cells=60)
    model = small()
    with at_call(model, 20, interrupt):
        history = ce.fit(model, snaps, **QUICK)
    assert (history.steps, history.stopped) == (20, "steps")


def test_a_job_that_ignores_ctrl_c_goes_on_ignoring_it():
    snaps, _ = linear_world(n_cells=60)
    model, before = small(), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with at_call(model, 5, interrupt):
            assert ce.fit(model, snaps, **QUICK).steps == 20
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_keeps_the_weights_of_that_step_not_the_best_ones():
    snaps, _ = linear_world(n_cells=60)
    model = small()
    watch = loop.Watch(iter(range(100)).__next__, 2, 99)  # ever worse: the first check is the best
    with at_call(model, 9, interrupt), pytest.warns(UserWarning, match="after 9 of 20"):
        history = loop.optimise(model, objective_of("mmd", model, snaps), 20, 0.01, watch=watch, progress=False)
    same = small()
    plain = plain_loop(same, objective_of("mmd", same, snaps), [0.01] * 9)
    torch.testing.assert_close(weights(model), plain[-1], rtol=1e-6, atol=1e-8)
    assert history.best_step == 9


def test_ctrl_c_keeps_the_averaged_weights_of_that_step():
    snaps, _ = linear_world(n_cells=60)
    model, same = small(), small()
    with at_call(model, 5, interrupt), pytest.warns(UserWarning, match="after 5 of 20"):
        ce.fit(model, snaps, **QUICK, ema=0.9)
    ce.fit(same, snaps, **QUICK | {"steps": 5}, ema=0.9)
    assert torch.equal(weights(model), weights(same))


@pytest.mark.parametrize("head", ["eigen", "dense", "rotational"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_evaluates_the_network_once(objective, head):
    snaps, _ = linear_world(n_cells=60, times=(0.0, 0.3, 0.4, 1.0, 2.0))
    model = small(head=head)
    with at_call(model, 0, interrupt) as calls:
        options = {"l1": 0.1, "deviation": 0.1, "ema": 0.9, "kinetic_times": 0.1}
        ce.fit(model, snaps, **QUICK | {"steps": 7}, objective=objective, **options)
    assert len(calls) == 7


def test_arrays_that_cannot_be_written_can_be_trained_on():
    """As joblib hands them to its processes, mapped from a file."""
    snaps, _ = linear_world(n_cells=60)
    for state in snaps.states:
        state.setflags(write=False)
    for objective in OBJECTIVES:
        model = small()
        ce.fit(model, snaps, **QUICK | {"steps": 2}, objective=objective)
        assert model.velocity(snaps.states[0], 0.0).flags.writeable
