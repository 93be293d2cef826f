"""The timings: what is compared computes the same, and ratios, shares and sizes mean what they say."""

import json
import resource
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import expm

import cellmnn_edu as ce
from cellmnn_edu import speed
from cellmnn_edu.objectives import CrowdMatching, Penalties
from cellmnn_edu.operators import build
from cellmnn_edu.speed import cells, clocks, gpu, moves, steps
from cellmnn_edu.speed.plain import PlainReading, WithQuickDistances


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
    out, z, dt = moves._problem(4, 3, 2.0, head, 9)
    a = build(head, out, 4).matrix().double().numpy()
    assert np.linalg.norm(a, 2, axis=(1, 2)).max() * dt[-1, 0].item() == pytest.approx(2.0, rel=1e-5)
    moved = moves._by_matrix_exponential(head, 4)(out, z, dt)
    expected = [[expm(m * t) @ x for m, x in zip(a, z.numpy(), strict=True)] for t in dt[:, 0].tolist()]
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-4)


def test_runge_kutta_moves_as_the_exponential_does():
    out, z, dt = (x.double() for x in moves._problem(3, 4, 1.0, "dense", 6))
    error = (moves._by_rk4(out, z, dt) - moves._by_matrix_exponential("dense", 3)(out, z, dt)).norm()
    assert 0 < error < 1e-3


def test_a_pass_computes_gradients():
    seen = []

    def way(leaf, z, dt):
        leaf.register_hook(lambda grad: seen.append(grad.abs().sum().item()))
        return leaf * z

    moves._pass(way, torch.ones(2, 3), torch.ones(2, 3), None)()
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


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        def run():
            self.now += seconds

        return run


def test_runs_take_turns_and_every_one_is_timed():
    clock = Clock()
    taken = clocks.in_turn({"slow": clock.work(1.0), "quick": clock.work(0.001)}, 10.0, clock)
    assert clocks.middle(taken) == pytest.approx({"slow": 1.0, "quick": 0.001})
    # A slow one has one run in its turn, after one to warm up; a quick one has as many as fit into a block.
    assert len(taken["slow"]) == 5
    assert len(taken["quick"]) == pytest.approx(5 * clocks.BLOCK / 0.001, rel=0.1)


def test_the_clock_of_a_cpu_does_not_count_sleep():
    import time

    cpu, wall = clocks.clock_of("cpu"), clocks.wall_clock("cpu")
    marks = [cpu(), wall()]
    time.sleep(0.05)
    assert wall() - marks[1] >= 0.05
    assert cpu() - marks[0] < 0.05


@pytest.fixture(scope="module")
def snaps():
    return steps.clouds([(0.0, 40), (1.0, 30), (1.5, 50), (3.0, 45)], dim=3)


def test_clouds_have_the_sizes_and_times_asked_for(snaps):
    assert snaps.times.tolist() == [0.0, 1.0, 1.5, 3.0]
    assert [len(state) for state in snaps.states] == [40, 30, 50, 45]
    means = [state[:, 0].mean() for state in steps.clouds([(0.0, 4000), (2.0, 4000)]).states]
    assert means[1] - means[0] == pytest.approx(2.0, abs=0.1)


def test_the_plain_reading_is_the_formula(snaps):
    """Every number by scipy and loops over cells: SCIENCE of the loss, without our engine or torch."""
    model = steps.some_training(snaps, 12, steps=20).double()
    objective = PlainReading(model, snaps, 12, 0, Penalties(), l_kin=0.3, gamma=0.5, kinetic_times=0.1)
    z, t = objective.sources()
    targets = objective.targets().numpy()
    objective.rng.manual_seed(0)
    terms = {name: term.item() for name, term in objective().items()}
    a, dets = model.operator(z.numpy(), t.numpy()), model(z, t).basis.det()
    z, t, times = z.numpy(), t.numpy(), snaps.times
    squares, mmd = [], 0.0
    for i in range(len(z)):
        for k in range(round((times[-1] - t[i]) / 0.1) + 1):
            squares.append((a[i] @ expm(a[i] * 0.1 * k) @ z[i]) ** 2)
    for s in range(3):
        for k in range(s + 1, 4):
            here = [i for i in range(len(z)) if t[i] == times[s]]
            moved = np.array([expm(a[i] * (times[k] - times[s])) @ z[i] for i in here])
            mmd += 0.5 ** (k - s - 1) * ce.mmd(moved, targets[k - 1])
    assert terms["mmd"] == pytest.approx(mmd, rel=1e-9)
    assert terms["kinetic"] == pytest.approx(0.3 * np.mean(squares), rel=1e-9)
    assert terms["barrier"] == pytest.approx((1 / (dets.abs() + 1e-4)).mean().item(), rel=1e-9)


