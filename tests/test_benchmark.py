"""Benchmarks that survive a kill, give the same rows everywhere, and are summed up with an honest interval."""

import json
import os
import subprocess
import sys
import textwrap
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from test_layering import imported_layers
from test_snapshots import make_adata

import cellmnn_edu as ce
from cellmnn_edu import _grid, evaluation, plotting
from cellmnn_edu._grid import RowsFailed, run_grid

QUICK = {"steps": 3, "progress": False}
METHODS = {
    "persistence": ("persistence", {}),
    "ot": ("ot-interpolation", {}),
    "dense": ("cell-mnn", {"head": "dense", **QUICK}),
}


def make_snaps(seed=0):
    return ce.Snapshots.from_anndata(make_adata(seed=seed), n_components=2)


def timeless(table):
    return table.drop(columns="seconds")


# The grid


def squares(x, data=None):
    if data is not None:
        data[0] = x  # a row may write to its data, wherever it runs
    return {"x": x, "square": x * x, "pid": os.getpid(), "threads": torch.get_num_threads()}


def test_rows_come_in_the_order_of_the_settings_and_equal_settings_once():
    calls = []

    def row(x):
        calls.append(x)
        return {"x": x}

    assert run_grid(row, [{"x": x} for x in (3, 1, 3, 2)], progress=False) == [{"x": x} for x in (3, 1, 3, 2)]
    assert calls == [3, 1, 2]
    assert run_grid(row, [], progress=False) == []


def test_processes_get_large_data_and_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    settings = [{"x": x} for x in range(6)]
    row = partial(squares, data=np.ones(300_000))  # 2.4 MB: through a memory map
    here, there = (run_grid(row, settings, n_jobs=n, progress=False) for n in (1, 2))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert {r["threads"] for r in here + there} == {1}
    assert {r["pid"] for r in here} == {os.getpid()}
    assert os.getpid() not in {r["pid"] for r in there}
    assert [r["square"] for r in there] == [r["square"] for r in here] == [x * x for x in range(6)]


def test_kept_rows_come_back_as_they_were(tmp_path):
    def row(x):
        return {"x": np.int64(x), "w": np.float64(0.1) * 3, "f": np.float32(0.1), "n": np.nan, "t": "NA", "e": None}

    fresh = run_grid(row, [{"x": np.int64(7)}], tmp_path / "a/s.csv", progress=False)
    kept = run_grid(None, [{"x": 7}], tmp_path / "a/s.csv", progress=False)
    assert repr(kept) == repr(fresh)
    assert repr(fresh[0]["w"]) == repr(0.1 * 3)
    assert type(fresh[0]["x"]) is int
    assert (fresh[0]["t"], fresh[0]["e"]) == ("NA", None)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["s.csv"]


def test_one_failure_loses_no_other_row_and_names_its_setting(tmp_path):
    calls = []

    def row(x, fail=(1, 2)):
        calls.append(x)
        if x in fail:
            raise FloatingPointError("the loss exploded")
        return {"x": x}

    settings = [{"x": x} for x in range(5)]
    with pytest.raises(RowsFailed, match=r'2 of 5 rows failed.*\{"x": 1\}: FloatingPointError: the loss') as raised:
        run_grid(row, settings, tmp_path / "s.csv", progress=False)
    assert raised.value.rows == [{"x": 0}, {"x": 3}, {"x": 4}]
    assert "in row" in raised.value.__notes__[0]  # the trace leads to the line
    calls.clear()
    assert run_grid(partial(row, fail=()), settings, tmp_path / "s.csv", progress=False) == settings
    assert calls == [1, 2]


def test_an_interruption_says_what_is_kept(tmp_path):
    def row(x):
        if x == 2:
            raise KeyboardInterrupt
        return {"x": x}

    settings = [{"x": x} for x in range(4)]
    with pytest.raises(KeyboardInterrupt, match=r"2 of 4 rows are finished and kept in .*s\.csv; the same call"):
        run_grid(row, settings, tmp_path / "s.csv", progress=False)
    with pytest.raises(KeyboardInterrupt, match="finished and lost, as no store"):
        run_grid(row, settings, progress=False)
    assert run_grid(dict, settings, tmp_path / "s.csv", progress=False) == settings


