"""Find answers by their names in what was handed in. Nothing of it runs here.

Cells may be deleted, split, copied, moved or renamed: only what the source text defines counts, and of two
definitions of a name the last one.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import json
import re
import symtable
import warnings
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Beyond these sizes nobody has written by hand.
LARGEST_FILE, LARGEST_CELL, MOST_CODE, MOST_CELLS = 100_000_000, 100_000, 300_000, 10_000
MOST_BRACKETS = 3_000_000  # lists and dicts of JSON take thirty times their text
DEEPEST = 200  # levels of syntax: `ast.unparse` takes three or four frames for each, of a thousand
MOST_NOTES = 40
# Halves of characters, which no file takes; with them what moves a terminal's cursor, or turns the way of writing.
NO_TEXT = re.compile("[\ud800-\udfff]")
NO_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

CONSTANT = (
    ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator, ast.BoolOp,
    ast.boolop, ast.Compare, ast.cmpop, ast.IfExp, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred,
    ast.JoinedStr, ast.FormattedValue, ast.Lambda, ast.arguments, ast.arg, ast.expr_context, ast.keyword,
)  # fmt: skip
# Calls that a constant may be made with: none of them can train anything.
MAKERS = {
    *("abs", "bool", "complex", "dict", "float", "frozenset", "int", "len", "list", "max", "min", "range", "round"),
    *(
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
        "zip",
        "partial",
        "compile",
        "Path",
        "namedtuple",
        "NamedTuple",
        "TypeVar",
    ),
    *(
        "arange",
        "array",
        "asarray",
        "diag",
        "eye",
        "exp",
        "full",
        "linspace",
        "log",
        "ones",
        "sqrt",
        "vectorize",
        "zeros",
    ),
    *("default_rng", "device", "float32", "float64", "manual_seed", "tensor"),
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
BUILTINS = {*dir(builtins), "display", "get_ipython", "__name__", "__file__"}
# These run their cell as Python; any other cell magic hands it to something else.
TIMERS = ("%%time", "%%timeit", "%%capture", "%%prun")


class Cell(NamedTuple):
    """One cell: "code" or "markdown", its text, and its number as a person counts."""

    kind: str
    text: str
    number: int


class Binding(NamedTuple):
    """A top-level statement that gives names a value; `constant` where it may run without running the notebook."""

    node: ast.stmt
    cell: int
    position: int
    constant: bool


class Answer(NamedTuple):
    """Source of one answer.

    Attributes
    ----------
    pieces : tuple of str
        Statements that define it and what it needs, in the order of the notebook.
    missing : dict
        Name -> why it could not be collected.
    notes : tuple of str
        "defined twice ...", for the student.
    text : str
        The answer alone, without comments and docstring; "" for a stub. Same text, same answer.
    """

    pieces: tuple[str, ...] = ()
    missing: dict[str, str] = {}  # noqa: RUF012 - never changed
    notes: tuple[str, ...] = ()
    text: str = ""


class Submission(NamedTuple):
    """What was found in a file: its cells, what they define, who wrote it, and what could not be read."""

    cells: tuple[Cell, ...]
    bindings: dict[str, list[Binding]]
    student: str
    term: str
    notes: tuple[str, ...]


def read(path: Path) -> Submission:
    """Read a notebook or a .py file.

    Parameters
    ----------
    path : Path
        The file that was handed in.

    Returns
    -------
    Submission
        Empty, with a note, where nothing can be read.
    """
    notes: list[str] = []
    cells = _cells(path, notes)
    bindings: dict[str, list[Binding]] = {}
    position = 0
    for cell in cells:
        for node in _statements(cell, notes) if cell.kind == "code" else ():
            for statement in _flat(node):
                position += 1
                constant = _is_constant(statement)
                for name in _names(statement):
                    bindings.setdefault(name, []).append(Binding(statement, cell.number, position, constant))
    student, term = (legible(_literal(bindings, name))[:200].strip() for name in ("STUDENT", "TERM"))
    return Submission(tuple(cells), bindings, student, term or "open", tuple(notes))


def legible(text: str) -> str:
    """One line of text that any file, page and terminal takes."""
    return NO_LINE.sub("\ufffd", re.sub(r"[\t\n\r]+", " ", text))


def answer(submission: Submission, name: str) -> Answer:
    """Collect the source of one answer and of all that it needs.

    Parameters
    ----------
    submission : Submission
        As read.
    name : str
        Of the function.

    Returns
    -------
    Answer
        Without pieces where no such function is defined; the notes then say which names come close.
    """
    found = submission.bindings.get(name)
    if not found:
        return Answer(notes=(_close_names(submission, name),))
    last = _last(found)
    if not last.constant:
        return Answer(notes=(f"`{name}` is computed in cell {last.cell}; only functions are run: write `def {name}`.",))
    notes = []
    written = [binding for binding in found if binding is last or _plain_text(binding.node)]
    if len(written) > 1:
        cells = ", ".join(str(binding.cell) for binding in written)
        notes.append(f"`{name}` is defined {len(written)} times (cells {cells}); the one in cell {last.cell} counts.")
    kept, missing = _closure(submission, name)
    pieces = tuple(ast.unparse(kept[position]) for position in sorted(kept))
    return Answer(pieces, missing, tuple(notes), _plain_text(last.node))


def _last(found: list[Binding]) -> Binding:
    """The binding that counts: the last one, or the last function where its name was given to a result later."""
    functions = [binding for binding in found if isinstance(binding.node, FUNCTIONS)]
    return functions[-1] if functions and not found[-1].constant else found[-1]


def prose(submission: Submission, line: str) -> str:
    """What a student wrote for a line of the rubric that a person marks, such as "Answer 2: a figure read critically".

    It stands after the mark ``**Answer 2.**``, or under a heading of that name; there after ``**Answer.**`` if that is
    still there. "" where nothing is found or written.
    """
    text = "\n\n".join(cell.text for cell in submission.cells if cell.kind == "markdown")
    mark = re.search(rf"\*\*{re.escape(line.split(':')[0])}[.:]?\*\*[.:]?", text)
    found = re.split(r"^ {0,3}#|^\*\*Answer \d", text[mark.end() :], maxsplit=1, flags=re.M)[0] if mark else ""
    if not mark:
        found = re.split(r"\*\*Answer[.:]?\*\*", _under(text, line), maxsplit=1)[-1]
    return found.replace("*Write here.*", "").strip()


def _under(text: str, heading: str) -> str:
    """Text under a heading, up to the next one of its level."""
    lines: list[str] = []
    level = 0
    for line in text.splitlines():
        mark = re.match(r" {0,3}(#{1,6})\s+(.+)", line)
        if mark and level and len(mark[1]) <= level:
            level = 0
        if level:
            lines.append(line)
        elif mark and _same_heading(mark[2], heading):
            level = len(mark[1])
    return "\n".join(lines)


def _same_heading(found: str, wanted: str) -> bool:
    """Do a heading, perhaps "3. Explanation" or "Exercise 3 (Answer 1: why)", and a rubric line mean the same."""
    found = re.sub(r"^Exercise[ \d]*\((.*)\)$", r"\1", re.sub(r"^[\d.\s]+", "", found.strip()))
    labels = [text.split(":")[0].strip().casefold() for text in (found, wanted)]
    plain = [re.sub(r"\W+", " ", text).strip().casefold() for text in (found, wanted)]
    alike = difflib.SequenceMatcher(None, *plain).ratio() > 0.8
    return bool(plain[0]) and (labels[0] == labels[1] or alike or plain[1].startswith(plain[0]))


def _cells(path: Path, notes: list[str]) -> list[Cell]:
    """Cells of the file, as tolerantly as can be: only their kind and their text matter."""
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST_FILE else b""
    except OSError as error:
        notes.append(f"The file cannot be opened ({error.strerror}): hand it in again.")
        return []
    if size > LARGEST_FILE or content.count(b"[") + content.count(b"{") > MOST_BRACKETS:
        notes.append(f"The file has {size / 1e6:.0f} MB; clear its outputs and hand it in again.")
        return []
    text = content.decode("utf-8-sig", errors="replace")
    if path.suffix == ".py":
        return _script_cells(text)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        notes.append(f"This is no readable notebook ({type(error).__name__}: {str(error)[:80]}): hand it in again.")
        return []
    found, size = [], 0
    for number, raw in enumerate(_raw_cells(whole), 1):
        if number > MOST_CELLS or len(notes) > MOST_NOTES:
            notes.append(f"Cells from number {number} on were not read: there are too many.")
            break
        source = raw.get("source", raw.get("input", ""))
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        source = NO_TEXT.sub("\ufffd", source).replace("\ufeff", "")
        kind = {"heading": "markdown"}.get(str(raw.get("cell_type")), str(raw.get("cell_type")))
        if len(source) > LARGEST_CELL or size + len(source) > MOST_CODE:
            notes.append(f"Cell {number} is too long to be read ({len(source)} characters).")
        else:
            size += len(source)
            found.append(Cell(kind, source, number))
    return found


def _raw_cells(whole: object) -> Iterator[dict]:
    """Cells of a notebook of any format; of format 3 they lie in worksheets."""
    if not isinstance(whole, dict):
        return
    sheets = whole.get("worksheets")
    for place in [whole, *(sheets if isinstance(sheets, list) else [])]:
        cells = place.get("cells") if isinstance(place, dict) else None
        yield from (cell for cell in cells if isinstance(cell, dict)) if isinstance(cells, list) else ()


def _script_cells(text: str) -> list[Cell]:
    """Cells of a .py file, between its `# %%` or `# In[3]:` lines; one cell where it has none."""
    cells = []
    for number, part in enumerate(re.split(r"^(?=# ?(?:%%|In ?\[))", text, flags=re.M), 1):
        if re.match(r"# ?%% *\[(markdown|md)\]", part):
            prose = "\n".join(re.sub(r"^# ?", "", line) for line in part.splitlines()[1:])
            cells.append(Cell("markdown", prose, number))
        elif part.strip():
            cells += [Cell("code", part[i : i + LARGEST_CELL], number) for i in range(0, len(part), LARGEST_CELL)]
    return cells


def _statements(cell: Cell, notes: list[str]) -> list[ast.stmt]:
    """Statements of a code cell: as it stands, or without magics, or at least those blocks that can be read."""
    text = cell.text
    first = text.lstrip().split("\n", 1)
    if first[0].startswith("%%"):
        if first[0].split()[0] not in TIMERS:
            return []
        text = first[1] if len(first) > 1 else ""
    for source in (text, _without_magics(text)):
        if (tree := _parse(source)) is not None:
            return tree
    return _readable_blocks(text, cell.number, notes)


def _parse(source: str) -> list[ast.stmt] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "invalid escape sequence" is no concern of the grader's
        try:
            tree = ast.parse(source)
            if _depth(tree) > DEEPEST:
                return None
            ast.unparse(tree)  # what cannot be written again fails here, and not in each place below
            return tree.body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _depth(tree: ast.AST) -> int:
    """Levels of a tree, counted without recursion."""
    depth, level = 0, [tree]
    while level and depth <= DEEPEST:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _without_magics(text: str) -> str:
    """Put `pass` in place of lines that only IPython understands; the indentation stays."""
    kept = []
    for line in text.split("\n"):
        bare = line.strip()
        magic = bare.startswith(("%", "!", "?")) or (bare.endswith("?") and not bare.startswith("#"))
        magic = magic or re.match(r"[\w, ]+= *[%!]", bare) is not None
        kept.append(line[: len(line) - len(line.lstrip())] + "pass" if magic else line)
    return "\n".join(kept)


def _readable_blocks(text: str, number: int, notes: list[str]) -> list[ast.stmt]:
    """Top-level blocks that can be read, when the whole cell cannot; a block begins where no indentation is."""
    lines = text.split("\n")
    goes_on = re.compile(r"\s|$|[)\]}#]|(else|elif|except|finally)\b")
    starts = [i for i, line in enumerate(lines) if not goes_on.match(line)]
    starts = [i for i in starts if not _is_decorated(lines, i)] + [len(lines)]
    found: list[ast.stmt] = []
    at = 0
    while at < len(starts) - 1 and len(notes) < MOST_NOTES:  # each try takes time
        # A string over several lines may hold lines without indentation: try some longer blocks too.
        for end in range(at + 1, min(at + 30, len(starts))):
            source = "\n".join(lines[starts[at] : starts[end]])
            trees = map(_parse, dict.fromkeys((source, _without_magics(source))))
            tree = next((tree for tree in trees if tree is not None), None)
            if tree is not None:
                found += tree
                at = end
                break
        else:
            notes.append(f"Cell {number}, from its line {starts[at] + 1}, is no Python: `{lines[starts[at]][:60]}`.")
            at += 1
    return found


def _is_decorated(lines: list[str], i: int) -> bool:
    return i > 0 and lines[i - 1].startswith("@")


def _flat(node: ast.stmt) -> Iterator[ast.stmt]:
    """A statement, or those inside a top-level `if` or `try`, where people put imports; an import name by name."""
    if isinstance(node, ast.If) and "__name__" in ast.dump(node.test):
        return  # only a script runs this, and no grader
    if isinstance(node, ast.If):
        inside = [*node.orelse, *node.body]
    elif isinstance(node, ast.Try):
        inside = [s for handler in node.handlers for s in handler.body] + node.orelse + node.body
    else:
        inside = []
    if isinstance(node, ast.Import):
        yield from (ast.Import([alias]) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (ast.ImportFrom(node.module, [alias], node.level) for alias in node.names)
    elif not inside:
        yield node
    for part in inside:
        yield from _flat(part)


def _names(node: ast.stmt) -> set[str]:
    """Names that a statement binds at the top level; "*" for a star import."""
    if isinstance(node, FUNCTIONS):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    inner = (c for n in ast.walk(node) if isinstance(n, ast.comprehension) for c in ast.walk(n.target))
    own = {id(n) for n in inner}  # the names of `for x in` inside brackets stay inside
    stored = (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return {n.id for n in stored if id(n) not in own}


def _is_constant(node: ast.stmt) -> bool:
    """May it run without the rest of the notebook: a definition, an import, a value written down."""
    if isinstance(node, (*FUNCTIONS, ast.Import, ast.ImportFrom)):
        return True
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    plain = all(isinstance(part, ast.Name | ast.Tuple | ast.List) for part in targets)
    return plain and all(_is_plain(part) for part in _outside_lambdas(node.value))


def _outside_lambdas(node: ast.expr) -> Iterator[ast.AST]:
    """Walk an expression; the body of a lambda does not run when it is defined."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Lambda) and child is node.body):
            yield from _outside_lambdas(child)


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return name in MAKERS or name.startswith("own_")  # a student's own circuit, of coursework.given
    return isinstance(node, CONSTANT)


