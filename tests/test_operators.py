"""Operators against scipy.linalg.expm, finite differences and the definition of A."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from cellmnn_edu.operators import DenseOperator, EigenOperator, _phi1, build, head_size

N, D = 6, 4


def make(head, affine=False, seed=0, scale=0.3):
    generator = torch.Generator().manual_seed(seed)
    out = scale * torch.randn(N, head_size(head, D, affine), generator=generator, dtype=torch.float64)
    z = torch.randn(N, D, generator=generator, dtype=torch.float64)
    return build(head, out, D), z


HEADS = pytest.mark.parametrize("head", ["eigen", "dense"])
AFFINE = pytest.mark.parametrize("affine", [False, True])


@HEADS
@AFFINE
@pytest.mark.parametrize("dt", [0.0, 1e-8, 0.7, -0.5, 5.0])
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
    with pytest.raises(ValueError, match="eigen, dense; got 'diagonal'"):
        head_size("diagonal", 3)


def test_the_two_branches_of_phi1_meet():
    x = torch.tensor([-9.9e-5, 9.9e-5, 1e-5, 1e-3], dtype=torch.float64)
    torch.testing.assert_close(_phi1(x), torch.expm1(x) / x, rtol=1e-11, atol=0)
