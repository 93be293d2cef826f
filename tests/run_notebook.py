"""Run student notebooks as a reader would: each alone, in an empty folder, without a network.

On Linux the notebook runs in a network namespace of its own, where there is nothing but the loopback device.
Where that is not allowed (macOS, some containers) Python's sockets refuse every other address instead.
"""

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INSIDE = "CELLMNN_EDU_NO_NETWORK"  # "namespace" or "sockets"

GUARD = """\
import socket

connect, lookup = socket.socket.connect, socket.getaddrinfo
LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "", None}


def refuse(address):
    raise OSError(f"no network in this check: {address!r}")


def guarded_connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOCAL:
        refuse(address)
    return connect(self, address)


def guarded_lookup(host, *rest, **options):
    return lookup(host, *rest, **options) if host in LOCAL else refuse(host)


socket.socket.connect, socket.getaddrinfo = guarded_connect, guarded_lookup
"""


def run_without_network(notebooks: list[Path]) -> int:
    """Run this script again where no network can be reached; return its exit status."""
    command = [sys.executable, __file__, *map(str, notebooks)]
    unshare = shutil.which("unshare")
    namespace = unshare and subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode == 0
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {INSIDE: "namespace" if namespace else "sockets"}
        if namespace:
            command = [unshare, "-rn", *command]
        else:
            Path(folder, "sitecustomize.py").write_text(GUARD)
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        return subprocess.run(command, env=environment, check=False).returncode


def raise_loopback() -> None:
    """Switch on the loopback device of a new namespace (the kernel of a notebook is reached through it)."""
    up = 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", up))  # SIOCSIFFLAGS


def run(notebook: Path) -> str:
    """Execute one notebook in an empty folder; return what went wrong, or nothing."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    content = nbformat.read(notebook, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(content, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}})
        try:
            client.execute()
        except CellExecutionError as error:
            return str(error)
        if left := sorted(path.name for path in Path(folder).iterdir()):
            return f"it left files behind: {', '.join(left)}"
    if any("solution" in cell.metadata.get("tags", []) for cell in content.cells):
        from cellmnn_edu.coursework.release import failed_checks

        if failed := failed_checks(content):
            return f"a solution does not pass its check: {' '.join(failed)}"
    noise = [
        line
        for cell in content.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr"
        for line in re.split(r"[\r\n]+", output.text)
        if line.strip() and not re.search(r"\d+%\|.*\|", line)  # a progress bar may stand there
    ]
    return "it wrote to stderr:\n" + "\n".join(noise) if noise else ""


def main(notebooks: list[Path]) -> int:
    """Run all notebooks; return the number of those that failed."""
    missing = [str(notebook) for notebook in notebooks if not notebook.is_file()]
    if missing or not notebooks:
        print(f"No such notebook: {' '.join(missing) or 'none was named'}. `make notebooks` makes them.")
        return 1
    if INSIDE not in os.environ:
        return run_without_network(notebooks)
    if os.environ[INSIDE] == "namespace":
        raise_loopback()
    os.environ.pop("CELLMNN_EDU_BOOK", None)
    os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    failures = 0
    for notebook in notebooks:
        start = time.monotonic()
        trouble = run(notebook)
        failures += bool(trouble)
        print(
            f"{'FAILED' if trouble else 'ok':6} {notebook} ({time.monotonic() - start:.0f} s) {trouble}",
            flush=True,
        )
    return failures


if __name__ == "__main__":
    sys.exit(main([Path(name).resolve() for name in sys.argv[1:]]))