@pytest.mark.parametrize("way", [PlainReading, WithQuickDistances])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_our_engine_and_the_plain_reading_have_the_same_losses_and_gradients(snaps, way, dtype):
    start = steps.some_training(snaps, 12, steps=20)
    ours, plain = (steps.loss_and_gradient(kind, start, snaps, 12, dtype) for kind in (CrowdMatching, way))
    assert plain[0] == pytest.approx(ours[0], rel=steps.TOLERANCE[dtype])
    assert steps.relative(plain[1], ours[1]) <= steps.TOLERANCE[dtype]
    assert ours[1].norm() > 1e-3


def test_a_reading_that_computes_something_else_is_refused(snaps, monkeypatch):
    class Wrong(PlainReading):
        def kernel(self, x, y):
            return super().kernel(x, 1.001 * y)

    monkeypatch.setitem(steps.WAYS, "plain reading", Wrong)
    with pytest.raises(RuntimeError, match="plain reading and our engine differ"):
        steps.training_speed(snaps, seconds=0.01, batch=12)


def test_the_table_of_training_speed(snaps):
    table = steps.training_speed(snaps, seconds=0.05, batch=12)
    assert table["way"].tolist() == list(steps.WAYS)
    np.testing.assert_allclose(table["ratio"], table["milliseconds"] / table["milliseconds"][0])
    np.testing.assert_allclose(table["least_ratio"], table["least"] / table["least"][0])
    assert (table["least"] <= table["milliseconds"]).all()
    assert table["loss"].nunique() >= 1
    assert len(steps.step_report(table).splitlines()) == 1 + len(table)


def test_eb_is_taken_where_it_is_in_the_cache(seeded_cache):
    snaps, what = steps.eb_or_like()
    assert what == "EB"
    assert [len(state) for state in snaps.states] == [n for _, n in steps.PUBLISHED["EB"]]
    assert snaps.times.tolist() == [t for t, _ in steps.PUBLISHED["EB"]]


def test_without_a_cache_clouds_of_the_same_sizes_serve(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLMNN_EDU_CACHE", str(tmp_path))
    snaps, what = steps.eb_or_like()
    assert "simulated" in what
    assert sum(map(len, snaps.states)) == 16819
    assert not list(tmp_path.iterdir())


def test_the_step_in_laps_is_the_step_of_the_objective(snaps):
    results = []
    for spelled_out in (True, False):
        model = ce.CellMNN.paper(3)
        objective, optimiser = CrowdMatching(model, snaps, 12, 0, Penalties(), kinetic_times=0.1), steps.adamw(model)
        for _ in range(3):
            if spelled_out:
                terms, seconds = steps.step_in_laps(objective, optimiser)
                assert seconds.shape == (len(steps.PARTS),)
            else:
                terms = objective()
                optimiser.zero_grad()
                sum(terms.values()).backward()
                optimiser.step()
        results.append((terms, [weight.detach() for weight in model.parameters()]))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(*pair) for pair in zip(results[0][1], results[1][1], strict=True))


def test_the_laps_add_up():
    clock = Clock()
    ticking = iter(range(100))
    model = ce.CellMNN.paper(3)
    objective = CrowdMatching(model, steps.clouds([(0.0, 9), (1.0, 9)], 3), 4, 0, Penalties())
    _, seconds = steps.step_in_laps(objective, steps.adamw(model), lambda: float(next(ticking)))
    assert seconds.tolist() == [1.0] * len(steps.PARTS)
    assert clock.now == 0.0


def test_the_shares_of_the_parts_are_shares(snaps):
    table = steps.step_parts(snaps, seconds=0.01, batch=12)
    assert table["part"].tolist() == list(steps.PARTS)
    assert table["share"].sum() == pytest.approx(1.0)
    assert (table["milliseconds"] > 0).all()


