"""A grid of independent rows: computed here, in processes or on a Dask cluster, and kept as they finish."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import pickle
import re
import signal
import threading
import tokenize
import traceback
import warnings
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from ._progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from distributed import Client

# A worker thread of Dask shares its process, and with it PyTorch's generator, with the other threads.
_ONE_ROW_A_PROCESS = threading.RLock()
_COLUMNS = ["fingerprint", "setting", "row"]
_CONNECT_SECONDS = 10
_HERE = Path(__file__).parent


class RowsFailed(RuntimeError):
    """Some rows of a grid raised an error; `rows` holds the others."""

    def __init__(self, message: str, rows: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.rows = rows


class _Outcome(NamedTuple):
    """What became of one setting: its row, or the error and where it arose."""

    key: str
    row: dict[str, Any] | None
    error: str = ""
    trace: str = ""


def run_grid(
    row: Callable[..., dict[str, Any]],
    settings: Sequence[dict[str, Any]],
    store: str | os.PathLike[str] | None = None,
    fingerprint: str = "",
    modules: Sequence[str] = (),
    n_jobs: int = 1,
    cluster: str | None = None,
    progress: bool = True,
    desc: str = "rows",
) -> list[dict[str, Any]]:
    """Compute ``row(**setting)`` for every setting, each with one thread; a run that was stopped goes on.

    Parameters
    ----------
    row : callable
        Gives a dict of plain values (numbers, text, None). It may hold data (`functools.partial`): processes share
        large arrays through memory maps, and each Dask worker gets one copy.
    settings : sequence of dict
        Arguments of each row, of plain values. Equal settings are computed once.
    store : path, optional
        A CSV file that keeps every row as soon as it is finished, whatever ends the process. A later call takes from
        it what it finds and computes the rest. One run at a time writes to it.
    fingerprint : str
        Of everything else that decides the rows, such as data: kept rows of another fingerprint are neither used nor
        deleted.
    modules : sequence of str
        Modules of this package that decide the rows. Their code is part of the fingerprint, and a worker that holds
        other code than the process that began the run (edited since, or of another version) is refused.
    n_jobs : int
        Processes on this machine (joblib).
    cluster : str, optional
        Address of a running Dask scheduler, for example "tcp://10.0.0.1:8786": it gets the rows instead. Its workers
        need this package, and one thread each (``dask worker ADDRESS --nthreads 1``).
    progress : bool
        Show a progress bar.
    desc : str
        Its name.

    Returns
    -------
    list of dict
        The rows in the order of `settings`, whatever the order in which they finished.

    Raises
    ------
    RowsFailed
        If rows raised an error: after all others are finished and kept (also in its attribute ``rows``).
    ValueError
        For settings or rows that are not plain, a store that is damaged or not one, or unsuitable workers.
    ConnectionError
        If no scheduler answers, or if it or the processes are lost on the way. What was finished is kept.
    ImportError
        For `cluster` without the library distributed.
    KeyboardInterrupt
        After Ctrl-C; what was finished is kept.
    """
    keys = [_key(setting) for setting in settings]
    modules = tuple(modules)
    code = _code_here(modules)
    kept = _Store(store, fingerprint + code)
    todo = {key: setting for key, setting in zip(keys, settings, strict=True) if key not in kept.rows}
    call = partial(_call, modules, code)
    run = _on_cluster(call, row, todo, cluster) if cluster is not None else _in_processes(call, row, todo, n_jobs)
    failed = []
    total = len(set(keys))
    bar = progress_bar(None, show=progress, desc=desc, unit="row", total=total, initial=total - len(todo))
    # The generators start nothing before their first row, and end what they started when they are closed.
    with bar, closing(run):
        try:
            for outcome in run if todo else ():
                failed.append(outcome) if outcome.row is None else kept.add(outcome.key, outcome.row)
                bar.update()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Interrupted: {kept.report(keys)}") from None
        except ConnectionError as error:
            raise ConnectionError(f"{error} {kept.report(keys)}") from error
    if failed:
        raise _failure(failed, kept, keys)
    return [kept.rows[key] for key in keys]


def _key(setting: dict[str, Any]) -> str:
    try:
        return json.dumps(setting, sort_keys=True, default=_plain)
    except TypeError as error:
        raise ValueError(f"Expected settings of numbers, text and lists of them, got {setting}: {error}.") from None


def _plain(value: Any) -> Any:
    """The Python number behind a number of numpy."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain value")


