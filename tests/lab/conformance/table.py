"""The table: what each client saw, row by row, as Markdown, and read back from it."""

import json
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from yt_fsm.lab.misbehaviour import KINDS
from yt_fsm.lab.serving import Running

from . import clients
from .codex import Codex
from .gh import Gh, NewGh
from .git import Git
from .hub import Hub
from .rows import ROWS, SECTIONS
from .scene import Scene, prepare, run

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- table: written by python -m tests.lab.conformance -->\n", "<!-- end -->\n"
FAULTS = "<!-- faults: written by python -m tests.lab.conformance -->\n"
YES, NO, NONE, NOT_RUN = "yes", "NO", "–", "not run"

Outcomes = dict[str, str]


def _asked(client: object) -> Outcomes:
    """What came of each row that the client has a method for."""
    found = {}
    for row in ROWS:
        if hasattr(client, row.key):
            try:
                found[row.key] = getattr(client, row.key)()
            except Exception as problem:
                found[row.key] = f"{type(problem).__name__}: {problem}"
    return found


def _probed(scene: Scene, argv: list[str], **options: object) -> Outcomes:
    """What a probe that is a program of its own says."""
    done = run(scene, *argv, scene.told(), *(row.key for row in ROWS), **options)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _new_gh(scene: Scene) -> Outcomes:
    found = shutil.which("gh", path=sysconfig.get_path("scripts"))
    if found is None:
        raise clients.NotHere("no gh beside this Python")
    return _asked(NewGh(scene, Path(found)))


def _old_gh(scene: Scene) -> Outcomes:
    return _asked(Gh(scene, clients.old_gh()))


def _codex(scene: Scene) -> Outcomes:
    if shutil.which(scene.lab.env["CODEX_BIN"]) is None:
        raise clients.NotHere("no codex on this machine")
    return _asked(Codex(scene))


def _githubkit(scene: Scene) -> Outcomes:
    environment = scene.lab.env | {"PYTHONPATH": str(clients.githubkit())}
    return _probed(scene, [sys.executable, str(HERE / "githubkit_probe.py")], env=environment)


def _octokit(scene: Scene) -> Outcomes:
    folder = clients.octokit()
    return _probed(scene, ["node", str(HERE / "octokit_probe.mjs")], cwd=folder)


@dataclass(frozen=True)
class Column:
    """One client: the service that it speaks to, and how it goes through the rows."""

    service: str
    outcomes: Callable[[Scene], Outcomes]


COLUMNS = {
    "gh, new": Column("GitHub", _new_gh),
    "gh, old": Column("GitHub", _old_gh),
    "git": Column("GitHub", lambda scene: _asked(Git(scene))),
    "githubkit": Column("GitHub", _githubkit),
    "octokit": Column("GitHub", _octokit),
    "huggingface_hub": Column("The Hub", lambda scene: _asked(Hub(scene))),
    "codex": Column("codex's model", _codex),
}


def outcomes(lab: Running, name: str, folder: Path) -> Outcomes:
    """What the client of that name sees in the lab; `folder` is scratch. Raises NotHere."""
    slug = name.replace(", ", "-")
    return COLUMNS[name].outcomes(prepare(lab, slug, folder / slug))


def cells(name: str, seen: Outcomes | None) -> dict[str, str]:
    """The column's cells by operation: a client that is not here (None) says so, and never that it passed."""
    rows = SECTIONS[COLUMNS[name].service]
    if seen is None:
        return {row.operation: NOT_RUN for row in rows}
    return {row.operation: NONE if row.key not in seen else YES if seen[row.key] == row.outcome else NO for row in rows}


def wrong(seen: Outcomes) -> list[str]:
    """What a client saw that it should not have, in words."""
    rows = {row.key: row for row in ROWS}
    return [
        f"{rows[key].operation}: {outcome!r} instead of {rows[key].outcome!r}"
        for key, outcome in seen.items()
        if outcome != rows[key].outcome
    ]


def written(columns: dict[str, dict[str, str]]) -> str:
    """The table as Markdown, one part a service."""
    lines = []
    for service, rows in SECTIONS.items():
        names = [name for name in columns if COLUMNS[name].service == service]
        lines += [f"### {service}", "", _line("operation", "outcome", *names), "|---" * (len(names) + 2) + "|"]
        lines += [_line(row.operation, row.outcome, *(columns[name][row.operation] for name in names)) for row in rows]
        lines.append("")
    return "\n".join(lines)


def _line(*texts: str) -> str:
    return f"| {' | '.join(texts)} |"


def read(text: str) -> dict[str, dict[str, str]]:
    """The columns of a written table: each client's cells by operation, and `outcome`'s."""
    columns: dict[str, dict[str, str]] = {}
    names: list[str] = []
    for line in text.splitlines():
        if not line.startswith("| "):
            continue
        operation, *found = line.removeprefix("| ").removesuffix(" |").split(" | ")
        if operation == "operation":
            names = found
            continue
        for name, cell in zip(names, found, strict=True):
            columns.setdefault(name, {})[operation] = cell
    return columns


def faults_written() -> str:
    """All that can be made to go wrong, as Markdown."""
    lines = [_line("target", "fault", "what happens"), "|---|---|---|"]
    lines += [_line(target, f"`{kind}`", text) for target, kinds in KINDS.items() for kind, text in kinds.items()]
    return "\n".join(lines) + "\n"


def in_readme() -> str:
    """The table as the README has it."""
    return part(BEGIN)[1]


def faults_in_readme() -> str:
    """The list of faults as the README has it."""
    return part(FAULTS)[1]


def put_in_readme(table: str) -> None:
    """Replaces the README's table, and its list of faults."""
    for begin, text in ((BEGIN, table), (FAULTS, faults_written())):
        put(begin, text)


def put(begin: str, text: str) -> None:
    """Replaces one part of the README."""
    before, _, after = part(begin)
    README.write_text(before + begin + text + END + after)


def part(begin: str) -> tuple[str, str, str]:
    """What stands before a mark, between it and its end, and after."""
    before, _, rest = README.read_text().partition(begin)
    inside, _, after = rest.partition(END)
    return before, inside, after