def test_the_steps_of_the_timings_are_those_of_training(snaps):
    """`step_of` leaves the weights that `fit` leaves."""
    fitted, stepped = ce.CellMNN.paper(3), ce.CellMNN.paper(3)
    ce.fit(fitted, snaps, steps=3, lr=2e-4, batch_size=12, kinetic_times=0.1, device="cpu", progress=False)
    step = steps.step_of(steps.objective_of("mmd", stepped, snaps, 12), steps.adamw(stepped))
    for _ in range(3):
        step()
    assert all(torch.equal(a, b) for a, b in zip(fitted.parameters(), stepped.parameters(), strict=True))


@pytest.fixture
def few_settings(monkeypatch):
    few = {name: steps.SETTINGS[name] for name in (steps.FIRST, "float64", "dense head", "flow-matching")}
    few |= {"network in bfloat16 (autocast)": {"autocast": True}}
    few |= {"impossible": {"dtype": torch.complex64}, "torch.compile": {"compiled": True}}
    monkeypatch.setattr(steps, "SETTINGS", few)
    return few


def test_settings_are_timed_in_the_unit_of_the_first_and_what_fails_says_so(snaps, few_settings):
    before = torch.get_num_threads()
    table = steps.step_settings(snaps, seconds=0.05).set_index("setting")
    assert torch.get_num_threads() == before
    assert set(table.index) == set(few_settings) - {"torch.compile"}
    assert table.loc[steps.FIRST, ["ratio", "cpu_ratio", "loss_error"]].isna().sum() == 1  # it is not its own rival
    assert "not possible here" in table.loc["impossible", "note"]
    assert np.isnan(table.loc["impossible", "milliseconds"])
    assert table.loc["float64", "loss_error"] < 1e-5
    assert 0 < table.loc["network in bfloat16 (autocast)", "loss_error"] < 0.05
    possible = table.drop("impossible")
    for unit in ("", "cpu_"):
        product = possible[f"{unit}ratio"] * possible[f"{unit}milliseconds"]
        np.testing.assert_allclose(product, table.loc[steps.FIRST, f"{unit}milliseconds"])


def test_a_network_in_bfloat16_answers_in_float32_and_keeps_its_weights():
    network = ce.CellMNN.paper(3).network
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    half = steps._InBFloat16(network)
    assert half(x).dtype == torch.float32
    assert 1e-5 < steps.relative(half(x), network(x)) < 0.05
    assert {weight.dtype for weight in half.parameters()} == {torch.float32}


