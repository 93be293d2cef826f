"""What answers are called with: it travels to another process, and does what its docstring says."""

import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from cellmnn_edu import linearize
from cellmnn_edu.coursework.checks import judge
from cellmnn_edu.coursework.given import Coordinates, own_circuit, random_circuit


@pytest.mark.parametrize("n_genes", [3, 6])
def test_the_jacobian_of_a_circuit_is_that_of_its_velocity(n_genes):
    rng = np.random.default_rng(n_genes)
    circuit = random_circuit(rng, n_genes)
    x = circuit.rest * rng.uniform(0.2, 3, (7, n_genes))
    np.testing.assert_allclose(circuit.jacobian(x), linearize.jacobian(circuit, x), atol=1e-12)
    np.testing.assert_allclose(circuit.jacobian(x[0]), circuit.jacobian(x)[0], atol=1e-12)
    np.testing.assert_allclose(circuit(torch.tensor(x)).numpy(), circuit(x), atol=1e-12)
    assert np.abs(circuit(circuit.rest)).max() < 1e-14


def test_a_circuit_in_float32_stays_there():
    circuit = random_circuit(np.random.default_rng(0))
    x = circuit.rest.astype(np.float32) * np.float32(1.5)
    single = circuit.single()
    assert single(x).dtype == single.jacobian(x).dtype == np.float32
    np.testing.assert_allclose(single.jacobian(x), circuit.jacobian(1.5 * circuit.rest), rtol=1e-4, atol=1e-5)


def test_own_circuits_and_coordinates_can_be_pickled():
    own = own_circuit("ada")
    again = pickle.loads(pickle.dumps(own))
    np.testing.assert_array_equal(again.circuit(own.cell), own.circuit(own.cell))
    x, times = np.random.default_rng(0).normal(size=(20, 4)), np.repeat([0.0, 1.0], 10)
    coordinates = Coordinates(2, (False, True, False))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(coordinates))(x, times, 1.0), coordinates(x, times, 1.0))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_coordinates_look_where_they_say(part):
    rng = np.random.default_rng(part)
    x, times = rng.normal(size=(30, 5)) * [1, 2, 3, 4, 5], np.repeat([0.0, 1.0, 2.0], 10)
    other, training = x.copy(), times != 1.0
    other[~training] = 10 - 4 * x[~training]
    clean, leaky = Coordinates(3, (False,) * 3), Coordinates(3, tuple(k == part for k in range(3)))
    z = clean(x, times, 1.0)[training]
    np.testing.assert_array_equal(z, clean(other, times, 1.0)[training])
    np.testing.assert_allclose([z.mean(0), z.std(0)], [np.zeros(3), np.ones(3)], atol=1e-12)
    assert np.abs(leaky(x, times, 1.0)[training] - leaky(other, times, 1.0)[training]).max() > 0.05


def test_what_is_given_knows_no_solutions():
    """Imported alone, as in a student's process, it loads no module that holds them."""
    program = "import sys, cellmnn_edu.coursework.given, cellmnn_edu.coursework.outcome; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    with_solutions = ("coursework.assignments", "coursework.exercises", "coursework.checks")
    assert not [name for name in loaded if any(part in name for part in with_solutions)]


@pytest.mark.parametrize("seed", range(5))
def test_an_answer_that_counts_its_calls_tells_no_leak(seed):
    calls = itertools.count(seed)
    assert not judge("leaks", lambda coordinates, x, times, held: next(calls) % 2, seed).passed


def test_coordinates_that_were_kept_from_the_first_call_are_found_out():
    kept = {}

    def my_coordinates(x, times, held):
        seen = times != held
        z = (x - x[seen].mean(axis=0)) @ np.linalg.svd(x[seen] - x[seen].mean(axis=0))[2][:3].T
        return kept.setdefault(x.shape, z / z[seen].std(axis=0))

    verdict = judge("my-coordinates", my_coordinates)
    assert not verdict.passed
    assert "compute the coordinates from the cells given" in verdict.message
