"""Operators against scipy.linalg.expm, finite differences and the definition of A."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from cellmnn_edu.operators import (
    SERIES_REACH,
    DenseOperator,
    EigenOperator,
    RotationalOperator,
    _BlockExponential,
    _degree,
    _phi1,
    build,
    head_size,
)

N, D = 6, 4


def make(head, affine=False, seed=0, scale=0.3):
    generator = torch.Generator().manual_seed(seed)
    out = scale * torch.randn(N, head_size(head, D, affine), generator=generator, dtype=torch.float64)
    z = torch.randn(N, D, generator=generator, dtype=torch.float64)
    return build(head, out, D), z


HEADS = pytest.mark.parametrize("head", ["eigen", "dense", "rotational"])
AFFINE = pytest.mark.parametrize("affine", [False, True])


@HEADS
@AFFINE
@pytest.mark.parametrize("dt", [0.0, 1e-8, 0.7, -0.5, 5.0, 30.0])
def test_flow_is_the_exponential_of_the_lifted_matrix(head, affine, dt):
    operator, z = make(head, affine)
    moved = operator.flow(z, torch.full((N,), dt, dtype=z.dtype))
    for i in range(N):
        lifted = np.zeros((D + 1, D + 1))
        lifted[:D, :D] = operator.matrix()[i]
        lifted[:D, D] = operator.offset()[i]
        expected = expm(lifted * dt) @ np.append(z[i], 1)
        np.testing.assert_allclose(moved[i], expected[:D], rtol=1e-10, atol=1e-12)


@HEADS
@AFFINE
def test_velocities_are_a_z_plus_b_at_the_places_the_flow_reaches(head, affine):
    operator, z = make(head, affine)
    dt = 2 * torch.rand(3, N, dtype=z.dtype) - 0.5
    velocities = operator.velocities(z, dt)
    assert velocities.shape == (3, N, D)
    torch.testing.assert_close(velocities, operator.apply(operator.flow(z, dt)), rtol=1e-9, atol=1e-11)


@HEADS
@AFFINE
def test_many_durations_at_once_equal_one_by_one(head, affine):
    operator, z = make(head, affine)
    dt = torch.rand(3, 2, N, dtype=z.dtype)
    together = operator.flow(z, dt)
    assert together.shape == (3, 2, N, D)
    torch.testing.assert_close(together[2, 1], operator.flow(z, dt[2, 1]))


@HEADS
@AFFINE
def test_apply_is_a_z_plus_b_and_the_derivative_of_flow_at_zero(head, affine):
    operator, z = make(head, affine)
    expected = torch.stack([a @ x + b for a, x, b in zip(operator.matrix(), z, operator.offset(), strict=True)])
    torch.testing.assert_close(operator.apply(z), expected)
    h = torch.full((N,), 1e-5, dtype=z.dtype)
    slope = (operator.flow(z, h) - operator.flow(z, -h)) / 2e-5
    torch.testing.assert_close(slope, expected, rtol=1e-8, atol=1e-8)


@HEADS
@AFFINE
@given(first=st.floats(-2, 2), second=st.floats(-2, 2))
@settings(max_examples=20, deadline=None)
def test_one_fixed_operator_obeys_the_semigroup_law(head, affine, first, second):
    operator, z = make(head, affine)
    a, b = (torch.full((N,), x, dtype=z.dtype) for x in (first, second))
    torch.testing.assert_close(operator.flow(operator.flow(z, a), b), operator.flow(z, a + b), rtol=1e-8, atol=1e-8)


def test_the_eigen_matrix_has_the_eigenvalues_and_rows_are_targets():
    operator, _ = make("eigen")
    for a, values, p in zip(*(x.numpy() for x in (operator.matrix(), operator.values, operator.basis)), strict=True):
        np.testing.assert_allclose(np.sort(np.linalg.eigvals(a).real), np.sort(values), atol=1e-10)
        # Columns of P^-1 are right eigenvectors: A P^-1 = P^-1 diag(values).
        right = np.linalg.inv(p)
        np.testing.assert_allclose(a @ right, right * values, atol=1e-10)


def test_rows_are_targets_and_columns_are_sources():
    a = torch.zeros(1, 2, 2)
    a[0, 1, 0] = 2.0  # coordinate 0 drives coordinate 1
    velocity = DenseOperator(a).apply(torch.tensor([[3.0, 5.0]]))
    assert velocity.tolist() == [[0.0, 6.0]]


@HEADS
@AFFINE
def test_gradients_of_the_flow(head, affine):
    size = head_size(head, 2, affine)
    out = 0.4 * torch.randn(2, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = torch.tensor([[1.0, -0.5], [0.3, 2.0]], dtype=torch.float64, requires_grad=True)
    dt = torch.tensor([[0.0, 1.2], [1e-6, -0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda o, x, s: build(head, o, 2).flow(x, s), (out.requires_grad_(), z, dt))


def test_zero_eigenvalues_have_a_finite_gradient_in_the_affine_lift():
    out = torch.zeros(1, head_size("eigen", 2, True), requires_grad=True)
    moved = build("eigen", out, 2).flow(torch.ones(1, 2), torch.ones(1))
    moved.sum().backward()
    assert torch.isfinite(out.grad).all()


def test_the_barrier_grows_as_p_becomes_singular():
    def barrier(determinant):
        basis = torch.diag(torch.tensor([determinant, 1.0], dtype=torch.float64))[None]
        return EigenOperator(torch.zeros(1, 2), basis).barrier().item()

    for determinant in (2.0, 1.0, 0.1, 0.0, -0.1):
        assert barrier(determinant) == pytest.approx(1 / (abs(determinant) + 1e-4))


def test_an_unknown_head_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="eigen, dense, rotational; got 'diagonal'"):
        head_size("diagonal", 3)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_phi1_and_its_slope_near_and_far_from_zero(dtype, error):
    near = np.array([0.0, 1e-8, -1e-4, 9e-4, -1e-2, 0.3])
    slopes = [sum(j * x ** (j - 1) / np.prod(np.arange(1.0, j + 2)) for j in range(1, 20)) for x in near]
    far = np.array([-300.0, -20.0, 2.0, 30.0])
    slopes += [(np.exp(x) * (x - 1) + 1) / x**2 for x in far]
    x = torch.tensor(np.concatenate([near, far]), dtype=dtype, requires_grad=True)
    value = _phi1(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    rounded = x.detach().double()
    expected = torch.where(rounded == 0, 1.0, torch.expm1(rounded) / torch.where(rounded == 0, 1.0, rounded))
    torch.testing.assert_close(value.detach().double(), expected, rtol=error, atol=0)
    np.testing.assert_allclose(slope.double(), slopes, rtol=3 * error)


def rotational(growth, stretch, turn, basis=None, dtype=torch.float64):
    block = [torch.tensor([[x]], dtype=dtype) for x in (growth, stretch, turn)]
    basis = torch.eye(2, dtype=dtype)[None] if basis is None else basis
    return RotationalOperator(*block, torch.zeros(1, 0, dtype=dtype), basis)


@pytest.mark.parametrize(
    ("growth", "stretch", "turn", "eigenvalues"),
    [
        (-0.3, 0.0, 2.0, [-0.3 - 2j, -0.3 + 2j]),
        (0.1, 3.0, 0.0, [-2.9, 3.1]),
        (0.0, 5.0, 4.0, [-3, 3]),
        (0.2, 1.0, 1.0, [0.2, 0.2]),  # defective
    ],
)
def test_a_block_holds_a_complex_a_real_or_a_defective_pair(growth, stretch, turn, eigenvalues):
    operator = rotational(growth, stretch, turn)
    np.testing.assert_allclose(np.sort_complex(np.linalg.eigvals(operator.matrix()[0])), eigenvalues, atol=1e-7)
    z = torch.tensor([[1.0, -0.4]], dtype=torch.float64)
    for dt in (0.3, 2.0, 7.0):
        expected = expm(operator.matrix()[0].numpy() * dt) @ z[0].numpy()
        moved = operator.flow(z, torch.tensor([dt], dtype=z.dtype))[0].numpy()
        assert np.linalg.norm(moved - expected) <= 1e-12 * np.linalg.norm(expected)


def test_a_full_turn_of_a_rotation_comes_home_and_half_a_turn_is_the_opposite_point():
    operator, z = rotational(0.0, 0.0, 1.0), torch.tensor([[0.6, -1.1]], dtype=torch.float64)
    half, full = operator.flow(z, torch.tensor([[np.pi], [2 * np.pi]], dtype=z.dtype))
    torch.testing.assert_close(half, -z)
    torch.testing.assert_close(full, z)


@given(square=st.floats(-900, 900), growth=st.floats(-30, 30))
@settings(max_examples=200, deadline=None)
def test_the_block_exponential_is_cosh_and_sinh_of_a_root(square, growth):
    root = np.sqrt(complex(square))
    cosh, sinhc = np.cosh(root).real, (np.sinh(root) / root).real if square else 1.0
    got = _BlockExponential.apply(torch.tensor(growth, dtype=torch.float64), torch.tensor(square, dtype=torch.float64))
    size = 1e-12 * np.exp(growth + root.real)
    assert abs(got[0].item() - np.exp(growth) * cosh) <= size
    assert abs(got[1].item() - np.exp(growth) * sinhc) <= size


@pytest.mark.parametrize("square", [-4.0, -0.099, -1e-2, -1e-5, 0.0, 1e-9, 9e-4, 1.1e-3, 0.0999, 0.1001, 3.0])
def test_gradients_of_the_block_exponential_to_second_order(square):
    inputs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (-0.4, square)]
    assert torch.autograd.gradcheck(_BlockExponential.apply, inputs)
    assert torch.autograd.gradgradcheck(_BlockExponential.apply, inputs, atol=1e-4)


def random_matrices(kind, dim, seed):
    """Twenty matrices of 2-norm 1, and cells, in float64."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(20, dim, dim))
    if kind == "defective":  # one eigenvalue, one eigenvector
        a = np.array([q @ (np.eye(dim, k=1) - 0.3 * np.eye(dim)) @ q.T for q in np.linalg.qr(a)[0]])
    if kind == "stiff":  # fast decay beside slow: where a bare series cancels
        a = np.array([q @ np.diag(np.linspace(-1, 0.05, dim)) @ q.T for q in np.linalg.qr(a)[0]])
    a = a / np.linalg.norm(a, 2, axis=(1, 2), keepdims=True)
    return a, rng.normal(size=(20, dim))


