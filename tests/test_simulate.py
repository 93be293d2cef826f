"""Gene circuits against closed forms, scipy, finite differences and the published network."""

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov
from scipy.optimize import root

from cellmnn_edu import Snapshots
from cellmnn_edu.simulate import gene_circuit

HILL = ["toggle", "repressilator", "myeloid", "random"]
# Bound of every statistical test, in standard errors: one in 150 000 fails by chance, and the seeds are fixed.
SIGMAS = 4.5

MYELOID_EDGES = """
Gata2 -> Gata2, Gata1 -| Gata2, Fog1 -| Gata2, Pu.1 -| Gata2, Gata1 -> Gata1, Gata2 -> Gata1, Fli1 -> Gata1,
Pu.1 -| Gata1, Gata1 -> Fog1, Gata1 -> EKLF, Fli1 -| EKLF, Gata1 -> Fli1, EKLF -| Fli1, Gata1 -> SCL, Pu.1 -| SCL,
Cebpa -> Cebpa, Gata1 -| Cebpa, Fog1 -| Cebpa, SCL -| Cebpa, Cebpa -> Pu.1, Pu.1 -> Pu.1, Gata1 -| Pu.1, Gata2 -| Pu.1,
Pu.1 -> cJun, Gfi1 -| cJun, Pu.1 -> EgrNab, cJun -> EgrNab, Gfi1 -| EgrNab, Cebpa -> Gfi1, EgrNab -| Gfi1
"""
# The stable states of the published Boolean model: genes that are on.
FATES = {
    "erythrocyte": "Gata1 Fog1 EKLF SCL",
    "megakaryocyte": "Gata1 Fog1 Fli1 SCL",
    "monocyte": "Cebpa Pu.1 cJun EgrNab",
    "granulocyte": "Cebpa Pu.1 Gfi1",
}


def known_edges():
    edges = set()
    for text in MYELOID_EDGES.replace("\n", " ").split(","):
        regulator, arrow, target = text.split()
        edges.add((regulator, target, {"->": 1, "-|": -1}[arrow]))
    return edges


def edges_of(circuit):
    rows, columns = np.nonzero(circuit.network)
    return {
        (circuit.genes[j], circuit.genes[i], int(circuit.network[i, j])) for i, j in zip(rows, columns, strict=True)
    }


def states(circuit, n=20, seed=0, low=0.1, high=1.5):
    return np.random.default_rng(seed).uniform(low, high, (n, len(circuit.genes)))


def slope(f, x, step=1e-6):
    """Central differences, (n, G, G)."""
    shifts = step * np.eye(x.shape[1])
    return np.stack([(f(x + e) - f(x - e)) / (2 * step) for e in shifts], axis=2)


# The network


def test_the_myeloid_edges_are_the_published_ones():
    assert len(known_edges()) == 30
    assert edges_of(gene_circuit("myeloid")) == known_edges()


def test_the_myeloid_edges_are_those_of_scanpys_model_file():
    path = Path(find_spec("scanpy").origin).parent / "sim_models" / "krumsiek11.txt"
    rows = path.read_text().split("coupling list:")[1].split("\n")
    rows = [row.split() for row in rows if row.strip()]
    assert edges_of(gene_circuit("myeloid")) == {(r, t, int(np.sign(float(w)))) for t, r, w in rows}


@pytest.mark.parametrize("name", HILL)
@pytest.mark.parametrize("log", [False, True])
def test_the_signs_of_the_jacobian_are_the_network(name, log):
    circuit = gene_circuit(name, seed=3, n_genes=8 if name == "random" else None)
    signs = np.sign(circuit.jacobian(states(circuit), log=log))
    off = ~np.eye(len(circuit.genes), dtype=bool)
    np.testing.assert_array_equal(signs[:, off], np.broadcast_to(circuit.network[off], signs[:, off].shape))


@pytest.mark.parametrize("name", HILL)
def test_without_decay_the_signs_of_the_diagonal_are_the_self_regulation(name):
    circuit = gene_circuit(name)
    diagonal = np.diagonal(circuit.jacobian(states(circuit)), axis1=1, axis2=2) + 1.0  # decay is 1
    signs = np.where(np.abs(diagonal) < 1e-9, 0, np.sign(diagonal))
    np.testing.assert_array_equal(signs, np.broadcast_to(np.diag(circuit.network), signs.shape))


