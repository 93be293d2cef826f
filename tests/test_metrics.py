"""Distances against closed forms and independent implementations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance, wasserstein_distance

import cellmnn_edu as ce
from cellmnn_edu.metrics import kernel_matrix, median_bandwidth, transport_plan


def clouds(seed, n=12, m=17, dim=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)), rng.normal(1, 2, size=(m, dim))


def test_w1_on_a_line_is_scipys():
    x, y = clouds(0, dim=1)
    assert ce.wasserstein(x, y) == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-12)


def test_w1_of_equal_sizes_is_the_best_assignment():
    x, y = clouds(1, n=15, m=15)
    cost = cdist(x, y)
    assert ce.wasserstein(x, y) == pytest.approx(cost[linear_sum_assignment(cost)].mean(), rel=1e-12)


@given(seed=st.integers(0, 999), shift=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_w1_is_a_metric_that_knows_translations(seed, shift):
    x, y = clouds(seed)
    z, _ = clouds(seed + 1)
    assert ce.wasserstein(x, x) == pytest.approx(0, abs=1e-12)
    assert ce.wasserstein(x, y) == pytest.approx(ce.wasserstein(y, x), rel=1e-9)
    assert ce.wasserstein(x, y) <= ce.wasserstein(x, z) + ce.wasserstein(z, y) + 1e-9
    moved = x + np.array([shift, 0, 0])
    assert ce.wasserstein(x, moved) == pytest.approx(abs(shift), abs=1e-9)


def test_w1_takes_tensors_and_a_cell_repeated_counts_twice():
    x, y = clouds(2)
    assert ce.wasserstein(torch.tensor(x, requires_grad=True), y) == pytest.approx(ce.wasserstein(x, y))
    assert ce.wasserstein(np.repeat(x, 2, axis=0), x) == pytest.approx(0, abs=1e-12)


def test_the_plan_is_a_coupling_whose_cost_is_w1():
    x, y = clouds(3)
    plan = transport_plan(x, y)
    np.testing.assert_allclose(plan.sum(1), 1 / len(x))
    np.testing.assert_allclose(plan.sum(0), 1 / len(y))
    assert (plan * cdist(x, y)).sum() == pytest.approx(ce.wasserstein(x, y))


def test_a_solver_that_gives_up_is_an_error_not_a_number(monkeypatch):
    monkeypatch.setattr("cellmnn_edu.metrics.MAX_PIVOTS", 3)
    x, y = clouds(4, n=200, m=150)
    with pytest.raises(RuntimeError, match="did not converge in 3 pivots"):
        ce.wasserstein(x, y)


@given(seed=st.integers(0, 999), bandwidth=st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_mmd_is_the_v_statistic_written_out(seed, bandwidth):
    x, y = clouds(seed)

    def mean_kernel(a, b):
        return np.mean([[np.exp(-np.abs(u - v).mean() / bandwidth) for v in b] for u in a])

    expected = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    assert ce.mmd(x, y, bandwidth) == pytest.approx(expected, rel=1e-9)
    assert ce.mmd(x, x, bandwidth) == pytest.approx(0, abs=1e-12)
    assert ce.mmd(x, y, bandwidth) > 0


def test_mmd_in_slices_equals_mmd_at_once():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1500, 2)), rng.normal(size=(1100, 2))
    a, b = torch.tensor(x), torch.tensor(y)
    expected = kernel_matrix(a, a).mean() + kernel_matrix(b, b).mean() - 2 * kernel_matrix(a, b).mean()
    assert ce.mmd(x, y) == pytest.approx(expected.item(), rel=1e-9)


def test_the_energy_kernel_gives_the_energy_distance():
    x, y = clouds(5)
    expected = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert ce.mmd(x, y, kernel="energy") == pytest.approx(expected, rel=1e-9)
    # On a line scipy knows it too, from the distribution functions.
    u, v = clouds(6, dim=1)
    assert ce.mmd(u, v, kernel="energy") == pytest.approx(energy_distance(u[:, 0], v[:, 0]) ** 2, rel=1e-9)


@given(seed=st.integers(0, 999), kernel=st.sampled_from(["laplace", "gaussian", "energy"]))
@settings(max_examples=25, deadline=None)
def test_mmd_does_not_depend_on_the_order_of_cells_or_clouds(seed, kernel):
    x, y = clouds(seed)
    value = ce.mmd(x, y, 0.8, kernel)
    assert ce.mmd(y, x[::-1], 0.8, kernel) == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert ce.mmd(x + 3, y + 3, 0.8, kernel) == pytest.approx(value, rel=1e-6, abs=1e-9)
    if kernel != "energy":
        assert ce.mmd(5 * x, 5 * y, 4.0, kernel) == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_several_bandwidths_are_the_mean_of_each():
    x, y = clouds(7)
    for kernel in ("laplace", "gaussian"):
        each = [ce.mmd(x, y, width, kernel) for width in (0.3, 1.0, 4.0)]
        assert ce.mmd(x, y, [0.3, 1.0, 4.0], kernel) == pytest.approx(np.mean(each), rel=1e-9)


def test_the_unbiased_mmd_is_zero_on_average_and_the_biased_is_not():
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(15, 2)), rng.normal(size=(15, 2))) for _ in range(400)]
    unbiased = [ce.mmd(x, y, unbiased=True) for x, y in pairs]
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / 20
    assert min(unbiased) < 0
    # The V-statistic is too large by (1 - E k) (1/n + 1/m).
    k = np.mean([kernel_matrix(torch.tensor(x), torch.tensor(y)).mean().item() for x, y in pairs])
    biased = [ce.mmd(x, y) for x, y in pairs]
    assert np.mean(biased) == pytest.approx((1 - k) * 2 / 15, rel=0.1)


@pytest.mark.parametrize("kernel", ["laplace", "gaussian", "energy"])
def test_the_unbiased_mmd_in_slices_equals_that_at_once(kernel):
    rng = np.random.default_rng(0)
    x, y = (torch.tensor(rng.normal(size=(n, 2))) for n in (1500, 40))

    def off_diagonal(cells):
        k = kernel_matrix(cells, cells, kernel=kernel)
        return (k.sum() - k.diagonal().sum()) / (len(cells) * (len(cells) - 1))

    expected = off_diagonal(x) + off_diagonal(y) - 2 * kernel_matrix(x, y, kernel=kernel).mean()
    assert ce.mmd(x, y, kernel=kernel, unbiased=True) == pytest.approx(expected.item(), rel=1e-6)


def test_one_cell_has_no_unbiased_mmd():
    with pytest.raises(ValueError, match="at least two cells in each cloud"):
        ce.mmd(np.ones((1, 2)), np.ones((3, 2)), unbiased=True)


def test_the_median_bandwidth_is_a_median_over_pairs():
    x, _ = clouds(8, n=30)
    far = [np.abs(u - v).mean() for i, u in enumerate(x) for v in x[:i]]
    assert median_bandwidth(x) == pytest.approx(np.median(far))
    assert median_bandwidth(3 * x + 1) == pytest.approx(3 * median_bandwidth(x))


def test_the_median_bandwidth_of_many_cells_looks_at_a_thousand_from_everywhere():
    line = np.arange(4000.0)[:, None]  # the median of |u - v| is (1 - 1 / sqrt 2) of the range
    expected = (1 - 1 / np.sqrt(2)) * 4000
    assert median_bandwidth(line) == pytest.approx(expected, rel=0.05)
    assert median_bandwidth(line, seed=1) != median_bandwidth(line)


@pytest.mark.parametrize("cells", [np.ones((9, 2)), np.ones((1, 2)), np.repeat([[0.0], [1.0]], [9, 1], axis=0)])
def test_cells_that_coincide_have_no_median_bandwidth(cells):
    with pytest.raises(ValueError, match="no bandwidth, give one"):
        median_bandwidth(cells)


def test_the_plan_of_squared_costs_is_the_best_assignment():
    x, y = clouds(9, n=15, m=15)
    cost = cdist(x, y) ** 2
    rows, columns = linear_sum_assignment(cost)
    expected = np.zeros((15, 15))
    expected[rows, columns] = 1 / 15
    np.testing.assert_allclose(transport_plan(x, y, power=2), expected, atol=1e-12)


@pytest.mark.parametrize("distance", [ce.wasserstein, ce.mmd])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((0, 2)), np.ones((3, 2)), "first cloud as a non-empty"),
        (np.ones((3, 2)), np.zeros((0, 2)), "second cloud as a non-empty"),
        (np.ones(3), np.ones((3, 1)), "non-empty array"),
        (np.ones((3, 2)), np.ones((3, 4)), "2 and 4 dimensions"),
        (np.array([[1.0, np.nan]]), np.ones((3, 2)), "first cloud holds NaN"),
        (np.ones((3, 2)), np.array([[1.0, np.inf]]), "second cloud holds NaN or inf in 1 of 1 cells"),
    ],
)
def test_clouds_that_have_no_distance_are_refused(distance, x, y, message):
    with pytest.raises(ValueError, match=message):
        distance(x, y)


@pytest.mark.parametrize("bandwidth", [0, -1, float("nan"), np.inf, True, "wide", None, [], [1, 0], [1, "wide"]])
def test_a_bandwidth_must_be_positive(bandwidth):
    with pytest.raises(ValueError, match="positive bandwidth"):
        ce.mmd(np.ones((2, 2)), np.ones((2, 2)), bandwidth)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="laplace, gaussian, energy; got 'cauchy'"):
        ce.mmd(np.ones((2, 2)), np.ones((2, 2)), kernel="cauchy")


@pytest.mark.parametrize(("n_truth", "n_first", "n_second"), [(400, 400, 400), (200, 60, 200)])
def test_the_floor_is_what_two_fresh_samples_give(n_truth, n_first, n_second):
    rng = np.random.default_rng(0)
    fresh = [ce.wasserstein(rng.normal(size=(n_first, 5)), rng.normal(size=(n_second, 5))) for _ in range(10)]
    floors = [ce.noise_floor(rng.normal(size=(n_truth, 5)), n_first, n_second, seed=k) for k in range(5)]
    assert np.mean([floor.mean for floor in floors]) == pytest.approx(np.mean(fresh), rel=0.05)
    assert all(floor.low < floor.mean < floor.high for floor in floors)


@pytest.mark.parametrize("n", [24, 60])
def test_the_range_of_the_floor_holds_nearly_all_fresh_pairs(n):
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(100):
        floor = ce.noise_floor(rng.normal(size=(n, 5)), n, n)
        fresh = ce.wasserstein(rng.normal(size=(n, 5)), rng.normal(size=(n, 5)))
        inside += floor.low <= fresh <= floor.high
    assert inside >= 85


def test_the_floor_falls_with_the_sample_size_and_scales_with_the_unit():
    cells = np.random.default_rng(0).normal(size=(100, 3))
    assert ce.noise_floor(cells, 50, 50).mean > ce.noise_floor(cells, 400, 400).mean
    assert ce.noise_floor(7 * cells, 50, 50).mean == pytest.approx(7 * ce.noise_floor(cells, 50, 50).mean)


@pytest.mark.parametrize(("n_cells", "sizes"), [(7, (5, 5)), (20, (0, 5)), (20, (5, 5, 0))])
def test_too_few_cells_have_no_floor(n_cells, sizes):
    with pytest.raises(ValueError, match="at least 8 cells"):
        ce.noise_floor(np.random.default_rng(0).normal(size=(n_cells, 2)), *sizes)


def test_the_floor_repeats_with_its_seed_and_varies_with_it():
    cells = np.random.default_rng(0).normal(size=(40, 3))
    assert ce.noise_floor(cells, 40, 40, seed=1) == ce.noise_floor(cells, 40, 40, seed=1)
    assert ce.noise_floor(cells, 40, 40, seed=1) != ce.noise_floor(cells, 40, 40, seed=2)


def test_cells_that_are_all_the_same_have_no_floor():
    assert ce.noise_floor(np.ones((20, 3)), 20, 20) == (0, 0, 0)


def test_a_text_is_no_cloud():
    with pytest.raises(ValueError, match="real numbers"):
        ce.wasserstein(np.array([["a", "b"]]), np.ones((3, 2)))
