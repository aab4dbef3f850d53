"""Writes the parts of yt_fsm/README.md and yt_fsm/engine/README.md that the code knows best: who imports whom.

    .venv/bin/python scripts/house.py            # rewrites them in place
    .venv/bin/python scripts/house.py --check    # only looks; exit code 1 when they are out of date but for numbers

A room is a package of ours: `machines`, `states`, and each folder of `yt_fsm` with an `__init__.py`. An import counts
wherever it stands, in a function and for type checkers too, and so does what `later` of the engine loads by its name.
A module that another one imports more than once counts once.
"""

import ast
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

from readme import rewrite

ROOT = Path(__file__).resolve().parent.parent
HOUSE, ENGINE = ROOT / "yt_fsm" / "README.md", ROOT / "yt_fsm" / "engine" / "README.md"


@cache
def rooms() -> dict[str, Path]:
    """Each room's folder by its name."""
    inner = sorted(file.parent for file in (ROOT / "yt_fsm").glob("*/__init__.py"))
    return {folder.name: folder for folder in (ROOT / "machines", ROOT / "states", *inner)}


@cache
def modules() -> dict[str, Path]:
    """Each module's file by its name, of all rooms."""
    files = [file for folder in rooms().values() for file in sorted(folder.rglob("*.py"))]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@cache
def parsed(file: Path) -> ast.Module:
    """A module's tree."""
    return ast.parse(file.read_text())


def room_of(module: str) -> str:
    """The room that a module of ours is in."""
    first, *rest = module.split(".")
    return rest[0] if first == "yt_fsm" else first


def imports_of(name: str) -> set[str]:
    """The modules of ours that a module imports, anywhere in it."""
    package = name if modules()[name].name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(parsed(modules()[name])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            named = [f"{base}.{alias.name}" for alias in node.names]
            found |= {one if one in modules() else base for one in named}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "later":
            found |= named_in(node)
    return (found & modules().keys()) - {name}


def named_in(call: ast.Call) -> set[str]:
    """The modules that `later(…)` names: by a text, or by one with a part left open."""
    name = call.args[0]
    if isinstance(name, ast.Constant):
        return {str(name.value)}
    if isinstance(name, ast.JoinedStr):
        parts = [re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in name.values]
        return {module for module in modules() if re.fullmatch("".join(parts), module)}
    return set()


def arrows() -> Counter[tuple[str, str]]:
    """How many imports lead from one room to another."""
    pairs = ((room_of(name), room_of(other)) for name in modules() for other in imports_of(name))
    return Counter((here, there) for here, there in pairs if here != there)


def ordered(found: Counter[tuple[str, str]]) -> list[str]:
    """The rooms, each before those that it imports. Exits when some import each other in a circle."""
    left, order = set(rooms()), []
    while left:
        top = sorted(room for room in left if not any(there == room and here in left for here, there in found))
        if not top:
            sys.exit(f"rooms import each other in a circle: {', '.join(sorted(circle(left, found)))}")
        order += top
        left -= set(top)
    return order


def circle(left: set[str], found: Counter[tuple[str, str]]) -> set[str]:
    """The rooms of `left` without those that import none of it, and then none of the rest: what stands in circles."""
    while bottom := {room for room in left if not any(here == room and there in left for here, there in found)}:
        left = left - bottom
    return left


def sentence(file: Path) -> str:
    """The first sentence of a module's docstring."""
    first = " ".join((ast.get_docstring(parsed(file)) or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.) ", first)[0].replace("|", "\\|")


def lines(file: Path) -> int:
    """How many lines a module has."""
    return len(file.read_text().splitlines())


def house() -> str:
    """The rooms with an arrow for each that one imports, and a row for each with its size and what it is for."""
    found = arrows()
    order = ordered(found)
    out = ["```mermaid", "flowchart TD"]
    out += [f"    {room}" for room in order]
    for here in order:
        out += [f"    {here} -->|{found[here, there]}| {there}" for there in order if found[here, there]]
    out += ["```", "", "| room | modules | lines | what is in it |", "|---|---:|---:|---|"]
    for room in order:
        folder = rooms()[room]
        files = [file for name, file in modules().items() if room_of(name) == room]
        told = f"{len(files)} | {sum(map(lines, files)):,} | {sentence(folder / '__init__.py')}"
        out.append(f"| `{folder.relative_to(ROOT)}/` | {told} |")
    return "\n".join(out)


def engine() -> str:
    """The engine's modules, each with its lines and what it is, and their sum."""
    files = sorted(file for name, file in modules().items() if room_of(name) == "engine")
    out = ["| module | lines | what it is |", "|---|---:|---|"]
    out += [f"| `{file.name}` | {lines(file)} | {sentence(file)} |" for file in files]
    longest = max(files, key=lines)
    total = f"{len(files)} modules; the longest is `{longest.name}`"
    return "\n".join([*out, f"| **sum** | **{sum(map(lines, files)):,}** | {total} |"])


if __name__ == "__main__":
    rewrite(__file__, __doc__, {HOUSE: {"house": house}, ENGINE: {"engine": engine}}, counts=False)
