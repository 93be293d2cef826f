"""Every rival against a truth it does not know: closed forms for Gaussians, an arc, a linear flow; and the protocol."""

import signal
from inspect import signature

import numpy as np
import pytest
import torch
from scipy.linalg import expm, sqrtm
from test_paths import LIKE, UNEVEN, check_slope, gaussians, snapshots_of
from test_snapshots import make_adata
from torch import nn

import cellmnn_edu as ce
from cellmnn_edu import baselines
from cellmnn_edu.baselines import mfm, neural_ode
from cellmnn_edu.baselines.field import Training, VelocityField, follow
from cellmnn_edu.baselines.mfm import CurvedPaths, LandMetric
from cellmnn_edu.baselines.neural_ode import SolvedCrowdMatching
from cellmnn_edu.baselines.sf2m import Bridge, BridgeMatching
from cellmnn_edu.objectives import CrowdMatching, Penalties
from cellmnn_edu.operators import DenseOperator
from cellmnn_edu.paths import PathSampler

FIELDS = ("neural-ode", "i-cfm", "ot-cfm", "ot-cfm-full", "sf2m", "mfm")
LEARNED = (*FIELDS, "cell-mnn")
QUICK = {"steps": 12, "progress": False, "device": "cpu", "batch_size": 20}
# Small networks, an average over steps and a falling rate: for accuracy in seconds.
CAREFUL = {"progress": False, "device": "cpu", "schedule": "cosine", "ema": 0.98, "width": 48, "depth": 3, "lr": 3e-3}


# --- mean shift


def test_mean_shift_moves_every_cell_as_the_means():
    snaps = gaussians((0.0, 1.0, 5.0), [(0, 0), (2, 4), (-2, 4)], [(1, 1)] * 3, n=30)
    means = [state.mean(0) for state in snaps.states]
    fitted = baselines.get("mean-shift").fit(snaps)
    z = snaps.states[0]
    np.testing.assert_allclose(fitted.propagate(z, 0.0, 1.0), z + means[1] - means[0])
    np.testing.assert_allclose(fitted.propagate(z, 1.0, 2.0), z + (means[2] - means[1]) / 4)
    np.testing.assert_allclose(fitted.propagate(z, 5.0, 0.0), z + means[0] - means[2])
    with pytest.raises(ValueError, match="between the training times, 0 to 5"):
        fitted.propagate(z, 1.0, 6.0)


# --- flow matching: the best field between two Gaussians is known

SPAN, NOISE = 2.0, 0.1  # the gap lasts two units of time
START, STOP = (np.zeros(2), np.eye(2)), (np.array([3.0, 1.0]), np.array([[2.0, 0.9], [0.9, 0.5]]))