def _literal(bindings: dict[str, list[Binding]], name: str) -> str:
    """Text that a name is set to, or "" where it is not written down."""
    if not bindings.get(name):
        return ""
    value = getattr(bindings[name][-1].node, "value", None)
    return str(value.value) if isinstance(value, ast.Constant) and isinstance(value.value, str | int) else ""


def _closure(submission: Submission, name: str) -> tuple[dict[int, ast.stmt], dict[str, str]]:
    """Statements that an answer needs, by position, and the names that cannot be had without running the notebook."""
    kept: dict[int, ast.stmt] = {}
    missing: dict[str, str] = {}
    wanted, seen = [name], {name}
    while wanted:
        name = wanted.pop()
        found = submission.bindings.get(name)
        if not found and name not in BUILTINS:
            missing[name] = (
                f"uses `{name}`, which nothing in the notebook defines: import it or pass it as an argument."
            )
        elif found and not _last(found).constant:
            missing[name] = f"uses `{name}`, which is computed in another cell: pass it as an argument."
        for binding in _all_that_count(found or []):
            if binding.position in kept:  # `a = b = 1` may bind thousands of names
                continue
            kept[binding.position] = node = _StripAnnotations().visit(binding.node)
            needs = _needs(node)
            wanted += sorted(needs - seen)
            seen |= needs
    if missing:  # perhaps a star import brings it, wherever that stands
        kept |= {binding.position: binding.node for binding in submission.bindings.get("*", [])}
    return kept, missing


