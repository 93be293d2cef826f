"""Sphinx extension: the Colab button and the notebook download point at the generated student notebook.

The theme would open the Markdown source in Colab, which cannot read it. It also writes the scripts of Thebe,
which we do not use, onto every page: twice, which is an error in the console, and with a foreign address.
"""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

from cellmnn_edu.coursework import address, release


def is_thebe(file: Any) -> bool:
    """Whether a script, in a file or in the page, belongs to Thebe."""
    return "thebe" in f"{file.filename} {file.attributes.get('body', '')}".lower()


def use_generated_notebook(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Replace the link of the Colab button, and the file behind the download button; drop Thebe."""
    context["script_files"] = [file for file in context.get("script_files", []) if not is_thebe(file)]
    groups = [group for group in context.get("header_buttons", []) if group.get("label") == "launch-buttons"]
    buttons = [button for group in groups for button in group["buttons"] if button["text"] == "Colab"]
    if not buttons:
        return
    notebook = Path(app.srcdir) / "notebooks" / f"{release.stem(page)}.ipynb"
    if not notebook.exists():
        logging.getLogger(__name__).warning("%s has no generated notebook; run `make notebooks`", page)
        return
    for button in buttons:
        button["url"] = address.colab(address.repository(Path(app.srcdir).parent), notebook.stem)
        button["tooltip"] = "Run this page in Google Colab"
    copy = Path(app.outdir) / "_sources" / f"{page}.ipynb"
    if copy.exists():
        shutil.copyfile(notebook, copy)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register after the theme has made its buttons."""
    app.connect("html-page-context", use_generated_notebook, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
