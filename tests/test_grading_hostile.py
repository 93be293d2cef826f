"""Answers that do what they should not: each loses its own points, says so in the report, and harms nothing else."""

import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from grading_sheet import DRIFT, MINE, SALT, SCALE, SHEET, cells, hand_in

import cellmnn_edu
from cellmnn_edu.coursework import checks
from cellmnn_edu.coursework.grading import marks, sandbox
from cellmnn_edu.coursework.grading.client import Left, Limits, NotIsolated, Worker

PACKAGE = Path(cellmnn_edu.__file__).parent
CHECKS = PACKAGE / "coursework" / "checks.py"
ONE_LINE = SHEET._replace(questions=(SCALE._replace(rubric=SCALE.rubric[:1]), DRIFT, MINE))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolation needs Linux")


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    limits = Limits(call=20, load=20, submission=60, memory=256 << 20)
    patch = pytest.MonkeyPatch()
    patch.setenv("CELLMNN_EDU_SALT", SALT)
    try:
        worker = Worker(limits, [tmp_path_factory.getbasetemp()])
    except NotIsolated as error:
        pytest.skip(f"NOT CHECKED: {error}")
    with worker:
        yield worker
    patch.undo()


def marked(worker, folder, body, before=""):
    """Report on a submission whose `scale` has this body; the other answers are right."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    path = hand_in(folder, cells(scale=f"{before}\ndef scale(x, c):\n{lines}"))
    return marks.grade_one(path, ONE_LINE, SALT, worker, "ada")


ENDED, TRIED, LONG, BIG = "ended Python", "may not do", "did not finish", "memory"
STOPPED = {
    "endless loop": ("while True:\n    pass", LONG),
    "sleeps for ever": ("import time\ntime.sleep(10**6)", LONG),
    "ignores signals": (
        "import signal, time\nfor s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):\n"
        "    signal.signal(s, signal.SIG_IGN)\nwhile True: time.sleep(1)",
        LONG,
    ),
    "catches everything": (
        "import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass",
        LONG,
    ),
    "memory bomb": ("kept = []\nwhile True:\n    kept.append(bytearray(10**7))", BIG),
    "one huge list": ("return [0.0] * 10**10", BIG),
    "huge array": ("import numpy as np\nreturn np.zeros(10**10)", BIG),
    "array larger than any answer": ("import numpy as np\nreturn np.zeros(2 * 10**6)", BIG),
    "array that only looks huge": ("import numpy as np\nreturn np.broadcast_to(1.5, (10**6, 10**6))", BIG),
    "sys.exit": ("import sys\nsys.exit(0)", ENDED),
    "os._exit": ("import os\nos._exit(0)", ENDED),
    "own BaseException": ("class Odd(BaseException): pass\nraise Odd", "stopped with Odd"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "stopped with KeyboardInterrupt"),
    "GeneratorExit": ("raise GeneratorExit", "stopped with GeneratorExit"),
    "error that hides": (
        "class Odd(Exception):\n    def __str__(self): raise SystemExit\nraise Odd",
        f"stopped with|{ENDED}",
    ),
    "abort": ("import os\nos.abort()", ENDED),
    "crash": ("import ctypes\nctypes.string_at(0)", ENDED),
    "no stack left": (
        "import sys\nsys.setrecursionlimit(10**9)\nf = lambda: f()\nf()",
        f"{ENDED}|Recursion|{BIG}|{LONG}",
    ),
    "fork bomb": ("import os\nwhile True:\n    os.fork()", TRIED),
    "program": ("import subprocess\nsubprocess.run(['/bin/ls'])", TRIED),
    "shell": ("import os\nreturn os.posix_spawn('/bin/sh', ['sh'], {})", TRIED),
    "exec": ("import os\nos.execv('/bin/ls', ['ls'])", TRIED),
    "pool": ("import multiprocessing\nreturn multiprocessing.Pool(2).map(abs, [1])", TRIED),
    "socket": ("import socket\nsocket.create_connection(('127.0.0.1', 80))", TRIED),
    "socket by name": ("import socket\nsocket.socket(socket.AF_UNIX).connect('/tmp/x')", TRIED),
    "kills the grader": ("import os\nos.kill(os.getppid(), 9)", TRIED),
    "overwrites the grader": (f"open({str(CHECKS)!r}, 'w').write('')", TRIED),
    "deletes the grader": (f"import os\nos.remove({str(CHECKS)!r})", TRIED),
    "locks the grader": (f"import os\nos.chmod({str(CHECKS)!r}, 0)", TRIED),
    "reads the solutions": (f"return len(open({str(CHECKS)!r}).read())", TRIED),
    "reads them by a link": (f"import os\nos.symlink({str(CHECKS)!r}, 'a')\nreturn len(open('a').read())", TRIED),
    "imports the solutions": (
        "from cellmnn_edu.coursework.exercises import EXERCISES\nreturn EXERCISES['move'].truth(x, c)",
        TRIED,
    ),
    "loads the solutions": (
        "from importlib.machinery import SourceFileLoader\n"
        f"return SourceFileLoader('c', {str(CHECKS)!r}).load_module().EXERCISES",
        TRIED,
    ),
    "patches the checks": ("import cellmnn_edu.coursework.checks as k\nk.fault = lambda *a: None\nreturn x", TRIED),
    "reads passwords": ("return len(open('/etc/passwd').read())", TRIED),
    "reads memory": ("import os\nreturn len(open(f'/proc/{os.getppid()}/environ').read())", TRIED),
    "lists folders": ("import os\nreturn len(os.listdir('/'))", TRIED),
    "garbage on all pipes": (
        "import os\nfor i in range(3, 99):\n    try: os.write(i, b'garbage, and more' * 9)\n    except OSError: pass",
        TRIED,
    ),
    "a forged reply": (
        "import os, struct, json\nhead = json.dumps({'token': 'x', 'problem': '', 'arrays': [None]}).encode()\n"
        "os.write(4, struct.pack('<II', len(head), 0) + head)\nreturn c * x",
        TRIED,
    ),
    "an endless reply": ("import os\nos.write(4, bytes([255]) * 8)\nreturn c * x", TRIED),
    "closes all pipes": ("import os\nos.closerange(0, 99)\nreturn c * x", ENDED),
    "breaks json": ("import json\njson.dumps = lambda *a: '{'\nreturn c * x", TRIED),
    "breaks pickle": ("import pickle\npickle.loads = None\nreturn x", "."),
    "forged verdict": ("print('✓ 3 of 3 practice checks pass.', {'score': 99})\nreturn x", "wrong numbers"),
    "raw output": ("import os, sys\nos.write(1, b'passed')\nsys.__stdout__.write('passed')\nreturn x", "wrong numbers"),
    "patches the comparison": (
        "import numpy as np\nnp.allclose = np.array_equal = lambda *a, **k: True\nreturn x",
        "wrong numbers",
    ),
    "lies about being an array": (
        "class Odd:\n    shape, dtype = (4, 2), float\n    def __array__(self, *a, **k): raise SystemExit\n"
        "    def __eq__(self, other): return True\nreturn Odd()",
        "Expected",
    ),
    "lies about its type": (
        "class Meta(type):\n    __name__ = property(lambda self: 1 / 0)\nclass Odd(metaclass=Meta): pass\nreturn Odd()",
        "stopped|Expected",
    ),
    "a subclass that lies": (
        "import numpy as np\nclass Odd(np.ndarray):\n    def __eq__(self, other): return True\nreturn x.view(Odd)",
        "wrong numbers",
    ),
    "sends signals by pipes": (
        "import fcntl, os\nends = os.pipe()\nfcntl.fcntl(ends[0], fcntl.F_SETOWN, os.getppid())\nreturn c * x",
        TRIED,
    ),
    "rows without end": ("import numpy as np\nreturn np.empty((1 << 39, 0))", TRIED),
    "an error in half characters": (
        "raise ValueError('one\\ntwo \\ud800\\x1b[2J\\x00\\u202e')",
        "ValueError: one two \ufffd\ufffd\\[2J",
    ),
    "raises limits": (
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))\nreturn c * x",
        "not allowed|may not",
    ),
}


@pytest.mark.parametrize("what", STOPPED)
def test_it_loses_its_points_and_nothing_else(worker, tmp_path, monkeypatch, what):
    before = CHECKS.read_bytes(), CHECKS.stat().st_mode
    body, words = STOPPED[what]
    if LONG in words:
        monkeypatch.setattr(worker, "limits", worker.limits._replace(call=1.0))
    report = marked(worker, tmp_path, body)
    scale, drift, mine = report.questions
    assert (scale.earned, drift.earned, mine.earned) == (0, 3, 2), [
        m.message for q in report.questions for m in q.marks
    ]
    assert re.search(words, scale.marks[0].message), scale.marks[0].message
    assert marks.to_json(report).encode()
    if words == TRIED:
        assert any("scale" in flag or "tried" in flag for flag in report.flags)
    assert (CHECKS.read_bytes(), CHECKS.stat().st_mode) == before
    assert checks.fault.__module__ == "cellmnn_edu.coursework.checks"


HARMLESS = {
    "prints a lot": "for i in range(10**4): print('x' * 100)\nreturn c * x",
    "leaves a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()\nreturn c * x",
    "writes into its own folder": "open('a', 'w').write('x')\nreturn c * x * len(open('a').read())",
    "imports late": "from scipy.ndimage import shift\nimport cellmnn_edu as ce\nce.mmd\nreturn c * x",
    "draws": "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\nplt.plot(x)\nreturn c * x",
    "shows": "display(x)\nreturn c * x",
    "tries and goes on": "import os\ntry: os.fork()\nexcept OSError: pass\nreturn c * x",
    "warns": "import warnings\nwarnings.warn('hm')\nreturn c * x",
    "needs a gradient": (
        "import torch\nt = torch.tensor(x, requires_grad=True)\n(c * t**2 / 2).sum().backward()\nreturn t.grad"
    ),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_only_looks_odd_costs_nothing(worker, tmp_path, what):
    report = marked(worker, tmp_path, HARMLESS[what])
    assert report.earned == report.points, [mark.message for mark in report.questions[0].marks]
    assert bool(report.flags) == (what == "tries and goes on")


SPOILS = [
    "import torch\ntorch.set_default_dtype(torch.float16)\nreturn c * x",
    "import numpy as np\nnp.seterr(all='raise')\nnp.einsum = None\nreturn c * x",
    "import builtins\nbuiltins.len = lambda x: 3\nreturn c * x",
    "open('left', 'w').write('x' * 1000)\nreturn c * x",
]


@pytest.mark.parametrize("body", SPOILS)
def test_what_one_answer_changes_does_not_reach_the_next(worker, tmp_path, body):
    drift = "def drift(A, z):\n    import os\n    return np.einsum('ij,nj->ni', A, z) * (1 + len(os.listdir('.')))"
    path = hand_in(
        tmp_path,
        cells(scale="def scale(x, c):\n    " + body.replace("\n", "\n    "), drift="import numpy as np\n" + drift),
    )
    report = marks.grade_one(path, ONE_LINE, SALT, worker)
    assert [question.earned for question in report.questions][1:] == [3, 2]


def test_other_submissions_cannot_be_read(worker, tmp_path):
    other = hand_in(tmp_path / "eve", cells("eve"))
    report = marked(worker, tmp_path, f"return len(open({str(other)!r}).read())")
    assert report.questions[0].earned == 0
    assert "Permission" in report.questions[0].marks[0].message


def look(worker, code, *inputs):
    """What an answer sees, as numbers."""
    with worker.child() as child:
        assert child.load([code], "f") == ""
        outcome = child.call(inputs, None, 0, 20.0)
        assert outcome.problem == "", outcome.text
        return outcome.value


def test_solutions_are_nowhere_in_memory(worker):
    code = """