@pytest.mark.parametrize("kind", ["random", "defective", "stiff"])
@pytest.mark.parametrize("reach", [0.0, 1e-8, 0.1, 1.0, 3.0, 30.0])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("dim", [2, 5, 20])
def test_the_dense_flow_keeps_its_promised_accuracy(kind, reach, dtype, error, dim):
    a, z = random_matrices(kind, dim, seed=dim)
    dt = reach * np.array([0.0, 0.31, 1.0])
    operator = DenseOperator(torch.tensor(a, dtype=dtype))
    moved = operator.flow(torch.tensor(z, dtype=dtype), torch.tensor(dt, dtype=dtype)[:, None].expand(3, 20))
    # Rounding A and z to the given precision is not the method's error, so the truth starts from the rounded ones.
    a, z = operator.entries.double().numpy(), torch.tensor(z, dtype=dtype).double().numpy()
    for k, t in enumerate(torch.tensor(dt, dtype=dtype).double().tolist()):
        for i in range(20):
            mean = np.trace(a[i]) / dim
            r = np.linalg.norm(a[i] - mean * np.eye(dim), 1) * t
            size = np.linalg.norm(z[i]) * np.exp(mean * t + r) * (1 + r)
            assert np.linalg.norm(moved[k, i].double().numpy() - expm(a[i] * t) @ z[i]) <= error * size