class _Store:
    """Finished rows of one fingerprint, in memory and (with a path) in a file that is replaced in one go."""

    def __init__(self, path: str | os.PathLike[str] | None, fingerprint: str) -> None:
        self.path, self.fingerprint = None if path is None else Path(path), fingerprint
        self.lines = _read(self.path) if self.path is not None and self.path.exists() else []
        self.rows = {line["setting"]: json.loads(line["row"]) for line in self.lines if self._is_ours(line)}

    def _is_ours(self, line: dict[str, str]) -> bool:
        return line["fingerprint"] == self.fingerprint

    def add(self, key: str, row: dict[str, Any]) -> None:
        self.rows[key] = row
        if self.path is None:
            return
        self.lines.append({"fingerprint": self.fingerprint, "setting": key, "row": json.dumps(row)})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, pd.DataFrame(self.lines, columns=_COLUMNS).to_csv(index=False))

    def report(self, keys: list[str]) -> str:
        """One sentence for a run that ended early."""
        n_finished = len(self.rows.keys() & set(keys))
        count = f"{n_finished} of {len(set(keys))} rows are finished"
        if self.path is None or not n_finished:
            return f"{count}{' and lost, as no store was given' if n_finished else ''}."
        return f"{count} and kept in {self.path}; the same call goes on from there."