def f():
    import gc, sys
    modules = [m for m in sys.modules if m.startswith("cellmnn_edu.coursework.")]
    closed = [m for m in modules if m.rsplit(".")[-1] in ("checks", "exercises", "assignments", "marks", "exercise")]
    kinds = [type(thing).__name__ for thing in gc.get_objects()]
    return [len(modules) > 3, len(closed), sum(kind in ("Exercise", "Mistake", "Question") for kind in kinds)]
"""
    assert look(worker, code).tolist() == [1, 0, 0]


def test_the_salt_is_out_of_reach(worker):
    assert os.environ["CELLMNN_EDU_SALT"] == SALT  # set before the worker started
    code = (
        f"def f():\n    import os, sys\n    return [{SALT!r} in str(os.environ) + str(sys.orig_argv), len(os.environ)]"
    )
    found = look(worker, code)
    assert found[0] == 0
    assert found[1] > 3


def test_raw_system_calls_are_refused_too(worker):
    code = """
import ctypes
def f():
    libc = ctypes.CDLL(None, use_errno=True)
    out = [libc.fork(), libc.socket(2, 1, 0), libc.kill(1, 0), libc.unshare(0x10000000), libc.ptrace(16, 1, 0, 0)]
    return out + [libc.open(b"/etc/passwd", 0), libc.chmod(b"/tmp", 0), libc.mount(b"a", b"/", b"tmpfs", 0, 0)]
