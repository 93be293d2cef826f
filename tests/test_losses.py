"""The losses against their definitions, written as loops."""

import numpy as np
import pytest
import torch

import cellmnn_edu as ce
from cellmnn_edu.losses import kinetic_energy, mmd_loss


def test_the_mmd_loss_is_the_discounted_sum_over_ordered_pairs():
    rng = torch.Generator().manual_seed(0)
    n_times, gamma = 4, 0.3
    moved = torch.randn(n_times - 1, n_times - 1, 6, 2, generator=rng, dtype=torch.float64)
    targets = torch.randn(n_times - 1, 9, 2, generator=rng, dtype=torch.float64)
    expected = 0.0
    for source in range(n_times - 1):
        for target in range(source + 1, n_times):
            squared = ce.mmd(moved[target - 1, source], targets[target - 1], bandwidth=0.7)
            expected += gamma ** (target - source - 1) * squared
    skipped = torch.arange(n_times - 1)[:, None] - torch.arange(n_times - 1)
    got = mmd_loss(moved, targets, skipped, gamma, bandwidth=0.7)
    assert got.item() == pytest.approx(expected, rel=1e-10)


def test_a_perfect_crowd_costs_nothing_and_its_gradient_is_finite():
    cells = torch.randn(1, 1, 8, 3, requires_grad=True, generator=torch.Generator().manual_seed(0))
    loss = mmd_loss(cells, cells[0, 0][None], torch.zeros(1, 1), 0.1, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(cells.grad).all()


def test_kinetic_energy_is_the_mean_square():
    velocity = np.random.default_rng(0).normal(size=(5, 7, 3))
    assert kinetic_energy(torch.tensor(velocity)).item() == pytest.approx((velocity**2).mean())