def test_random_networks_have_the_size_and_the_regulators_asked_for():
    circuit = gene_circuit("random", n_genes=30, n_regulators=4, seed=1)
    assert circuit.network.shape == (30, 30)
    assert (np.abs(circuit.network).sum(1) == 4).all()
    assert not np.diag(circuit.network).any()
    assert {-1, 1} <= set(circuit.network.flat)
    assert (circuit.network != gene_circuit("random", n_genes=30, n_regulators=4, seed=2).network).any()
    again = gene_circuit("random", n_genes=30, n_regulators=4, seed=1)
    np.testing.assert_array_equal(circuit.velocity(states(circuit)), again.velocity(states(circuit)))


@given(seed=st.integers(0, 1000), size=st.integers(1, 12), density=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_random_linear_circuits_are_stable_and_signed(seed, size, density):
    circuit = gene_circuit("linear", n_genes=size, seed=seed, density=density)
    matrix = circuit.jacobian(np.zeros(size))
    assert np.linalg.eigvals(matrix).real.max() == pytest.approx(-0.5, abs=1e-6)
    np.testing.assert_array_equal(circuit.network, np.sign(matrix))
    if density == 0:
        assert (matrix == np.diag(np.diag(matrix))).all()


def test_density_is_the_share_of_interactions():
    network = gene_circuit("linear", n_genes=60, density=0.2, seed=0).network
    n = 60 * 59
    share = (np.abs(network).sum() - 60) / n
    assert abs(share - 0.2) < SIGMAS * np.sqrt(0.2 * 0.8 / n)


# Field and Jacobian


def test_the_velocity_is_the_formula_of_the_module():
    numbers = {"rate": 1.3, "basal": 0.1, "threshold": 0.6, "hill": 3.0, "decay": 0.8}
    circuit = gene_circuit("myeloid", **numbers)
    genes, x = list(circuit.genes), states(circuit, 3)
    for cell, velocity in zip(x, circuit.velocity(x), strict=True):
        level = dict(zip(genes, cell, strict=True))
        for gene, found in zip(genes, velocity, strict=True):
            h = {r: (level[r] / 0.6) ** 3 / (1 + (level[r] / 0.6) ** 3) for r in genes}
            made = 0.1 + sum(1.3 * h[r] for r, t, sign in known_edges() if t == gene and sign > 0)
            made *= np.prod([1 - h[r] for r, t, sign in known_edges() if t == gene and sign < 0])
            assert found == pytest.approx(made - 0.8 * level[gene], rel=1e-12)


def test_every_edge_can_have_its_own_numbers():
    threshold, hill, rate = (np.random.default_rng(i).uniform(1, 3, (3, 3)) for i in range(3))
    basal, decay = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.0, 2.0])
    circuit = gene_circuit("repressilator", threshold=threshold, hill=hill, rate=rate, basal=basal, decay=decay)
    x = states(circuit)
    expected = [
        basal[i] / (1 + (x[:, i - 1] / threshold[i, i - 1]) ** hill[i, i - 1]) - decay[i] * x[:, i] for i in range(3)
    ]
    np.testing.assert_allclose(circuit.velocity(x), np.stack(expected, 1), rtol=1e-12)


