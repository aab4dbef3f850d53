"""Checks: what a computer must have before a worker may take anything, and what to do when it lacks it."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from .errors import PreflightFailed, YtfsmError


@dataclass(frozen=True)
class Check:
    """One prerequisite: what was found, and how to mend it when it is not ok."""

    check: str
    ok: bool
    found: str
    fix: str = ""

    def as_json(self) -> dict[str, object]:
        """As `ytfsm doctor --json` prints it."""
        return asdict(self)


def look(name: str, at: Callable[[], str], fix: str, remedies: dict[str, str] | None = None) -> Check:
    """A check by a look that raises YtfsmError where something is missing; `remedies` are for kinds of errors."""
    try:
        return Check(name, True, at())
    except YtfsmError as problem:
        return Check(name, False, str(problem), (remedies or {}).get(getattr(problem, "kind", ""), fix))


def require(found: Iterable[Check]) -> None:
    """Raises PreflightFailed listing everything that is missing."""
    bad = [check for check in found if not check.ok]
    if bad:
        lines = [f"  {check.check}: {check.found}\n    {check.fix}" for check in bad]
        raise PreflightFailed("this machine is not ready, so nothing was claimed:\n" + "\n".join(lines))


def versions(found: Iterable[Check]) -> dict[str, str]:
    """What the journal's header says of this machine's tools."""
    from importlib.metadata import version

    tools = {check.check: check.found for check in found if check.ok}
    return {"ytfsm": version("ytfsm"), "python": sys.version.split()[0], **tools}
