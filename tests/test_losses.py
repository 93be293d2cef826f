"""The losses against their definitions, written as loops."""

import numpy as np
import pytest
import torch

import cellmnn_edu as ce
from cellmnn_edu.losses import kinetic_energy, mmd_loss


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
