"""A run on disk: killed at any moment and resumed, it ends as if nothing had happened; other files are refused."""

import io
import json
import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import signal
import tempfile
import time
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import ctrl_c_works, interrupt, linear_world, small, snapshots_of, weights  # noqa: F401

import cellmnn_edu as ce
from cellmnn_edu import checkpoint as storage
from cellmnn_edu import training

# Checks and averages too, so that all that a run remembers matters.
RICH = {"ema": 0.9, "patience": 99, "check_every": 7, "held_back": 0.2}
BASE = {
    "steps": 47, "batch_size": 16, "lr": 0.02, "checkpoint_every": 10, "progress": False, "device": "cpu",
}  # fmt: skip
VARIANTS = {
    "plain": {},
    "average": {"ema": 0.9},
    "cosine": {"schedule": "cosine"},
    "patience": {"patience": 99, "check_every": 7, "held_back": 0.2},
    "patience and average": RICH,
    "all": {**RICH, "schedule": "cosine", "l1": 0.1, "deviation": 0.1, "kinetic_times": 0.1, "unbiased": True},
    "flow matching": {**RICH, "objective": "flow-matching", "path": "spline"},
    "frozen matching": {**RICH, "objective": "frozen-matching"},
}


HEADS = ["eigen", "dense", "rotational"]


def world():
    return linear_world(n_cells=30, times=(0.0, 0.3, 1.0))[0]


def train(file=None, model=None, data=None, resume=False, **options):
    model = small() if model is None else model
    history = ce.fit(model, world() if data is None else data, checkpoint=file, resume=resume, **BASE | options)
    return model, history


