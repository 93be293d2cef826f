"""Training leaves no tensor behind on the CPU, whatever the device; here with one that exists only in the tests."""

import numpy as np
import pytest
import torch
from stand_in_device import DEVICE, Far, near, stand_in

import cellmnn_edu as ce
from cellmnn_edu.speed.steps import clouds

SNAPS = clouds([(0.0, 60), (1.0, 300), (3.0, 50)])  # few, many and too few cells for a batch: each way to draw
WAYS = [("mmd", "straight"), *((o, p) for o in ("flow-matching", "frozen-matching") for p in ("straight", "spline"))]


def test_the_stand_in_device_computes_and_refuses_to_mix():
    with stand_in():
        far, values = torch.arange(3.0, device=DEVICE), torch.arange(3.0)
        assert isinstance(far, Far)
        assert far.device.type == DEVICE
        assert (2 * far + 1).sum().item() == 9.0
        assert torch.equal((far * far).cpu(), values * values)
        assert torch.equal(near(values.to(DEVICE)), values)
        with pytest.raises(RuntimeError, match="two devices"):
            far + values
        with pytest.raises(RuntimeError, match="two devices"):
            far[torch.tensor([0, 1])]
        weight = torch.ones(3, device=DEVICE, requires_grad=True)
        (weight * far).sum().backward()
        assert torch.equal(weight.grad.cpu(), values)


@pytest.mark.parametrize(("head", "affine"), [("eigen", True), ("rotational", False), ("dense", True)])
@pytest.mark.parametrize(("objective", "path"), WAYS)
def test_training_elsewhere_is_training_here(head, affine, objective, path):
    options = {"objective": objective, "path": path, "l1": 0.1, "deviation": 0.1, "kinetic_times": 0.5}
    options |= {"steps": 10, "batch_size": 20, "ema": 0.5, "progress": False}
    here, there = (ce.CellMNN(5, head, affine) for _ in range(2))
    seen = ce.fit(here, SNAPS, device="cpu", **options).to_frame()
    with stand_in():
        history = ce.fit(there, SNAPS, device=DEVICE, **options)
        moved = there.propagate(SNAPS.states[0], 0.0, 1.0)
    assert {weight.device.type for weight in there.parameters()} == {DEVICE}
    np.testing.assert_array_equal(history.to_frame().iloc[0], seen.iloc[0])  # the first step, to the last bit
    np.testing.assert_allclose(history.to_frame(), seen, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moved, here.propagate(SNAPS.states[0], 0.0, 1.0), rtol=1e-4, atol=1e-5)
