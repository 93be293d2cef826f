"""CellMNN: what comes in comes out, one operator everywhere, closed forms."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

import cellmnn_edu as ce
from cellmnn_edu.model import mlp

MODELS = pytest.mark.parametrize(
    "model",
    [
        ce.CellMNN(3, head=head, affine=affine, seed=1)
        for head in ("eigen", "dense", "rotational")
        for affine in (False, True)
    ],
    ids=lambda model: f"{model.head}{'-affine' if model.affine else ''}",
)


@pytest.fixture
def cells():
    return np.random.default_rng(0).normal(size=(9, 3))


@MODELS
def test_velocity_operator_offset_and_propagate_agree(model, cells):
    a, b = model.operator(cells, 0.5), model.offset(cells, 0.5)
    assert a.shape == (9, 3, 3)
    velocity = np.einsum("nij,nj->ni", a, cells) + b
    np.testing.assert_allclose(model.velocity(cells, 0.5), velocity, rtol=1e-4, atol=1e-6)
    for i in range(9):
        lifted = np.block([[a[i], b[i][:, None]], [np.zeros((1, 4))]])
        expected = (expm(0.8 * lifted) @ np.append(cells[i], 1))[:3]
        np.testing.assert_allclose(model.propagate(cells, 0.5, 1.3)[i], expected, rtol=1e-4, atol=1e-5)


@MODELS
def test_times_may_differ_between_cells(model, cells):
    t0, t1 = np.linspace(0, 1, 9), np.linspace(2, 1, 9)
    together = model.propagate(cells, t0, t1)
    alone = [model.propagate(cells[i : i + 1], t0[i], t1[i])[0] for i in range(9)]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


@MODELS
def test_trajectory_is_propagate_at_each_time(model, cells):
    times = np.array([0.5, 1.0, 2.5])
    path = model.trajectory(cells, 0.5, times)
    assert path.shape == (3, 9, 3)
    for k, t in enumerate(times):
        np.testing.assert_allclose(path[k], model.propagate(cells, 0.5, t), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(path[0], cells, atol=1e-6)


@MODELS
def test_two_steps_are_two_propagations(model, cells):
    by_hand = model.propagate(model.propagate(cells, 0.0, 0.5), 0.5, 1.0)
    np.testing.assert_allclose(model.propagate(cells, 0.0, 1.0, n_steps=2), by_hand, rtol=1e-4, atol=1e-5)


def test_what_comes_back_matches_what_went_in(cells):
    model = ce.CellMNN(3)
    assert model.velocity(cells, 0.0).dtype == np.float64
    assert model.velocity(cells.astype(np.float32), 0.0).dtype == np.float32
    assert model.velocity(cells.tolist(), 0.0).dtype == np.float64
    tensor = torch.tensor(cells, requires_grad=True)
    out = model.propagate(tensor, 0.0, 1.0)
    assert out.dtype == torch.float64
    out.sum().backward()
    assert torch.isfinite(tensor.grad).all()
    assert model.double().velocity(tensor, torch.zeros(9)).dtype == torch.float64


def test_one_cell_does_not_depend_on_the_others(cells):
    model = ce.CellMNN(3)
    np.testing.assert_allclose(model.operator(cells, 1.0)[::-1], model.operator(cells[::-1], 1.0), atol=1e-7)


def test_at_first_cells_hardly_move_and_a_cell_at_zero_never_does(cells):
    model = ce.CellMNN(3)
    assert np.abs(model.velocity(cells, 1.0)).max() < 0.5
    zero = np.zeros((1, 3))
    np.testing.assert_array_equal(model.propagate(zero, 0.0, 3.0), zero)


def test_the_seed_decides_the_weights_and_leaves_the_global_stream_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second, other = ce.CellMNN(3, seed=0), ce.CellMNN(3, seed=0), ce.CellMNN(3, seed=1)
    assert torch.equal(torch.rand(3), expected)
    weights = [torch.cat([p.flatten() for p in model.parameters()]) for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ce.CellMNN(3, head="diagonal"), "got 'diagonal'"),
        (lambda: ce.CellMNN(0), "at least 1"),
        (lambda: ce.CellMNN(3, width=0), "at least 1"),
        (lambda: ce.CellMNN(3).velocity(np.zeros((4, 2)), 0.0), r"\(n, 3\), got \(4, 2\)"),
        (lambda: ce.CellMNN(3).velocity(np.zeros(3), 0.0), r"got \(3,\)"),
        (lambda: ce.CellMNN(3).propagate(np.zeros((4, 3)), 0.0, 1.0, n_steps=0), "at least 1"),
    ],
)
def test_bad_input_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_operator_depends_on_time_and_on_the_cell(cells):
    for head in ("eigen", "dense", "rotational"):
        model = ce.CellMNN(3, head=head)
        early, late = model.operator(cells, 0.0), model.operator(cells, 2.0)
        assert np.abs(late - early).max() > 1e-3
        assert np.abs(early[1:] - early[:1]).max() > 1e-3


def test_the_network_has_the_stated_architecture():
    model = ce.CellMNN(5, width=7, depth=2, affine=True)
    linear = [m for m in model.network if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(6, 7), (7, 7), (7, 35)]
    assert [type(m) for m in model.network if m not in linear] == [torch.nn.LeakyReLU] * 2


@MODELS
def test_no_cells_are_no_problem(model):
    none = np.zeros((0, 3))
    assert model.propagate(none, 0.0, 1.0).shape == (0, 3)
    assert model.trajectory(none, 0.0, [0.0, 1.0]).shape == (2, 0, 3)
    assert model.operator(none, 0.0).shape == (0, 3, 3)


def test_integer_states_give_real_velocities():
    model = ce.CellMNN(3)
    ones = torch.ones(2, 3, dtype=torch.int64)
    torch.testing.assert_close(model.velocity(ones, 0.0), model.velocity(ones.float(), 0.0))
    assert model.velocity(np.ones((2, 3), dtype=int), 0.0).dtype == np.float64


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.zeros(5), r"9 times \(one per cell\); got shape \(5,\)"),
        (np.zeros((9, 1)), r"got shape \(9, 1\)"),
        (None, "a time as a number"),
        ("noon", "a time as a number"),
        (np.nan, "finite times"),
        (np.inf, "finite times"),
    ],
)
def test_times_that_are_none_are_refused(cells, times, message):
    with pytest.raises(ValueError, match=message):
        ce.CellMNN(3).propagate(cells, 0.0, times)


@pytest.mark.parametrize("times", [1.0, [[0.0], [1.0]], [0.0, np.nan]])
def test_a_trajectory_needs_a_row_of_times(cells, times):
    with pytest.raises(ValueError, match=r"shape \(K,\)"):
        ce.CellMNN(3).trajectory(cells, 0.0, times)


@pytest.mark.parametrize("options", [{"dim": 3.0}, {"dim": True}, {"dim": 3, "width": 1.5}, {"dim": 3, "seed": 1.5}])
def test_sizes_and_seeds_are_integers(options):
    with pytest.raises(ValueError, match="to be an integer of at least"):
        ce.CellMNN(**options)


@MODELS
def test_a_time_range_shows_the_network_zero_to_one(model, cells):
    """Operators are per unit of real time either way."""
    options = {"head": model.head, "affine": model.affine, "seed": 1}
    scaled = ce.CellMNN(3, time_range=(10.0, 14.0), **options)
    np.testing.assert_allclose(scaled.operator(cells, 11.0), model.operator(cells, 0.25), rtol=1e-6, atol=1e-7)
    a, b = model.operator(cells, 0.25), model.offset(cells, 0.25)
    lifted = np.zeros((9, 4, 4))
    lifted[:, :3, :3], lifted[:, :3, 3] = a, b
    expected = [(expm(2 * m) @ np.append(z, 1))[:3] for m, z in zip(lifted, cells, strict=True)]
    np.testing.assert_allclose(scaled.propagate(cells, 11.0, 13.0), expected, rtol=1e-4, atol=1e-5)
    late = scaled.propagate(cells, 11.0, 13.0, n_steps=2)
    halfway = scaled.propagate(cells, 11.0, 12.0)
    np.testing.assert_allclose(late, scaled.propagate(halfway, 12.0, 13.0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("time_range", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_a_range_that_is_none_is_refused(time_range):
    with pytest.raises(ValueError, match="first < last"):
        ce.CellMNN(3, time_range=time_range)


def test_the_papers_model():
    model, same = ce.CellMNN.paper(5, seed=4), ce.CellMNN(5, seed=4)
    assert (model.head, model.affine, model.time_range) == ("eigen", False, None)
    linear = [(m.in_features, m.out_features) for m in model.network if isinstance(m, torch.nn.Linear)]
    assert linear == [(6, 96), (96, 96), (96, 96), (96, 96), (96, 30)]
    for a, b in zip(model.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_network_starts_as_kaiming_with_a_small_last_layer():
    network = mlp(50, 40, width=200, depth=2, seed=3)
    layers = [m for m in network if isinstance(m, torch.nn.Linear)]
    gain = np.sqrt(2 / (1 + 0.01**2))
    for layer, factor in zip(layers, (1, 1, 0.01), strict=True):
        expected = factor * gain / np.sqrt(layer.in_features)
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert not layer.bias.any()
    assert [m.negative_slope for m in network if isinstance(m, torch.nn.LeakyReLU)] == [0.01, 0.01]


def test_a_model_says_what_it_is():
    text = repr(ce.CellMNN(np.int64(3), head="dense", affine=True, width=7, depth=2, seed=5, time_range=(0, 2)))
    assert "dim=3, head='dense', affine=True, width=7, depth=2, seed=5, time_range=(0.0, 2.0)" in text
