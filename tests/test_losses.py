"""The losses against their definitions, written as loops."""

import numpy as np
import pytest
import torch

import cellmnn_edu as ce
from cellmnn_edu.losses import kinetic_energy, mmd_loss

KERNELS = pytest.mark.parametrize(
    ("kernel", "bandwidth"),
    [("laplace", 0.7), ("laplace", [0.5, 1.0, 3.0]), ("gaussian", 0.7), ("gaussian", [0.5, 2.0]), ("energy", 1.0)],
)


def similarity(u, v, kernel, bandwidth):
    """One pair of cells, from the definition."""
    if kernel == "energy":
        return -np.sqrt(sum((a - b) ** 2 for a, b in zip(u, v, strict=True)))
    values = []
    for s in np.atleast_1d(bandwidth):
        if kernel == "laplace":
            values.append(np.exp(-np.mean([abs(a - b) for a, b in zip(u, v, strict=True)]) / s))
        else:
            values.append(np.exp(-np.mean([(a - b) ** 2 for a, b in zip(u, v, strict=True)]) / (2 * s**2)))
    return np.mean(values)


def squared_mmd(x, y, kernel, bandwidth, unbiased):
    def within(cells):
        pairs = [(i, j) for i in range(len(cells)) for j in range(len(cells)) if not (unbiased and i == j)]
        return np.mean([similarity(cells[i], cells[j], kernel, bandwidth) for i, j in pairs])

    across = np.mean([similarity(u, v, kernel, bandwidth) for u in x for v in y])
    return within(x) + within(y) - 2 * across


def test_the_mmd_loss_is_the_weighted_sum_over_pairs():
    rng = torch.Generator().manual_seed(0)
    moved = torch.randn(4, 6, 2, generator=rng, dtype=torch.float64)
    targets = torch.randn(3, 9, 2, generator=rng, dtype=torch.float64)
    arrival, weight = [0, 2, 2, 1], [1.0, 0.3, 0.0, 2.0]
    expected = sum(
        w * ce.mmd(cells, targets[k], bandwidth=0.7) for cells, k, w in zip(moved, arrival, weight, strict=True)
    )
    got = mmd_loss(moved, targets, torch.tensor(arrival), torch.tensor(weight, dtype=torch.float64), bandwidth=0.7)
    assert got.item() == pytest.approx(expected, rel=1e-10)


def test_a_perfect_crowd_costs_nothing_and_its_gradient_is_finite():
    cells = torch.randn(1, 8, 3, requires_grad=True, generator=torch.Generator().manual_seed(0))
    loss = mmd_loss(cells, cells, torch.tensor([0]), torch.ones(1), 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(cells.grad).all()


def test_kinetic_energy_is_the_mean_square():
    velocity = np.random.default_rng(0).normal(size=(5, 7, 3))
    assert kinetic_energy(torch.tensor(velocity)).item() == pytest.approx((velocity**2).mean())


@KERNELS
@pytest.mark.parametrize("unbiased", [False, True])
def test_every_kernel_written_as_double_loops(kernel, bandwidth, unbiased):
    rng = np.random.default_rng(1)
    moved, targets = rng.normal(size=(3, 5, 2)), rng.normal(0.5, 2, size=(2, 7, 2))
    arrival, weight = [1, 0, 1], np.array([1.0, 0.3, 2.0])
    how = {"kernel": kernel, "bandwidth": bandwidth, "unbiased": unbiased}
    each = [squared_mmd(cells, targets[k], **how) for cells, k in zip(moved, arrival, strict=True)]
    got = mmd_loss(torch.tensor(moved), torch.tensor(targets), torch.tensor(arrival), torch.tensor(weight), **how)
    assert got.item() == pytest.approx(np.dot(weight, each), rel=1e-9)
    for cells, k, expected in zip(moved, arrival, each, strict=True):
        if unbiased or expected > 0:
            assert ce.mmd(cells, targets[k], **how) == pytest.approx(expected, rel=1e-9)


@KERNELS
def test_gradients_are_those_of_finite_differences(kernel, bandwidth):
    rng = torch.Generator().manual_seed(0)
    moved = torch.randn(2, 4, 3, generator=rng, dtype=torch.float64, requires_grad=True)
    targets = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64)
    arrival, weight = torch.tensor([1, 0]), torch.tensor([1.0, 0.4], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: mmd_loss(x, targets, arrival, weight, bandwidth, kernel), moved)


@KERNELS
@pytest.mark.parametrize("unbiased", [False, True])
def test_cells_that_coincide_have_a_finite_gradient(kernel, bandwidth, unbiased):
    """Cells drawn twice, and moved cells that hit a target."""
    cells = torch.ones(1, 3, 2, requires_grad=True)
    loss = mmd_loss(cells, torch.ones(1, 4, 2), torch.tensor([0]), torch.ones(1), bandwidth, kernel, unbiased)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(cells.grad).all()


def test_only_what_counts_is_in_the_kinetic_energy():
    velocity, counts = np.random.default_rng(0).normal(size=(5, 7, 3)), np.zeros((5, 7))
    counts[[0, 2, 4], [1, 1, 6]] = 1
    expected = np.mean([velocity[i, j] ** 2 for i, j in ((0, 1), (2, 1), (4, 6))])
    assert kinetic_energy(torch.tensor(velocity), torch.tensor(counts)).item() == pytest.approx(expected)
