"""Couplings of Gaussians with known correlation, splines against scipy, velocities against differences."""

import anndata
import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.distance import cdist

import cellmnn_edu as ce
from cellmnn_edu import paths
from cellmnn_edu.metrics import transport_plan
from cellmnn_edu.paths import PathSampler, draw_cells

LIKE = torch.zeros(0, dtype=torch.float64)
UNEVEN = (0.0, 1.0, 5.0, 5.5)


def snapshots_of(times, clouds):
    """Snapshots of exactly these cells, neither centred nor scaled."""
    obs = {"time": np.repeat(times, [len(cloud) for cloud in clouds])}
    cells = np.concatenate(clouds)
    adata = anndata.AnnData(np.zeros((len(cells), 1)), obs=obs, obsm={"X_z": cells})
    adata.obs_names_make_unique()
    return ce.Snapshots.from_anndata(adata, use_rep="X_z")


def gaussians(times, means, spreads, n=2000, seed=0):
    rng = np.random.default_rng(seed)
    clouds = [np.array(m) + np.array(s) * rng.normal(size=(n, len(m))) for m, s in zip(means, spreads, strict=True)]
    return snapshots_of(times, clouds)


def correlations(x, y):
    return [np.corrcoef(x[:, d], y[:, d])[0, 1] for d in range(x.shape[1])]


TWO_GAPS = {"times": (0.0, 1.0, 5.0), "means": [(0, 0), (3, -1), (0, 0)], "spreads": [(1, 2), (2, 1), (1, 2)]}


def drawn(coupling, n_draws=20, **options):
    snaps = gaussians(**TWO_GAPS, n=800 if coupling == "full" else 2000)
    sampler = PathSampler(snaps, 200, 0, LIKE, coupling, **options)
    return snaps, torch.cat([sampler.draw() for _ in range(n_draws)], dim=1).numpy()


@pytest.mark.parametrize("coupling", ["independent", "minibatch", "full", "entropic"])
def test_every_coupling_keeps_the_populations(coupling):
    """Whoever is matched with whom, the cells of each time are a fair sample of its snapshot."""
    snaps, chain = drawn(coupling, diffusion=1.0)
    for cells, state in zip(chain, snaps.states, strict=True):
        # 4,000 draws (with repeats, so a looser bound than 3 / sqrt(4000) = .05) of spread at most 2.
        np.testing.assert_allclose(cells.mean(0), state.mean(0), atol=0.12)
        np.testing.assert_allclose(cells.std(0), state.std(0), rtol=0.06)


def test_independent_partners_are_uncorrelated_and_optimal_ones_are_not():
    """Between Gaussians with diagonal covariances the optimal map scales each axis: correlation 1."""
    for gap in (0, 1):
        assert np.abs(correlations(*drawn("independent")[1][gap : gap + 2])).max() < 0.06
        assert min(correlations(*drawn("minibatch")[1][gap : gap + 2])) > 0.95
        assert min(correlations(*drawn("full")[1][gap : gap + 2])) > 0.97


def schroedinger_correlation(a, b, variance):
    """Correlation of the ends of the Schroedinger bridge from N(0, a^2) to N(m, b^2), Brownian motion of `variance`."""
    return (np.sqrt(4 * a**2 * b**2 + variance**2) - variance) / (2 * a * b)


def test_entropic_partners_are_those_of_the_schroedinger_bridge_in_real_time():
    """Noise that lasts four times as long loosens partners more: .78 over the first gap, .41 over the second."""
    sigma = 1.0
    _, chain = drawn("entropic", diffusion=sigma)
    expected = [schroedinger_correlation(1, 2, sigma**2 * length) for length in (1, 4)]
    for gap in (0, 1):
        np.testing.assert_allclose(correlations(*chain[gap : gap + 2]), expected[gap], atol=0.05)
    assert expected[0] - expected[1] > 0.3  # the length of the gap matters far more than the error allowed


def test_minibatch_partners_are_the_best_assignment():
    snaps = gaussians((0.0, 1.0), [(0, 0, 0), (1, 2, 3)], [(1, 1, 1), (2, 1, 0.5)], n=60)
    start, end = PathSampler(snaps, 60, 3, LIKE, "minibatch").draw().numpy()
    cost = cdist(*snaps.states, "sqeuclidean")
    best = (transport_plan(*snaps.states, power=2) * cost).sum()  # by a network simplex
    assert ((start - end) ** 2).sum(1).mean() == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("coupling", ["minibatch", "entropic"])
