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


def test_the_two_branches_of_phi1_meet():
    x = torch.tensor([-9.9e-5, 9.9e-5, 1e-5, 1e-3], dtype=torch.float64)
    torch.testing.assert_close(_phi1(x), torch.expm1(x) / x, rtol=1e-11, atol=0)


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
            far = np.linalg.norm(a[i], 1) * t
            size = np.linalg.norm(z[i]) * np.exp(far) * (1 + far)
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
