"""What a worker of the bringup machine has around its runs: its settings, its queue, and what it must find."""

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

    return Issues(settings, shell, BASE, MARK, settings.system, systems_of)


def needs(queue: "Issues") -> list[Check]:
    """Every prerequisite, looked at now."""
    from . import preflight

    return preflight.checks(queue.shell, queue.github, queue.settings)  # type: ignore[arg-type]


def systems_of(labels: tuple[str, ...], body: str) -> set[str]:
    """The systems that an issue's labels name; where they name none, that of its text's field."""
    from yt_fsm.tools.settings import ALIASES, SYSTEMS

    named = {ALIASES.get(label.lower(), label.lower()) for label in labels} & set(SYSTEMS)
    if named or not body:
        return named
    from .brief import fields

    field = fields(body).get("system", "")
    return {ALIASES.get(field, field)}