def test_partners_are_kept_for_some_draws_and_follow_from_the_seed_and_their_number(coupling):
    def sampler(seed=0):
        return PathSampler(gaussians(**TWO_GAPS, n=200), 30, seed, LIKE, coupling, diffusion=1.0, renew=3)

    first = sampler()
    drawn = [first.draw() for _ in range(7)]
    blocks = [0, 0, 0, 1, 1, 1, 2]
    for i in range(7):
        for k in range(7):
            assert torch.equal(drawn[i], drawn[k]) == (blocks[i] == blocks[k])
    # Who comes later, or uses the generator in between, draws the same; another seed does not.
    later = sampler()
    later.uniform(10)
    later.draws = 4
    assert torch.equal(later.draw(), drawn[4])
    assert not torch.equal(sampler(1).draw(), drawn[0])


def test_moments_are_new_in_every_draw():
    sampler = PathSampler(gaussians(**TWO_GAPS, n=200), 30, 0, LIKE, "minibatch", renew=4)
    points = [sampler.points() for _ in range(4)]
    velocities = [velocity for _, _, velocity in points]
    assert all(torch.equal(velocity, velocities[0]) for velocity in velocities)  # straight paths of the same pairs
    assert len({float(t.sum()) for _, t, _ in points}) == 4


@pytest.mark.parametrize("coupling", ["independent", "full"])
def test_chains_that_cost_nothing_are_new_in_every_draw(coupling):
    sampler = PathSampler(gaussians(**TWO_GAPS, n=200), 30, 0, LIKE, coupling, renew=4)
    assert not torch.equal(sampler.draw(), sampler.draw())


def test_full_partners_follow_the_rows_of_the_plan():
    """Two sources, three targets on a line: the left source gives 2/3 to the first target and 1/3 to the second."""
    snaps = snapshots_of((0.0, 1.0), [np.array([[0.0], [1.0]]), np.array([[10.0], [11.0], [12.0]])])
    start, end = PathSampler(snaps, 30_000, 0, LIKE, "full").draw().numpy()[..., 0]
    for source, shares in ((0.0, (2 / 3, 1 / 3, 0)), (1.0, (0, 1 / 3, 2 / 3))):
        found = [(end[start == source] == target).mean() for target in (10, 11, 12)]
        np.testing.assert_allclose(found, shares, atol=0.015)


def some_points(sampler, n_fractions=7, seed=0):
    chain, gap = sampler.draw(), torch.arange(len(UNEVEN) - 1)
    rng = np.random.default_rng(seed)
    return chain, gap, torch.as_tensor(rng.uniform(0.01, 0.99, (len(gap), chain.shape[1])))


def uneven_sampler(**options):
    means = [(0, 0), (1, 3), (4, 1), (2, 2)]
    return PathSampler(gaussians(UNEVEN, means, [(1, 1)] * 4, n=50), 10, 0, LIKE, **options)


def test_the_spline_is_scipys_natural_spline():
    sampler = uneven_sampler(path="spline")
    chain, gap, fraction = some_points(sampler)
    position, velocity = sampler.at(chain, gap, fraction)
    times = sampler.clock(gap, fraction).numpy()
    np.testing.assert_allclose(times, np.array(UNEVEN)[:-1, None] + fraction.numpy() * np.diff(UNEVEN)[:, None])
    for k in range(chain.shape[1]):
        spline = CubicSpline(UNEVEN, chain[:, k].numpy(), bc_type="natural")
        np.testing.assert_allclose(position[:, k], spline(times[:, k]), atol=1e-12)
        np.testing.assert_allclose(velocity[:, k], spline(times[:, k], 1), atol=1e-12)


def test_straight_paths_run_at_constant_speed_in_real_time():
    sampler = uneven_sampler()
    chain, gap, fraction = some_points(sampler)
    position, velocity = sampler.at(chain, gap, fraction)
    times = sampler.clock(gap, fraction).numpy()
    for k in range(chain.shape[1]):
        line = [np.interp(times[:, k], UNEVEN, chain[:, k, d]) for d in range(2)]
        np.testing.assert_allclose(position[:, k], np.transpose(line), atol=1e-12)
    speed = np.diff(chain, axis=0) / np.diff(UNEVEN)[:, None, None]
    np.testing.assert_allclose(velocity, speed, atol=1e-12)


