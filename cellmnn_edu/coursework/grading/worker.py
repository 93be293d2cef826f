"""The process that calls answers: it starts afresh, knows no solution and no salt, and forks a caged child a question.

A child reads requests (pickles: the grader is trusted) and writes replies (JSON and raw numbers: the child is not).
What that prevents: an answer cannot hand over an object, an exception or a verdict, cannot answer a question that it
has not been asked (each reply repeats the token of its request), and cannot print into the replies. What it does not:
code that finds the pipe can write a reply by hand. It then has delivered numbers, like any answer, and they are judged.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import importlib.abc
import json
import os
import pickle
import random
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch

from ..outcome import Outcome, call
from . import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REQUESTS, REPLIES = 3, 4
CLOSED = "cellmnn_edu.coursework."
OPEN = {CLOSED + name.removesuffix(".py") for name in sandbox.PUBLIC}
LOADED_BEFORE = (
    *("scipy.linalg", "scipy.stats", "scipy.optimize", "scipy.integrate", "scipy.spatial.distance", "sklearn.cluster"),
    *("cellmnn_edu.grn", "cellmnn_edu.perturb", "cellmnn_edu.sparse", CLOSED + "given"),
)
# What an answer has no business doing, by the names of Python's audit events.
ODD = {
    "os.fork": "start a process", "os.forkpty": "start a process", "os.exec": "start a program",
    "os.posix_spawn": "start a program", "os.system": "start a program", "subprocess.Popen": "start a program",
    "socket.__new__": "open a socket", "os.kill": "send a signal", "os.killpg": "send a signal",
    "os.chmod": "change a file's mode",
}  # fmt: skip
LONGEST_TEXT = 500
ANSWERS = "<answers>"  # the file that tracebacks and frames of answers name


def main(control: int) -> None:
    """Serve the grader at the other end of a socket: load what answers need, then fork a child for each question."""
    with socket.socket(fileno=control) as grader:
        settings = json.loads(grader.recv(1 << 16))
        for name in LOADED_BEFORE:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        torch.set_num_threads(1)
        sys.meta_path.insert(0, _ClosedModules())
        places = sandbox.places(settings["hidden"])
        gc.freeze()
        grader.sendall(b"ready")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with tempfile.TemporaryDirectory(prefix="cellmnn-edu-grade-") as root:
            settings["canary"] = str(Path(root, "canary"))
            while True:
                message, pipes, *_ = socket.recv_fds(grader, 64, 2)
                if not message:
                    break
                _one_child(grader, pipes, settings, places, Path(root))
    os._exit(0)  # taking all modules down in order would take a second


def _one_child(grader: socket.socket, pipes: list[int], settings: dict, places: list, root: Path) -> None:
    """Fork a child with these pipes; when the grader says so (or is gone), kill it and tell how it ended."""
    Path(settings["canary"]).write_text("untouched")
    folder = Path(tempfile.mkdtemp(dir=root))
    child = os.fork()
    if child == 0:
        _live(pipes, settings, places, folder)
    for pipe in pipes:
        os.close(pipe)
    # "left" means that the child has let go of its pipes: give it a moment to end by itself, and to say how.
    patience = 40 if grader.recv(64) == b"left" else 0
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and patience:
        patience -= 1
        time.sleep(0.05)
    if alive := ended[0] == 0:
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        grader.sendall(f"{os.waitstatus_to_exitcode(ended[1])} {'killed' if alive else ''}".encode())


def _live(pipes: list[int], settings: dict, places: list, folder: Path) -> NoReturn:
    """Life of a child: into the cage, load one answer, call it until nobody asks any more."""
    try:
        _keep_only(pipes)
        os.environ.update(HOME=str(folder), TMPDIR=str(folder), MPLCONFIGDIR=str(folder))
        tempfile.tempdir = None
        layers = sandbox.enter(folder, places, settings["memory"], settings["seconds"])
        _reply({"layers": layers, "blocked": sandbox.probe(Path(settings["canary"]), layers)})
        noticed: set[str] = set()
        request = _request()
        own = str(folder)
        sys.addaudithook(lambda event, arguments: _notice(noticed, own, event, arguments))
        function, problem = _load(request["pieces"], request["name"])
        head = {"token": request["token"], "problem": problem, "function": callable(function)}
        _reply(head | {"noticed": sorted(noticed)})
        while True:
            _answer(_request(), function, noticed)
    except BaseException:
        os._exit(0 if isinstance(sys.exception(), EOFError) else 1)


def _keep_only(pipes: list[int]) -> None:
    """Keep the two pipes; no terminal, no socket of the grader, no other file. Die with the server."""
    os.setsid()
    if sandbox.LIBC is not None:
        sandbox.LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)
    high = [fcntl.fcntl(pipe, fcntl.F_DUPFD, 100) for pipe in pipes]
    nothing = os.open(os.devnull, os.O_RDWR)
    for kept, at in ((nothing, 0), (nothing, 1), (nothing, 2), (high[0], REQUESTS), (high[1], REPLIES)):
        os.dup2(kept, at)
    os.closerange(REPLIES + 1, 65536)


def _load(pieces: Sequence[str], name: str) -> tuple[Callable | None, str]:
    """Run the statements of an answer; those that come too early in a shuffled notebook are tried again later."""
    module = types.ModuleType("answers")
    sys.modules["answers"] = module
    space = vars(module)
    space.update(display=lambda *args, **kwargs: None, get_ipython=lambda: None)
    waiting, problem = list(pieces), ""
    while waiting:
        late = []
        for piece in waiting:
            try:
                exec(compile(piece, ANSWERS, "exec", dont_inherit=True), space)
            except NameError as error:
                late.append(piece)
                problem = _words(error)
            except BaseException as error:
                problem = _words(error)
        if len(late) == len(waiting):
            break
        waiting = late
    return space.get(name), problem


def _answer(request: dict, function: Callable | None, noticed: set[str]) -> None:
    """Call the answer once and send what came of it."""
    try:
        inputs, through = pickle.loads(request["call"])
    except BaseException as error:
        _reply({"token": request["token"], "problem": "unreadable", "text": _words(error)})
        return
    _seed(request["seed"])
    try:
        outcome = call(function, inputs, through)
    except SystemExit as error:
        outcome = Outcome(None, "left", _words(error))
    except BaseException as error:
        outcome = Outcome(None, "memory" if isinstance(error, MemoryError) else "stopped", _words(error))
    after = [_numbers(copy, given) for copy, given in zip(outcome.after, inputs, strict=False)]
    arrays = [outcome.value, *after]
    largest = max((array.nbytes for array in arrays if array is not None), default=0)
    if largest > request["limit"]:
        outcome, arrays = Outcome(None, "memory", f"it returned {largest} bytes of numbers"), []
    head = {"token": request["token"], "problem": outcome.problem, "text": str(outcome.text)[:LONGEST_TEXT]}
    _reply(head | {"noticed": sorted(noticed)}, arrays)


def _seed(seed: int) -> None:
    """One seed for all three generators, so that chance is the same at each grading."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - answers may use the old generator
    torch.default_generator.manual_seed(seed)