@pytest.mark.parametrize("name", [*HILL, "linear"])
def test_jacobians_against_finite_differences_and_automatic_differentiation(name):
    circuit = gene_circuit(name, seed=5)
    x = states(circuit)
    jacobian = circuit.jacobian(x)
    np.testing.assert_allclose(jacobian, slope(circuit.velocity, x), rtol=1e-6, atol=1e-7)
    automatic = torch.func.vmap(torch.func.jacrev(circuit.velocity))(torch.tensor(x))
    np.testing.assert_allclose(jacobian, automatic, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(torch.func.vmap(circuit.jacobian)(torch.tensor(x)), jacobian)


@pytest.mark.parametrize("name", HILL)
def test_the_log_jacobian_is_that_of_the_field_of_log1p(name):
    circuit = gene_circuit(name, seed=5)
    x = states(circuit)
    field = lambda y: circuit.velocity(np.expm1(y)) * np.exp(-y)  # noqa: E731  dy/dt = f / (1 + x)
    np.testing.assert_allclose(circuit.jacobian(x, log=True), slope(field, np.log1p(x)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("hill", [1.0, 1.5, 4.0])
def test_field_and_jacobian_are_finite_where_genes_are_off(hill):
    circuit = gene_circuit("myeloid", hill=hill)
    x = torch.zeros(2, 11, dtype=torch.float64)
    automatic = torch.func.vmap(torch.func.jacrev(circuit.velocity))(x)
    torch.testing.assert_close(circuit.jacobian(x), automatic)
    assert torch.isfinite(automatic).all()
    assert (circuit.velocity(x) > 0).all()  # production only: nothing is there to decay


@pytest.mark.parametrize("name", ["myeloid", "linear"])
def test_what_comes_back_matches_what_went_in(name):
    circuit = gene_circuit(name)
    x = states(circuit, 4)
    locked = x.copy()
    locked.flags.writeable = False
    for f in (circuit.velocity, circuit.jacobian, circuit.diffusion, lambda z: circuit.simulate(z, [0.1])):
        expected = f(x)
        assert isinstance(expected, np.ndarray)
        assert expected.dtype == np.float64
        np.testing.assert_array_equal(f(locked), expected)
        np.testing.assert_array_equal(f(x[::-1]).shape, expected.shape)
        assert f(x.astype(np.float32)).dtype == np.float32
        assert f(np.ones_like(x, dtype=int)).dtype == np.float64
        for dtype, tolerance in ((torch.float64, 0), (torch.float32, 1e-5)):
            got = f(torch.tensor(x, dtype=dtype))
            assert isinstance(got, torch.Tensor)
            assert got.dtype == dtype
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(circuit.velocity(x[0]), circuit.velocity(x)[0], rtol=1e-12)
    np.testing.assert_allclose(circuit.velocity(x[::-1]), circuit.velocity(x)[::-1], rtol=1e-12)


def test_the_velocity_is_differentiable():
    circuit = gene_circuit("random", seed=2)
    x = torch.tensor(states(circuit, 3), requires_grad=True)
    assert torch.autograd.gradcheck(circuit.velocity, (x,))


# The linear circuit against its closed forms


def test_stationary_moments_solve_the_lyapunov_equation():
    noise_std, offset, n, dt = np.array([0.3, 0.6, 0.4, 0.5]), np.array([1.0, 0.0, -2.0, 0.5]), 10_000, 0.02
    circuit = gene_circuit("linear", n_genes=4, seed=1, noise_std=noise_std, offset=offset)
    matrix, power = circuit.jacobian(np.zeros(4)), np.diag(noise_std**2)
    mean, exact = -np.linalg.solve(matrix, offset), solve_continuous_lyapunov(matrix, -power)
    cells = circuit.simulate(np.tile(mean, (n, 1)), [12.0], dt=dt, seed=0)[0]  # slowest memory: exp(-6)
    assert (np.abs(cells.mean(0) - mean) < SIGMAS * np.sqrt(np.diag(exact) / n)).all()
    # The scheme's own stationary covariance is known too: what is left of the error is sampling.
    scheme = solve_discrete_lyapunov(np.eye(4) + dt * matrix, dt * power)
    error = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / n)
    assert (np.abs(np.cov(cells.T) - exact) < SIGMAS * error + np.abs(scheme - exact)).all()
    assert np.abs(exact - np.diag(np.diag(exact))).max() > 10 * error.max()  # the bound could see a missing covariance


def test_the_mean_moves_by_the_matrix_exponential():
    circuit = gene_circuit("linear", n_genes=4, seed=1, noise_std=0.5)
    matrix, x0, n, dt = circuit.jacobian(np.zeros(4)), np.array([3.0, -2.0, 1.0, 0.5]), 4000, 0.01
    for path, time in zip(circuit.simulate(np.tile(x0, (n, 1)), [0.5, 1.5], dt=dt), [0.5, 1.5], strict=True):
        exact = expm(matrix * time) @ x0
        scheme = np.linalg.matrix_power(np.eye(4) + dt * matrix, round(time / dt)) @ x0
        assert (np.abs(path.mean(0) - exact) < SIGMAS * path.std(0) / np.sqrt(n) + np.abs(scheme - exact)).all()


def test_a_matrix_of_the_caller_is_used():
    matrix = np.array([[-1.0, 2.0], [0.0, -3.0]])
    circuit = gene_circuit("linear", matrix=matrix)
    x = np.array([[1.0, -1.0], [0.0, 2.0]])
    np.testing.assert_allclose(circuit.velocity(x), x @ matrix.T)
    np.testing.assert_array_equal(circuit.network, [[-1, 1], [0, -1]])
    matrix[:] = 0  # the circuit keeps its own
    assert circuit.jacobian(x)[0, 0, 0] == -1


# Nonlinear circuits


def test_the_toggle_has_two_stable_states_and_a_saddle():
    circuit = gene_circuit("toggle")
    starts = np.random.default_rng(0).uniform(0, 7, (60, 2))
    solved = [root(circuit.velocity, x, jac=circuit.jacobian, tol=1e-12) for x in starts]
    found = np.unique(np.round([s.x for s in solved if s.success and (s.x > 0).all()], 8), axis=0)
    # a / (1 + y^2) = x and a / (1 + x^2) = y with a = 6: x y = 1 and x + y = 6, or x = y with x + x^3 = 6
    middle = np.real([r for r in np.roots([1, 0, 1, -6]) if abs(r.imag) < 1e-9])[0]
    expected = [[3 - 8**0.5, 3 + 8**0.5], [middle, middle], [3 + 8**0.5, 3 - 8**0.5]]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    positive = [(np.linalg.eigvals(circuit.jacobian(x)).real > 0).sum() for x in found]
    assert positive == [0, 1, 0]


def test_cells_populate_both_states_of_the_toggle():
    circuit, n = gene_circuit("toggle"), 1000
    cells = np.expm1(circuit.snapshots([20.0], n, seed=0).X)
    assert abs((cells[:, 0] > cells[:, 1]).mean() - 0.5) < SIGMAS * 0.5 / np.sqrt(n)  # by symmetry
    state = np.array([3 + 8**0.5, 3 - 8**0.5])
    spread = solve_continuous_lyapunov(circuit.jacobian(state), -np.diag(circuit.diffusion(state) ** 2))
    there = np.abs(np.sort(cells)[:, ::-1] - state) < 5 * np.sqrt(np.diag(spread))
    assert there.all(1).mean() > 0.98  # linear noise around the states; a few cells may still be between


def late_passages(hill):
    """Times in 150..300 at which gene 0 rises through its mean, by an independent field."""
    field = lambda _, x: 10 / (1 + np.roll(x, 1) ** hill) - x  # noqa: E731
    solved = solve_ivp(field, (0, 300), [1.0, 1.1, 1.3], rtol=1e-9, atol=1e-9, dense_output=True)
    times = np.linspace(150, 300, 150_001)
    x = solved.sol(times)[0]
    return times[1:][(x[1:] > x.mean()) & (x[:-1] <= x.mean())], np.ptp(x)


def test_the_repressilator_oscillates_with_a_steady_period():
    passages, swing = late_passages(hill=4)
    periods = np.diff(passages)
    assert swing > 5
    assert np.ptp(periods) < 1e-2 * periods.mean()
    assert gene_circuit("repressilator").period() == pytest.approx(periods.mean(), rel=2e-5)


@pytest.mark.parametrize(("hill", "unstable"), [(4.0, True), (2.0, False)])
def test_the_fixed_point_of_the_repressilator_is_a_spiral(hill, unstable):
    circuit = gene_circuit("repressilator", hill=hill)
    x = root(lambda x: x * (1 + x**hill) - 10, 1.5, tol=1e-12).x[0]
    np.testing.assert_allclose(circuit.velocity(np.full(3, x)), 0, atol=1e-9)
    loop = hill * x**hill / (1 + x**hill)
    values = np.linalg.eigvals(circuit.jacobian(np.full(3, x)))
    expected = -1 - loop * np.exp(2j * np.pi * np.arange(3) / 3)  # a circulant matrix
    np.testing.assert_allclose(np.sort_complex(values), np.sort_complex(expected), atol=1e-9)
    assert (values.real.max() > 0) == unstable
    if not unstable:
        with pytest.raises(ValueError, match="does not oscillate"):
            circuit.period()


def test_snapshots_of_the_repressilator_rotate():
    circuit = gene_circuit("repressilator")
    period = circuit.period()
    adata = circuit.snapshots(period * np.arange(9) / 8, 200, seed=0)
    centres = np.stack([np.expm1(adata.X[adata.obs["time"] == t]).mean(0) for t in adata.obs["time"].unique()])
    x = root(lambda x: x * (1 + x**4) - 10, 1.5).x[0]
    phase = np.unwrap(np.angle((centres - x) @ np.exp(2j * np.pi * np.arange(3) / 3)))
    advance = np.diff(phase) * np.sign(phase[-1] - phase[0])
    assert (advance > 0).all()
    assert advance.sum() == pytest.approx(2 * np.pi, abs=0.5)


def test_the_four_published_fates_are_stable_and_all_are_reached():
    circuit, n = gene_circuit("myeloid"), 400
    on = np.array([[gene in fate.split() for gene in circuit.genes] for fate in FATES.values()])
    for start in on:
        fixed = root(circuit.velocity, start.astype(float), jac=circuit.jacobian, tol=1e-12)
        assert fixed.success
        assert np.linalg.eigvals(circuit.jacobian(fixed.x)).real.max() < 0
        np.testing.assert_array_equal(fixed.x > 0.5, start)
    cells = np.expm1(circuit.snapshots([10.0], n, seed=0).X) > 0.5
    shares = [(cells == fate).all(1).mean() for fate in on]
    assert min(shares) > 0.1
    assert sum(shares) > 0.9
    progenitor = np.expm1(circuit.snapshots([0.0], n, seed=0).X) > 0.5
    assert not any((progenitor == fate).all(1).any() for fate in on)


# The scheme


def successive_errors(circuit, x0, end, coarsest, finest):
    """Step lengths h and mean distances between the paths with h and h / 2 that share their noise."""
    steps = 2**finest
    fine = np.sqrt(end / steps) * np.random.default_rng(0).standard_normal((steps, *x0.shape))
    ends = []
    for level in range(coarsest, finest + 1):
        summed = fine.reshape(2**level, -1, *x0.shape).sum(1)
        ends.append(circuit.simulate(x0, [end], dt=end / 2**level, increments=summed)[0])
    sizes = end / 2.0 ** np.arange(coarsest, finest)
    return sizes, np.array([np.linalg.norm(a - b, axis=1).mean() for a, b in pairwise(ends)])


def order(sizes, errors):
    assert np.log10(sizes[0] / sizes[-1]) > 1.5
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@pytest.mark.parametrize("name", ["toggle", "random"])
def test_strong_order_one_half_away_from_zero(name):
    # Few molecules, so that the noise's dependence on the state, not the drift, makes the error.
    circuit = gene_circuit(name, volume=20.0)
    x0 = np.full((500, len(circuit.genes)), 1.4)
    assert circuit.simulate(x0, [1 / 16, 1 / 8], dt=2**-10).min() > 0.1
    assert order(*successive_errors(circuit, x0, 1 / 8, 4, 11)) == pytest.approx(0.5, abs=0.15)


def test_strong_order_one_for_additive_noise():
    circuit = gene_circuit("linear", n_genes=3, seed=0)
    assert order(*successive_errors(circuit, np.ones((500, 3)), 1.0, 3, 10)) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("quiet", ["noise off", "infinite volume"])
def test_without_noise_the_paths_follow_the_field(quiet):
    circuit = gene_circuit("repressilator", volume=np.inf if quiet == "infinite volume" else 200.0)
    x0, times = np.array([[1.0, 2.0, 3.0], [4.0, 0.5, 1.0]]), [0.0, 0.35, 2.0]
    exact = np.stack([solve_ivp(lambda _, x: circuit.velocity(x), (0, 2), x, t_eval=times, rtol=1e-10).y.T for x in x0])
    errors = []
    for dt in (0.01, 0.005):
        paths = circuit.simulate(x0, times, dt=dt, noise=quiet == "infinite volume")
        np.testing.assert_array_equal(paths[0], x0)
        errors.append(np.abs(paths - exact.transpose(1, 0, 2)).max())
    assert errors[0] < 0.1
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.2)  # Euler: order one


def test_the_noise_is_production_plus_decay_over_volume():
    circuit = gene_circuit("toggle", volume=50.0, decay=0.7)
    x = states(circuit)
    gain = 6 / (1 + x[:, ::-1] ** 2)
    np.testing.assert_allclose(circuit.diffusion(x), np.sqrt((gain + 0.7 * x) / 50), rtol=1e-12)
    n, dt = 20_000, 1e-4
    moved = circuit.simulate(np.tile(x[0], (n, 1)), [dt], dt=dt)[0] - x[0]
    expected = circuit.diffusion(x[0]) * np.sqrt(dt)
    assert (np.abs(moved.std(0) / expected - 1) < SIGMAS / np.sqrt(2 * n)).all()
    assert abs(np.corrcoef(moved.T)[0, 1]) < SIGMAS / np.sqrt(n)  # each gene has its own noise


def test_hill_circuits_stay_positive_where_noise_pushes_below_zero():
    circuit = gene_circuit("myeloid", volume=3.0)
    paths = circuit.simulate(np.zeros((100, 11)), np.linspace(0.2, 3, 5))
    assert paths.min() == 0
    assert (paths == 0).mean() < 0.9


@pytest.mark.parametrize(
    ("times", "dt", "steps"),
    [
        ([0.25], 0.1, [1 / 12] * 3),  # dt is the longest step
        ([0.3, 0.7], 0.1, [0.1] * 7),  # although 0.3 / 0.1 is not 3 in floating point
        ([0.0, 1.0, 1.1], 0.25, [0.25] * 4 + [0.1]),
        ([1e-9, 1.0], 1.0, [1e-9, 1 - 1e-9]),  # never a step of length zero
    ],
)
def test_intervals_are_cut_into_equal_steps_no_longer_than_dt(times, dt, steps):
    circuit = gene_circuit("linear", matrix=[[-1.0]], noise_std=2.0)
    pushes = np.random.default_rng(0).standard_normal((len(steps), 1, 1))
    expected = 3.0
    for step, push in zip(steps, pushes.flat, strict=True):
        expected += -expected * step + 2 * push
    paths = circuit.simulate([[3.0]], times, dt=dt, increments=pushes)
    assert paths[-1, 0, 0] == pytest.approx(expected, rel=1e-12)
    assert len(paths) == len(times)


def test_paths_carry_no_gradient():
    start = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    assert not gene_circuit("toggle").simulate(start, [0.1]).requires_grad


def test_intermediate_times_do_not_change_a_path():
    circuit, x0 = gene_circuit("toggle"), np.ones((5, 2))
    once, often = circuit.simulate(x0, [1.0], dt=0.1, seed=3), circuit.simulate(x0, [0.3, 0.7, 1.0], dt=0.1, seed=3)
    np.testing.assert_allclose(often[-1], once[0], rtol=1e-12)
    assert often.shape == (3, 5, 2)


# Snapshots


@pytest.mark.parametrize("name", [*HILL, "linear"])
def test_snapshots_are_an_anndata_that_the_package_and_the_disk_accept(name, tmp_path):
    circuit = gene_circuit(name)
    adata = circuit.snapshots([0, 0.5, 2], [30, 20, 10], seed=4)
    assert adata.shape == (60, len(circuit.genes))
    assert list(adata.var_names) == list(circuit.genes)
    assert adata.obs["time"].tolist() == [0.0] * 30 + [0.5] * 20 + [2.0] * 10
    assert ("log1p" in adata.uns) == (name != "linear") == ("log1p" in adata.uns["units"].split()[0])
    assert (adata.X.min() < 0) == (name == "linear")
    assert [len(x) for x in Snapshots.from_anndata(adata, n_components=2).states] == [30, 20, 10]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    again = anndata.read_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(again.X, adata.X)
    assert again.uns["circuit"] == name


def test_cells_start_from_the_mixture_asked_for():
    circuit, n = gene_circuit("linear", n_genes=2), 4000
    centres = np.array([[-10.0, 0.0], [10.0, 5.0]])
    x = circuit.snapshots([0.0], n, initial=centres, initial_std=0.5).X
    first = x[:, 0] < 0
    assert abs(first.mean() - 0.5) < SIGMAS * 0.5 / np.sqrt(n)
    for centre, cells in zip(centres, (x[first], x[~first]), strict=True):
        assert (np.abs(cells.mean(0) - centre) < SIGMAS * 0.5 / np.sqrt(len(cells))).all()
        assert (np.abs(cells.std(0) / 0.5 - 1) < SIGMAS / np.sqrt(2 * len(cells))).all()
    hill = gene_circuit("toggle").snapshots([0.0], 50, initial=[[2.0, 3.0]], initial_std=0.0)
    np.testing.assert_allclose(np.expm1(hill.X), np.tile([2.0, 3.0], (50, 1)))


def test_the_seed_decides_and_later_times_do_not_matter():
    circuit = gene_circuit("myeloid")
    make = lambda times, seed: circuit.snapshots(times, 20, seed=seed).X  # noqa: E731
    np.testing.assert_array_equal(make([0, 1], 7), make([0, 1], 7))
    assert (make([0, 1], 7) != make([0, 1], 8)).any(1).all()
    np.testing.assert_array_equal(make([0, 1, 2], 7)[:40], make([0, 1], 7))


def test_cells_of_different_times_are_independent():
    n = 1000
    x = gene_circuit("toggle").snapshots([0.0, 1e-3], n, seed=0).X
    for gene in range(2):  # the same cells a moment later would correlate perfectly
        assert abs(np.corrcoef(x[:n, gene], x[n:, gene])[0, 1]) < SIGMAS / np.sqrt(n)


def test_capture_thins_the_molecules():
    circuit, n, capture = gene_circuit("myeloid"), 2000, 0.1
    make = lambda capture: np.expm1(circuit.snapshots([1.0], n, seed=0, capture=capture).X) * 200  # noqa: E731
    molecules, caught = np.rint(make(None)), make(capture)
    np.testing.assert_allclose(caught, np.rint(caught), atol=1e-9)  # whole molecules
    error = np.sqrt(capture * (1 - capture) * molecules.sum(0))
    assert (np.abs(caught.sum(0) - capture * molecules.sum(0)) < SIGMAS * error).all()
    lost = (caught < 0.5) & (molecules > 0)
    expected = (1 - capture) ** molecules[molecules > 0]  # chance to miss every molecule of a cell
    assert abs(lost.sum() - expected.sum()) < SIGMAS * np.sqrt((expected * (1 - expected)).sum())
    assert lost.sum() > 100
    np.testing.assert_allclose(make(1.0), molecules, atol=1e-9)


# What is refused


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clock", {}, "toggle, repressilator, myeloid, random, linear; got 'clock'"),
        ("toggle", {"n_genes": 3}, "has 2 genes, got n_genes=3"),
        ("toggle", {"matrix": np.eye(2)}, "no option matrix: it takes rate, basal"),
        ("linear", {"volume": 5.0}, "no option volume"),
        ("toggle", {"volume": 0.0}, "volume > 0"),
        ("toggle", {"volume": np.nan}, "volume > 0"),
        ("toggle", {"threshold": 0.0}, "threshold > 0"),
        ("myeloid", {"rate": -1.0}, "rate finite and >= 0"),
        ("toggle", {"hill": 0.5}, "hill >= 1 at every edge"),
        ("toggle", {"hill": np.ones((3, 3))}, r"hill as a number or of shape \(2, 2\)"),
        ("toggle", {"decay": -1.0}, "decay finite and >= 0"),
        ("toggle", {"basal": np.nan}, "basal finite"),
        ("random", {"n_genes": 1}, "whole number >= 2"),
        ("random", {"n_genes": 2.5}, "whole number"),
        ("random", {"n_genes": 4, "n_regulators": 4}, "from 1 to n_genes - 1 = 3, got 4"),
        ("linear", {"n_genes": 0}, "whole number >= 1"),
        ("linear", {"density": 1.5}, r"density in \[0, 1\]"),
        ("linear", {"matrix": np.ones((2, 3))}, "square"),
        ("linear", {"matrix": np.ones(3)}, "square"),
        ("linear", {"matrix": 2.0}, "square"),
        ("linear", {"matrix": [[np.nan]]}, "finite and square"),
        ("linear", {"matrix": np.eye(2), "n_genes": 3}, "n_genes x n_genes"),
        ("linear", {"offset": np.ones(3)}, r"offset as a number or of shape \(5,\)"),
        ("linear", {"noise_std": -0.1}, "noise_std finite and >= 0"),
    ],
)
def test_circuits_that_cannot_be_made_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        gene_circuit(name, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": [1.0, 0.5]}, "increase from 0 or later"),
        ({"times": [1.0, 1.0]}, "increase from 0 or later"),
        ({"times": [-1.0, 1.0]}, "increase from 0 or later"),
        ({"times": []}, "T > 0"),
        ({"times": [0.0, np.nan]}, "finite numbers"),
        ({"n_cells": 0}, "n_cells >= 1"),
        ({"n_cells": [5]}, "one for each of 2 times"),
        ({"n_cells": [5, -1]}, "n_cells >= 1"),
        ({"n_cells": 2.5}, "whole numbers"),
        ({"dt": 0.0}, "dt > 0"),
        ({"initial": [[1.0, 2.0, 3.0]]}, "2 genes"),
        ({"initial": [[1.0, -2.0]]}, "1 negative concentrations"),
        ({"initial": [[1.0, np.inf]]}, "finite"),
        ({"initial": np.empty((0, 2))}, "n > 0"),
        ({"initial_std": -0.1}, "initial_std >= 0"),
        ({"capture": 0.0}, r"capture in \(0, 1\]"),
        ({"capture": 1.1}, r"capture in \(0, 1\]"),
    ],
)
def test_snapshots_that_cannot_be_drawn_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gene_circuit("toggle").snapshots(**({"times": [0.0, 1.0], "n_cells": 3} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x0": np.ones(2)}, r"got shape \(2,\)"),
        ({"x0": np.ones((3, 4))}, r"got shape \(3, 4\)"),
        ({"x0": -np.ones((3, 2))}, "6 negative"),
        ({"dt": -1.0}, "dt > 0"),
        ({"dt": 0.5, "increments": np.zeros((3, 3, 2))}, r"increments \(steps, n, G\) = \(2, 3, 2\)"),
    ],
)
def test_paths_that_cannot_be_made_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gene_circuit("toggle").simulate(**({"x0": np.ones((3, 2)), "times": [1.0]} | arguments))


def test_other_requests_that_make_no_sense_are_refused():
    linear = gene_circuit("linear", n_genes=2)
    with pytest.raises(ValueError, match="no log1p"):
        linear.jacobian(np.ones(2), log=True)
    with pytest.raises(ValueError, match="needs a Hill circuit"):
        linear.snapshots([1.0], 3, capture=0.5)
    with pytest.raises(ValueError, match="finite volume"):
        gene_circuit("toggle", volume=np.inf).snapshots([1.0], 3, capture=0.5)
    with pytest.raises(ValueError, match="does not oscillate"):
        linear.period()
    with pytest.raises(ValueError, match="2 genes in its last axis"):
        linear.velocity(np.ones((4, 3)))
    with pytest.raises(ValueError, match="overflow"):
        gene_circuit("linear", matrix=[[500.0]]).simulate(np.ones((1, 1)), [10.0], dt=0.01)
