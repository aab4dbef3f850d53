"""What a worker of the bringup machine has around its runs: its settings, its queue, and what it must find."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yt_fsm.engine.checks import Check
from yt_fsm.engine.shell import Shell

if TYPE_CHECKING:
    from yt_fsm.github.queue import Issues

    from .settings import Settings

BASE, MARK = "ready", "in progress"  # the Status of an issue that may be claimed, and of one that is


def settings() -> Any:
    """The class of its settings, which loads pydantic."""
    from .settings import Settings

    return Settings


def queue(settings: "Settings", shell: Shell) -> "Issues":
    """The ready issues for this machine's system."""
    from yt_fsm.github.queue import Issues

    return Issues(settings, shell, BASE, MARK, settings.system, partial(systems_of, settings.systems_dir))


def needs(queue: "Issues") -> list[Check]:
    """Every prerequisite, looked at now."""
    from . import preflight

    return preflight.checks(queue.shell, queue.github, queue.settings)  # type: ignore[arg-type]


def systems_of(folder: Path | None, labels: tuple[str, ...], body: str) -> set[str]:
    """The systems that an issue's labels name, in any case; where they name none, that of its text's field.

    `folder` has a team's own systems.
    """
    from yt_fsm.tools import systems

    names = systems.known(folder).named
    named = {names[label.lower()] for label in labels if label.lower() in names}
    if named or not body:
        return named
    from .brief import fields

    field = fields(body).get("system", "").lower()
    return {names.get(field, field)}