def write_whole(path: Path, text: str) -> None:
    """Write a file so that, whatever happens, there is the old one or the new one."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(text, encoding="utf-8", newline="")
    new.replace(path)


def _read(path: Path) -> list[dict[str, str]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        if list(table.columns) != _COLUMNS:
            raise ValueError(f"its columns are {', '.join(table.columns)}")
        for text in (*table["setting"], *table["row"]):
            if not isinstance(json.loads(text), dict):
                raise ValueError(f"no row: {text}")
    except ValueError as error:  # also what pandas and json raise, and bytes that are no text
        raise ValueError(
            f"{path} is not a store of finished rows, or it is damaged ({error}). It is left as it is: move it away, "
            "or name another file."
        ) from None
    return table.to_dict("records")


def _failure(failed: list[_Outcome], kept: _Store, keys: list[str]) -> RowsFailed:
    first, rows = failed[0], [kept.rows[key] for key in keys if key in kept.rows]
    others = kept.report(keys) if kept.path else "The others are in the attribute rows of this error."
    message = f"{len(failed)} of {len(set(keys))} rows failed. The first is {first.key}: {first.error}. {others}"
    error = RowsFailed(message, rows)
    error.add_note(first.trace)
    return error


def _call(
    modules: tuple[str, ...], code: str, row: Callable[..., dict[str, Any]], key: str, setting: dict[str, Any]
) -> _Outcome:
    """One row, or what went wrong: an error must not end the others.

    One thread, so that sums have the same last bits everywhere; and the row as the store would give it back.
    """
    import torch
    from threadpoolctl import threadpool_limits

    if _code_here(modules) != code:
        words = "this worker has other code than the process that began the run: update it, or begin again"
        return _Outcome(key, None, words)
    with _ONE_ROW_A_PROCESS, threadpool_limits(1):
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _Outcome(key, json.loads(json.dumps(row(**setting), default=_plain)))
        except Exception as error:
            return _Outcome(key, None, f"{type(error).__name__}: {error}", traceback.format_exc())
        finally:
            torch.set_num_threads(n_threads)


@cache
def _code_here(modules: tuple[str, ...]) -> str:
    """Read once in each process, as the code is."""
    return code_of(modules) if modules else ""


def _in_processes(call: Callable, row: Callable, todo: dict[str, dict], n_jobs: int) -> Iterator[_Outcome]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # One row at a time: of a batch the finished rows would be lost with the others. "c": arrays may be written to.
    options = {"batch_size": 1, "mmap_mode": "c", "return_as": "generator_unordered"}
    try:
        with warnings.catch_warnings(), Parallel(n_jobs=n_jobs, **options) as run:
            # A worker whose memory has grown is replaced between two rows: nothing is lost, and nothing to be done.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            finished = run(delayed(_quietly)(os.getpid(), call, row, *item) for item in todo.items())
            try:
                for outcome in finished:  # noqa: UP028 (`yield from` would close it by itself, with a warning)
                    yield outcome
            finally:
                with warnings.catch_warnings(action="ignore"):
                    finished.close()
    except TerminatedWorkerError:
        raise ConnectionError("A worker process was killed from outside, perhaps for want of memory.") from None


def _quietly(parent: int, call: Callable, *arguments: Any) -> _Outcome:
    if os.getpid() != parent:
        # Ctrl-C reaches every process of a terminal; the parent ends the others, and they need not complain.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.environ["CELLMNN_EDU_BOOK"] = "1"  # no progress bars but the parent's
    return call(*arguments)


def _on_cluster(call: Callable, row: Callable, todo: dict[str, dict], address: str) -> Iterator[_Outcome]:
    """Rows as the cluster finishes them; what a lost worker had in hand, Dask gives to another one."""
    with _connect(address) as client:
        from cloudpickle import dumps
        from dask import config
        from distributed import as_completed

        # A task and not scattered data: those die with their worker, a task is run again.
        with config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            shared = client.submit(pickle.loads, dumps(row), pure=False)
        # Priorities keep the order, in which the caller put long rows first.
        jobs = {
            client.submit(call, shared, key, setting, pure=False, priority=-place): key
            for place, (key, setting) in enumerate(todo.items())
        }
        try:
            for job in as_completed(jobs, loop=client.loop):
                if job.status == "finished":
                    yield job.result()
                elif job.status == "error":
                    error = job.exception()
                    yield _Outcome(jobs[job], None, f"{type(error).__name__}: {error}")
                else:
                    raise ConnectionError(f"The scheduler at {address} was lost.")
        finally:
            client.cancel([shared, *jobs])


def _connect(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise ImportError(
            "cluster= needs the library distributed, which is not installed: pip install 'cellmnn-edu[cluster]'."
        ) from None
    if not re.fullmatch(r"\w+://\S+:\d+", address):
        raise ValueError(f"Expected cluster as 'tcp://host:port', the address of a Dask scheduler; got {address!r}.")
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConnectionError(
            f"No Dask scheduler answers at cluster={address!r} ({error}): start `dask scheduler`, which prints its "
            "address, and check the port."
        ) from None
    try:
        client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        _check_workers(client, address)
    except BaseException as error:
        client.close()
        if isinstance(error, TimeoutError):
            raise ConnectionError(
                f"The scheduler at {address} has no workers: start some with `dask worker {address} --nthreads 1`."
            ) from None
        raise
    return client


def _check_workers(client: Client, address: str) -> None:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if max(worker["nthreads"] for worker in workers.values()) > 1:
        raise ValueError(
            f"Expected Dask workers of one thread each at {address}, as rows compute with one thread: start more "
            f"processes instead, `dask worker {address} --nworkers 4 --nthreads 1`."
        )


def code_of(modules: Sequence[str], *more: str) -> str:
    """Hash of the code of modules and packages beside this one, and of further text; words in them do not count."""
    digest = hashlib.sha256()
    for module in modules:
        path = _HERE / module
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            digest.update(code_text(file.read_text(encoding="utf-8")).encode())
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def code_text(source: str) -> str:
    """The source without docstrings, comments and blank lines."""
    lines = [list(line) for line in source.splitlines()]
    spans = [
        (*t.start, *t.end) for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        holds_docstring = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if holds_docstring and ast.get_docstring(node) is not None:
            words = node.body[0]
            spans.append((words.lineno, words.col_offset, words.end_lineno, words.end_col_offset))
    for top, left, bottom, right in spans:
        for i in range(top - 1, bottom):
            begin, end = left if i == top - 1 else 0, right if i == bottom - 1 else len(lines[i])
            lines[i][begin:end] = " " * (end - begin)
    return "\n".join(text for line in lines if (text := "".join(line).rstrip()))