def test_the_full_run_of_the_paper_has_its_steps():
    table = steps.paper_run(seconds=0.01, device="cpu").set_index("data")
    assert table.loc["EB", "steps"] == 1000 * (16819 // 200)
    assert table.loc["CITE", "steps"] == 1000 * (29394 // 200)
    np.testing.assert_allclose(table["minutes"], table["steps"] * table["milliseconds"] / 60_000)
    assert table["runs"].tolist() == [3, 2]


def test_cells_are_timed_in_a_process_of_their_own(monkeypatch):
    (row,) = cells.cells_speed((100,), ("flow-matching",), seconds=0.01, progress=False).to_dict("records")
    assert (row["objective"], row["cells"]) == ("flow-matching", 100)
    assert row["data_megabytes"] * 2**20 == 4 * 5 * 100
    assert row["milliseconds"] > 0
    monkeypatch.setattr(cells.sys, "executable", "false")
    with pytest.raises(RuntimeError, match="with 100 cells failed"):
        cells.cells_speed((100,), ("mmd",), progress=False)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_the_peak_of_memory_sees_what_is_freed_again_and_forgets_what_was_before():
    size = 64 * cells.MEGABYTE
    np.ones(4 * size, dtype=np.uint8)
    before = cells.start_of_peak()
    assert cells.peak() - before < size / 2
    np.ones(size, dtype=np.uint8)
    assert size * 0.9 < cells.peak() - before < 2 * size
    assert 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >= 4 * size


def test_without_a_gpu_nothing_is_measured_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert speed.gpu_check(tmp_path) is None
    assert not list(tmp_path.iterdir())
    assert speed.gpu_report(None).startswith("Not measured on a GPU")


@pytest.fixture(scope="module")
def found():
    """The check of a GPU with a second CPU in its place: every row, and no difference anywhere."""
    patch = pytest.MonkeyPatch()
    patch.setattr(gpu, "BATCHES", (10, 20))
    patch.setattr(gpu, "MOST_ON_CPU", 10)
    patch.setattr(steps, "SETTINGS", {steps.FIRST: {"batch": 10}})
    snaps = steps.clouds([(0.0, 40), (1.0, 30), (2.0, 30)], dim=2)
    yield gpu.compare(snaps, "cpu", seconds=0.05, steps=4)
    patch.undo()


def test_the_check_of_a_gpu_compares_every_head_and_objective(found):
    limits = found[found["limit"].notna()]
    assert len(limits) == 3 * 3 * (4 + 2) + 3
    assert limits["ok"].all()
    parity = limits[limits["check"] != "resumed"]
    assert (parity["value"] == 0).all()  # here both are the same CPU
    same = found[found["quantity"] == "same bits"]
    assert set(same["value"]) == {1.0}
    steps_seen = found.loc[found["check"] == "step", "setting"].tolist()
    assert steps_seen == ["cpu, batch 10", "cpu, batch 10"]


def test_a_difference_beyond_its_limit_is_not_ok(found):
    row = gpu._row("one batch", "somewhere", "loss", 2e-9, 1e-9)
    assert not row["ok"]
    assert not gpu._row("one batch", "somewhere", "loss", float("nan"), 1e-9)["ok"]
    worse = pd.concat([found, pd.DataFrame([row])], ignore_index=True)
    assert speed.gpu_report(worse).endswith("57 of 58 limits are kept.")


def test_a_wrong_answer_elsewhere_is_found(monkeypatch):
    snaps, real = steps.clouds([(0.0, 40), (1.0, 30)], dim=2), steps.copy_of
    seen = []

    def second_is_off(model, place, dtype):
        twin = real(model, place, dtype)
        seen.append(place)
        if len(seen) % 2 == 0:
            with torch.no_grad():
                twin.network[0].weight *= 1.001
        return twin

    monkeypatch.setattr(gpu, "copy_of", second_is_off)
    rows = list(gpu._one_batch(snaps, "eigen", "mmd", "cpu"))
    assert not any(row["ok"] for row in rows if "float64" in row["setting"])


def test_a_stored_check_is_shown_until_the_code_changes(found, tmp_path, monkeypatch):
    gpu._store(found, tmp_path, "cpu", 60.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.csv", "gpu.json"]
    monkeypatch.setattr(gpu.datasets, "shipped", lambda name: tmp_path / name.removeprefix("results/"))
    shown = speed.gpu_result()
    pd.testing.assert_frame_equal(shown, found, check_dtype=False, rtol=1e-5)
    assert shown.attrs["device"] == "cpu"
    assert {"command", "date", "versions", "code"} <= set(shown.attrs)
    origin = json.loads((tmp_path / "gpu.json").read_text())
    (tmp_path / "gpu.json").write_text(json.dumps(origin | {"code": "of yesterday"}))
    assert speed.gpu_result() is None


def test_without_a_stored_check_there_is_no_result(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu.datasets, "_HERE", tmp_path / "nowhere")
    assert speed.gpu_result() is None


@pytest.mark.parametrize("what", ["training", "parts", "settings", "cells"])
def test_every_table_has_its_command(what, monkeypatch, capsys):
    called = {}

    def stored(**options):
        called.update(options)
        table = pd.DataFrame({"way": ["a"], "milliseconds": [1.23456]})
        table.attrs["data"] = "clouds"
        return table

    name = {"training": "training_speed", "cells": "cells_speed"}.get(what, f"step_{what}")
    monkeypatch.setattr(ce.speed, name, stored)
    monkeypatch.setattr(sys, "argv", ["cellmnn-edu", "speed", what, "--seconds", "2"])
    ce.cli.main()
    assert "1.235" in capsys.readouterr().out
    assert called == {"seconds": 2.0} | ({"compiled": False} if what == "settings" else {})


def test_the_gpu_check_without_a_gpu_says_so_and_writes_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["cellmnn-edu", "gpu-check", "--out", str(tmp_path)])
    ce.cli.main()
    assert capsys.readouterr().out.startswith("Not measured on a GPU")
    assert not list(tmp_path.iterdir())