def two_gaussians(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    return snapshots_of(
        (0.0, SPAN), [rng.multivariate_normal(*end, size=n, method="cholesky") for end in (START, STOP)]
    )


def optimal_map():
    """Matrix of the optimal map between the Gaussians (the first is standard: the square root of the second)."""
    return np.real(sqrtm(STOP[1]))


def best_field(z, s, coupling):
    """E[u | x] = E[u] + cov(u, x) cov(x)^-1 (x - E[x]) for u = (x1 - x0) / SPAN, x = (1-s) x0 + s x1 + noise."""
    (m0, c0), (m1, c1) = START, STOP
    together = np.zeros((2, 2)) if coupling == "independent" else c0 @ optimal_map().T  # cov(x0, x1)
    spread = (1 - s) ** 2 * c0 + s**2 * c1 + s * (1 - s) * (together + together.T) + NOISE**2 * np.eye(2)
    lean = (s * c1 - (1 - s) * c0 + (1 - s) * together.T - s * together) / SPAN
    mean = (1 - s) * m0 + s * m1
    return (m1 - m0) / SPAN + (z - mean) @ np.linalg.solve(spread, lean.T), mean, spread


def field_error(fitted, coupling):
    """Root mean squared difference from the best field, over that of the best field from its mean."""
    rng, miss, size = np.random.default_rng(1), [], []
    for s in (0.1, 0.3, 0.5, 0.7, 0.9):
        _, mean, spread = best_field(np.zeros((1, 2)), s, coupling)
        z = rng.multivariate_normal(mean, spread, size=400)
        best = best_field(z, s, coupling)[0]
        with torch.no_grad():
            found = fitted.field(torch.as_tensor(z, dtype=torch.float32), torch.tensor(s * SPAN)).numpy()
        miss.append(((found - best) ** 2).sum(1).mean())
        size.append(((best - best.mean(0)) ** 2).sum(1).mean())
    return np.sqrt(np.sum(miss) / np.sum(size))


@pytest.fixture(scope="module")
def matched():
    names = {"i-cfm": "independent", "ot-cfm": "optimal", "ot-cfm-full": "optimal"}
    snaps = two_gaussians(1200)
    return {
        name: (baselines.get(name, noise_std=NOISE, steps=500, **CAREFUL | {"lr": 0.01}).fit(snaps), coupling)
        for name, coupling in names.items()
    }


def test_flow_matching_finds_the_best_field(matched):
    for fitted, coupling in matched.values():
        assert field_error(fitted, coupling) < 0.22


def test_the_coupling_is_what_makes_the_difference(matched):
    """Without the plan the field is another one, by more than twice the error allowed."""
    assert field_error(matched["i-cfm"][0], "optimal") > 0.5
    assert field_error(matched["ot-cfm"][0], "independent") > 0.5


def test_matched_fields_carry_one_gaussian_into_the_other(matched):
    z = np.random.default_rng(2).multivariate_normal(*START, size=2000)
    for fitted, _ in matched.values():
        moved = fitted.propagate(z, 0.0, SPAN)
        np.testing.assert_allclose(moved.mean(0), STOP[0], atol=0.12)
        np.testing.assert_allclose(np.cov(moved.T), STOP[1], atol=0.25)
    straight = STOP[0] + z @ optimal_map().T
    moved = matched["ot-cfm"][0].propagate(z, 0.0, SPAN)
    assert np.sqrt(((moved - straight) ** 2).sum(1).mean()) < 0.25


def test_fields_run_backward_and_beyond_the_training_times(matched):
    field, z = matched["ot-cfm"][0], np.random.default_rng(2).normal(size=(50, 2))
    np.testing.assert_allclose(field.propagate(field.propagate(z, 0.0, SPAN), SPAN, 0.0), z, atol=1e-3)
    assert np.isfinite(field.propagate(z, -1.0, SPAN + 1)).all()


# --- SF2M: the Schroedinger bridge between Gaussians is known

SIGMA = 0.8


def bridge_moments(s):
    """Mean and covariance at the share s; Bunne et al. 2023, arXiv:2202.05722, for START = N(0, I)."""
    variance = SIGMA**2 * SPAN
    across = (np.real(sqrtm(4 * STOP[1] + variance**2 * np.eye(2))) - variance * np.eye(2)) / 2
    spread = (1 - s) ** 2 * START[1] + s**2 * STOP[1] + s * (1 - s) * (across + across.T + variance * np.eye(2))
    return (1 - s) * START[0] + s * STOP[0], spread


@pytest.fixture(scope="module")
def bridged():
    return baselines.get("sf2m", sigma=SIGMA, coupling="entropic", steps=400, **CAREFUL).fit(two_gaussians())


def bridge_errors(fitted, s=0.5):
    z = np.random.default_rng(3).multivariate_normal(*START, size=4000)
    moved, (mean, spread) = fitted.propagate(z, 0.0, s * SPAN, seed=5), bridge_moments(s)
    return np.abs(moved.mean(0) - mean).max(), np.abs(np.cov(moved.T) - spread).max()


def test_noisy_cells_follow_the_schroedinger_bridge(bridged):
    mean_error, spread_error = bridge_errors(bridged)
    assert mean_error < 0.12
    assert spread_error < 0.15


def test_the_deterministic_flow_has_the_same_snapshots(bridged, monkeypatch):
    monkeypatch.setattr(bridged, "dynamics", "ode")
    mean_error, spread_error = bridge_errors(bridged)
    assert mean_error < 0.12
    assert spread_error < 0.15


def test_without_the_score_the_noise_piles_up(bridged, monkeypatch):
    monkeypatch.setattr(bridged.bridge.pull, "forward", lambda x, t: torch.zeros_like(x))
    assert bridge_errors(bridged)[1] > 0.5


def test_the_exact_coupling_is_not_the_schroedinger_bridge(bridged):
    """Brownian bridges between optimal partners: wider in the middle by another amount."""
    snaps = two_gaussians()
    chain = PathSampler(snaps, 800, 0, LIKE, "minibatch").draw().numpy()
    across = np.cov(chain[0].T, chain[1].T)[:2, 2:]
    variance = SIGMA**2 * SPAN
    exact = (START[1] + STOP[1] + across + across.T + variance * np.eye(2)) / 4
    assert np.abs(exact - bridge_moments(0.5)[1]).max() > 0.2


class Untrained(nn.Module):
    """A field that is not asked."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, z, t):
        return torch.zeros_like(z)


def test_bridges_widen_with_the_real_length_of_the_gap():
    """Cells that stand still, gaps of 1, 4 and .5: variance sigma^2 h s (1 - s), and velocity its slope times noise."""
    snaps = snapshots_of(UNEVEN, [np.zeros((3, 2))] * 4)
    paths = PathSampler(snaps, 20_000, 0, LIKE, "independent")
    z, t, velocity, noise, spread = BridgeMatching(Bridge(Untrained(), Untrained()), paths, 0.5).points()
    for k, length in enumerate(np.diff(UNEVEN)):
        cells, share = (part.view(3, -1, part.shape[-1])[k].numpy() for part in (z, (t - 0.0)[:, None]))
        share = (share - UNEVEN[k]) / length
        middle = (np.abs(share - 0.5) < 0.1)[:, 0]
        expected = 0.25 * length * np.mean(share[middle] * (1 - share[middle]))
        np.testing.assert_allclose(cells[middle].var(0), expected, rtol=0.06)
        pace = velocity.view(3, -1, 2)[k].numpy() / noise.view(3, -1, 2)[k].numpy()
        slope = 0.5 * (1 - 2 * share) / (2 * np.sqrt(length * share * (1 - share)))
        np.testing.assert_allclose(pace, np.broadcast_to(slope, pace.shape), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(z, spread * noise)


# --- metric flow matching: cells on an arc

RADIUS = 2.0


def arc(low, high, n, rng):
    angle = np.radians(rng.uniform(low, high, n))
    radius = RADIUS + 0.05 * rng.normal(size=n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def arc_snapshots():
    """From one end of an arc to the other; that cells can be on the way is seen at a later time."""
    rng = np.random.default_rng(0)
    return snapshots_of((0.0, 1.0, 2.0), [arc(140, 150, 300, rng), arc(30, 40, 300, rng), arc(30, 150, 600, rng)])


def radius_half_way(**options):
    snaps = arc_snapshots()
    chosen = {"gamma": 0.15, "n_anchors": 400, "noise_std": 0.02, "steps": 300, "batch_size": 100}
    chosen |= CAREFUL | options
    moved = baselines.get("mfm", **chosen).fit(snaps).propagate(snaps.states[0], 0.0, 0.5)
    return np.linalg.norm(moved, axis=1).mean() / RADIUS


def test_paths_in_the_metric_stay_where_cells_are():
    assert radius_half_way() > 0.87


def test_paths_without_the_metric_cut_the_corner():
    """The chord between 145 and 35 degrees is cos(55 degrees) = .57 radii from the centre."""
    assert radius_half_way(bend=False) == pytest.approx(np.cos(np.radians(55)), abs=0.06)


def test_a_flat_metric_bends_nothing(monkeypatch):
    monkeypatch.setattr(mfm.LandMetric, "__call__", lambda self, x: torch.ones_like(x))
    assert radius_half_way() == pytest.approx(np.cos(np.radians(55)), abs=0.06)


def test_the_metric_is_the_formula():
    rng = np.random.default_rng(0)
    cells, x, gamma, rho = rng.normal(size=(40, 3)), rng.normal(size=(7, 3)), 0.7, 0.02
    found = LandMetric(torch.as_tensor(cells), gamma, rho)(torch.as_tensor(x))
    for i in range(7):
        weight = np.exp(-((cells - x[i]) ** 2).sum(1) / (2 * gamma**2))
        spread = (weight[:, None] * (cells - x[i]) ** 2).mean(0)
        np.testing.assert_allclose(found[i], rho / (spread + rho), rtol=1e-10)
    far = LandMetric(torch.as_tensor(cells), gamma, rho)(torch.full((1, 3), 50.0, dtype=torch.float64))
    np.testing.assert_allclose(far, 1)


def bent_sampler():
    bends = Training(device="cpu", width=16, depth=2).network(5, 2, 0).double()
    bends[-1].weight.data *= 100
    snaps = gaussians(UNEVEN, [(0, 0)] * 4, [(1, 1)] * 4, n=50)
    return CurvedPaths(bends, snaps, 10, 0, LIKE, "minibatch")


def test_velocity_is_the_slope_of_the_curved_path():
    check_slope(bent_sampler())


def test_curved_paths_leave_the_line_and_meet_their_cells():
    sampler = bent_sampler()
    chain, gap = sampler.draw(), torch.arange(3)
    for share, cells in ((0.0, chain[:-1]), (1.0, chain[1:])):
        np.testing.assert_allclose(sampler.at(chain, gap, torch.full((3, 10), share).double())[0].detach(), cells)
    middle = sampler.at(chain, gap, torch.full((3, 10), 0.5).double())[0]
    assert (middle - (chain[1:] + chain[:-1]) / 2).abs().max() > 0.1


# --- Neural ODE: a linear flow

TURN = np.array([[-0.2, -0.7], [0.7, -0.2]])


class LinearField(nn.Module):
    """f(z, t) = A z, as a field and as a model of operators."""

    dim = 2

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.as_tensor(TURN))

    def forward(self, z, t):
        return z @ self.a.T

    def operators(self, z, t):
        return DenseOperator(self.a.expand(len(z), 2, 2))


def turning_snapshots(times=(0.0, 1.0, 2.0), n=400):
    rng = np.random.default_rng(0)
    centres = np.array([[2.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    clouds = []
    for t in times:
        cells = centres[rng.integers(3, size=n)] + 0.2 * rng.normal(size=(n, 2))
        clouds.append(cells @ expm(TURN * t).T)
    return snapshots_of(times, clouds)


def test_the_solver_follows_a_linear_flow_with_a_clock_for_each_cell():
    rng = np.random.default_rng(0)
    z, t0, t1 = rng.normal(size=(6, 2)), rng.uniform(0, 1, 6), rng.uniform(1, 4, 6)
    fractions = torch.linspace(0, 1, 41).double()
    path = follow(LinearField(), *(torch.as_tensor(x) for x in (z, t0, t1)), fractions).detach()
    for i in range(6):
        for k in (0, 13, 40):
            expected = expm(TURN * (t1 - t0)[i] * fractions[k].item()) @ z[i]
            np.testing.assert_allclose(path[k, i], expected, atol=1e-6)


@pytest.mark.parametrize("times", [(0.0, 1.0, 2.0), (0.0, 0.7, 2.0, 2.6)])
def test_the_solver_sees_the_batches_and_terms_of_cell_mnn(times):
    """For one linear flow, operators in closed form and a solver must give the same loss."""
    snaps, field = turning_snapshots(times), LinearField()
    settings = {"l_kin": 0.3, "gamma": 0.4, "bandwidth": 0.7}
    solved = SolvedCrowdMatching(field, snaps, 90, 5, solver_steps=25, kinetic_times=64, **settings)
    operators = LinearField()
    operators.forward = operators.operators
    closed = CrowdMatching(operators, snaps, 90, 5, Penalties(), kinetic_times=1001, **settings)
    for _ in range(3):
        found, expected = solved(), closed()
        assert found["mmd"].item() == pytest.approx(expected["mmd"].item(), rel=1e-4)
        # One charges at 64 random moments, the other at 1001 fixed ones; both estimate one integral.
        assert found["kinetic"].item() == pytest.approx(expected["kinetic"].item(), rel=5e-3)
    assert expected["mmd"].item() > 0


class Sprinter(LinearField):
    """Stands still at the ends and the quarters of the way to time 2, and runs in between."""

    def forward(self, z, t):
        return (4 * torch.sin(2 * torch.pi * t) ** 2)[:, None].expand_as(z) + 0 * self.a.sum()


def test_speed_between_known_moments_is_charged():
    snaps = turning_snapshots((0.0, 2.0))
    crowds = SolvedCrowdMatching(
        Sprinter(), snaps, 20, 0, solver_steps=4, kinetic_times=5, l_kin=1.0, gamma=0.1, bandwidth=1.0
    )
    charged = [crowds()["kinetic"].item() for _ in range(200)]
    assert np.mean(charged) == pytest.approx(6, rel=0.05)  # 16 times the mean of sin^4, 3/8
    assert len(set(charged)) > 190


def test_each_span_of_the_way_has_its_moment():
    snaps = turning_snapshots((0.0, 2.0))
    terms = {"solver_steps": 4, "gamma": 0.1, "bandwidth": 1.0}
    crowds = SolvedCrowdMatching(LinearField(), snaps, 20, 0, kinetic_times=5, l_kin=1.0, **terms)
    drawn = []
    for _ in range(50):
        crowds.sources()  # as a step does: the moments follow the generator of the batches
        drawn.append(crowds.moments().tolist())
    spans = np.floor(5 * np.array(drawn))
    np.testing.assert_array_equal(spans, np.broadcast_to(np.arange(5), spans.shape))
    assert "kinetic" not in SolvedCrowdMatching(LinearField(), snaps, 20, 0, kinetic_times=5, l_kin=0, **terms)()


def turning_error(**options):
    """Distance from the true places at the inner time .5, over the way there."""
    chosen = {"steps": 250, "l_kin": 0.01, "bandwidth": "median", **CAREFUL, **options}
    snaps = turning_snapshots()
    fitted, z = baselines.get("neural-ode", **chosen).fit(snaps), snaps.states[0]
    truth = z @ expm(TURN * 0.5).T
    return np.sqrt(((fitted.propagate(z, 0.0, 0.5) - truth) ** 2).mean() / ((truth - z) ** 2).mean())


def test_the_neural_ode_finds_a_turning_flow():
    assert turning_error() < 0.4


def test_without_the_mmd_the_neural_ode_stands_still(monkeypatch):
    monkeypatch.setattr(neural_ode, "mmd_loss", lambda moved, *rest, **how: 0 * moved.sum())
    assert turning_error(steps=60) > 0.8


# --- Cell-MNN as a method


def small():
    return ce.Snapshots.from_anndata(make_adata(), n_components=2).hold_out(2)


def test_steps_of_a_move_follow_the_objective():
    def steps(**options):
        return baselines.get("cell-mnn", **options).n_steps

    assert [steps(), steps(objective="frozen-matching"), steps(objective="flow-matching")] == [1, 1, 20]
    assert steps(objective="flow-matching", finetune_steps=9) == 1
    assert steps(objective="flow-matching", n_steps=7) == 7


def test_fine_tuning_is_a_second_fit_on_crowds():
    train, held = small()
    quick = {"steps": 5, "path": "spline", "device": "cpu", "progress": False}
    method = baselines.get("cell-mnn", objective="frozen-matching", finetune_steps=4, **quick).fit(train, seed=3)
    model = ce.CellMNN(2, seed=3)
    ce.fit(model, train, seed=3, objective="frozen-matching", **quick)
    ce.fit(model, train, seed=3, objective="mmd", **quick | {"steps": 4})
    np.testing.assert_array_equal(method.propagate(held.previous, 1.0, 3.0), model.propagate(held.previous, 1.0, 3.0))
    assert method.steps == 9


def test_an_ensemble_averages_the_displacements_of_its_models():
    train, held = small()
    quick = {"steps": 5, "lr": 0.01, "device": "cpu", "progress": False}
    together = baselines.get("cell-mnn", n_models=2, **quick).fit(train, seed=3)
    alone = [baselines.get("cell-mnn", **quick).fit(train, seed=seed) for seed in (6, 7)]
    expected = np.mean([one.propagate(held.previous, 1.0, 3.0) for one in alone], axis=0)
    np.testing.assert_allclose(together.propagate(held.previous, 1.0, 3.0), expected, rtol=1e-12)
    assert together.steps == 10


def test_the_leak_is_used_only_where_it_is_given():
    train, held = small()
    method = baselines.get("cell-mnn", steps=6, check_every=2, device="cpu", progress=False)
    assert not method.fit(train).history.leaky
    leaky = method.fit(train, leak=held).history
    assert leaky.leaky
    best = min(leaky.checks, key=lambda check: check["score"])
    moved = method.propagate(held.previous, held.previous_time, held.time)
    assert best["score"] == pytest.approx(ce.wasserstein(moved, held.state), rel=1e-5)


def test_several_runs_do_not_share_a_checkpoint(tmp_path):
    for several in ({"n_models": 2}, {"finetune_steps": 3}):
        with pytest.raises(ValueError, match="cannot share one file"):
            baselines.get("cell-mnn", checkpoint=tmp_path / "run.pt", **several)


# --- the protocol


def predictions(name, seed=0, move_seed=0, factor=1.0):
    adata = make_adata()
    adata.X[(adata.obs["time"] == 3.0).to_numpy()] *= factor
    train, held = ce.Snapshots.from_anndata(adata, n_components=3).hold_out(2)
    fitted = baselines.get(name, **QUICK).fit(train, seed=seed)
    return fitted.propagate(held.previous, held.previous_time, held.time, seed=move_seed)


@pytest.mark.parametrize("name", LEARNED)
def test_seeds_decide_everything_and_held_out_cells_nothing(name):
    first = predictions(name)
    np.testing.assert_array_equal(first, predictions(name))
    np.testing.assert_array_equal(first, predictions(name, factor=100.0))
    assert not np.array_equal(first, predictions(name, seed=1))
    assert np.array_equal(first, predictions(name, move_seed=1)) == (name != "sf2m")


@pytest.mark.parametrize("name", LEARNED)
def test_rivals_have_the_same_network_steps_and_rate(name):
    model, preset = signature(ce.CellMNN).parameters, ce.training.PRESETS["default"]
    shared = Training()
    assert (shared.width, shared.depth) == (model["width"].default, model["depth"].default) == (96, 4)
    assert (shared.steps, shared.lr) == (preset["steps"], preset["lr"]) == (1500, 1e-3)
    assert shared.batch_size == signature(ce.fit).parameters["batch_size"].default == 200
    assert set(Training.__dataclass_fields__) <= set(baselines.options_of(name))


@pytest.mark.parametrize("name", FIELDS)
def test_options_reach_the_training(name):
    train, held = small()
    plain = baselines.get(name, **QUICK).fit(train)
    stages = 2 if name == "mfm" else 1
    assert plain.steps == 12 * stages
    assert plain.history.steps == 12
    z = held.previous
    for other in ({"schedule": "cosine"}, {"ema": 0.9}, {"lr": 0.01}, {"width": 8}, {"depth": 1}, {"batch_size": 30}):
        changed = baselines.get(name, **QUICK | other).fit(train)
        assert not np.array_equal(plain.propagate(z, 1.0, 3.0), changed.propagate(z, 1.0, 3.0)), other


@pytest.mark.parametrize("name", LEARNED)
def test_what_comes_back_matches_what_went_in(name):
    train, held = small()
    fitted = baselines.get(name, **QUICK).fit(train)
    moved = fitted.propagate(held.previous, 1.0, 3.0)
    assert moved.shape == held.previous.shape
    assert moved.dtype == np.float64
    assert fitted.propagate(held.previous.astype(np.float32), 1.0, 3.0).dtype == np.float32
    np.testing.assert_allclose(fitted.propagate(held.previous, 1.0, 1.0), held.previous, atol=1e-6)
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        fitted.propagate(np.zeros((4, 3)), 1.0, 3.0)


@pytest.mark.parametrize("name", baselines.METHODS)
def test_unknown_options_are_refused_with_those_that_are_known(name):
    known = baselines.options_of(name)
    with pytest.raises(ValueError, match=rf"{name}.*\['colour'\]|\['colour'\] for {name}") as refused:
        baselines.get(name, colour="red")
    assert all(option in str(refused.value) for option in known)
    assert "seed" not in known


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ot-cfm", {"noise_std": -1.0}),
        ("ot-cfm", {"steps": 1.5}),
        ("ot-cfm", {"path": "loop"}),
        ("i-cfm", {"lr": 0.0}),
        ("i-cfm", {"schedule": "linear"}),
        ("i-cfm", {"ema": 1.0}),
        ("sf2m", {"sigma": 0.0}),
        ("sf2m", {"coupling": "full"}),
        ("sf2m", {"dynamics": "pde"}),
        ("mfm", {"gamma": 0.0}),
        ("mfm", {"n_anchors": 0}),
        ("neural-ode", {"kernel": "linear"}),
        ("neural-ode", {"bandwidth": -1.0}),
        ("neural-ode", {"solver_steps": 0}),
        ("cell-mnn", {"n_models": 0}),
    ],
)
def test_settings_out_of_range_are_refused_when_they_are_given(name, options):
    with pytest.raises(ValueError, match=r"(?i)expected"):
        baselines.get(name, **options)


def test_an_unknown_method_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"mean-shift, .*cell-mnn; got 'magic'"):
        baselines.get("magic")


def test_a_field_knows_its_dimension():
    assert VelocityField(Training(device="cpu").network(4, 3, 0)).dim == 3


@pytest.mark.parametrize("stage", [0, 1])
def test_ctrl_c_leaves_no_half_trained_method(stage):
    """Its score would be kept by a benchmark, and never be made again."""

    def interrupt(history):
        calls.append(history.steps)
        if calls.count(10) == stage + 1 and calls[-1] == 10:
            signal.raise_signal(signal.SIGINT)

    calls = []
    method = baselines.get("cell-mnn", finetune_steps=20, callback=interrupt, **QUICK | {"steps": 20})
    with pytest.warns(UserWarning, match="Interrupted after 10 of 20"), pytest.raises(KeyboardInterrupt):
        method.fit(two_gaussians(n=30))
    assert calls.count(1) == stage + 1


def test_ctrl_c_ends_a_rival_too():
    class Interrupting(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.rng = nn.Parameter(torch.zeros(1)), torch.Generator()

        def __call__(self):
            signal.raise_signal(signal.SIGINT)
            return {"square": self.weight.square().sum()}

    terms = Interrupting()
    with pytest.warns(UserWarning, match="Interrupted after 1 of 12"), pytest.raises(KeyboardInterrupt):
        Training(**QUICK).run(terms, terms)
