"""The timings: every way moves the same cells to the same places, and ratios mean what they say."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

import cellmnn_edu as ce
from cellmnn_edu import speed
from cellmnn_edu.operators import build


@pytest.fixture(scope="module")
def table():
    return speed.operator_speed(dims=(3, 4), n_times=(2, 5), reaches=(0.5,), batch=7, seconds=0.001, progress=False)


def test_every_setting_and_way_has_a_row(table):
    ways = {("dense", "dense"), ("dense", "matrix_exp"), ("dense", "rk4")}
    ways |= {(head, way) for head in ("eigen", "rotational") for way in (head, "matrix_exp")}
    assert set(zip(table["head"], table["way"], strict=True)) == ways
    assert len(table) == 2 * 2 * 7
    assert table.groupby(["dim", "n_times"]).size().tolist() == [7] * 4


def test_ratios_are_to_the_matrix_exponential_of_the_same_setting(table):
    for _, group in table.groupby(["dim", "n_times", "reach", "head"]):
        slow = group.loc[group["way"] == "matrix_exp", "milliseconds"].item()
        np.testing.assert_allclose(group["ratio"], slow / group["milliseconds"])


def test_the_error_column_is_what_float32_allows(table):
    closed = table[table["way"] != "rk4"]
    assert (closed["error"] < 1e-6).all()
    assert (table["error"] > 0).all()  # an error of exactly zero would mean that a way was compared with itself


@pytest.mark.parametrize("head", speed.HEADS)
def test_the_problem_has_the_stated_reach(head):
    out, z, dt = speed._problem(4, 3, 2.0, head, 9)
    a = build(head, out, 4).matrix().double().numpy()
    assert np.linalg.norm(a, 2, axis=(1, 2)).max() * dt[-1, 0].item() == pytest.approx(2.0, rel=1e-5)
    moved = speed._by_matrix_exponential(head, 4)(out, z, dt)
    expected = [[expm(m * t) @ x for m, x in zip(a, z.numpy(), strict=True)] for t in dt[:, 0].tolist()]
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-4)


def test_runge_kutta_moves_as_the_exponential_does():
    out, z, dt = (x.double() for x in speed._problem(3, 4, 1.0, "dense", 6))
    error = (speed._by_rk4(out, z, dt) - speed._by_matrix_exponential("dense", 3)(out, z, dt)).norm()
    assert 0 < error < 1e-3


def test_a_pass_computes_gradients():
    seen = []

    def way(leaf, z, dt):
        leaf.register_hook(lambda grad: seen.append(grad.abs().sum().item()))
        return leaf * z

    assert speed._pass(way, torch.ones(2, 3), torch.ones(2, 3), None)() > 0
    assert seen == [12.0]


def test_the_report_has_one_line_for_each_row(table):
    lines = speed.report(table).splitlines()
    assert len(lines) == 1 + len(table)
    assert "matrix_exp" in lines[2]
    assert "1.0 x" in lines[2]


def test_threads_are_given_back():
    before = torch.get_num_threads()
    speed.operator_speed((2,), (2,), (0.1,), batch=2, seconds=0.001, progress=False)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "options", [{"dims": []}, {"dims": [0]}, {"n_times": [0]}, {"reaches": [0.0]}, {"batch": 0}, {"seconds": 0.0}]
)
def test_settings_must_be_positive(options):
    with pytest.raises(ValueError, match="positive dimensions"):
        ce.speed.operator_speed(**options)
