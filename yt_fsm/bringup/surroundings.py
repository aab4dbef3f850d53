"""What a worker of the bringup machine has around its runs: its settings, its queue, and what it must find."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yt_fsm.engine.errors import SetupError, Wait
from yt_fsm.engine.needs import Need
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


def needs(queue: "Issues") -> list[Need]:
    """Every prerequisite, looked at now."""
    from . import preflight

    return preflight.needs(queue.shell, queue.github, queue.settings)  # type: ignore[arg-type]


def hindered(queue: "Issues") -> Wait | None:
    """The limit of the codex account that this machine's runs use, while it is used up (faults W1)."""
    from yt_fsm.tools import codex_limits
    from yt_fsm.tools.codex_home import CodexHome

    settings: Settings = queue.settings  # type: ignore[assignment]
    try:
        account = CodexHome(settings.codex_source, settings.codex_source).account()
    except SetupError:  # which the preflight tells of
        return None
    limit = codex_limits.limited(settings.home, account)
    return Wait(limit[1], limit[0]) if limit else None


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
