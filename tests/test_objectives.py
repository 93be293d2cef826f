"""What a step minimises and the lines it is learned from: against loops, closed forms and known fields."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.linalg import expm
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import chisquare
from test_training import linear_world, small, snapshots_of, weights

import cellmnn_edu as ce
from cellmnn_edu.metrics import transport_plan
from cellmnn_edu.objectives import CrowdMatching, FrozenMatching, Penalties, VelocityMatching
from cellmnn_edu.paths import PathSampler, draw_cells

FREE = Penalties(0.0, 0.0, 0.0)
DOUBLE = torch.zeros(0, dtype=torch.float64)
HEADS = [(head, affine) for head in ("eigen", "dense", "rotational") for affine in (False, True)]


def crowds(times=(0.0, 0.3, 0.4, 1.15), n=12, dim=3, seed=0):
    rng = np.random.default_rng(seed)
    return snapshots_of(times, [rng.normal(k, 1 + k, size=(n, dim)) for k in range(len(times))])


def moving(dim=3, head="eigen", **options):
    """A model whose cells do move, in double precision."""
    model = ce.CellMNN(dim, head=head, width=8, depth=1, seed=2, **options).double()
    with torch.no_grad():
        model.network[-1].weight *= 40
    return model


# Crowds


@pytest.mark.parametrize(("head", "affine"), HEADS)
def test_crowds_are_compared_as_loops_say(head, affine):
    """Sources and targets that hold every cell once leave nothing to chance."""
    snaps, gamma = crowds(), 0.4
    model = moving(head=head, affine=affine)
    how = {"bandwidth": [0.5, 2.0], "kernel": "gaussian", "unbiased": True}
    objective = CrowdMatching(model, snaps, 36, 0, FREE, gamma=gamma, **how)
    objective.n_target = 12
    expected = 0.0
    for i in range(3):
        for j in range(i + 1, 4):
            moved = model.propagate(snaps.states[i], snaps.times[i], snaps.times[j])
            expected += gamma ** (j - i - 1) * ce.mmd(moved, snaps.states[j], **how)
    assert objective()["mmd"].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("head", "affine"), HEADS)
@pytest.mark.parametrize("step", [0.1, 0.25, 1, 4])
def test_kinetic_energy_is_a_mean_over_cells_and_grid_points(head, affine, step):
    """A float is the step of a grid from each start to the last time; an int is a number of points."""
    times = (0.0, 0.3, 0.4, 1.15)
    snaps, model = crowds(times), moving(head=head, affine=affine)
    objective = CrowdMatching(model, snaps, 36, 0, FREE, l_kin=0.7, kinetic_times=step)
    z, t = objective.sources()
    squares = []
    for i in range(len(z)):
        if isinstance(step, int):
            durations = np.linspace(0, 1, step) * (times[-1] - t[i].item())
        else:
            durations = [k * step for k in range(100) if t[i].item() + k * step <= times[-1] + 1e-9]
        a, b = model.operator(z[i : i + 1], t[i : i + 1])[0], model.offset(z[i : i + 1], t[i : i + 1])[0]
        lifted = np.zeros((4, 4))
        lifted[:3, :3], lifted[:3, 3] = a.detach().numpy(), b.detach().numpy()
        for dt in durations:
            state = expm(lifted * dt) @ np.append(z[i].numpy(), 1)
            squares.append((lifted @ state)[:3] ** 2)
    objective.sources = lambda: (z, t)
    assert objective()["kinetic"].item() == pytest.approx(0.7 * np.mean(squares), rel=1e-6)


def test_a_grid_includes_the_last_time_in_spite_of_rounding():
    """0.1 + 0.1 + 0.1 > 0.3, and in single precision more so."""
    for times in ((0.0, 0.3), (0.0, 0.7, 2.1), (5.1, 5.8), (100.0, 101.1)):
        snaps = crowds(times)
        model = small(3)
        objective = CrowdMatching(model, snaps, 12 * (len(times) - 1), 0, FREE, kinetic_times=0.1)
        exact = [round((times[-1] - t) / 0.1) + 1 for t in times[:-1]]
        counts = objective.kinetic_counts.sum(0).reshape(len(times) - 1, 12)
        assert counts.tolist() == [[n] * 12 for n in exact]
        last = objective.kinetic_dt.max(0).values.reshape(len(times) - 1, 12)[:, 0]
        assert last.tolist() == pytest.approx([times[-1] - t for t in times[:-1]], rel=1e-4)


def test_no_kinetic_weight_is_no_kinetic_term():
    terms = CrowdMatching(small(3), crowds(), 12, 0, Penalties(), l_kin=0.0)()
    assert list(terms) == ["mmd", "barrier"]


def test_sources_are_spread_evenly_and_targets_are_not():
    objective = CrowdMatching(small(3), crowds(n=50), 20, 0, FREE)
    z, t = objective.sources()
    assert z.shape == (18, 3)
    assert t.tolist() == pytest.approx([0.0] * 6 + [0.3] * 6 + [0.4] * 6)
    assert objective.targets().shape == (3, 20, 3)
    alone = CrowdMatching(small(3), crowds(n=50), 1, 0, FREE)
    assert alone.sources()[0].shape == (3, 3)
    assert torch.isfinite(sum(alone().values()))


def test_cells_come_from_their_own_snapshot():
    snaps = crowds(n=30)
    objective = CrowdMatching(moving(), snaps, 15, 0, FREE)
    z, t = objective.sources()
    for cell, time in zip(z, t, strict=True):
        k = int(np.argmin(np.abs(snaps.times - time.item())))
        assert (snaps.states[k] == cell.numpy()).all(1).any()
    for k, cells in enumerate(objective.targets()):
        assert all((snaps.states[k + 1] == cell.numpy()).all(1).any() for cell in cells)


# Penalties


@pytest.mark.parametrize(("head", "affine"), HEADS)
def test_penalties_are_their_definitions(head, affine):
    model, cells = moving(head=head, affine=affine), torch.tensor(crowds().states[0])
    operator = model(cells, torch.full((12,), 0.2).double())
    a = np.stack([m.detach().numpy() for m in operator.matrix()])
    terms = Penalties(l_barrier=0.5, l1=2.0, deviation=3.0)(operator)
    assert terms["l1"].item() == pytest.approx(2 * np.mean([abs(x) for x in a.ravel()]))
    assert terms["deviation"].item() == pytest.approx(3 * np.mean([(m - a.mean(0)) ** 2 for m in a]))
    if head == "dense":
        assert terms["barrier"].item() == 0
    else:
        dets = [np.linalg.det(m.detach().numpy()) for m in operator.basis]
        assert terms["barrier"].item() == pytest.approx(0.5 * np.mean([1 / (abs(det) + 1e-4) for det in dets]))


def test_penalties_without_weight_are_not_computed():
    model, cells = moving(), torch.tensor(crowds().states[0])
    operator = model(cells, torch.zeros(12).double())
    assert list(Penalties()(operator)) == ["barrier"]
    assert list(Penalties(l1=1.0)(operator)) == ["barrier", "l1"]
    assert list(Penalties(deviation=1.0)(operator)) == ["barrier", "deviation"]


@pytest.mark.parametrize("objective", ["mmd", "flow-matching", "frozen-matching"])
def test_deviation_brings_operators_together(objective):
    snaps, _ = linear_world(n_cells=60)
    apart = []
    for weight in (0.0, 10.0):
        model = small(head="dense", seed=1)
        with torch.no_grad():
            model.network[-1].weight *= 40
        options = {"objective": objective, "deviation": weight, "batch_size": 40, "progress": False}
        ce.fit(model, snaps, steps=80, lr=0.03, schedule="cosine", **options)
        a = model.operator(np.concatenate(snaps.states), 0.5)
        apart.append(np.square(a - a.mean(0)).mean())
    assert apart[1] < 0.2 * apart[0]


def test_l1_empties_the_operator():
    snaps, _ = linear_world(n_cells=60)
    sizes = []
    for weight in (0.0, 10.0):
        model = small(head="dense")
        ce.fit(
            model,
            snaps,
            steps=80,
            lr=0.03,
            schedule="cosine",
            l1=weight,
            objective="flow-matching",
            batch_size=40,
            progress=False,
        )
        sizes.append(np.abs(model.operator(snaps.states[0], 0.5)).mean())
    assert sizes[1] < 0.1 * sizes[0]


# Velocities and frozen moves


@pytest.mark.parametrize(("head", "affine"), HEADS)
@pytest.mark.parametrize("path", ["straight", "spline"])
def test_velocity_matching_written_as_a_loop(head, affine, path):
    model, snaps = moving(head=head, affine=affine), crowds()
    objective = VelocityMatching(model, PathSampler(snaps, 7, 5, DOUBLE, path=path), Penalties(0.3))
    z, t, velocity = PathSampler(snaps, 7, 5, DOUBLE, path=path).points()
    squares, barrier = [], []
    for cell, time, aim in zip(z, t, velocity, strict=True):
        squares.append((model.velocity(cell[None], time[None])[0] - aim).detach().square().numpy())
        barrier.append(model(cell[None], time[None]).barrier().item())
    terms = objective()
    assert terms["velocity"].item() == pytest.approx(np.mean(squares))
    assert terms["barrier"].item() == pytest.approx(0.3 * np.mean(barrier))


@pytest.mark.parametrize(("head", "affine"), HEADS)
@pytest.mark.parametrize("path", ["straight", "spline"])
def test_frozen_matching_written_as_a_loop(head, affine, path):
    """The same numbers are drawn by hand: chains first, then four moments of each path."""
    model, snaps = moving(head=head, affine=affine), crowds()
    objective = FrozenMatching(model, PathSampler(snaps, 7, 5, DOUBLE, path=path), FREE)
    paths = PathSampler(snaps, 7, 5, DOUBLE, path=path)
    chain, fractions = paths.draw(), paths.uniform(4, 3, 7)
    squares = []
    for j in range(4):
        for gap in range(3):
            for i in range(7):
                s, (start, end) = fractions[j, gap, i].item(), snaps.times[gap : gap + 2]
                if path == "spline":
                    aim = CubicSpline(snaps.times, chain[:, i], bc_type="natural")(start + s * (end - start))
                else:
                    aim = (1 - s) * chain[gap, i].numpy() + s * chain[gap + 1, i].numpy()
                moved = model.propagate(chain[gap, i : i + 1].numpy(), start, start + s * (end - start))[0]
                squares.append((moved - aim) ** 2)
    assert objective()["position"].item() == pytest.approx(np.mean(squares), rel=1e-6)


def paired_world(affine=False):
    """Few cells far apart, each at five times: the plan of least cost finds the true partners."""
    rng, truth = np.random.default_rng(4), np.array([[0.3, 0.8], [-0.8, -0.2]])
    offset = np.array([0.5, -1.0]) if affine else np.zeros(2)
    lifted = np.block([[truth, offset[:, None]], [np.zeros((1, 3))]])
    angle = np.linspace(0, 2 * np.pi, 9)[:-1]
    start = np.column_stack([3 * np.cos(angle), 3 * np.sin(angle), np.ones(8)])
    times = [0.0, 0.15, 0.25, 0.45, 0.6]
    states = [(start @ expm(lifted * t).T)[:, :2] for t in times]
    for x, y in pairwise(states):
        assert (linear_sum_assignment(cdist(x, y) ** 2)[1] == np.arange(8)).all()
    shuffled = [state[rng.permutation(8)] for state in states]
    return snapshots_of(times, shuffled), truth, offset


@pytest.mark.parametrize(
    ("objective", "affine"), [("flow-matching", False), ("flow-matching", True), ("frozen-matching", False)]
)
def test_a_known_linear_field_is_recovered(objective, affine):
    """Velocities alone leave A open; with the deviation penalty only the truth is left.

    Not with the affine lift: its offset, which is not charged, may be any field, so only velocities can be known.
    """
    snaps, truth, offset = paired_world(affine)
    model = small(head="dense", affine=affine)
    options = {"objective": objective, "path": "spline", "deviation": 10.0, "batch_size": 8, "schedule": "cosine"}
    ce.fit(model, snaps, steps=200, lr=0.06, progress=False, device="cpu", **options)
    cells = np.concatenate(snaps.states)
    velocity = cells @ truth.T + offset
    assert np.abs(model.velocity(cells, 0.3) - velocity).max() < 0.1 * np.abs(velocity).max()
    if not affine:
        np.testing.assert_allclose(model.operator(cells, 0.3), np.broadcast_to(truth, (40, 2, 2)), atol=0.08)
    moved = model.propagate(snaps.states[0], 0.0, 0.6, n_steps=10)
    assert ce.wasserstein(moved, snaps.states[-1]) < 0.05 * ce.wasserstein(snaps.states[0], snaps.states[-1])


# Paths


@pytest.mark.parametrize("times", [(0.0, 1.0), (0.0, 0.1, 2.0), (-3.0, 0.3, 0.4, 9.0, 9.5)])
@pytest.mark.parametrize("path", ["straight", "spline"])
def test_paths_are_scipys(times, path):
    snaps = crowds(times)
    paths = PathSampler(snaps, 6, 0, DOUBLE, path=path)
    chain, gap = paths.draw(), torch.arange(len(times) - 1)
    fraction = torch.rand(len(gap), 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fraction[:, 0], fraction[:, 1] = 0, 1
    position, velocity = paths.at(chain, gap, fraction)
    for i in range(6):
        for g in gap.tolist():
            t = times[g] + fraction[g, i].item() * (times[g + 1] - times[g])
            if path == "spline" and len(times) > 2:
                curve = CubicSpline(times, chain[:, i], bc_type="natural")
                expected, slope = curve(t), curve(t, 1)
            else:
                ends = chain[g : g + 2, i].numpy()
                slope = (ends[1] - ends[0]) / (times[g + 1] - times[g])
                expected = ends[0] + (t - times[g]) * slope
            np.testing.assert_allclose(position[g, i], expected, atol=1e-9)
            np.testing.assert_allclose(velocity[g, i], slope, atol=1e-9)


@pytest.mark.parametrize("path", ["straight", "spline"])
def test_points_lie_on_the_paths_at_their_times(path):
    snaps = crowds()
    one, two = (PathSampler(snaps, 6, 3, DOUBLE, path=path) for _ in range(2))
    z, t, velocity = one.points()
    chain, gap = two.draw(), torch.arange(3)
    fraction = two.uniform(3, 6)
    position, slope = two.at(chain, gap, fraction)
    torch.testing.assert_close(z, position.reshape(18, 3))
    torch.testing.assert_close(velocity, slope.reshape(18, 3))
    expected = [snaps.times[g] + fraction[g, i] * np.diff(snaps.times)[g] for g in range(3) for i in range(6)]
    np.testing.assert_allclose(t, expected)


def test_a_random_moment_is_uniform_in_each_gap():
    paths = PathSampler(crowds(), 4000, 0, DOUBLE, coupling="independent")
    t = paths.points()[1].reshape(3, 4000).numpy()
    for g, (start, end) in enumerate(zip(paths.times[:-1].tolist(), paths.times[1:].tolist(), strict=True)):
        counts, _ = np.histogram(t[g], bins=10, range=(start, end))
        assert counts.sum() == 4000
        assert chisquare(counts).pvalue > 1e-4


def test_noise_is_on_the_points_and_not_on_the_velocities():
    clean, noisy = (PathSampler(crowds(), 3000, 0, DOUBLE, coupling="independent", noise_std=s) for s in (0.0, 0.5))
    (z, t, v), (z2, t2, v2) = clean.points(), noisy.points()
    assert torch.equal(t, t2)
    assert torch.equal(v, v2)
    noise = (z2 - z).numpy()
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.05


def test_partners_of_a_minibatch_are_the_best_assignment():
    snaps = crowds(n=30)
    chain = PathSampler(snaps, 20, 0, DOUBLE, coupling="minibatch").draw().numpy()
    for x, y in pairwise(chain):
        cost = cdist(x, y, "sqeuclidean")
        assert np.trace(cost) == pytest.approx(cost[linear_sum_assignment(cost)].sum())
        assert len(np.unique(y, axis=0)) == 20


def test_independent_partners_have_nothing_in_common():
    """Snapshots that are sorted: partners by the place in the file would be neighbours."""
    for n in (100, 10_000):  # drawn by a permutation, and by rejection
        state = np.sort(np.random.default_rng(0).normal(size=n))[:, None]
        sampler = PathSampler(snapshots_of([0, 1], [state, state]), 80, 0, DOUBLE, coupling="independent")
        draws = torch.cat([sampler.draw() for _ in range(40)], dim=1).numpy()[..., 0]
        assert abs(np.corrcoef(draws)[0, 1]) < 0.08


def test_partners_from_the_full_plan_have_its_shares():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(4, 2)), rng.normal(size=(6, 2)), rng.normal(size=(3, 2))
    chain = PathSampler(snapshots_of([0, 1, 2], [x, y, w]), 6000, 0, DOUBLE, coupling="full").draw().numpy()
    rows = [cdist(c, s).argmin(1) for c, s in zip(chain, (x, y, w), strict=True)]
    first = transport_plan(x, y, power=2)
    second = transport_plan(y, w, power=2)
    for (a, b), plan in zip(((rows[0], rows[1]), (rows[1], rows[2])), (first, second), strict=True):
        counts = np.zeros_like(plan)
        np.add.at(counts, (a, b), 1)
        assert (counts[plan < 1e-9] == 0).all()
        shares = counts / counts.sum()
        np.testing.assert_allclose(shares, plan, atol=5 * np.sqrt(0.25 / 6000))
        assert (counts[plan > 1e-9] > 0).all()


@pytest.mark.parametrize("options", [{"coupling": "greedy"}, {"path": "geodesic"}])
def test_unknown_couplings_and_paths_are_refused(options):
    with pytest.raises(ValueError, match="Expected coupling one of independent, minibatch, full"):
        PathSampler(crowds(), 4, 0, DOUBLE, **options)


def test_two_times_are_needed():
    with pytest.raises(ValueError, match="at least two times"):
        PathSampler(crowds((0.0,)), 4, 0, DOUBLE)


# Drawing cells


def rows_drawn(size, n, repeats=1, seed=0):
    """Row numbers; the state says where each cell lies."""
    rng, state = torch.Generator().manual_seed(seed), torch.arange(size)
    return np.stack([draw_cells(state, n, rng).numpy() for _ in range(repeats)])


@pytest.mark.parametrize(("size", "n"), [(12, 12), (60, 12), (241, 12), (2000, 12), (21, 1), (100_000, 300)])
def test_cells_are_drawn_distinct(size, n):
    for drawn in rows_drawn(size, n, 30):
        assert len(set(drawn)) == n
        assert 0 <= min(drawn) <= max(drawn) < size


@pytest.mark.parametrize(("size", "n"), [(20, 4), (100, 4)])
def test_every_cell_is_as_likely_at_every_place(size, n):
    """Permuted (20 <= 20 * 4) and rejected (100 > 20 * 4) alike."""
    drawn = rows_drawn(size, n, 4000)
    for place in range(n):
        assert chisquare(np.bincount(drawn[:, place], minlength=size)).pvalue > 1e-4
    # And every pair: the joint draw of the first two places.
    pairs = np.bincount(drawn[:, 0] * size + drawn[:, 1], minlength=size * size).reshape(size, size)
    assert np.diag(pairs).sum() == 0
    above, below = np.triu(pairs, 1).sum(), np.tril(pairs, -1).sum()
    assert chisquare([above, below]).pvalue > 1e-4


@pytest.mark.parametrize("size", [50, 5000])
def test_the_order_is_random(size):
    drawn = rows_drawn(size, 40, 50)
    steps = np.diff(drawn, axis=1) > 0
    assert 0.4 < steps.mean() < 0.6


def test_too_few_cells_are_drawn_again():
    drawn = rows_drawn(5, 1000)[0]
    assert chisquare(np.bincount(drawn, minlength=5)).pvalue > 1e-4


def test_the_cost_does_not_grow_with_the_snapshot(monkeypatch):
    """A billion cells that take no memory: a permutation of them would."""
    asked = []
    for name in ("randperm", "randint"):
        real = getattr(torch, name)

        def counting(*args, real=real, **kwargs):
            rows = real(*args, **kwargs)
            asked.append(len(rows))
            return rows

        monkeypatch.setattr(torch, name, counting)
    state = torch.zeros(1, 2).expand(10**9, 2)
    assert draw_cells(state, 50, torch.Generator().manual_seed(0)).shape == (50, 2)
    assert sum(asked) <= 2 * 50 + 10


def test_the_global_stream_and_the_device_of_the_batch_do_not_matter():
    snaps = crowds()
    for kind in ("mmd", "flow-matching", "frozen-matching"):
        got = []
        for noise in (0, 5):
            torch.rand(noise)
            model = small(3)
            ce.fit(model, snaps, steps=3, objective=kind, seed=4, batch_size=12, progress=False)
            got.append(weights(model))
        assert torch.equal(*got)


@pytest.mark.parametrize("head", ["eigen", "dense", "rotational"])
def test_moves_that_nobody_asked_for_do_no_harm(head):
    """Backward in time, cells that contract by e^-150 a unit would overflow, and spoil the gradient."""
    snaps = crowds((0.0, 1.0, 2.0))
    model = small(3, head=head)
    with torch.no_grad():
        diagonal = {"eigen": [0, 1, 2], "dense": [0, 4, 8], "rotational": [0, 3]}[head]
        model.network[-1].bias[diagonal] = -150.0
    assert torch.linalg.eigvals(model(torch.zeros(1, 3), torch.zeros(1)).matrix()).real.max() < -140
    sum(CrowdMatching(model, snaps, 24, 0, FREE, l_kin=0.0)().values()).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())