def test_rows_of_another_fingerprint_are_neither_used_nor_deleted(tmp_path):
    store = tmp_path / "s.csv"
    for mark in ("old", "new", "old"):
        rows = run_grid(lambda x, m=mark: {"x": x, "mark": m}, [{"x": 1}], store, fingerprint=mark, progress=False)
        assert rows[0]["mark"] == mark
    assert pd.read_csv(store)["fingerprint"].tolist() == ["old", "new"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"method,w1\na,1.0\n",
        b"\x89PNG\r\n\x1a\n\x00\xff\xfe",
        b'fingerprint,setting,row\na,"{""x"": 1}","{""x"": 1',
        b'fingerprint,setting,row\na,"{""x"": 1}",3\n',
        b'fingerprint,setting,row\na,"{""x"": 1}"\n',
    ],
    ids=["empty", "foreign", "binary", "cut off", "no row", "short"],
)
def test_a_store_that_is_none_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a store of finished rows, or it is damaged"):
        run_grid(dict, [{"x": 1}], path, progress=False)
    assert path.read_bytes() == content


def test_what_is_not_plain_is_refused():
    with pytest.raises(ValueError, match="settings of numbers, text and lists"):
        run_grid(dict, [{"x": object()}], progress=False)
    with pytest.raises(RowsFailed, match="ndarray is no plain value"):
        run_grid(lambda x: {"x": np.ones(3)}, [{"x": 1}], progress=False)


# The cluster


def test_a_cluster_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"cellmnn-edu\[cluster\]"):
        run_grid(dict, [{"x": 1}], cluster="tcp://127.0.0.1:8786", progress=False)


CLUSTER = """
    import json, os, signal, sys, threading, time
    from pathlib import Path

    folder = Path(sys.argv[1])

    def row(x):
        with (folder / "started").open("a") as log:
            log.write(f"{x} {os.getpid()}\\n")
        if x == 2 and not (folder / "held").exists():
            (folder / "pid").write_text(str(os.getpid()))
            (folder / "pid").rename(folder / "held")
            time.sleep(600)  # until killed
        if x == 100:
            raise ZeroDivisionError("on purpose")
        return {"x": x}

    def kill_the_worker_that_holds_a_row():
        while not (folder / "held").exists():
            time.sleep(0.05)
        os.kill(int((folder / "held").read_text()), signal.SIGKILL)

    def message(call):
        try:
            call()
        except (RuntimeError, ValueError, ConnectionError) as error:
            return f"{type(error).__name__}: {error}"

    def main():
        import cellmnn_edu as ce
        from cellmnn_edu import _grid
        from cellmnn_edu.evaluation import run_grid
        from distributed import LocalCluster
        from test_benchmark import METHODS, make_snaps, timeless

        report = {}
        _grid._CONNECT_SECONDS = 0.5
        for address in ("tcp://127.0.0.1:9", "nonsense"):
            report[address] = message(lambda: run_grid(row, [{"x": 1}], cluster=address, progress=False))
        _grid._CONNECT_SECONDS = 60
        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(processes=True, **options) as cluster:
            address = cluster.scheduler_address
            threading.Thread(target=kill_the_worker_that_holds_a_row).start()
            store = folder / "store.csv"
            settings = [{"x": x} for x in range(8)]
            report["rows"] = run_grid(row, settings, store, cluster=address, progress=False)
            failing = [*settings, {"x": 100}]
            report["failure"] = message(lambda: run_grid(row, failing, cluster=address, progress=False))
            there = ce.benchmark(make_snaps(), METHODS, (0, 1), cluster=address, progress=False)
            here = ce.benchmark(make_snaps(), METHODS, (0, 1), progress=False)
            report["same"] = timeless(there).equals(timeless(here))
        print(json.dumps(report))

    if __name__ == "__main__":
        main()
"""


def test_a_dask_cluster_that_loses_a_worker_loses_no_row(tmp_path):
    """A scheduler and two worker processes; the one that holds row 2 is killed while it holds it."""
    (tmp_path / "script.py").write_text(textwrap.dedent(CLUSTER))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["rows"] == [{"x": x} for x in range(8)]
    kept = pd.read_csv(tmp_path / "store.csv")["setting"]
    assert sorted(kept) == [f'{{"x": {x}}}' for x in range(8)]  # none lost, none twice
    started = [line.split() for line in (tmp_path / "started").read_text().splitlines()]
    workers = [pid for x, pid in started if x == "2"][:2]
    assert workers[0] == (tmp_path / "held").read_text() != workers[1]
    assert '{"x": 100}: ZeroDivisionError: on purpose' in report["failure"]
    assert report["same"] is True
    assert "ConnectionError: No Dask scheduler answers at cluster='tcp://127.0.0.1:9'" in report["tcp://127.0.0.1:9"]
    assert "Expected cluster as 'tcp://host:port'" in report["nonsense"]