def _numbers(copy: Any, given: Any) -> np.ndarray | None:
    """An input after the call, where it is made of numbers; None stands for "as it was"."""
    try:
        if callable(given) or np.asarray(_plain(given)).dtype.kind not in "biufc":
            return None
    except Exception:  # a tuple of all sorts of things
        return None
    try:
        array = np.asarray(_plain(copy))
    except Exception:
        return np.empty(0)
    return array if array.dtype.kind in "biufc" else np.empty(0)


def _plain(given: Any) -> Any:
    return given.detach() if hasattr(given, "detach") else given


def _words(error: BaseException) -> str:
    """What an error says, even if it would rather not."""
    try:
        return f"{type(error).__name__}: {error}"[:LONGEST_TEXT]
    except BaseException:
        return "an error that cannot be shown"


def _notice(noticed: set[str], own: str, event: str, arguments: tuple) -> None:
    """Note what an answer has no business doing. This is for whoever reads the report: the cage does not rely on it."""
    what = ODD.get(event)
    if event == "open" and isinstance(arguments[0], str):
        path, mode = os.path.abspath(arguments[0]), str(arguments[1])  # noqa: PTH100 - resolve() would open more
        writes = any(letter in mode for letter in "wax+") and not path.startswith((own, "/dev/"))
        closed = "coursework" in path and not path.endswith(sandbox.PUBLIC)
        if writes or closed or path.startswith("/proc/"):
            what = f"{'write to' if writes else 'read'} {path[:150]}"
    elif event == "import" and _is_closed(str(arguments[0])):
        what = f"import {arguments[0]}"
    if what and _by_the_answer():
        noticed.add(what)


def _by_the_answer() -> bool:
    """Is it the answer itself that acts, and not a library that looks for fonts."""
    frame = sys._getframe(3)  # above are this function, the one that notes, and the hook
    while frame is not None:
        name = frame.f_code.co_filename
        if name == ANSWERS or "-packages" in name:
            return name == ANSWERS
        frame = frame.f_back
    return False


def _is_closed(name: str) -> bool:
    return name.startswith(CLOSED) and name not in OPEN


class _ClosedModules(importlib.abc.MetaPathFinder):
    """Say in words what the cage would refuse anyway."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if _is_closed(fullname):
            raise ImportError(f"{fullname} is closed while answers are graded")


def _request() -> dict:
    """Next request of the grader; EOFError when there is none."""
    (size,) = struct.unpack("<Q", _exactly(8))
    return pickle.loads(_exactly(size))


def _exactly(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(REQUESTS, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _reply(head: dict, arrays: Sequence[np.ndarray | None] = ()) -> None:
    """Write one frame: lengths, a JSON head, raw numbers."""
    plain = [
        None if a is None else np.ascontiguousarray(a).astype(a.dtype.newbyteorder("<"), copy=False) for a in arrays
    ]
    shapes = [None if a is None else [array.dtype.str, list(a.shape)] for a, array in zip(arrays, plain, strict=True)]
    body = b"".join(array.tobytes() for array in plain if array is not None)
    text = json.dumps(head | {"arrays": shapes}).encode()
    frame = struct.pack("<II", len(text), len(body)) + text + body
    while frame:
        frame = frame[os.write(REPLIES, frame) :]
