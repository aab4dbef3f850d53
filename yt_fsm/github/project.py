"""The board: the labels, the Project and the Status options that workers assume (§3.1, §3.2)."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from yt_fsm.engine.errors import PreflightFailed, SetupError

from .client import STATUSES, TIMEOUT_SECS, GitHub

TITLE = "TTNN Models Bringup"
COLOURS = {
    "assessing": "GRAY",
    "ready": "BLUE",
    "in progress": "YELLOW",
    "setup error": "ORANGE",
    "failed": "RED",
    "in review": "PURPLE",
    "done": "GREEN",
    "reference error": "PINK",
}


@dataclass(frozen=True)
class Label:
    """A label that routes issues (§3.2); its colour is six hexadecimal digits."""

    name: str
    colour: str
    description: str


@dataclass(frozen=True)
class Part:
    """One part of the board: `state` is `ok`, `made` or (with --check) `missing`."""

    part: str
    state: str
    detail: str

    def as_json(self) -> dict[str, str]:
        """As `ytfsm init-board --json` prints it."""
        return asdict(self)


def ensure(github: GitHub, labels: Iterable[Label], check: bool) -> list[Part]:
    """Make what is missing (with `check`, only say so). Raises PreflightFailed when it cannot be done safely."""
    return [*_labels(github, labels, check), *_project(github, check)]


def _labels(github: GitHub, labels: Iterable[Label], check: bool) -> list[Part]:
    repository = github.repository()
    there = {node["name"].lower() for node in repository["labels"]["nodes"]}  # GitHub has no two that differ in case
    parts = []
    for label in labels:
        if label.name.lower() in there:
            parts.append(Part(f"label {label.name}", "ok", "exists"))
        elif check:
            parts.append(Part(f"label {label.name}", "missing", f"not in {github.repo}"))
        else:
            argv = ["gh", "label", "create", label.name, "-R", github.repo, "--color", label.colour]
            github.shell.run([*argv, "--description", label.description], name="gh-label", timeout=TIMEOUT_SECS)
            parts.append(Part(f"label {label.name}", "made", f"in {github.repo}"))
    return parts


def _project(github: GitHub, check: bool) -> list[Part]:
    if github.number is None and not github.title:
        github.title = TITLE
    parts = []
    try:
        board = github.find_board()
        parts.append(Part("project", "ok", board.url))
    except PreflightFailed as problem:
        if github.number is not None:
            raise
        if check:
            return [Part("project", "missing", str(problem))]
        url = github.create_project(github.title or TITLE)
        parts.append(Part("project", "made", url))
        board = github.find_board()
    missing = [status for status in STATUSES if status not in board.options]
    if not missing:
        return [*parts, Part("status options", "ok", ", ".join(STATUSES))]
    if check:
        return [*parts, Part("status options", "missing", ", ".join(missing))]
    if board.status_field and board.items:
        # GitHub can only overwrite the options as a whole, and every card would lose its Status.
        raise PreflightFailed(
            f"{board.url} has {board.items} card(s) and lacks the Status option(s) {', '.join(missing)}. Adding them "
            "through the API would clear every card's Status: add them by hand, in the board's settings, field Status"
        )
    options = [{"name": status, "color": COLOURS[status], "description": ""} for status in STATUSES]
    if board.status_field:
        github.mutate("set_options", field=board.status_field, options=options)
    else:
        github.mutate("create_field", project=board.id, options=options)
    found = github.find_board()
    if any(status not in found.options for status in STATUSES):
        raise SetupError(f"{board.url}: the Status options did not stay as they were set")
    return [*parts, Part("status options", "made", ", ".join(STATUSES))]