def test_workers_of_several_threads_are_refused():
    workers = {"workers": {"a": {"nthreads": 1}, "b": {"nthreads": 4}}}
    client = SimpleNamespace(scheduler_info=lambda n_workers: workers)
    with pytest.raises(ValueError, match=r"Expected Dask workers of one thread each at here.*--nthreads 1"):
        _grid._check_workers(client, "here")


# The benchmark


def test_the_table_is_leave_one_out_row_by_row():
    both = {"a": make_snaps(0), "b": make_snaps(1)}
    table = ce.benchmark(both, METHODS, seeds=(0, 3), indices=[2], progress=False)
    assert list(table.columns) == evaluation.COLUMNS
    keys = ["dataset", "method", "index", "seed"]
    assert table[keys].to_numpy().tolist() == [[d, m, 2, s] for d in both for m in METHODS for s in (0, 3)]
    for row in table.to_dict("records"):
        name, options = METHODS[row["method"]]
        alone = ce.leave_one_out(both[row["dataset"]], name, 2, seed=row["seed"], **options)
        for key in set(evaluation.COLUMNS) - {"dataset", "method", "seconds"}:
            assert row[key] == alone[key], key


def test_the_noise_floor_is_measured_once_for_each_held_out_time(monkeypatch):
    sizes = []

    def counted(truth, *rest):
        sizes.append(truth.sum())
        return ce.metrics.NoiseFloor(1.0, 0.5, len(sizes))

    monkeypatch.setattr(evaluation, "noise_floor", counted)
    table = ce.benchmark({"a": make_snaps(0), "b": make_snaps(1)}, ["persistence", "ot-interpolation"], progress=False)
    assert len(table) == 2 * 2 * 2 * 3
    assert len(set(sizes)) == len(sizes) == 4
    assert table.groupby(["dataset", "index"])["floor_high"].unique().map(len).tolist() == [1, 1, 1, 1]


def test_the_same_rows_in_processes(tmp_path):
    one = ce.benchmark(make_snaps(), METHODS, seeds=(0, 1), progress=False)
    two = ce.benchmark(make_snaps(), METHODS, seeds=(0, 1), n_jobs=2, store=tmp_path / "s.csv", progress=False)
    pd.testing.assert_frame_equal(timeless(one), timeless(two), check_exact=True)


def killed(x):
    if x == 1:
        os.kill(os.getpid(), 9)
    return {"x": x}


def test_a_killed_process_ends_the_run_with_a_reason_and_keeps_the_rows(tmp_path):
    settings = [{"x": x} for x in (0, 1)]
    run_grid(killed, settings[:1], tmp_path / "s.csv", progress=False)
    with pytest.raises(ConnectionError, match=r"killed from outside.*1 of 2 rows are finished and kept in"):
        run_grid(killed, settings, tmp_path / "s.csv", n_jobs=2, progress=False)


def complaining(x):
    """As joblib does in the parent when it replaces a worker whose memory has grown."""
    warnings.warn("A worker stopped while some jobs were given to the executor.", UserWarning, stacklevel=1)
    return {"x": x}


def test_a_worker_that_is_replaced_does_not_alarm():
    # In this process; were the warning heard, it would be an error here and the row would fail.
    assert run_grid(complaining, [{"x": 1}], progress=False) == [{"x": 1}]


def counted_benchmark(marks, store, kill_at=0):
    """Six fits, each of which leaves a mark; at one of them the process is killed."""

    def fit(self, train, seed=0):
        with marks.open("a") as log:
            log.write(f"{len(train.times)} {seed}\n")
        if len(marks.read_text().splitlines()) == kill_at:
            os.kill(os.getpid(), 9)
        return own_fit(self, train, seed)

    method = evaluation.baselines.METHODS["ot-interpolation"]
    own_fit, method.fit = method.fit, fit
    try:
        return timeless(ce.benchmark(make_snaps(), ["ot-interpolation"], store=store, progress=False))
    finally:
        method.fit = own_fit


