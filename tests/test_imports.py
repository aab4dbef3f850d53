"""What is imported when: the reading commands stay light, and the arrow of who knows whom never runs back."""

import ast
import subprocess
import sys
from collections.abc import Callable, Container
from pathlib import Path

import pytest

from yt_fsm.engine.journal import Journal

ROOT = Path(__file__).parents[1]
HEAVY = {
    "pydantic", "huggingface_hub", "torch", "transformers", "codexapi", "aiohttp", "graphql", "httpx", "requests",
    "rich", "psutil", "asyncio", "transitions",
}  # fmt: skip
# What a command has imported, said at its very end.
TELL = """
import atexit, sys
atexit.register(lambda: print("\\nIMPORTED", *sorted(sys.modules)))
sys.argv = ["ytfsm", *sys.argv[1:]]
from machines.__main__ import main
main()
"""
RUN = "20261122T034107Z-n300-i12-7f3c"


@pytest.fixture
def imported(bare: Path, journals: Callable[..., Journal]) -> Callable[..., set[str]]:
    from machines.bringup import MACHINE

    journal = journals(RUN, machine="bringup", machine_table=MACHINE.table(), issue={"number": 12}, system="n300")
    journal.append("transition", event="lose", source="ready", dest="released", status=None)

    def look(*argv: str, expected: int = 0) -> set[str]:
        done = subprocess.run([sys.executable, "-c", TELL, *argv], capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stderr
        return set(done.stdout.rsplit("IMPORTED", 1)[1].split())

    return look


@pytest.mark.parametrize(
    "argv",
    [
        ("--help",),
        ("run", "--help"),
        ("lab", "--help"),
        ("graph",),
        ("graph", "--run", "7f3c", "--format", "dot"),
        ("runs",),
        ("runs", "--json"),
        ("replay", "7f3c"),
        ("replay", "7f3c", "--json"),
    ],
    ids=" ".join,
)
def test_the_reading_commands_import_nothing_heavy(imported: Callable[..., set[str]], argv: tuple[str, ...]) -> None:
    assert imported(*argv) & HEAVY == set()


def test_the_lab_is_loaded_by_its_own_commands_only(imported: Callable[..., set[str]]) -> None:
    assert "yt_fsm.lab" not in imported("graph") | imported("runs") | imported("replay", "7f3c")
    assert "yt_fsm.lab" in imported("lab", "--help")


def test_what_is_read_says_a_wrong_flag_lightly_too(imported: Callable[..., set[str]]) -> None:
    assert imported("graph", "--format", "gif", expected=2) & HEAVY == set()


def modules(package: str) -> list[Path]:
    """The package's own modules; what the lab and the template ship as data is no part of it."""
    found = (ROOT / package).rglob("*.py")
    return [file for file in found if not {"ttnn_models", "standin"} & set(file.relative_to(ROOT).parts)]


def names(file: Path) -> set[str]:
    """The top-level packages that a module imports anywhere in it, those for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize(("package", "strangers"), [("yt_fsm", {"states", "machines"}), ("states", {"machines"})])
def test_the_arrow_never_runs_back(package: str, strangers: set[str]) -> None:
    assert {str(file): names(file) & strangers for file in modules(package) if names(file) & strangers} == {}


def test_the_contract_of_the_project_says_the_same() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_no_import_runs_in_a_circle() -> None:
    """Imports in functions and for type checkers count, and so do the stand-in and the harness of the template."""
    files = [file for name in ("yt_fsm", "states", "machines") for file in (ROOT / name).rglob("*.py")]
    roots = {"standin": "yt_fsm/lab/standin", "harness": "yt_fsm/ttnn_models/scripts"}
    found = {dotted(file, roots): file for file in files}
    graph = {name: imports_of(file, name, found) - {name} for name, file in found.items()}
    assert len(graph) > 150
    while leaves := [name for name, imported in graph.items() if not imported & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert sorted(graph) == []  # what is left stands in a circle, or imports one


def dotted(file: Path, roots: dict[str, str]) -> str:
    """A module's name as others import it."""
    rel = file.relative_to(ROOT).with_suffix("")
    for root in roots.values():
        if rel.is_relative_to(root):
            rel = rel.relative_to(root)
    return ".".join(rel.parts).removesuffix(".__init__")


def imports_of(file: Path, name: str, known: Container[str]) -> set[str]:
    """Those of the `known` modules that a module imports anywhere in it."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            named = [f"{base}.{alias.name}" for alias in node.names]
            found |= {one if one in known else base for one in named}
    return {one for one in found if one in known}


def test_only_the_shell_starts_processes() -> None:
    """cli draws with Graphviz, which is no part of a run; processes only waits; the lab is a far end."""
    users = {
        str(file.relative_to(ROOT)) for package in ("yt_fsm", "states", "machines") for file in modules(package)
        if "subprocess" in names(file) and "lab" not in file.relative_to(ROOT).parts
    }  # fmt: skip
    assert users <= {"yt_fsm/engine/shell.py", "yt_fsm/cli/main.py", "yt_fsm/engine/processes.py"}


def test_every_module_opens_with_one_sentence() -> None:
    for package in ("yt_fsm", "states", "machines"):
        for file in modules(package):
            doc = ast.get_docstring(ast.parse(file.read_text()))
            assert doc, file
            first = doc.split("\n\n")[0].rstrip()
            assert first.endswith((".", ":")), f"{file}: {first}"
