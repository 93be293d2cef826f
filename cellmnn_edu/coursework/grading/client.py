"""The grader's end of a worker: start it, hand it an answer, call that with inputs, receive arrays, stop what hangs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from ..outcome import Outcome
from .extract import legible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    "from cellmnn_edu.coursework.grading.worker import main; main(int(sys.argv[1]))"
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")
DTYPES = {
    "<f2",
    "<f4",
    "<f8",
    "<f16",
    "<i1",
    "|i1",
    "<i2",
    "<i4",
    "<i8",
    "|u1",
    "<u2",
    "<u4",
    "<u8",
    "|b1",
    "<c8",
    "<c16",
}
LARGEST_HEAD = 1 << 16


class Limits(NamedTuple):
    """What an answer may take.

    Attributes
    ----------
    call, load, submission : float
        Seconds of one call, of loading one answer, of a whole submission.
    memory : int
        Bytes beside what Python and the libraries take.
    reply : int
        Bytes of numbers that may come back, beside fifty times what went in.
    """

    call: float = 10.0
    load: float = 30.0
    submission: float = 180.0
    memory: int = 1 << 30
    reply: int = 1 << 20


class NotIsolated(RuntimeError):
    """What is raised where the system cannot cage the code of others."""


class Left(Exception):
    """The child is no longer there, or must go; the arguments are the problem and the words of an Outcome."""


class Worker:
    """A process that has everything loaded and knows nothing; `child` makes it fork one that calls an answer.

    Parameters
    ----------
    limits : Limits, optional
        Of every child.
    hidden : sequence of Path
        Folders that no answer may read: the submissions, the results.
    unsafe : bool
        Go on where the system cannot isolate.

    Raises
    ------
    NotIsolated
        Where it cannot, and `unsafe` is not set.
    """

    def __init__(self, limits: Limits | None = None, hidden: Sequence[Path] = (), unsafe: bool = False) -> None:
        if not hasattr(os, "fork"):
            raise NotIsolated(
                "Grading needs Linux (or macOS with --unsafe): this system cannot fork. Take WSL or a container."
            )
        self.limits = limits = limits or Limits()
        self.blocked: dict[str, bool] = {}
        ours, theirs = socket.socketpair()
        path = json.dumps([str(Path(entry).resolve()) for entry in sys.path if entry])
        with theirs:
            # A clean environment: the salt may stand in ours.
            environment = {name: os.environ[name] for name in KEPT if name in os.environ}
            environment |= dict.fromkeys(THREADS, "1") | {"PYTHONHASHSEED": "0", "CELLMNN_EDU_BOOK": "1"}
            self.server = subprocess.Popen(
                [sys.executable, "-P", "-B", "-c", BOOT, str(theirs.fileno()), path],
                pass_fds=[theirs.fileno()], env=environment, cwd="/", start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
        self.control = ours
        closed = [str(Path(path).resolve()) for path in hidden]
        settings = {"hidden": closed, "memory": limits.memory, "seconds": limits.submission}
        ours.sendall(json.dumps(settings).encode())
        if ours.recv(64) != b"ready":
            words = self.server.stderr.read().decode(errors="replace")
            self.close()
            raise RuntimeError(f"The process that calls answers did not start:\n{words[-2000:]}")
        with self.child() as child:
            self.layers, self.blocked = child.layers, child.blocked
        if not all(self.blocked.values()) and not unsafe:
            self.close()
            open_doors = ", ".join(name for name, blocked in self.blocked.items() if not blocked)
            raise NotIsolated(
                f"This system does not isolate the students' code (open: {open_doors}). Grade on Linux 5.13 or newer "
                "with Landlock and seccomp, or in a container that you throw away, with --unsafe."
            )

    def child(self) -> Child:
        """Fork a caged child."""
        child = Child(self.control, self.limits)
        if child.blocked != (self.blocked or child.blocked):
            child.end()
            raise RuntimeError(f"A child of the grader is not caged as the first one was: {child.blocked}.")
        return child

    def close(self) -> None:
        """Stop the server and what it started."""
        self.control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.server.wait(5)
        if self.server.poll() is None:
            self.server.kill()
            self.server.wait()
        self.server.stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Child:
    """One caged process with at most one answer.

    Attributes
    ----------
    layers : list of str
        Of the cage, as `sandbox.enter` names them.
    blocked : dict
        As `sandbox.probe` found it.
    noticed : set of str
        What the answer tried and has no business doing.
    """

    def __init__(self, control: socket.socket, limits: Limits) -> None:
        self.control, self.limits, self.noticed, self.ended = control, limits, set(), False
        requests, self.to_child = os.pipe()
        self.from_child, replies = os.pipe()
        socket.send_fds(control, [b"child"], [requests, replies])
        os.close(requests)
        os.close(replies)
        os.set_blocking(self.to_child, False)
        os.set_blocking(self.from_child, False)
        try:
            head, _ = self._receive(time.monotonic() + 60)
        except Left as left:
            self.end()
            raise RuntimeError(f"A child of the grader did not start: {left}") from None
        self.layers, self.blocked = head["layers"], head["blocked"]

    def load(self, pieces: Sequence[str], name: str) -> str:
        """Run the statements of an answer; return what went wrong, or "".

        Raises
        ------
        Left
            When the child is gone.
        """
        head, _ = self._ask({"pieces": list(pieces), "name": name}, self.limits.load)
        problem = legible(str(head.get("problem", ""))[:500])
        return "" if head.get("function") is True else problem or f"`{name}` is no function"

    def call(self, inputs: tuple, through: Callable | None, seed: int, seconds: float) -> Outcome:
        """Call the answer once.

        Parameters
        ----------
        inputs : tuple
            Its arguments.
        through : callable, optional
            As of a rubric line.
        seed : int
            Of the random numbers that the answer may draw.
        seconds : float
            To wait at most.

        Returns
        -------
        Outcome

        Raises
        ------
        Left
            When the child is gone.
        ValueError
            For inputs that cannot be sent: an error of the assignment.
        """
        try:
            asked = pickle.dumps((inputs, through))
        except Exception as error:
            raise ValueError(
                f"Expected inputs made of numbers, arrays, strings or objects of coursework.given; {error}."
            ) from None
        limit = self.limits.reply + 50 * len(asked)
        head, arrays = self._ask({"call": asked, "seed": seed, "limit": limit}, seconds, 8 * limit)
        problem, text = (legible(str(head.get(key, ""))[:500]) for key in ("problem", "text"))
        whole = len(arrays) == len(inputs) + 1 and arrays[0] is not None and arrays[0].nbytes <= limit
        if not problem and not whole:
            raise Left("forbidden", "sent something that is no answer")
        if problem == "stopped" and ("MemoryError" in text or "allocate memory" in text):
            problem = "memory"
        if problem == "stopped" and text.startswith("SystemExit"):
            problem = "left"
        if problem == "stopped" and (text.startswith("PermissionError") or "is closed while" in text):
            problem = "forbidden"
        if problem:
            return Outcome(None, problem, text)
        after = tuple(x if array is None else array for x, array in zip(inputs, arrays[1:], strict=True))
        return Outcome(arrays[0], "", text, after)

    def end(self, word: bytes = b"end") -> tuple[int, bool]:
        """Kill the child, whatever it does; return its exit code, negative for a signal, and whether it was alive."""
        if self.ended:
            return 0, False
        self.ended = True
        os.close(self.to_child)
        os.close(self.from_child)
        self.control.sendall(word)
        code, _, killed = self.control.recv(64).decode().partition(" ")
        return int(code or 0), bool(killed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def _ask(self, request: dict, seconds: float, largest: int = 0) -> tuple[dict, list]:
        """Send a request and wait for its reply; everything else that may happen is Left."""
        token, until = secrets.token_hex(16), time.monotonic() + seconds
        body = pickle.dumps(request | {"token": token})
        self._send(struct.pack("<Q", len(body)) + body, until)
        head, arrays = self._receive(until, largest)
        if head.get("token") != token:
            raise Left("forbidden", "sent a reply that nobody had asked for")
        noticed = head.get("noticed", ())
        self.noticed |= {legible(str(what)[:200]) for what in noticed[:20]} if isinstance(noticed, list) else set()
        return head, arrays

    def _send(self, data: bytes, until: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self.to_child, select.POLLOUT, until)
            try:
                view = view[os.write(self.to_child, view) :]
            except BrokenPipeError:
                raise self._left() from None

    def _receive(self, until: float, largest: int = 0) -> tuple[dict, list]:
        sizes = struct.unpack("<II", self._exactly(8, until))
        if sizes[0] > LARGEST_HEAD or sizes[1] > largest:
            raise Left("forbidden", "sent something that is no answer")
        try:
            head = json.loads(self._exactly(sizes[0], until))
            return head, list(_arrays(head["arrays"], self._exactly(sizes[1], until)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Left("forbidden", "sent something that is no answer") from None

    def _exactly(self, size: int, until: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait(self.from_child, select.POLLIN, until)
            part = os.read(self.from_child, min(size - len(parts), 1 << 20))
            if not part:
                raise self._left()
            parts += part
        return bytes(parts)

    def _wait(self, pipe: int, what: int, until: float) -> None:
        """Wait until the pipe is ready."""
        poll = select.poll()
        poll.register(pipe, what)
        left = until - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise Left("time", "")

    def _left(self) -> Left:
        """Ask how the child ended."""
        code, alive = self.end(b"left")
        if alive:
            return Left("left", "it closed its pipes")
        if code == -signal.SIGXCPU:
            return Left("time", "")
        if code == -signal.SIGKILL:
            return Left("memory", "the system stopped it")
        return Left("left", f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")


def _arrays(shapes: Any, body: bytes) -> list[np.ndarray | None]:
    """Arrays out of the body of a frame; ValueError where the head does not fit it."""
    found, at = [], 0
    for entry in shapes:
        if entry is None:
            found.append(None)
            continue
        dtype, shape = entry
        if dtype not in DTYPES or len(shape) > 32 or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
            raise ValueError("no array")
        size = math.prod(shape) * np.dtype(dtype).itemsize
        # An array without numbers may claim any number of rows, and a judge would count them.
        if at + size > len(body) or (size == 0 and max(shape) > 1 << 20):
            raise ValueError("too short")
        found.append(np.frombuffer(body[at : at + size], dtype).reshape(shape).copy())
        at += size
    if at != len(body):
        raise ValueError("too long")
    return found