@pytest.mark.parametrize("reach", [0.1, 1.0, 3.0])
def test_gradients_in_single_precision_are_those_in_double(reach):
    a, z = random_matrices("random", 5, seed=1)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        entries = torch.tensor(a, dtype=dtype, requires_grad=True)
        dt = torch.linspace(0, reach, 4, dtype=dtype)[:, None].expand(4, 20)
        DenseOperator(entries).flow(torch.tensor(z, dtype=dtype), dt).square().sum().backward()
        gradients.append(entries.grad.double())
    error = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert 0 < error < 1e-5


@pytest.mark.parametrize("head", ["eigen", "rotational"])
def test_an_ill_conditioned_basis_costs_digits_in_proportion(head):
    turn = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-6]])  # condition number 4e6
    basis = torch.tensor(turn)[None]
    if head == "eigen":
        operator = EigenOperator(torch.tensor([[-1.0, -1.2]], dtype=torch.float64), basis)
        blocks = np.diag([-1.0, -1.2])
    else:
        operator = rotational(-1.0, 0.1, 0.3, basis)
        blocks = np.array([[-0.9, -0.3], [0.3, -1.1]])
    z = torch.tensor([[0.7, 0.2]], dtype=torch.float64)
    moved = operator.flow(z, torch.tensor([1.5], dtype=z.dtype))[0]
    expected = np.linalg.solve(turn, expm(1.5 * blocks) @ (turn @ z[0].numpy()))
    np.testing.assert_allclose(moved, expected, rtol=1e-8)