def same(a, b):
    """Equal in every bit, whatever the nesting; the clock aside."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a if key != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def state_of(path):
    return torch.load(path, weights_only=True)["state"]


def assert_same_end(run, other):
    (model, history), (again, told) = run, other
    assert torch.equal(weights(model), weights(again))
    assert same(vars(history), vars(told))


# Killed and resumed. A forkserver loads torch once; its children are processes of their own.


def _child(path, options, model_options, moment):
    """Train and be killed by SIGKILL at a moment."""

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    model = small(**model_options)
    name, number = moment
    calls = []

    def at(function, before):
        def wrapped(*args, **kwargs):
            calls.append(1)
            if len(calls) == number:
                before(*args)
                die()
            return function(*args, **kwargs)

        return wrapped

    if name == "step":
        model.network.register_forward_pre_hook(at(lambda *_: None, lambda *_: None))
    if name == "save":
        real = torch.save

        def half(content, file):
            whole = io.BytesIO()
            real(content, whole)
            file.write(whole.getvalue()[: whole.tell() // 2])
            file.flush()

        torch.save = at(real, half)
    if name == "rename":
        Path.replace = at(Path.replace, lambda *_: None)
    if name == "check":
        training._held_back_score = at(training._held_back_score, lambda *_: None)
    train(path, model, resume=True, **options)


@pytest.fixture(scope="module")
def processes():
    context, path = multiprocessing.get_context("forkserver"), os.environ.get("PYTHONPATH", "")
    # The first step of an optimiser imports dynamo, which takes seconds.
    context.set_forkserver_preload(["test_checkpoint", "torch._dynamo"])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), path]))
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ["PYTHONPATH"] = path
    return context


def killed(processes, path, options, model_options=None, moment=("step", 1)):
    child = processes.Process(target=_child, args=(path, options, model_options or {}, moment))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("variant", "model_options", "moments"),
    [
        ("plain", {}, [("step", 1), ("step", 5), ("step", 47)]),
        ("plain", {"head": "dense", "affine": True}, [("save", 2), ("step", 20)]),
        ("all", {"head": "rotational"}, [("save", 1), ("save", 4), ("rename", 1)]),
        ("patience and average", {"head": "dense"}, [("check", 2), ("save", 3)]),
        ("flow matching", {"affine": True}, [("rename", 1), ("step", 33), ("step", 12)]),
        ("frozen matching", {}, [("step", 29)]),
    ],
)
def test_killed_and_resumed_is_as_if_nothing_had_happened(tmp_path, processes, variant, model_options, moments):
    path, options = tmp_path / "run.pt", VARIANTS[variant]
    whole = train(tmp_path / "whole.pt", small(**model_options), **options)
    for moment in moments:
        killed(processes, path, options, model_options, moment)
    resumed = train(path, small(**model_options), resume=True, **options)
    assert_same_end(whole, resumed)
    assert same(state_of(path), state_of(tmp_path / "whole.pt"))


def test_a_kill_at_any_time_leaves_a_whole_file(tmp_path, processes):
    """By the clock, from outside, while it saves after every step."""
    path, rng = tmp_path / "run.pt", np.random.default_rng(0)
    options = {"steps": 1500, "checkpoint_every": 1, **RICH, "patience": 10**6}
    reached = 0
    for _ in range(4):
        child = processes.Process(target=_child, args=(path, options, {}, ("never", 0)))
        child.start()
        while child.is_alive() and not path.exists():
            time.sleep(0.005)
        time.sleep(rng.uniform(0.05, 0.3))
        child.kill()
        child.join()
        steps = state_of(path)["history"]["steps"]
        assert steps >= reached
        reached = steps
    steps = reached + 5
    more = {**options, "steps": steps}
    assert_same_end(train(**more), train(path, resume=True, **more))


# The same without processes: whatever ends a run between two saves, only the file counts


class Crash(Exception):
    pass


@contextmanager
def crash_at(step):
    """A run that ends after this step, before it is saved."""
    real = torch.optim.AdamW

    class Crashing(real):
        done = 0

        def step(self, *args):
            self.done += 1
            if self.done == step:
                raise Crash
            return super().step(*args)

    torch.optim.AdamW = Crashing
    try:
        yield
    finally:
        torch.optim.AdamW = real


@pytest.mark.parametrize(("variant", "head"), [*zip(VARIANTS, cycle(HEADS)), *(("all", head) for head in HEADS[:2])])
def test_resumed_after_a_crash_is_bit_identical(tmp_path, variant, head):
    path, options = tmp_path / "run.pt", VARIANTS[variant]
    for step in (25, 13):  # the second counts from where the first is resumed
        with crash_at(step), pytest.raises(Crash):
            train(path, small(head=head), resume=True, **options)
    assert state_of(path)["history"]["steps"] == 30
    whole, resumed = train(None, small(head=head), **options), train(path, small(head=head), resume=True, **options)
    assert_same_end(whole, resumed)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_patience_goes_on_waiting_where_it_was_and_stays_at_its_end(tmp_path, monkeypatch, ema):
    """Scores by the step, which fall until step 6 and rise until the end."""
    path, options = tmp_path / "run.pt", {"patience": 3, "check_every": 3, "checkpoint_every": 2, "ema": ema}

    def training_with(file, crash=None):
        model, optimisers = small(), []
        real = torch.optim.AdamW
        monkeypatch.setattr(torch.optim, "AdamW", lambda *a, **k: optimisers.append(real(*a, **k)) or optimisers[0])
        monkeypatch.setattr(training, "_held_back_score", lambda *_: abs(steps_of(optimisers[0]) - 6))
        if crash:
            model.network.register_forward_hook(lambda *_: crash_if(steps_of(optimisers[0]) == crash))
        try:
            return train(file, model, resume=file is not None, **options)
        finally:
            monkeypatch.undo()

    whole = training_with(None)
    assert (whole[1].steps, whole[1].best_step, whole[1].stopped) == (15, 6, "patience")
    for crash in (5, 8, 11, 14):
        with pytest.raises(Crash):
            training_with(path, crash)
    for _ in range(2):  # the second has nothing left to do
        assert_same_end(whole, training_with(path))
    assert state_of(path)["history"]["steps"] == 15


def steps_of(optimiser):
    states = list(optimiser.state.values())
    return int(states[0]["step"]) if states else 0


def crash_if(now):
    if now:
        raise Crash


@pytest.mark.parametrize("variant", ["plain", "average", "patience and average", "flow matching", "frozen matching"])
def test_a_resumed_run_may_be_longer(tmp_path, variant):
    options = VARIANTS[variant]
    path = tmp_path / "run.pt"
    for steps in (0, 23, 24, 47):
        longer = train(path, resume=True, **options | {"steps": steps})
    assert_same_end(train(**options), longer)


@pytest.mark.parametrize("variant", ["plain", "average", "cosine", "patience and average", "frozen matching"])
def test_a_finished_run_is_resumed_without_a_step(tmp_path, variant):
    path, options = tmp_path / "run.pt", VARIANTS[variant]
    finished, before = train(path, **options), path.read_bytes()
    model = small()
    model.network.register_forward_hook(lambda *_: pytest.fail("the network was called"))
    again = train(path, model, resume=True, **options)
    assert_same_end(finished, again)
    assert again[1].seconds == finished[1].seconds
    assert path.read_bytes() == before
    assert not again[0].training


def test_a_file_beyond_the_steps_asked_for_is_refused(tmp_path):
    train(tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"run.pt holds 47 steps, more than the 46"):
        train(tmp_path / "run.pt", resume=True, steps=46)


def test_whether_it_is_kept_does_not_change_a_run(tmp_path):
    assert_same_end(train(**VARIANTS["all"]), train(tmp_path / "run.pt", **VARIANTS["all"]))


def test_the_time_of_earlier_parts_counts(tmp_path):
    path = tmp_path / "run.pt"
    first = train(path, steps=20)[1].seconds
    content = torch.load(path, weights_only=True)
    content["state"]["history"]["seconds"] = first + 1000
    torch.save(content, path)
    assert train(path, resume=True)[1].seconds > first + 1000


def test_the_trained_model_itself_may_be_resumed(tmp_path):
    """As in a notebook, where the model of the interrupted cell is still there."""
    options = VARIANTS["patience and average"]
    model, _ = train(tmp_path / "run.pt", **options | {"steps": 20})
    assert_same_end(train(**options), train(tmp_path / "run.pt", model, resume=True, **options))


# Ctrl-C


@pytest.mark.parametrize("variant", ["plain", "all", "flow matching", "frozen matching"])
@pytest.mark.parametrize("step", [1, 23])
def test_ctrl_c_saves_and_loses_nothing(tmp_path, variant, step):
    path, options, model = tmp_path / "run.pt", VARIANTS[variant], small()
    calls = []
    real = torch.optim.AdamW.step

    def press(self, *args):
        calls.append(1)
        if len(calls) == step:
            interrupt()
        return real(self, *args)

    torch.optim.AdamW.step = press
    try:
        with pytest.warns(UserWarning, match=f"after {step} of 47 steps"):
            _, history = train(path, model, **options)
    finally:
        torch.optim.AdamW.step = real
    assert history.stopped == "interrupted"
    assert state_of(path)["history"]["steps"] == step
    resumed = train(path, resume=True, **options)
    assert_same_end(train(**options), resumed)


@pytest.mark.parametrize("save", [1, 3])
def test_ctrl_c_during_a_save_loses_nothing(tmp_path, monkeypatch, save):
    path, calls, real = tmp_path / "run.pt", [], torch.save

    def press(*args):
        calls.append(1)
        if len(calls) == save:
            interrupt()
        return real(*args)

    monkeypatch.setattr(torch, "save", press)
    with pytest.warns(UserWarning, match="Interrupted after"):
        _, history = train(path)
    monkeypatch.undo()
    assert state_of(path)["history"]["steps"] == history.steps
    assert_same_end(train(), train(path, resume=True))


def test_a_second_ctrl_c_during_a_save_leaves_the_old_file(tmp_path, monkeypatch):
    path, calls, real = tmp_path / "run.pt", [], torch.save

    def press(content, file):
        calls.append(1)
        if len(calls) == 3:
            file.write(b"half a file")
            interrupt()
            interrupt()
        return real(content, file)

    monkeypatch.setattr(torch, "save", press)
    with pytest.raises(KeyboardInterrupt):
        train(path)
    monkeypatch.undo()
    assert state_of(path)["history"]["steps"] == 20
    assert_same_end(train(), train(path, resume=True))


# Files that are refused

OTHER = {
    "seed": 1,
    "lr": 0.03,
    "l_kin": 0.2,
    "gamma": 0.2,
    "bandwidth": [1.0, 2.0],
    "batch_size": 17,
    "l1": 0.1,
    "deviation": 0.1,
    "objective": "frozen-matching",
    "path": "spline",
    "l_barrier": 0.5,
    "kernel": "gaussian",
    "unbiased": True,
    "kinetic_times": 5.0,  # a grid of step 5, not 5 points
    "schedule": "cosine",
    "ema": 0.5,
    "patience": 2,
    "check_every": 50,
    "held_back": 0.3,
}


def test_every_setting_is_compared():
    assert set(OTHER) == set(training.SETTINGS) - {"steps"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run.pt"
    train(path)
    return path


@pytest.mark.parametrize("name", OTHER)
def test_another_setting_is_refused_by_name(finished, name):
    before = finished.read_bytes()
    with pytest.raises(ValueError, match=rf"belongs to another run: its {name} is .*Use the same settings"):
        train(finished, resume=True, **{name: OTHER[name]})
    assert finished.read_bytes() == before


def test_with_a_schedule_the_number_of_steps_is_a_setting(tmp_path):
    train(tmp_path / "run.pt", schedule="cosine", steps=20)
    with pytest.raises(ValueError, match="its steps is 20, this run's is 47"):
        train(tmp_path / "run.pt", resume=True, schedule="cosine")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: small(head="dense", affine=True), "head='eigen'.*head='dense'"),  # as many weights as the eigen head
        (lambda: small(affine=True), "affine=False.*affine=True"),
        (lambda: ce.CellMNN(2, width=9, depth=1), "width=8.*width=9"),
        (lambda: ce.CellMNN(2, width=8, depth=2), "depth=1.*depth=2"),
        (lambda: small(time_range=(0, 1)), r"time_range=None.*time_range=\(0.0, 1.0\)"),
        (lambda: small(seed=1), "seed=0.*seed=1"),
        (lambda: small().double(), "float32.*float64"),
    ],
)
def test_another_model_is_refused(finished, model, words):
    with pytest.raises(ValueError, match=rf"its model is .*{words}"):
        train(finished, model(), resume=True)


def other_data():
    snaps = world()
    near = [state.copy() for state in snaps.states]
    near[1][3, 0] += 1e-12
    swapped = [state[::-1] for state in snaps.states]
    return {
        "one number": snapshots_of(snaps.times, near),
        "other times": snapshots_of([0.0, 0.3, 1.0 + 1e-9], snaps.states),
        "other order": snapshots_of(snaps.times, swapped),
        "other split": snapshots_of(snaps.times, np.split(np.concatenate(snaps.states), [29, 60])),
    }


@pytest.mark.parametrize("data", other_data().values(), ids=other_data().keys())
def test_other_data_are_refused(finished, data):
    with pytest.raises(ValueError, match="belongs to another run: its data is"):
        train(finished, data=data, resume=True)


def test_the_same_data_read_anew_are_the_same(finished):
    snaps = world()
    train(finished, data=snapshots_of(snaps.times.tolist(), [np.asfortranarray(s) for s in snaps.states]), resume=True)


def test_other_held_out_cells_of_a_leaky_run_are_refused(tmp_path):
    rest, held = linear_world(n_cells=30, times=(0.0, 0.3, 0.5, 1.0))[0].hold_out(1)
    options = {"data": rest, "patience": 5, "check_every": 10}
    _, history = train(tmp_path / "run.pt", leaky_stopping=held, **options)
    assert history.leaky
    assert train(tmp_path / "run.pt", leaky_stopping=held, resume=True, **options)[1].leaky
    held.state[0] += 1
    for leaky in (held, None):
        with pytest.raises(ValueError, match="its leaky is"):
            train(tmp_path / "run.pt", leaky_stopping=leaky, resume=True, **options)


def test_another_version_and_format_are_refused(finished, monkeypatch):
    monkeypatch.setattr(ce, "__version__", "99.0")
    with pytest.raises(ValueError, match=r"its version is '.+', this run's is '99.0'.*version, or another file"):
        train(finished, resume=True)
    monkeypatch.undo()
    monkeypatch.setattr(storage, "FORMAT", storage.FORMAT + 1)
    with pytest.raises(ValueError, match=rf"its format is {storage.FORMAT - 1}, this run's is {storage.FORMAT}"):
        train(finished, resume=True)


def test_a_setting_that_only_the_file_knows_is_refused(tmp_path, finished):
    content = torch.load(finished, weights_only=True)
    content["identity"] = json.dumps(json.loads(content["identity"]) | {"temperature": 3})
    torch.save(content, tmp_path / "run.pt")
    with pytest.raises(ValueError, match="its temperature is 3, this run's is None"):
        train(tmp_path / "run.pt", resume=True)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, finished, share):
    whole, path = finished.read_bytes(), tmp_path / "run.pt"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"run.pt is not a checkpoint that can be read .*delete it"):
        train(path, resume=True)


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def _pickled(path, target):
    path.write_bytes(pickle.dumps(Malicious(target)))


def _torch_pickled(path, target):
    torch.save({"identity": "{}", "state": Malicious(target)}, path)


def _old_format(path, target):
    torch.save({"identity": "{}", "state": Malicious(target)}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [_pickled, _torch_pickled, _old_format])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, write):
    path, target = tmp_path / "run.pt", tmp_path / "code was run"
    write(path, target)
    with pytest.raises(ValueError, match="not a checkpoint that can be read"):
        train(path, resume=True)
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [3, [1, 2], {}, {"identity": "{}"}, {"identity": "no json", "state": {}}, {"identity": "7", "state": {}},
     {"identity": b"\xff", "state": {}}, small().state_dict()],
)  # fmt: skip
def test_a_foreign_file_of_torch_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "run.pt")
    with pytest.raises(ValueError, match="not a checkpoint that can be read"):
        train(tmp_path / "run.pt", resume=True)


def test_an_existing_file_is_not_overwritten(finished):
    before = finished.read_bytes()
    with pytest.raises(FileExistsError, match=r"run.pt exists: pass resume=True .* or choose another name"):
        train(finished)
    assert finished.read_bytes() == before


def test_resuming_without_a_file_starts_one(tmp_path):
    path = tmp_path / "new folder" / "run.pt"
    assert_same_end(train(), train(str(path), resume=True))
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def test_a_folder_that_cannot_be_written_is_an_error_before_the_first_step():
    model, me = small(), os.geteuid()
    model.network.register_forward_hook(lambda *_: pytest.fail("training began"))
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o555)
        if me == 0:  # root may write everywhere
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError, match=r"Cannot write .*run.pt .*choose another folder"):
                train(Path(folder) / "run.pt", model)
        finally:
            os.seteuid(me)
            Path(folder).chmod(0o755)


def test_a_file_in_a_file_and_a_folder_are_no_checkpoints(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(OSError, match=r"Cannot write .*run.pt"):
        train(tmp_path / "notes.txt" / "run.pt")
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        train(tmp_path, resume=True)


def test_numbers_of_numpy_can_be_kept_and_compared(tmp_path):
    numpys = {"batch_size": np.int32(16), "seed": np.int64(0), "lr": np.float64(0.02), "bandwidth": np.array([1.0, 2])}
    numpys |= {"kinetic_times": np.int64(5), "unbiased": np.bool_(True), "steps": np.int64(20)}
    train(tmp_path / "run.pt", ce.CellMNN(np.int64(2), width=np.int64(8), depth=1, seed=np.int32(0)), **numpys)
    plain = {"bandwidth": [1.0, 2.0], "kinetic_times": 5, "unbiased": True}
    assert_same_end(train(**plain), train(tmp_path / "run.pt", resume=True, **plain))


def test_a_run_that_exploded_does_not_replace_the_last_good_file(tmp_path):
    model = small()
    calls = []

    def spoil(gradient):
        calls.append(1)
        return gradient * torch.nan if len(calls) == 30 else gradient

    model.network[-1].weight.register_hook(spoil)
    with pytest.raises(FloatingPointError):
        train(tmp_path / "run.pt", model)
    assert all(torch.isfinite(w).all() for w in state_of(tmp_path / "run.pt")["module"].values())