def test_a_killed_benchmark_goes_on_where_it_was(tmp_path):
    """The process is killed in the fourth fit; the second one must do the fourth to the sixth, and no other."""
    marks, store = tmp_path / "marks", tmp_path / "store.csv"
    code = f"""
        from pathlib import Path
        from test_benchmark import counted_benchmark
        counted_benchmark(Path({str(marks)!r}), {str(store)!r}, kill_at=4)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert len(marks.read_text().splitlines()) == 4
    table = counted_benchmark(marks, store)
    assert len(marks.read_text().splitlines()) == 4 + 3
    pd.testing.assert_frame_equal(table, counted_benchmark(tmp_path / "others", None), check_exact=True)
    assert len((tmp_path / "others").read_text().splitlines()) == len(table) == 6


def test_kept_rows_are_used_for_the_same_data_settings_and_code_only(tmp_path, monkeypatch):
    fits = []
    still = evaluation.baselines.METHODS["persistence"]
    monkeypatch.setattr(still, "fit", lambda self, train, seed=0: fits.append(seed) or self)

    def run(seed=0, **options):
        fits.clear()
        ce.benchmark(make_snaps(seed), ["persistence"], (0, 1), store=tmp_path / "s.csv", progress=False, **options)
        return len(fits)

    assert [run(indices=[1]), run(indices=[1]), run(), run()] == [2, 0, 2, 0]
    assert run(seed=1) == 4
    monkeypatch.setattr(_grid, "_code_here", lambda modules: "changed")
    assert run() == 4
    monkeypatch.undo()


def test_every_module_that_decides_a_score_is_in_its_hash():
    package, seen, todo = Path(evaluation.__file__).parent, set(), ["evaluation"]
    while todo:
        seen.add(name := todo.pop())
        path = package / name
        files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
        todo += [layer for file in files for layer in imported_layers(file) if layer not in seen]
    without_influence = {"_grid", "_progress", "checkpoint", "datasets"}
    assert set(evaluation.SCORING) == seen - without_influence


def test_methods_draw_no_bars_of_their_own_inside_a_benchmark(monkeypatch):
    seen = []
    monkeypatch.setattr(evaluation, "leave_one_out", lambda *rest, floor, **options: seen.append(options))
    for name in ("cell-mnn", "i-cfm", "persistence"):
        evaluation.score(make_snaps(), name, 1, 0, {"steps": 2})
    evaluation.score(make_snaps(), "cell-mnn", 1, 0, {"progress": True})
    quiet = {"progress": False, "steps": 2}
    assert seen == [quiet, quiet, {"steps": 2}, {"progress": True}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": "persistence"}, r"list of methods.*write \['persistence'\]"),
        ({"methods": ["magic"]}, "got 'magic'"),
        ({"methods": {"floor": ("persistence", {})}}, "label other than 'floor'"),
        ({"methods": {"a": "persistence"}}, r"label: \(name, options\)"),
        ({"methods": {"a": ("cell-mnn", {"colour": 1})}}, "colour"),
        ({"methods": {"a": ("persistence", {"leaky_stopping": True})}}, "persistence does not stop by a score"),
        ({"methods": []}, "nothing to do"),
        ({"seeds": []}, "nothing to do"),
        ({"snaps": {}}, "nothing to do"),
        ({"indices": [1, 3]}, "1 to 2, got 3"),
        ({"snaps": ce.Snapshots.from_anndata(make_adata(n_cells=7), n_components=2)}, "at least 8 cells at time 1"),
        ({"snaps": ce.Snapshots.from_anndata(make_adata(times=(0.0, 1.0)), n_components=2)}, "at least three times"),
    ],
)
def test_a_benchmark_refuses_before_it_computes(monkeypatch, arguments, message):
    monkeypatch.setattr(evaluation, "run_grid", None)
    with pytest.raises(ValueError, match=message):
        ce.benchmark(**{"snaps": make_snaps(), "methods": ["persistence"]} | arguments)


# The summary


def make_table(w1, method="a", dataset="d"):
    """Rows of a benchmark from a table times x seeds."""
    rows = [
        {"dataset": dataset, "method": method, "index": i + 1, "time": 2.0 * i, "seed": s, "w1": w1[i, s]}
        for i in range(w1.shape[0])
        for s in range(w1.shape[1])
    ]
    return pd.DataFrame(rows).assign(floor=0.1, floor_low=0.05, floor_high=0.2, steps=7, seconds=1.5)


def test_for_one_time_the_intervals_are_scipys_t_tests():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 0.1, size=(2, 1, 5))
    table = ce.summary(pd.concat([make_table(a), make_table(b, "b")]), against="b").set_index("method")
    expected = stats.ttest_1samp(a[0], 0).confidence_interval()
    np.testing.assert_allclose(table.loc["a", ["low", "high"]].astype(float), expected)
    paired = stats.ttest_rel(a[0], b[0]).confidence_interval()
    np.testing.assert_allclose(table.loc["a", ["difference_low", "difference_high"]].astype(float), paired)
    assert table.loc["a", "difference"] == pytest.approx(a.mean() - b.mean())
    assert table.loc["b", ["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]


def test_95_percent_of_the_intervals_hold_the_truth_of_these_times():
    """Times that differ much and seeds that differ little: other times are not part of the interval."""
    rng = np.random.default_rng(1)
    truth, n_tables = np.array([0.5, 1.0, 3.0]), 150
    inside = 0
    for _ in range(n_tables):
        (row,) = ce.summary(make_table(truth[:, None] + 0.1 * rng.normal(size=(3, 3)))).to_dict("records")
        inside += row["low"] <= truth.mean() <= row["high"]
    assert stats.binomtest(inside, n_tables, 0.95).pvalue > 1e-3


def test_the_summary_puts_the_rivals_beside_each_method():
    a = np.array([[1.0, 2.0], [5.0, 6.0]])
    parts = [make_table(a), make_table(a + np.array([[1], [-2]]), "persistence"), make_table(a * 0, "ot-interpolation")]
    table = ce.summary(pd.concat([*parts, make_table(a, dataset="e")]), against="a").set_index(["dataset", "method"])
    row = table.loc[("d", "a")]
    assert (row["w1"], row["best_time"], row["worst_time"]) == (3.5, 1.5, 5.5)
    assert (row["persistence"], row["ot-interpolation"], row["floor"], row["steps"]) == (3.0, 0.0, 0.1, 7)
    assert (row["n_times"], row["n_seeds"]) == (2, 2)
    assert table.loc[("d", "persistence"), "better_at"] == 1
    assert table.loc[("d", "ot-interpolation"), "better_at"] == 2
    assert np.isnan(table.loc[("e", "a"), "persistence"])
    single = ce.summary(make_table(a[:, :1]))
    assert single[["low", "high"]].isna().all(axis=None)
    assert single["w1"].tolist() == [3.0]


def test_uneven_tables_are_refused():
    a = np.ones((2, 3))
    with pytest.raises(ValueError, match="'b' has others"):
        ce.summary(pd.concat([make_table(a), make_table(a[:, :2], "b")]))
    with pytest.raises(ValueError, match="'a' has others"):
        ce.summary(make_table(a).iloc[:-1])
    with pytest.raises(ValueError, match="several rows of one time and seed"):
        ce.summary(pd.concat([make_table(a), make_table(a)]))
    with pytest.raises(ValueError, match="against='c'"):
        ce.summary(make_table(a), against="c")


def test_the_picture_holds_every_row_its_means_and_the_floor():
    a = np.array([[1.0, 2.0], [5.0, 6.0]])
    ax = plotting.plot_benchmark(pd.concat([make_table(a), make_table(a + 1, "persistence")]))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "persistence"]
    dots = np.concatenate([c.get_offsets() for c in ax.collections if len(c.get_offsets())])
    np.testing.assert_allclose(sorted(dots[:, 0]), sorted([*a.ravel(), *(a.ravel() + 1), 3.5, 4.5]))
    np.testing.assert_array_equal(dots[:, 1].round(), [0] * 5 + [1] * 5)
    band = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    np.testing.assert_allclose([band.x0, band.x1], [0.05, 0.2])
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["noise floor", "held out: 0", "held out: 2", "mean"]
    with pytest.raises(ValueError, match="one data set, got d, e"):
        plotting.plot_benchmark(pd.concat([make_table(a), make_table(a, dataset="e")]))
    matplotlib.pyplot.close("all")


def test_every_method_has_a_style_of_its_own():
    styles = plotting.METHOD_STYLES
    assert set(styles) == set(ce.baselines.METHODS)
    assert len({*styles.values(), plotting.OTHER_STYLE}) == len(styles) + 1
    for part in zip(*styles.values(), strict=True):  # by colour alone, and by marker alone
        assert len(set(part)) == len(styles)


def test_a_worker_with_other_code_is_refused():
    rows = [_grid._call(("metrics",), code, dict, "key", {"x": 1}) for code in ("old", _grid.code_of(["metrics"]))]
    assert rows[0].row is None
    assert "other code than the process that began the run" in rows[0].error
    assert rows[1].row == {"x": 1}