def test_near_and_far_cells_in_one_batch_do_not_disturb_each_other():
    a, z = random_matrices("random", 4, seed=3)
    a[::3] *= 12  # beyond the series
    reach = np.linalg.norm(a, 1, axis=(1, 2))
    assert (reach > 2 * SERIES_REACH).any()
    assert (reach < SERIES_REACH / 2).any()
    dt = torch.tensor([[0.0], [0.4], [1.0]], dtype=torch.float64).expand(3, 20)
    entries = torch.tensor(a, requires_grad=True)
    moved = DenseOperator(entries).flow(torch.tensor(z), dt)
    expected = np.array([[expm(m * t) @ x for m, x in zip(a, z, strict=True)] for t in (0.0, 0.4, 1.0)])
    np.testing.assert_allclose(moved.detach(), expected, rtol=1e-9, atol=1e-9)
    some = torch.tensor([0, 1, 3, 5])  # both kinds
    small = (entries.detach()[some][:, :2, :2] / 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: DenseOperator(m).flow(torch.tensor(z)[some][:, :2], dt[:, :4]), small)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 3e-6), (torch.float64, 1e-13)])
@pytest.mark.parametrize("reach", [0.1, 1.0, 4.0])
def test_a_matrix_of_many_equal_entries_has_a_known_exponential(dtype, error, reach):
    # Each entry is small and the norm is not: exp(A) of the ones is e^reach.
    a = torch.full((1, 20, 20), reach / 20, dtype=dtype)
    for dt in (1.0, -1.0):
        moved = DenseOperator(a).flow(torch.ones(1, 20, dtype=dtype), torch.tensor([dt], dtype=dtype))
        np.testing.assert_allclose(moved[0], np.full(20, np.exp(reach * dt)), rtol=error * np.exp(reach))