"""
    assert look(worker, code).tolist() == [-1] * 8


def test_the_own_folder_is_small(worker):
    code = """
def f():
    try:
        for i in range(100):
            with open(str(i), "wb") as file:
                file.write(bytes(1 << 20))
    except OSError:
        return i
"""
    assert look(worker, code) < 17


def test_no_process_is_left(worker):
    code = """
def f():
    import os, signal, threading, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return os.getpid()
"""
    pid = int(look(worker, code))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_workers_die_with_the_grader(worker):
    other = Worker(worker.limits)
    child = other.child()
    child.load(["def f():\n    import os\n    return os.getpid()"], "f")
    pid = int(child.call((), None, 0, 20.0).value)
    os.close(other.control.detach())  # as if the grader had been killed
    assert other.server.wait(20) == 0
    os.close(child.to_child)
    os.close(child.from_child)
    other.server.stderr.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_killed_child_is_reported_not_raised(worker):
    with worker.child() as child:
        child.load(["def f():\n    import os\n    return os.getpid()"], "f")
        os.kill(int(child.call((), None, 0, 20.0).value), signal.SIGSEGV)
        with pytest.raises(Left) as left:
            child.call((), None, 0, 20.0)
    assert left.value.args[0] == "left"


def test_frames_are_read_with_distrust(worker):
    def replies(forged):
        code = f"import os, struct, json\ndef f():\n    {forged}"
        with worker.child() as child:
            child.load([code], "f")
            child.call((), None, 0, 20.0)

    framed = "head = json.dumps({}).encode(); os.write(4, struct.pack('<II', len(head), {}) + head + bytes({}))"
    token = "__import__('sys')._getframe(2).f_locals['request']['token']"
    heads = [
        ("[1]", 0, 0),
        ("{'token': 'wrong', 'arrays': []}", 0, 0),
        ("{'token': %s, 'arrays': [['<f8', [2]]]}" % token, 8, 8),  # noqa: UP031
        ("{'token': %s, 'arrays': [['<f8', [-1]]]}" % token, 8, 8),  # noqa: UP031
        ("{'token': %s, 'arrays': [['O', [1]]]}" % token, 8, 8),  # noqa: UP031
        ("{'token': %s, 'arrays': [['<f8', [1 << 39] * 9]]}" % token, 8, 8),  # noqa: UP031
        ("{'token': %s, 'arrays': 3}" % token, 0, 0),  # noqa: UP031
        ("{}", 1 << 31, 0),
    ]
    for head, size, body in heads:
        with pytest.raises(Left, match="forbidden"):
            replies(framed.format(head, size, body))


def test_inputs_that_no_process_can_get_are_an_error_of_the_assignment(worker):
    with worker.child() as child, pytest.raises(ValueError, match=r"coursework\.given"):
        child.call((lambda: 1,), None, 0, 5.0)


def test_seeds_reach_the_answer(worker):
    draws = "[random.random(), np.random.rand(), float(torch.rand(1))]"
    code = f"def f():\n    import random, torch\n    import numpy as np\n    return {draws}"
    assert np.array_equal(look(worker, code), look(worker, code))


def test_without_isolation_it_refuses(monkeypatch):
    import cellmnn_edu.coursework.grading.client as client

    blocked = {"network": True, "files": False, "processes": True}

    class Open:
        layers, end = (), staticmethod(lambda: 0)
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *error: None  # noqa: E731

    Open.blocked = blocked
    monkeypatch.setattr(client.Worker, "child", lambda self: Open())
    monkeypatch.setattr(
        client, "BOOT", "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.recv(9999); s.send(b'ready')"
    )
    with pytest.raises(NotIsolated, match=r"open: files.*--unsafe"):
        Worker()
    Worker(unsafe=True).close()


def test_places_leave_out_what_is_closed(tmp_path):
    (tmp_path / "site" / "open").mkdir(parents=True)
    (tmp_path / "site" / "shut" / "deep").mkdir(parents=True)
    found = list(sandbox._without(tmp_path, [tmp_path / "site" / "shut" / "deep"]))
    whole = {place.path.name for place in found if not place.listed}
    assert whole == {"open"}
    assert {place.path.name for place in found if place.listed} == {tmp_path.name, "site", "shut"}
    assert list(sandbox._without(tmp_path / "site", [tmp_path])) == []


def test_no_place_holds_a_solution():
    for place in sandbox.places():
        if not place.listed:
            for closed in ("checks.py", "exercises", "assignments", "release.py", "grading", "__pycache__"):
                path = PACKAGE / "coursework" / closed
                assert place.path != path
                assert place.path not in path.parents
                assert path not in place.path.parents


def test_answers_that_hang_are_tried_twice_and_no_more(worker, tmp_path, monkeypatch):
    path = hand_in(tmp_path, cells(scale="def scale(x, c):\n    while True: pass"))
    monkeypatch.setattr(worker, "limits", worker.limits._replace(call=0.5))
    report = marks.grade_one(path, SHEET, SALT, worker)
    assert [mark.earned for mark in report.questions[0].marks] == [0, 0, 0]
    assert "was not tried" in report.questions[0].marks[2].message
