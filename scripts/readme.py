"""Writes the parts of README.md that the code knows best: the diagram, the environment table and the example.

    .venv/bin/python scripts/readme.py            # rewrites them in place
    .venv/bin/python scripts/readme.py --check    # only looks; exit code 1 when they are out of date

A part stands between `<!-- NAME: … -->` and `<!-- end -->`; what is between them is replaced.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

Parts = dict[str, Callable[[], str]]

README = Path(__file__).resolve().parent.parent / "README.md"

# What a default is called when it depends on the machine.
ELSEWHERE = {
    "tmp_root": "the system's temp folder",
    "home": "`ytfsm` in the user's state folder (`~/.local/state`)",
}
_NUMBER = re.compile(r"\d[\d,]*")
_TOLD = re.compile(r" \(default: (.*)\)$")


def diagram() -> str:
    """The bringup machine, as `ytfsm graph` prints it."""
    from machines import MACHINES
    from yt_fsm.engine.diagram import mermaid

    return f"```mermaid\n{mermaid(MACHINES['bringup'].table())}```"


def environment() -> str:
    """Every setting with its environment variable, its default and what it means, from yt_fsm.engine.settings."""
    from yt_fsm.bringup.settings import Settings

    variables = Settings.variables()
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = field.description or ""
        told = _TOLD.search(meaning)
        if field.is_required():
            default = "required"
        elif name in ELSEWHERE:
            default = ELSEWHERE[name]
        elif told:
            default = told[1]
        elif field.default is None:
            default = "–"
        else:
            default = f"`{_plain(field.get_default(call_default_factory=True))}`"
        lines.append(f"| `{variables[name]}` | {default} | {_TOLD.sub('', meaning)} |")
    return "\n".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"  # as ytfsm.toml has it
    return f"{value:g}" if isinstance(value, float) else str(value)


def example() -> str:
    """The machine of its own, as its script has it."""
    text = (README.parent / "scripts" / "example_machine.py").read_text()
    return f"```python\n{text.rstrip()}\n```"


def faults() -> str:
    """Whose fault what is, and what follows, as the engine has it."""
    from yt_fsm.engine.faults import table

    return table()


PARTS: Parts = {"diagram": diagram, "faults": faults, "environment": environment, "example": example}


def fresh(text: str, page: Path, parts: Parts) -> str:
    """`text` with each part as the code has it now. Exits when a part's marks are not there once."""
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            sys.exit(f"{page.name} must have one part between `<!-- {name}: … -->` and `<!-- end -->`")
        text = pattern.sub(lambda found, part=part: f"{found[1]}{part()}\n{found[2]}", text)
    return text


def rewrite(script: str, usage: str | None, pages: dict[Path, Parts], counts: bool = True) -> None:
    """Rewrite the pages' parts, or with --check exit with 1, naming the first page that would change.

    Without `counts` a page that differs in its numbers only is up to date: each line of code would change one.
    """
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(usage)
    for page, parts in pages.items():
        text = page.read_text()
        wanted = fresh(text, page, parts)
        if text == wanted:
            continue
        if sys.argv[1:]:
            if not counts and _NUMBER.sub("", text) == _NUMBER.sub("", wanted):
                continue
            sys.exit(
                f"{page.relative_to(README.parent)} is out of date: run .venv/bin/python scripts/{Path(script).name}"
            )
        page.write_text(wanted)


def main() -> None:
    """Rewrite README.md, or with --check say whether it would change."""
    rewrite(__file__, __doc__, {README: PARTS})


if __name__ == "__main__":
    sys.path.insert(0, str(README.parent))
    main()