def test_the_degree_serves_the_cell_that_needs_most():
    a = torch.zeros(50, 4, 4, dtype=torch.float64)
    a[0] = 4 * torch.diag(torch.ones(3, dtype=a.dtype), 1) - 1
    moved = DenseOperator(a).flow(torch.ones(50, 4, dtype=a.dtype), torch.ones(50, dtype=a.dtype))
    np.testing.assert_allclose(moved[0], expm(a[0].numpy()) @ np.ones(4), rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lost", [np.nan, np.inf, 1e30, 1e100])
def test_a_cell_that_is_lost_does_not_spoil_the_others(dtype, lost):
    a, z = (torch.tensor(x[:4], dtype=dtype) for x in random_matrices("random", 4, seed=5))
    dt = torch.full((4,), 2.0, dtype=dtype)
    alone = DenseOperator(a[:3]).flow(z[:3], dt[:3])
    a[3] *= lost
    torch.testing.assert_close(DenseOperator(a).flow(z, dt)[:3], alone)
    assert not torch.isfinite(DenseOperator(a).flow(z, dt)[3]).all()
    a[3], dt[3] = 0.1, torch.inf
    torch.testing.assert_close(DenseOperator(a).flow(z, dt)[:3], alone)


def test_a_huge_nilpotent_matrix_moves_exactly():
    a = torch.zeros(1, 2, 2, dtype=torch.float64)
    a[0, 0, 1] = 1e110
    moved = DenseOperator(a).flow(torch.ones(1, 2, dtype=a.dtype), torch.ones(1, dtype=a.dtype))
    np.testing.assert_allclose(moved[0], [1e110, 1.0])


@HEADS
@pytest.mark.parametrize("offset", [1e-6, 1.0, 1e4, 1e6])
def test_a_large_or_small_offset_keeps_its_digits(head, offset):
    out = 0.3 * torch.randn(N, head_size(head, D), generator=torch.Generator().manual_seed(0))
    out = torch.cat([out, torch.full((N, D), offset)], dim=1)
    moved = [
        build(head, out.to(t), D).flow(torch.ones(N, D, dtype=t), torch.ones(N, dtype=t))
        for t in (torch.float32, torch.float64)
    ]
    assert (moved[0].double() - moved[1]).norm() < 2e-6 * moved[1].norm()


@HEADS
def test_no_durations_give_no_places(head):
    operator, z = make(head)
    assert operator.flow(z, torch.empty(0, N, dtype=z.dtype)).shape == (0, N, D)


@pytest.mark.parametrize("dim", [1, 3, 5])
def test_an_odd_dimension_has_one_coordinate_without_a_partner(dim):
    out = 0.3 * torch.randn(2, head_size("rotational", dim), generator=torch.Generator().manual_seed(1)).double()
    z = torch.randn(2, dim, generator=torch.Generator().manual_seed(2)).double()
    operator = build("rotational", out, dim)
    for i in range(2):
        a = operator.matrix()[i].numpy()
        np.testing.assert_allclose(operator.apply(z)[i], a @ z[i].numpy(), rtol=1e-11)
        moved = operator.flow(z, torch.tensor([1.3, 1.3], dtype=z.dtype))[i]
        np.testing.assert_allclose(moved, expm(1.3 * a) @ z[i].numpy(), rtol=1e-10)
    assert np.isreal(np.linalg.eigvals(a)).any()


def test_strong_decay_beside_strong_stretch_does_not_overflow():
    c, k = _BlockExponential.apply(torch.tensor(-200.0), torch.tensor(150.0**2))
    assert c.item() == pytest.approx(np.exp(-50) / 2, rel=1e-4)
    assert k.item() == pytest.approx(np.exp(-50) / 300, rel=1e-4)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("square", [0.9, -0.9, 0.11, -0.11, 0.09, 1e-3, -1e-3, 1e-8, -1e-8, 0.0])
def test_the_gradient_of_sinhc_is_its_series(dtype, error, square):
    from math import factorial

    x = torch.tensor(square, dtype=dtype, requires_grad=True)
    (slope,) = torch.autograd.grad(_BlockExponential.apply(torch.zeros((), dtype=dtype), x)[1], x)
    expected = sum(j * square ** (j - 1) / factorial(2 * j + 1) for j in range(1, 15))
    assert slope.item() == pytest.approx(expected, rel=error)


def test_barriers_are_means_over_cells():
    basis = torch.diag_embed(torch.tensor([[1.0, 0.5], [1.0, 0.1]], dtype=torch.float64))
    expected = np.mean([1 / (0.5 + 1e-4), 1 / (0.1 + 1e-4)])
    two = torch.zeros(2, 1, dtype=torch.float64)
    for operator in (
        EigenOperator(torch.zeros(2, 2), basis),
        RotationalOperator(two, two, two, two[:, :0], basis),
    ):
        assert operator.barrier().item() == pytest.approx(expected)
    assert DenseOperator(basis).barrier().item() == 0


def test_the_output_of_the_network_is_laid_out_row_by_row():
    dense = build("dense", torch.arange(4.0)[None], 2).matrix()[0]
    assert dense.tolist() == [[0, 1], [2, 3]]
    for head, numbers in (("eigen", 2), ("rotational", 3)):
        out = torch.cat([torch.zeros(numbers), torch.arange(4.0)])[None]
        assert build(head, out, 2).basis[0].tolist() == [[1, 1], [2, 4]]
    block = build("rotational", torch.tensor([[1.0, 2.0, 5.0, 0, 0, 0, 0]]), 2).matrix()[0]
    assert block.tolist() == [[3, -5], [5, -1]]


def test_long_times_with_small_operators_do_not_overflow():
    a = torch.full((1, 1, 1), 1e-30)
    moved = DenseOperator(a).flow(torch.ones(1, 1), torch.tensor([1e30]))
    assert moved.item() == pytest.approx(np.e, rel=1e-6)


@given(reach=st.floats(0, 5), ratio=st.floats(0.01, 1))
@settings(max_examples=100, deadline=None)
def test_what_the_series_leaves_out_is_below_the_tolerance(reach, ratio):
    from math import factorial

    pace = reach * ratio
    degree = _degree(reach, pace, 1e-7)
    tail = sum(reach**3 * pace ** (j - 3) / factorial(j) for j in range(degree + 1, degree + 60))
    assert tail <= 1e-7


@HEADS
@AFFINE
def test_the_flow_can_be_mapped_and_differentiated_by_torch_func(head, affine):
    _, z = make(head, affine)
    out = 0.3 * torch.randn(N, head_size(head, D, affine), generator=torch.Generator().manual_seed(0)).double()
    dt = torch.tensor([0.8], dtype=torch.float64)
    one = torch.func.jacrev(lambda o, x: build(head, o[None], D).flow(x[None], dt)[0], argnums=1)
    jacobians = torch.func.vmap(one)(out, z)
    for i in range(N):
        a = build(head, out, D).matrix()[i].numpy()
        np.testing.assert_allclose(jacobians[i], expm(0.8 * a), rtol=1e-9, atol=1e-11)
