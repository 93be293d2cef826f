"""Turn the MyST Markdown of a chapter or an assignment into the cells of a notebook.

A master holds directives, roles and solutions. A notebook holds plain Markdown and code that reads well in Colab
and Jupyter. What is not listed here is an error, so that no raw markup reaches a student.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from . import address

ADMONITIONS = [
    "attention",
    "caution",
    "danger",
    "error",
    "hint",
    "important",
    "margin",
    "note",
    "seealso",
    "sidebar",
    "tip",
    "warning",
]
THEOREMS = "algorithm assumption axiom conjecture corollary definition example lemma proof proposition remark"
FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,}|:{3,})(\{(?P<name>[^}]+)\})?\s*(?P<argument>.*?)\s*")
ROLE = re.compile(r"\{([A-Za-z][\w:.-]*)\}(`+)(.+?)\2", re.S)
CODE, FORMULA = r"(?<![`\\])(`+)(?!`).+?(?<!`)\1(?!`)", r"(?<![\\$])\$(?![\s$])[^$]+?(?<!\s)\$"
LITERAL = re.compile(f"{CODE}|{FORMULA}", re.S)
SOLUTIONS = ("solution", "solution-start", "solution-end")

TEACH = "teach it to cellmnn_edu/coursework/markdown.py or avoid it"


class Cell(NamedTuple):
    """A cell of a notebook."""

    kind: str  # "markdown" or "code"
    source: str
    solution: bool = False


@dataclass
class Book:
    """What a page may refer to."""

    root: Path
    url: str
    version: str
    titles: dict[str, str]  # page -> title
    labels: dict[str, tuple[str, str]]  # label -> page, title
    citations: dict[str, str]  # key -> "Guo et al., 2010"
    # page -> exercises on the pages before it: the site numbers through
    numbered: dict[str, int] = field(default_factory=dict)

    def link(self, title: str, page: str, anchor: str = "") -> str:
        """Write a Markdown link to a place in the published book."""
        return f"[{title}]({address.site(self.url)}/{page}.html{'#' if anchor else ''}{anchor})"


def read_book(root: Path) -> Book:
    """Collect the pages, labels and references under `root/book`."""
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    version = re.search(r'^__version__ = "(.+)"', (root / "cellmnn_edu/__init__.py").read_text("utf-8"), re.M)
    book = Book(root, address.repository(root), version[1], {}, {}, {}, _exercises_before(root))
    for path in sorted((root / "book").rglob("*.md")):
        page, text = path.relative_to(root / "book").with_suffix("").as_posix(), path.read_text("utf-8")
        if heading := re.search(r"^# (.+)$", text, re.M):
            book.titles[page] = heading[1]
        for label, title in re.findall(r"^\(([^)\n]+)\)=\n+(?:#+ (.+))?", text, re.M):
            book.labels[label] = page, title
        for name, title, options in re.findall(r"^ *[`:]{3,}\{([\w:-]+)\} *(.*)\n((?: *:.*\n)*)", text, re.M):
            if label := re.search(r":(?:label|name): *(\S+)", options):
                known = title if name.startswith(("prf:", "exercise")) else ""
                book.labels[label[1]] = page, known or name.removeprefix("prf:").capitalize()
        for label in re.findall(r"\$\$ *\(([\w:-]+)\) *$", text, re.M):
            book.labels[label] = page, "Math"
    for key, entry in parse_file(str(root / "book/references.bib")).entries.items():
        names = [" ".join(person.prelast_names + person.last_names) for person in entry.persons["author"]]
        names = [str(Text.from_latex(name)) for name in names]
        names = [f"{names[0]} et al."] if len(names) > 2 else names
        book.citations[key] = f"{' and '.join(names)}, {entry.fields['year']}"
    return book


def _exercises_before(root: Path) -> dict[str, int]:
    """Number of exercises on the pages that stand earlier in the table of contents; those of assignments have none."""
    toc, before, count = root / "book/_toc.yml", {}, 0
    for page in re.findall(r"file: *(\S+)", toc.read_text("utf-8")) if toc.exists() else []:
        before[page] = count
        if not is_assignment(page):
            text = (root / f"book/{page}.md").read_text("utf-8")
            count += len(re.findall(r"^ *[`:]{3,}\{exercise\}", text, re.M))
    return before


def is_assignment(page: str) -> bool:
    """Whether a page is an assignment."""
    return page.startswith("assignments/")


def closing(lines: list[str], at: int, fence: str) -> int | None:
    """Line of the fence that closes the one at `at`: the same sign, at least as often."""
    pattern = re.compile(rf"\s*{re.escape(fence[0])}{{{len(fence)},}}\s*")
    return next((end for end in range(at + 1, len(lines)) if pattern.fullmatch(lines[end])), None)


def without_solutions(text: str) -> str:
    """Empty the lines of every solution; all other lines stay where they are."""
    return "\n".join(_without_solutions(text.split("\n")))


def _without_solutions(lines: list[str]) -> list[str]:
    kept: list[str] = []
    gated, at = False, 0
    while at < len(lines):
        fence = FENCE.fullmatch(lines[at])
        name = fence["name"] if fence else None
        end = at if fence is None else closing(lines, at, fence["fence"]) or len(lines) - 1
        if gated or name in SOLUTIONS:
            kept += [""] * (end - at + 1)
        elif name and name != "code-cell" and end > at:
            kept += [lines[at], *_without_solutions(lines[at + 1 : end]), lines[end]]
        else:
            kept += lines[at : end + 1]
        gated = name != "solution-end" if name in SOLUTIONS[1:] else gated
        at = end + 1
    return kept


def assignment_page(text: str) -> str:
    """The page of an assignment in the site: no solutions, and exercises with a name but no number."""
    return re.sub(r"^( *)([`:]{3,}\{exercise\}.*)$", r"\1\2\n\1:nonumber:", without_solutions(text), flags=re.M)


class Reader:
    """The cells of a page; `line` is where the reading stands, for messages."""

    def __init__(self, text: str, page: str, book: Book, solutions: bool = False) -> None:
        self.page, self.book, self.solutions, self.line = page, book, solutions, 1
        self.exercises = book.numbered.get(page, 0)
        self.cells: list[Cell] = []
        self.gate = 0  # the line where the gated solution began in which the reading stands
        lines = text.splitlines()
        first = lines.index("---", 1) + 1 if lines and lines[0] == "---" else 0
        self.flush(self.blocks(lines[first:], first + 1, top=True))

    def fail(self, what: str) -> ValueError:
        """Return the error that says where the trouble is."""
        return ValueError(f"book/{self.page}.md:{self.line}: {what}")

    def add(self, kind: str, source: str) -> None:
        """Append a cell."""
        self.cells.append(Cell(kind, source, bool(self.gate)))

    def flush(self, prose: list[str]) -> None:
        """Close the Markdown cell being written."""
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(prose)).strip()
        prose.clear()
        if text:
            self.add("markdown", text)

    def blocks(self, lines: list[str], first: int, top: bool = False) -> list[str]:
        """Rewrite lines. At the top, code cells, headings and exercises begin a new cell."""
        out: list[str] = []
        paragraph: list[str] = []
        at = 0

        def close(new_cell: bool = False) -> None:
            out.extend(self.inline("\n".join(paragraph)).split("\n") if paragraph else [])
            paragraph.clear()
            if new_cell and top:
                self.flush(out)

        while at < len(lines):
            line, self.line = lines[at], first + at
            fence = FENCE.fullmatch(line)
            hidden = self.gate and not self.solutions
            if fence:
                name, end = fence["name"], closing(lines, at, fence["fence"])
                if end is None:
                    raise self.fail(f"{fence['fence']} is never closed")
                close(new_cell=name == "exercise" or (self.solutions and name in SOLUTIONS))
                body = [row.removeprefix(fence["indent"]) for row in lines[at + 1 : end]]
                if name in ("solution-start", "solution-end"):
                    out += self.gated(name)
                elif hidden:
                    pass
                elif name == "code-cell":
                    if (source := self.code(body, top)) is not None:
                        close(new_cell=True)
                        self.add("code", source)
                elif name:
                    made = self.directive(name, fence["argument"], body)
                    out += ["", *(fence["indent"] + row if row else "" for row in made), ""]
                else:
                    out += lines[at : end + 1]
                at = end
            elif hidden or line.startswith("%") or re.fullmatch(r"\([^)]+\)=\s*", line):
                pass
            elif re.match(r"\s*\$\$", line):
                close()
                rest = range(at if line.count("$$") > 1 else at + 1, len(lines))
                end = next((i for i in rest if "$$" in lines[i]), None)
                if end is None:
                    raise self.fail("$$ is never closed")
                out += [*lines[at:end], re.sub(r"\$\$ *\([\w:-]+\) *$", "$$", lines[end])]
                at = end
            elif not line.strip() or line.strip() == "+++":
                close(new_cell=bool(line.strip()))
                out.append("")
            else:
                if line.startswith("#"):
                    close(new_cell=True)
                paragraph.append(line)
            at += 1
        if top and self.gate:
            self.line = self.gate
            raise self.fail("solution-start is never closed by solution-end")
        close()
        return out

    def gated(self, name: str) -> list[str]:
        """Begin or end a solution."""
        if (name == "solution-start") == bool(self.gate):
            raise self.fail("solution-start and solution-end must alternate")
        self.gate = 0 if self.gate else self.line
        return ["#### Solution", ""] if self.gate and self.solutions else []

    def code(self, body: list[str], top: bool) -> str | None:
        """Return the source of a code cell, or None where it is for the site only."""
        if not top:
            raise self.fail("a code-cell inside another directive; put it after that directive")
        options, body = self.options(body)
        return None if "book-only" in str(options.get("tags", "")) else "\n".join(body).strip("\n")

    def options(self, body: list[str]) -> tuple[dict[str, Any], list[str]]:
        """Split the options of a directive, in either notation, from its content."""
        import yaml

        if body and body[0].strip() == "---" and "---" in body[1:]:
            end = body.index("---", 1)
            return yaml.safe_load("\n".join(body[1:end])) or {}, body[end + 1 :]
        found = {}
        while body and (option := re.fullmatch(r" *:([\w-]+): *(.*)", body[0])):
            found[option[1]], body = option[2], body[1:]
        return found, body

    def directive(self, name: str, argument: str, body: list[str]) -> list[str]:
        """Plain Markdown for one directive."""
        here, count = self.line, len(body)
        options, body = self.options(body)
        if name == "solution" and not self.solutions:
            return []
        if name == "solution":
            return ["#### Solution", "", *self.blocks(body, here + 1 + count - len(body))]
        if name == "math":
            return ["$$", *body, "$$"]
        title = self.inline(argument)
        if name in ADMONITIONS:  # what stands beside their name is the beginning of the text
            body, title = [argument, *body], name.capitalize()
        inside = self.blocks(body, here + 1 + count - len(body))
        self.line = here
        if name in ("figure", "image"):
            if not options.get("alt"):
                raise self.fail(f"the figure {argument} has no :alt:; say in one sentence what it shows")
            file = (self.book.root / "book" / self.page).parent.joinpath(argument).resolve()
            path = file.relative_to(self.book.root.resolve()).as_posix()
            return [f"![{options['alt']}]({self.book.url}/raw/main/{path})", "", *inside]
        if name == "exercise":
            unnumbered = is_assignment(self.page) or "nonumber" in options
            self.exercises += not unnumbered
            number = "" if unnumbered else f" {self.exercises}"
            return [f"### Exercise{number}{f' ({title})' if title else ''}", "", *inside]
        if name == "live":
            page = self.book.link("live figure in the book", f"live/{argument}")
            return [f"This is a {page}: open it and drag its handles.", "", *inside]
        if name == "table":
            return [f"**{title}**", "", *inside]
        if name == "dropdown" or "dropdown" in str(options.get("class", "")):
            summary = f"<details><summary>{title or name.capitalize()}</summary>"
            return [summary, "", *inside, "", "</details>"]
        if name.startswith("prf:") and name[4:] in (*THEOREMS.split(), "theorem"):
            title = name[4:].capitalize() + (f" ({title})" if title else "")
        elif name not in ("admonition", *ADMONITIONS):
            raise self.fail(f"unknown directive {{{name}}}; {TEACH}")
        inside = re.sub(r"\n{3,}", "\n\n", "\n".join(inside)).strip().split("\n")
        return [f"> {row}".rstrip() for row in [f"**{title}**", "", *inside]]

    def inline(self, text: str) -> str:
        """Rewrite the roles and links of a paragraph; code and formulas stay as they are."""
        kept: list[str] = []

        def keep(made: str) -> str:
            kept.append(made)
            return f"\0{len(kept) - 1}\0"

        text = ROLE.sub(lambda m: keep(self.role(m[1], re.sub(r"\s+", " ", m[3]))), text)
        text = LITERAL.sub(lambda m: keep(m[0]), text)
        for pattern, what in [(r"\{\{.*?\}\}", "substitution"), (r"\[\^[\w-]+\]", "footnote")]:
            if found := re.search(pattern, text):
                raise self.fail(f"the {what} {found[0]} is not shown in notebooks; write it out")
        text = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", lambda m: self.markdown_link(m[1], m[2]), text)
        return re.sub(r"\0(\d+)\0", lambda m: kept[int(m[1])], text)

    def markdown_link(self, title: str, target: str) -> str:
        """Point a link between pages of the book at the published book."""
        if re.match(r"[a-z]+:", target):
            return f"[{title}]({target})"
        path, _, anchor = target.partition("#")
        if not path:
            return self.reference(anchor, title)
        top = (self.book.root / "book").resolve()
        file = ((top if path[0] == "/" else (top / self.page).parent) / path.lstrip("/")).resolve()
        page = file.relative_to(top).with_suffix("").as_posix() if top in file.parents else ""
        if page not in self.book.titles:
            raise self.fail(f"link to {path}, which is no page of the book")
        return self.book.link(title or self.book.titles[page], page, anchor)

    def reference(self, label: str, title: str = "", prefix: str = "") -> str:
        """Link to a label, named by its title."""
        page, known = self.book.labels.get(label, ("", ""))
        if not page or not (title or known):
            lack = "has no title; give one: {ref}`words <label>`" if page else "no page of the book defines"
            raise self.fail(f"reference to the label {label!r}, which {lack}")
        return self.book.link(title or known, page, prefix + label)

    def role(self, name: str, text: str) -> str:
        """Plain Markdown for one role."""
        titled = re.fullmatch(r"(.+?) *<([^<>]+)>", text)
        title, target = titled.groups() if titled else ("", text)
        if name == "math":
            return f"${text}$"
        if name == "term":
            return title or text
        if name in ("ref", "prf:ref", "numref"):
            return self.reference(target, re.sub(r"\s*(%s|\{number\})", "", title))
        if name == "eq":
            return self.reference(target, "the equation in the book", "equation-")
        if name == "doc":
            return self.markdown_link(title, f"{target.removesuffix('.md')}.md")
        if name.startswith("glue"):  # a number from a cell: the book shows it, the notebook names the variable
            return f"`{text.split(':')[0]}`"
        if name in ("func", "class", "meth", "mod", "attr") or name.startswith("py:"):
            return f"`{title or text.lstrip('~.')}`"
        if name.startswith("cite"):
            keys = re.split(r"\s*,\s*", text)
            if missing := [key for key in keys if key not in self.book.citations]:
                raise self.fail(f"citation of {', '.join(missing)}, not in book/references.bib")
            page, known = "reference/bibliography", self.book.citations
            links = "; ".join(self.book.link(known[key], page, f"cite-{key.lower()}") for key in keys)
            return links if name.startswith("cite:t") else f"({links})"
        raise self.fail(f"unknown role {{{name}}}; {TEACH}")
