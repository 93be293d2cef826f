"""The set-up cell that stands first in every notebook: it does nothing outside Google Colab."""

import re

# Doubled braces and {url}, {version}, {times} are for str.format. numpy and torch are kept as they are:
# Colab has loaded them, and another version would need a restart.
SETUP = """\
# In Google Colab this cell installs the book's package; anywhere else it does nothing.
import re
import subprocess
import sys
from importlib.metadata import version


def install(package):
    \"\"\"Install the package and load it; return what went wrong, if anything did.\"\"\"
    keep = [f"{{name}}=={{version(name)}}" for name in ("numpy", "torch")]  # so no restart is needed
    command = [sys.executable, "-m", "pip", "install", "-q", *keep, package]
    pip = subprocess.run(command, capture_output=True, text=True)
    if pip.returncode == 0:
        try:
            from cellmnn_edu import cli
        except Exception as error:
            return (
                f"The package is installed but does not load ({{type(error).__name__}}: {{error}}). "
                "Choose Runtime > Restart session, then run this cell again."
            )
        return ""
    if re.search("No space left|Errno 28", pip.stderr):
        return "The disk is full. Choose Runtime > Disconnect and delete runtime, then run this cell again."
    if re.search("resolve host|name resolution|onnection|unreachable|timed out", pip.stderr):
        return "There is no connection to fetch the package. Wait a moment, then run this cell again."
    reason = re.search("(?:fatal|ERROR): (.+)", pip.stderr)
    return (
        f"pip could not install the package ({{reason[1] if reason else 'it gave no reason'}}). "
        "Run this cell again; if it fails again, report this line at {url}/issues."
    )


if "google.colab" in sys.modules:
    print("Installing the book's package: about a minute ...", end="\\r", flush=True)
    trouble = install("cellmnn-edu @ git+{url}@v{version}")
    if trouble:
        print(trouble)
    else:
        from cellmnn_edu import cli

        cli.doctor("{times}")"""


def times_of(text: str) -> str:
    """What the card of a page says after **Time:**, without the full stop; empty where it says nothing."""
    found = re.search(r"^\*\*Time:\*\* *(.+?)\.? *$", text, re.M)
    return re.sub(r'[*_`$"\\]', "", found[1]) if found else ""


def setup_cell(url: str, version: str, text: str) -> str:
    """Source of the set-up cell of the page `text`."""
    return SETUP.format(url=url, version=version, times=times_of(text))