def _all_that_count(found: list[Binding]) -> list[Binding]:
    """The last binding; of imports all, because `import scipy.stats` adds to `import scipy.linalg`."""
    last = [_last(found)] if found and _last(found).constant else []
    return found if last and all(isinstance(binding.node, ast.Import) for binding in found) else last


class _StripAnnotations(ast.NodeTransformer):
    """Functions do without annotations, which may name what is not there; those of a class's fields stay."""

    def _strip(self, node: ast.AST) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _strip

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node


def _needs(node: ast.stmt) -> set[str]:
    """Global names that a statement uses, itself or later in its functions."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    try:
        tables = [symtable.symtable(ast.unparse(node), "answer", "exec")]
    except (SyntaxError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for table in tables:  # grows while it is read
        tables += table.get_children()
        inside = table.get_type() != "module"
        symbols = (s for s in table.get_symbols() if s.is_referenced() and (s.is_global() or not inside))
        found |= {symbol.get_name() for symbol in symbols}
    return found


def _close_names(submission: Submission, name: str) -> str:
    """Sentence for an answer that is not there."""
    known = [n for n, found in submission.bindings.items() if isinstance(found[-1].node, ast.FunctionDef)]
    close = difflib.get_close_matches(name, known, 3, 0.7)
    if not close:
        return f"No function `{name}` was found."
    others = ", ".join(f"`{other}` (cell {submission.bindings[other][-1].cell})" for other in close)
    return f"No function `{name}` was found, but {others}. Only the name on the sheet earns points."


def _plain_text(node: ast.stmt) -> str:
    """The source without comments, annotations and docstring; "" for a stub."""
    body = getattr(node, "body", None)
    if not isinstance(body, list):
        return ast.unparse(node)
    body = body[1:] if ast.get_docstring(node, clean=False) is not None else body
    if all(_says_nothing(statement) for statement in body):
        return ""
    return "\n".join(map(ast.unparse, [getattr(node, "args", ast.Constant("")), *body]))


def _says_nothing(node: ast.stmt) -> bool:
    """Is this a line of a stub: pass, raise, a constant, `return`, `return None`."""
    if isinstance(node, ast.Return):
        return node.value is None or (isinstance(node.value, ast.Constant) and node.value.value in (None, ...))
    return isinstance(node, ast.Pass | ast.Raise) or isinstance(getattr(node, "value", None), ast.Constant)
