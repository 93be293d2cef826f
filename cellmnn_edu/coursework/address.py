"""The address of the project: read from `_config.yml`, and written everywhere else (`make address`)."""

import re
import sys
from pathlib import Path

TEXT = {".cff", ".md", ".py", ".toml", ".yml", ".yaml", ".txt", ".bib", ".json", ".svg", ".css", ""}
SKIP = {".git", ".venv", "_build", "build", "dist", "third_party", "notebooks", "__pycache__", "data"}


def repository(root: Path) -> str:
    """Return the address of the repository, from the one place where it is written by hand."""
    config = (root / "_config.yml").read_text(encoding="utf-8")
    found = re.search(r"^repository:.*\n(?:[ \t]+.*\n)*?[ \t]+url:[ \t]*[\"']?([^\s\"'#]+)", config, re.M)
    if not found:
        raise ValueError("_config.yml has no `repository: url:`; give the address of the project there.")
    url = found[1].rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise ValueError(
            f"repository: url: in _config.yml is {url!r}; expected https://github.com/<owner>/<name> "
            "(the links to Colab and Pages are made from these two names)."
        )
    return url


def slug(url: str) -> str:
    """Return `owner/name`."""
    return "/".join(url.split("/")[-2:])


def site(url: str) -> str:
    """Return the address of the published book, without a slash at the end."""
    owner, name = slug(url).split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}" if name.lower() == host else f"https://{host}/{name}"


def colab(url: str, name: str) -> str:
    """Return the address that opens the generated notebook `name` in Colab."""
    return f"https://colab.research.google.com/github/{slug(url)}/blob/main/book/notebooks/{name}.ipynb"


def text_files(root: Path) -> list[Path]:
    """Every text file that people write and that may name the address."""
    found = [
        path
        for path in root.rglob("*")
        if path.suffix in TEXT and not SKIP & set(path.relative_to(root).parts) and path.is_file()
    ]
    return sorted([*found, *root.glob("data/**/*.md")])


def rewrite(root: Path) -> list[Path]:
    """Put the address of `_config.yml` in place of the one applied last; return the changed files.

    The address applied last is the Repository entry of pyproject.toml.
    """
    new = repository(root)
    applied = re.search(r'^Repository = "([^"]+)"', (root / "pyproject.toml").read_text("utf-8"), re.M)
    if not applied:
        raise ValueError("pyproject.toml has no `Repository = ...` under [project.urls]; add it.")
    old = applied[1].rstrip("/")
    # Whole names only: my-lab/book must not match inside my-lab/bookshelf.
    parts = [
        (re.compile(re.escape(site(old)) + r"(?![\w-])"), site(new)),
        (re.compile(r"(?<![\w.-])" + re.escape(slug(old)) + r"(?![\w-])"), slug(new)),
    ]
    changed = []
    for path in text_files(root):
        if path.name == "_config.yml":
            continue
        try:
            before = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        after = before
        for pattern, text in parts:
            after = pattern.sub(text.replace("\\", r"\\"), after)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    try:
        for file in rewrite(Path()):
            print("rewrote", file)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))
