"""Stored results: a stale one is refused, an interrupted run goes on, and one row of each is computed again."""

import json

import pandas as pd
import pytest

import cellmnn_edu as ce
from cellmnn_edu import results

COLUMNS = {"rotation": ["w1", "floor"]}


class Calls(list):
    stop_at = None


@pytest.fixture
def counting(monkeypatch):
    """An experiment whose rows are counted, and which can be interrupted."""
    calls = Calls()

    def row(x):
        calls.append(x)
        if x == calls.stop_at:
            raise KeyboardInterrupt
        return {"x": x, "square": x * x, "seconds": 30.25}

    settings = [{"x": x} for x in (3, 1, 2)]
    monkeypatch.setitem(results.EXPERIMENTS, "squares", results.Experiment(settings, row, ("metrics",)))
    return calls


def test_rows_come_in_the_order_of_the_settings_with_their_origin(counting, tmp_path, monkeypatch):
    table = results.reproduce("squares", tmp_path, progress=False)
    assert table[["x", "square"]].to_numpy().tolist() == [[3, 9], [1, 1], [2, 4]]
    origin = json.loads((tmp_path / "squares.json").read_text())
    assert origin["command"] == "cellmnn-edu reproduce squares"
    assert origin["minutes"] == 1.5
    assert set(origin["versions"]) == {"python", "numpy", "torch"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["squares.csv", "squares.json"]
    monkeypatch.setattr(results, "shipped", lambda name: tmp_path / name.removeprefix("results/"))
    loaded = results.load("squares")
    pd.testing.assert_frame_equal(loaded, table, check_flags=False)
    assert loaded.attrs["date"] == origin["date"]


def test_an_interrupted_run_keeps_its_rows(counting, tmp_path):
    counting.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        results.reproduce("squares", tmp_path / "a/b", progress=False)
    counting.stop_at = None
    table = results.reproduce("squares", tmp_path / "a/b", progress=False)
    assert counting == [3, 1, 1, 2]  # the first row was not computed again
    assert table["x"].tolist() == [3, 1, 2]


def test_rows_that_were_finished_out_of_order_are_put_in_order(counting, tmp_path):
    code = results.code_hash(results.EXPERIMENTS["squares"])
    last = pd.DataFrame([{"code": code, "setting": 2, "x": 2, "square": 4, "seconds": 1.0}])
    last.to_csv(tmp_path / "squares.partial.csv", index=False)
    assert results.reproduce("squares", tmp_path, progress=False)["x"].tolist() == [3, 1, 2]


def test_rows_of_other_code_are_not_kept(counting, tmp_path):
    old = pd.DataFrame([{"code": "other", "setting": 0, "x": 3, "square": 10, "seconds": 1.0}])
    old.to_csv(tmp_path / "squares.partial.csv", index=False)
    assert results.reproduce("squares", tmp_path, progress=False)["square"].tolist() == [9, 1, 4]


def test_a_stale_result_is_refused_with_the_remedy(counting, tmp_path, monkeypatch):
    results.reproduce("squares", tmp_path, progress=False)
    monkeypatch.setattr(results, "shipped", lambda name: tmp_path / name.removeprefix("results/"))
    monkeypatch.setattr(results, "code_hash", lambda experiment: "changed")
    with pytest.raises(ValueError, match=r"made by other code.*cellmnn-edu reproduce squares"):
        results.load("squares")


def test_words_do_not_change_the_hash_but_code_does():
    source = '"""Head."""\n\ndef f(x):\n    """Word."""\n    # why\n    return x + 1  # so\n'
    reworded = '"""Other head.\n\nLonger."""\ndef f(x):\n    """Words\n    more."""\n\n    return x + 1\n'
    assert results._code(source) == results._code(reworded) == "def f(x):\n    return x + 1"
    assert results._code(source) != results._code(source.replace("+ 1", "+ 2"))


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ('class A:\n    """Words."""\n\n    x = 1\n', "class A:\n    x = 1"),
        ('async def f():\n    """Words."""\n    pass\n', "async def f():\n    pass"),
        ('def f(): "words"; return 1\n', "; return 1"),
        ('x = """a\n# b\n"""\n', '# b\n"""'),
        ('x = "#a"\n', 'x = "#a"'),
        ('def f():\n    x = """no docstring"""\n', 'x = """no docstring"""'),
    ],
)
def test_what_counts_as_code(source, kept):
    assert kept in results._code(source)
    assert "ords" not in results._code(source)


def test_every_file_of_the_modules_the_settings_and_this_module_count(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "_HERE", tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("results.py", "one.py", "sub/a.py", "sub/b.py"):
        (tmp_path / name).write_text("x = 1\n")
    experiment = results.Experiment([{"x": 1}], dict, ("one", "sub"))
    hashes = {results.code_hash(experiment), results.code_hash(experiment._replace(settings=[{"x": 2}]))}
    for name in ("results.py", "one.py", "sub/a.py", "sub/b.py"):
        (tmp_path / name).write_text("x = 2\n")
        hashes.add(results.code_hash(experiment))
    assert len(hashes) == 6


@pytest.mark.parametrize("call", [lambda: results.load("none"), lambda: results.reproduce("none", "x")])
def test_an_unknown_result_is_refused(call):
    with pytest.raises(ValueError, match="rotation"):
        call()


@pytest.mark.parametrize("name", COLUMNS)
def test_the_stored_result_is_current_and_complete(name):
    table = ce.results.load(name)
    experiment = results.EXPERIMENTS[name]
    assert len(table) == len(experiment.settings)
    for stored, setting in zip(table.to_dict("records"), experiment.settings, strict=True):
        assert {key: stored[key] for key in setting} == setting


@pytest.mark.parametrize("name", COLUMNS)
def test_one_row_computed_again_is_the_stored_one(name):
    """At full settings, a cheap row of each kind of randomness: the last training row and the rows without any."""
    table, experiment = ce.results.load(name), results.EXPERIMENTS[name]
    for i in (len(table) - 6, len(table) - 7, len(table) - 8):
        again = experiment.row(**experiment.settings[i])
        for column in COLUMNS[name]:
            # Training in float32 differs a little between processors.
            assert again[column] == pytest.approx(table[column][i], rel=0.1 if again["steps"] else 1e-4)
