"""The proposition in code against exact integrals, finite differences and scipy; orders of convergence, measured."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad_vec, solve_ivp
from scipy.linalg import expm
from scipy.optimize import fsolve

import cellmnn_edu as ce
from cellmnn_edu.linearize import (
    affine,
    factorize,
    family,
    frozen,
    jacobian,
    midpoint,
    reference,
    rosenbrock,
    smallest,
)
from cellmnn_edu.simulate import gene_circuit

SEEDS = st.integers(0, 10_000)
DIMS = st.integers(1, 5)
FEW = settings(max_examples=15, deadline=None)


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def states(seed, dim, n=6):
    return 1.5 * normal(seed + 50_000, n, dim)


def clock(z, t):
    return t[:, None] if t.ndim else t


def tanh_network(seed, dim, at_rest=True):
    w, v, u, b = normal(seed, 8, dim), normal(seed + 1, dim, 8) / 3, normal(seed + 2, 8), normal(seed + 3, 8)

    def raw(z, t):
        return torch.tanh(z @ w.T + clock(z, t) * u + b) @ v.T

    return (lambda z, t: raw(z, t) - raw(torch.zeros_like(z), t)) if at_rest else raw


def polynomial(seed, dim):
    """A field of degree 3 that changes with time, and its factor by Euler: degree d has A = J / d."""
    b, q, c = normal(seed, dim, dim), normal(seed + 1, *3 * [dim]), normal(seed + 2, *4 * [dim])

    def field(z, t):
        return (
            z @ b.T
            + torch.cos(clock(z, t)) * torch.einsum("ijk,nj,nk->ni", q, z, z)
            + torch.einsum("ijkl,nj,nk,nl->ni", c, z, z, z)
        )

    def factor(z, t):
        two = np.einsum("ijk,nj->nik", q, z) + np.einsum("ijk,nk->nij", q, z)
        three = sum(np.einsum(f"ijkl,{s}->ni{o}", c, z, z) for s, o in (("nj,nk", "l"), ("nj,nl", "k"), ("nk,nl", "j")))
        return b.numpy() + np.cos(t) * two / 2 + three / 3

    return field, factor


def product(a, z):
    return torch.einsum("nij,nj->ni", a, z)


def relative(got, wanted):
    return ((got - wanted).abs().max() / wanted.abs().max()).item()


# --- the proposition -------------------------------------------------------------------------------------------------


@given(seed=SEEDS, dim=DIMS, t=st.floats(-2, 2))
@FEW
def test_a_times_z_is_the_field_of_a_tanh_network(seed, dim, t):
    field, z = tanh_network(seed, dim), states(seed, dim)
    assert relative(product(factorize(field, z, t), z), field(z, torch.tensor(t, dtype=z.dtype))) <= 1e-12


@given(seed=SEEDS, dim=DIMS, t=st.floats(-2, 2))
@FEW
def test_polynomials_have_their_exact_factor(seed, dim, t):
    (field, factor), z = polynomial(seed, dim), states(seed, dim)
    a = factorize(field, z, t)
    assert relative(product(a, z), field(z, torch.tensor(t, dtype=z.dtype))) <= 1e-12
    assert relative(a, torch.tensor(factor(z.numpy(), t))) <= 1e-12
    # Two nodes integrate a polynomial of degree 3 exactly, and one does not: its Jacobian has degree 2.
    assert relative(factorize(field, z, t, n_nodes=2), a) <= 1e-12
    assert relative(factorize(field, z, t, n_nodes=1), a) > 1e-6


@pytest.mark.parametrize("name", ["toggle", "repressilator", "myeloid"])
def test_hill_circuits_about_zero_and_about_a_fixed_point(name):
    circuit = gene_circuit(name)
    x = np.random.default_rng(0).uniform(0.05, 3, size=(20, len(circuit.genes)))
    truth = circuit.velocity(x)

    def field(z, t):
        return circuit.velocity(z)

    a, b = affine(field, x)
    assert np.abs(np.einsum("nij,nj->ni", a, x) + b - truth).max() <= 1e-12 * np.abs(truth).max()
    np.testing.assert_allclose(b, np.broadcast_to(circuit.velocity(0 * x[0]), x.shape), atol=1e-15)

    settled = solve_ivp(lambda _, y: circuit.velocity(y), (0, 200), circuit.initial[0] + 0.1).y[:, -1]
    rest = fsolve(circuit.velocity, settled, fprime=circuit.jacobian)
    for _ in range(3):  # Newton, to the last digit
        rest = rest - np.linalg.solve(circuit.jacobian(rest), circuit.velocity(rest))
    assert np.abs(circuit.velocity(rest)).max() < 1e-13
    a = factorize(field, x, base=rest)
    assert np.abs(np.einsum("nij,nj->ni", a, x - rest) - truth).max() <= 1e-12 * np.abs(truth).max()


def test_the_quadrature_agrees_with_an_adaptive_one():
    w, v, b = (normal(s, *shape).numpy() for s, shape in ((1, (8, 3)), (2, (3, 8)), (3, (8,))))

    def field(z, t):
        return (torch.tanh(z @ torch.tensor(w).T + torch.tensor(b)) - torch.tanh(torch.tensor(b))) @ torch.tensor(v).T

    z = states(4, 3)
    exact = [
        quad_vec(lambda s, x=x: v * (1 - np.tanh(s * w @ x + b) ** 2) @ w, 0, 1, epsabs=1e-13)[0] for x in z.numpy()
    ]
    np.testing.assert_allclose(factorize(field, z), np.stack(exact), atol=1e-12)


def test_kinks_leave_an_error_that_falls_slowly():
    net = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.LeakyReLU(), torch.nn.Linear(32, 3)).double()
    for k, p in enumerate(net.parameters()):
        p.data = normal(k, *p.shape) / 2

    def field(z, t):
        return net(z) - net(torch.zeros_like(z))

    z = states(0, 3, n=50)
    errors = [relative(product(factorize(field, z, n_nodes=n), z), field(z, 0)) for n in (8, 32, 128)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-2
    # Smooth fields are at 1e-15 here; a kink costs an error of about one over the number of nodes.
    assert errors[2] > 1e-5


def test_a_linear_field_gives_its_matrix_and_its_jacobian():
    m, z = normal(0, 3, 3), states(1, 3)

    def field(z, t):
        return z @ m.T

    torch.testing.assert_close(factorize(field, z), m.expand(6, 3, 3), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(jacobian(field, z), m.expand(6, 3, 3), rtol=0, atol=0)


def test_a_nonlinear_field_has_a_factor_that_is_not_its_jacobian():
    field, z = tanh_network(0, 3), states(0, 3)
    a, j, h = factorize(field, z), jacobian(field, z), 1e-4
    assert relative(a, j) > 0.1
    # J = A + (dA/dz) z: column k is A e_k + (dA/dz_k) z.
    slope = torch.stack(
        [
            product((factorize(field, z + h * e) - factorize(field, z - h * e)) / (2 * h), z)
            for e in torch.eye(3, dtype=z.dtype)
        ],
        dim=2,
    )
    torch.testing.assert_close(a + slope, j, rtol=1e-8, atol=1e-8)
    # At 0 they meet.
    torch.testing.assert_close(factorize(field, 0 * z[:1]), jacobian(field, 0 * z[:1]))


def test_the_factor_about_another_point():
    field, base, z = tanh_network(2, 3, at_rest=False), normal(9, 3), states(2, 3)
    t = torch.tensor(0.4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"f\(base, t\) = 0"):
        factorize(field, z, t, base=base)

    def about(z, t):
        return field(z, t) - field(base[None], t)

    a = factorize(about, z, t, base=base)
    assert relative(product(a, z - base), field(z, t) - field(base[None], t)) <= 1e-12
    lifted, b = affine(field, z, t, base=base)
    torch.testing.assert_close(lifted, a)
    assert relative(product(lifted, z) + b, field(z, t)) <= 1e-12


def test_a_field_that_moves_zero_is_refused_with_the_size_and_lifted_instead():
    field, z, t = tanh_network(1, 3, at_rest=False), states(1, 3), torch.tensor(0.2, dtype=torch.float64)
    at_zero, there = field(torch.zeros(1, 3).double(), t).abs().max(), field(z, t)[0].abs().max()
    message = rf"f\(0, t\) = 0, got .* {at_zero:.3g} where .* {there:.3g} \(row 0\): .*affine"
    with pytest.raises(ValueError, match=message):
        factorize(field, z, t)
    a, b = affine(field, z, t)
    assert relative(product(a, z) + b, field(z, t)) <= 1e-12
    torch.testing.assert_close(b, field(torch.zeros_like(z), t))


@pytest.mark.parametrize(
    ("field", "z"),
    [
        (lambda z, t: z + 1e-9, [[1.0, 2.0]]),
        (lambda z, t: z + 1e-5, [[1.0, 2.0], [1e9, 0.0]]),  # one large state excuses nobody
        (lambda z, t: z / z.abs(), [[1.0, 2.0]]),  # NaN at 0
    ],
)
def test_a_small_or_undefined_violation_is_seen(field, z):
    with pytest.raises(ValueError, match=r"f\(0, t\) = 0, got"):
        factorize(field, np.array(z))


def test_rounding_of_a_base_point_is_forgiven():
    base = np.array([1.0, 3.0]) + 1e-15
    a = factorize(lambda z, t: z - torch.tensor([1.0, 3.0], dtype=z.dtype), np.array([[5.0, 6.0]]), base=base)
    np.testing.assert_allclose(a[0], np.eye(2), atol=1e-12)


def test_a_field_that_torch_cannot_differentiate_is_refused():
    with pytest.raises(ValueError, match="torch sees no derivative"):
        factorize(lambda z, t: torch.tanh(z.detach()), np.ones((2, 2)))


def test_the_smallest_factor_of_a_tiny_state():
    z = np.array([[3e-200, 4e-200]])
    np.testing.assert_allclose(smallest(lambda z, t: 2 * z, z)[0], 2 * np.outer([0.6, 0.8], [0.6, 0.8]))


def test_an_exploding_cell_does_not_take_the_others_with_it():
    z = np.array([[5.0], [0.1]])
    together = rosenbrock(lambda z, t: z**3, z, 0.0, 10.0, 5)
    assert not np.isfinite(together[0]).all()
    np.testing.assert_allclose(together[1], rosenbrock(lambda z, t: z**3, z[1:], 0.0, 10.0, 5)[0])


def test_one_time_per_cell():
    field, z, t = tanh_network(3, 2), states(3, 2), torch.linspace(-1, 1, 6, dtype=torch.float64)
    for function in (jacobian, factorize, smallest):
        together = function(field, z, t)
        torch.testing.assert_close(together, torch.cat([function(field, z[i : i + 1], t[i]) for i in range(6)]))


# --- the family ------------------------------------------------------------------------------------------------------


@given(seed=SEEDS, dim=st.integers(2, 5))
@FEW
def test_members_of_the_family_agree_on_z_and_differ(seed, dim):
    field, z = tanh_network(seed, dim), states(seed, dim)
    a = factorize(field, z)
    first, second = (family(a, z, normal(seed + k, dim, dim)) for k in (5, 6))
    scale = max(first.abs().max(), second.abs().max()) * z.abs().max()
    assert (product(first, z) - product(second, z)).abs().max() <= 1e-12 * scale
    assert (first - second).abs().max() > 1e-3
    assert relative(product(first, z), field(z, torch.tensor(0.0))) <= 1e-12 * max(1, scale.item())


def test_in_one_dimension_the_family_has_one_member():
    z, a = states(0, 1), normal(1, 6, 1, 1)
    torch.testing.assert_close(family(a, z, normal(2, 1, 1)), a)


@given(seed=SEEDS, dim=DIMS)
@FEW
def test_no_member_is_smaller_than_the_smallest(seed, dim):
    field, z = tanh_network(seed, dim), states(seed, dim)
    a = smallest(field, z)
    assert relative(product(a, z), field(z, torch.tensor(0.0))) <= 1e-12
    for k in range(5):
        other = family(factorize(field, z), z, 0.1 * k * normal(seed + k, dim, dim))
        assert (torch.linalg.matrix_norm(a) <= torch.linalg.matrix_norm(other) * (1 + 1e-12)).all()


def test_the_smallest_jumps_at_zero_where_the_proposition_does_not():
    field = tanh_network(4, 2)
    near = 1e-8 * torch.eye(2, dtype=torch.float64)
    one, other = smallest(field, near)
    assert relative(one, other) > 0.1
    at_zero = jacobian(field, 0 * near)
    torch.testing.assert_close(factorize(field, near), at_zero, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(factorize(field, 0 * near), at_zero)
    with pytest.raises(ValueError, match=r"row 1: .*direction"):
        smallest(field, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


# --- arrays, gradients, models ---------------------------------------------------------------------------------------


def test_what_comes_back_matches_what_went_in():
    field, z = tanh_network(0, 2), states(0, 2)
    for function in (jacobian, factorize, smallest):
        got = function(field, z.numpy(), 0.3)
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, function(field, z, 0.3))
    a, b = affine(field, z.numpy(), 0.3)
    assert isinstance(family(a, z.numpy(), np.eye(2)), np.ndarray)
    assert isinstance(b, np.ndarray)
    for function in (frozen, midpoint, rosenbrock, reference):
        got = function(field, z.numpy(), 0.0, 1.0, 2)
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, function(field, z, 0.0, 1.0, 2))

    def single(z, t):
        return torch.tanh(z)

    for function in (jacobian, factorize, smallest):
        assert function(single, z.float()).dtype == torch.float32
        assert function(single, z.float().numpy()).dtype == np.float32
        assert function(single, np.array([[1, 2]])).dtype == np.float64
    for function in (frozen, midpoint, rosenbrock, reference):
        assert function(single, z.float(), 0, 1).dtype == torch.float32


def test_gradients_reach_the_field_and_the_states():
    z, t = states(0, 2, n=3).requires_grad_(), torch.tensor(0.3, dtype=torch.float64)
    w = normal(1, 2, 2).requires_grad_()

    def grown(function, *times, **options):
        return lambda w, z: function(lambda y, s: torch.tanh(y @ w.T) * (1 + s), z, *times, **options)

    assert torch.autograd.gradcheck(grown(factorize, t, n_nodes=4), (w, z))
    assert torch.autograd.gradcheck(grown(jacobian, t), (w, z))
    for function in (frozen, midpoint, rosenbrock):
        assert torch.autograd.gradcheck(grown(function, 0.0, 0.7, 2), (w, z), atol=1e-5), function


@pytest.mark.parametrize("head", ["eigen", "dense"])
@pytest.mark.parametrize("lift", [False, True])
def test_a_model_is_a_field_with_its_own_operator(head, lift):
    model = ce.CellMNN(3, head=head, affine=lift, seed=1).double()
    # Further from 0 the eigen head may meet a singular P, where its field has a pole.
    model.network[-1].weight.data *= 5
    z, t = states(0, 3), torch.linspace(0, 1, 6, dtype=torch.float64)
    for times in (0.3, t):
        j = jacobian(model.velocity, z, times)
        torch.testing.assert_close(jacobian(model, z, times), j)
        one = [
            torch.autograd.functional.jacobian(lambda x, s=s: model.velocity(x[None], s)[0], x)
            for x, s in zip(z, t if torch.is_tensor(times) else [times] * 6, strict=True)
        ]
        torch.testing.assert_close(j, torch.stack(one))
    a, b = affine(model, z, 0.3)
    assert relative(product(a, z) + b, model.velocity(z, 0.3)) < 1e-2  # kinks
    assert relative(a, model.operator(z, 0.3)) > 1e-3  # the same velocity, another factor
    for steps in (1, 3):
        torch.testing.assert_close(frozen(model, z, 0.0, t, steps), model.propagate(z, 0.0, t, steps))
    torch.testing.assert_close(
        frozen(model, z, t, 1.5, 50), reference(model, z, t, 1.5, tolerance=1e-5), rtol=0.02, atol=0.02
    )


def test_the_operator_may_be_given():
    field, m, z = tanh_network(0, 2), normal(3, 2, 2), states(0, 2)

    def other(x, t):
        return family(factorize(field, x, t), x, m)

    given_alone, given_pair = (
        frozen(field, z, 0, 1, 3, operator=o) for o in (other, lambda x, t: (other(x, t), torch.zeros_like(x)))
    )
    torch.testing.assert_close(given_alone, given_pair)
    assert relative(given_alone, frozen(field, z, 0, 1, 3)) > 1e-3
    assert relative(midpoint(field, z, 0, 1, 3, operator=other), midpoint(field, z, 0, 1, 3)) > 1e-4


# --- integrators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("function", [frozen, midpoint, rosenbrock])
def test_constant_operators_are_moved_exactly(function, n_steps, offset):
    m, c, z = normal(0, 3, 3), offset * normal(1, 3), states(2, 3)
    t1 = torch.tensor([0.0, 0.5, 3.0, -2.0, 1e-8, 1.0], dtype=torch.float64)
    got = function(lambda x, t: x @ m.T + c, z, 0.0, t1, n_steps)
    lifted = np.zeros((4, 4))
    lifted[:3, :3], lifted[:3, 3] = m, c
    exact = np.stack([(expm(lifted * dt) @ np.append(x, 1))[:3] for x, dt in zip(z.numpy(), t1.numpy(), strict=True)])
    assert np.abs(got.numpy() - exact).max() <= 1e-12 * np.abs(exact).max()


def test_rosenbrock_is_exact_for_a_field_that_is_affine_in_state_and_time():
    m, c, d, z = normal(0, 2, 2), normal(1, 2), normal(2, 2), states(3, 2)
    got = rosenbrock(lambda x, t: x @ m.T + c * t + d, z, 0.5, 2.5)
    lifted = np.zeros((4, 4))
    lifted[:2, :2], lifted[:2, 2], lifted[:2, 3], lifted[2, 3] = m, c, d, 1
    exact = np.stack([(expm(2 * lifted) @ [*x, 0.5, 1])[:2] for x in z.numpy()])
    np.testing.assert_allclose(got, exact, rtol=1e-11)


def curved(z, t):
    """A smooth field in two dimensions that turns and saturates."""
    x, y = z.unbind(1)
    return torch.stack([y - torch.sin(x), torch.sin(x) * torch.cos(y) - y], dim=1)


def driven(z, t):
    """The same, with a drive that depends on time."""
    t = clock(z, t)
    return curved(z, t) * (1 + 0.5 * torch.sin(t)) + 0.8 * torch.cos(t) * torch.sin(z.flip(1))


def quick(field):
    """Exact enough for these fields, and six times faster than 64 nodes."""
    return lambda z, t: affine(field, z, t, n_nodes=10)


START = torch.tensor([[1.2, 0.4], [-0.7, 1.1], [0.3, -1.5]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("function", "field", "order", "within", "options"),
    [
        (frozen, curved, 1, 0.15, {"operator": quick(curved)}),
        (frozen, driven, 1, 0.15, {"operator": quick(driven)}),
        (midpoint, curved, 2, 0.2, {"operator": quick(curved)}),
        (midpoint, driven, 2, 0.2, {"operator": quick(driven)}),
        (rosenbrock, curved, 2, 0.2, {}),
        (rosenbrock, driven, 2, 0.2, {}),
        (rosenbrock, curved, 2, 0.2, {"time_term": False}),
        (rosenbrock, driven, 1, 0.15, {"time_term": False}),
        (reference, driven, 4, 0.3, {}),
    ],
)
def test_measured_orders_of_convergence(function, field, order, within, options):
    steps = [5, 16, 50, 158, 500] if order < 4 else [6, 19, 60]
    exact = solve_ivp(
        lambda t, y: field(torch.tensor(y.reshape(3, 2)), torch.tensor(t)).numpy().ravel(),
        (0, 1.5), START.ravel(), method="DOP853", rtol=1e-13, atol=1e-13,
    ).y[:, -1].reshape(3, 2)  # fmt: skip
    errors = [np.abs(function(field, START, 0.0, 1.5, n, **options).numpy() - exact).max() for n in steps]
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=within), errors


def test_the_reference_keeps_its_tolerance_for_every_cell_and_its_own_times():
    t0, t1 = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([2.0, 0.0, -1.0])
    got = reference(driven, START, t0, t1)
    for x, y, begin, end in zip(START.numpy(), got.numpy(), t0.numpy(), t1.numpy(), strict=True):
        exact = solve_ivp(
            lambda t, y: driven(torch.tensor(y[None]), torch.tensor(t)).numpy()[0],
            (begin, end), x, method="DOP853", rtol=1e-13, atol=1e-13,
        ).y[:, -1]  # fmt: skip
        np.testing.assert_allclose(y, exact, atol=1e-8)
    np.testing.assert_array_equal(got[2], START[2])
    assert (reference(driven, START, 0.0, 2.0, tolerance=1e-3) - reference(driven, START, 0.0, 2.0)).abs().max() > 1e-6
    with pytest.raises(ValueError, match="shorter than rounding allows"):
        reference(lambda z, t: z**2, torch.ones(1, 1), 0.0, 2.0)


@pytest.mark.parametrize("function", [frozen, midpoint, rosenbrock, reference])
def test_there_and_back_with_one_time_per_cell(function):
    t1 = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    there = function(driven, START, 0.0, t1, 20)
    torch.testing.assert_close(there, torch.cat([function(driven, START[i : i + 1], 0.0, t1[i], 20) for i in range(3)]))
    torch.testing.assert_close(function(driven, there, t1, 0.0, 20), START, rtol=0, atol=2e-2)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [jacobian, factorize, affine, smallest])
@pytest.mark.parametrize(
    ("z", "t", "message"),
    [
        (torch.ones(2), 0.0, "one row per cell"),
        (torch.ones(0, 2), 0.0, "one row per cell"),
        (torch.full((2, 2), torch.nan), 0.0, "finite states"),
        (np.array([["a", "b"]]), 0.0, "real numbers"),
        (torch.ones(2, 2), [0.0, 1.0, 2.0], "one finite time, or 2"),
        (torch.ones(2, 2), torch.nan, "finite time"),
    ],
)
def test_states_and_times_are_checked(function, z, t, message):
    with pytest.raises(ValueError, match=message):
        function(curved, z, t)


@pytest.mark.parametrize("field", [lambda z, t: z.sum(1), lambda z, t: 3.0, lambda z, t: np.ones((3, 2))])
def test_a_field_must_answer_with_a_tensor_like_z(field):
    for function in (factorize, affine, smallest, lambda f, z: reference(f, z, 0, 1)):
        with pytest.raises(ValueError, match=r"torch tensor of the shape of z"):
            function(field, torch.ones(3, 2))


def test_counts_and_base_points_are_checked():
    z = torch.ones(3, 2)
    for bad in (0, -1, 2.0, True):
        for function in (factorize, affine):
            with pytest.raises(ValueError, match="n_nodes to be an integer of at least 1"):
                function(curved, z, n_nodes=bad)
        for function in (frozen, midpoint, rosenbrock, reference):
            with pytest.raises(ValueError, match="n_steps to be an integer of at least 1"):
                function(curved, z, 0.0, 1.0, bad)
    for bad in (torch.zeros(3), torch.zeros(3, 2), [0.0, np.inf]):
        with pytest.raises(ValueError, match=r"finite base point of shape \(2,\)"):
            factorize(curved, z, base=bad)