@pytest.mark.parametrize("path", ["straight", "spline"])
def test_velocity_is_the_slope_of_the_position(path):
    sampler = uneven_sampler(path=path)
    check_slope(sampler)


def check_slope(sampler, step=1e-6):
    chain, gap, fraction = some_points(sampler)
    ahead, behind = (sampler.at(chain, gap, fraction + sign * step)[0] for sign in (1, -1))
    passed = (sampler.times[gap + 1] - sampler.times[gap])[:, None, None] * 2 * step
    torch.testing.assert_close(sampler.at(chain, gap, fraction)[1], (ahead - behind) / passed, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("path", ["straight", "spline"])
def test_paths_pass_through_their_cells(path):
    sampler = uneven_sampler(path=path)
    chain, gap, fraction = some_points(sampler)
    for share, cells in ((0, chain[:-1]), (1, chain[1:])):
        np.testing.assert_allclose(sampler.at(chain, gap, torch.full_like(fraction, share))[0], cells, atol=1e-12)


def test_points_are_spread_evenly_over_every_gap():
    snaps = gaussians(UNEVEN, [(0, 0)] * 4, [(1, 1)] * 4, n=300)
    z, t, velocity = PathSampler(snaps, 4000, 0, LIKE, "independent").points()
    assert z.shape == velocity.shape == (12_000, 2)
    for k, times in enumerate(t.view(3, 4000)):
        shares = (times - UNEVEN[k]) / (UNEVEN[k + 1] - UNEVEN[k])
        assert shares.min() >= 0
        assert shares.max() <= 1
        np.testing.assert_allclose(np.quantile(shares, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


def test_noise_is_added_to_positions_only():
    """Cells that stand still: what moves is the noise."""
    snaps = snapshots_of((0.0, 1.0), [np.full((40, 2), 3.0)] * 2)
    z, _, velocity = PathSampler(snaps, 5000, 0, LIKE, "independent", noise_std=0.3).points()
    np.testing.assert_allclose(z.mean(0), 3, atol=0.02)
    np.testing.assert_allclose(z.std(0), 0.3, rtol=0.04)
    assert not velocity.any()


def test_draws_repeat_with_the_seed_and_change_without():
    def first(seed):
        return PathSampler(gaussians(**TWO_GAPS, n=50), 20, seed, LIKE).points()[0]

    assert torch.equal(first(4), first(4))
    assert not torch.equal(first(4), first(5))


@pytest.mark.parametrize(("size", "n"), [(50, 20), (10_000, 20), (20, 20)])
def test_drawn_cells_are_different_and_in_no_order(size, n):
    state, rng = torch.arange(size, dtype=torch.float64)[:, None], torch.Generator().manual_seed(0)
    draws = [draw_cells(state, n, rng)[:, 0] for _ in range(300)]
    assert all(len(draw.unique()) == n for draw in draws)
    first, last = (np.mean([draw[k] for draw in draws]) for k in (0, -1))
    # A sorted draw would begin with the smallest cells; means of 300 draws vary by size / sqrt(12 * 300).
    np.testing.assert_allclose([first, last], (size - 1) / 2, atol=4 * size / 60)


def test_too_few_cells_are_drawn_with_repeats():
    draw = draw_cells(torch.arange(3.0)[:, None], 9, torch.Generator().manual_seed(0))
    assert set(draw[:, 0].tolist()) <= {0, 1, 2}
    assert len(draw) == 9


def test_bad_settings_are_refused(monkeypatch):
    snaps = gaussians(**TWO_GAPS, n=30)
    with pytest.raises(ValueError, match="got 'best' and 'straight'"):
        PathSampler(snaps, 10, 0, LIKE, "best")
    with pytest.raises(ValueError, match="got 'minibatch' and 'loop'"):
        PathSampler(snaps, 10, 0, LIKE, path="loop")
    with pytest.raises(ValueError, match="positive diffusion"):
        PathSampler(snaps, 10, 0, LIKE, "entropic")
    monkeypatch.setattr(paths, "MAX_SINKHORN", 10)
    with pytest.raises(RuntimeError, match='coupling "minibatch"'):
        PathSampler(snaps, 30, 0, LIKE, "entropic", diffusion=0.05).draw()
