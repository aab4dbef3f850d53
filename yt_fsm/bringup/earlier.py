"""Earlier work: what the last run of an issue left on this machine, or on the issue's branch, to go on from.

The newest evidence wins: runs of one issue follow each other, so the one that began last knows most, wherever its work
lies. It was written by codex, which nobody reviewed: it is only laid into codex's own clone.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from yt_fsm.engine import store
from yt_fsm.engine.errors import AnswerTooLarge, SetupError
from yt_fsm.engine.journal import Record
from yt_fsm.engine.outside import shown
from yt_fsm.engine.removal import ours, remove
from yt_fsm.engine.replay import state_of

from . import archive, unfinished
from .prompt import clip

if TYPE_CHECKING:
    from yt_fsm.tools.git import Repository

    from .run import BringupRun

log = logging.getLogger("ytfsm")

ATTEMPTS = 10  # of those before, that codex is told of
ERROR_CHARS = 2000  # of each
_NAMED = 10  # files that are left out, in words
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Earlier(NamedTuple):
    """An earlier run: `file` is what it kept on this machine, None where its branch is all there is.

    `base` is the commit of the models repo that its work began at, `branch` the name of what a bundle of finished work
    holds. `attempts` are the checks so far, over all the runs that it began from.
    """

    run_id: str
    file: Path | None = None
    base: str = ""
    branch: str = ""
    attempts: tuple[dict[str, Any], ...] = ()


def begin_from(run: "BringupRun", repository: "Repository", author: str | None) -> None:
    """Lay into codex's clone, which is at the base of today, what an earlier run of the issue left, if anything.

    `author` is the dead run that pushed the issue's branch, whose tip `run.facts.tip` is. What lies outside of the
    bringup's folders is left out. Which run it was and what it tried becomes a fact. Work that cannot be read is passed
    over: a run is never the worse for it.
    """
    for found in _newest_first(run, author):
        left = _lay(run, repository, found)
        if left is None:
            continue
        run.facts.earlier = {
            "run_id": found.run_id,
            "by": "kept" if found.file else "branch",
            "left_out": left,
            "attempts": list(found.attempts),
        }
        where = found.file or f"the branch {run.facts.branch}"
        log.info("run_id=%s begins from the work of %s, in %s", run.run_id, shown(found.run_id), where)
        return


def lay_again(run: "BringupRun", repository: "Repository") -> None:
    """The same into a new clone of the same run, while it has nothing of its own."""
    known = run.facts.earlier
    if not known:
        if run.facts.tip:  # of a run that an earlier ytfsm began
            _lay(run, repository, Earlier(""))
        return
    found = Earlier(known["run_id"])
    if known["by"] == "kept":
        here = _of(run, run.settings.runs / known["run_id"])
        if here is None:
            log.warning("run_id=%s the work of %s is not there any more", run.run_id, shown(known["run_id"]))
            return
        found = here
    _lay(run, repository, found)


def _newest_first(run: "BringupRun", author: str | None) -> Iterator[Earlier]:
    """The runs to go on from. A tie is this machine's, which knows what was tried."""
    for found in _here(run):
        if author and author > found.run_id:  # ids begin with the time
            yield _pushed(run, author)
            author = None
        yield found
    if author:
        yield _pushed(run, author)


def _pushed(run: "BringupRun", author: str) -> Earlier:
    """The branch of a run; what it tried is known where it was one of this machine's."""
    if re.fullmatch(run.definition.run_id, author, re.ASCII):
        records = _records(run, run.settings.runs / author)
        return Earlier(author, attempts=_attempts(records))
    return Earlier(author)


def _here(run: "BringupRun") -> Iterator[Earlier]:
    """This machine's runs of the issue that have kept work, newest first, back to the last that was published.

    Whose issue a run was stands in its name, and whether it has work is a file: only then its journal is read.
    """
    tag = f"-{run.subject.tag}-"
    for folder in store.everyone(run.settings.runs, tag):
        if folder.name == run.run_id or not _files(folder):
            continue
        records = _records(run, folder)
        if _published(records):
            return
        if found := _of(run, folder, records):
            yield found


def _files(folder: Path) -> list[Path]:
    """What a run kept, the best first."""
    artifacts = folder / "artifacts"
    found = [unfinished.Kept(artifacts).file, artifacts / "work.bundle"]
    return [file for file in found if file and file.is_file() and not file.is_symlink()]


def _records(run: "BringupRun", folder: Path) -> list[Record]:
    """The journal of a run of the same issue; [] when it is another's, or cannot be believed."""
    if not ours(folder):
        return []
    reading = store.reading_of(folder, {run.definition.name: run.definition})
    if reading.verdict == "corrupt" or not reading.records:
        return []
    records, header = reading.records, reading.records[0]
    same = (run.definition.name, run.settings.system, run.issue.id)
    return records if (header["machine"], header.get("system"), header.get("issue", {}).get("id")) == same else []


def _published(records: list[Record]) -> bool:
    last = records[-1] if records else {}
    return state_of(records) == "review" and last.get("kind") == "end" and bool(last.get("published"))


def _of(run: "BringupRun", folder: Path, records: list[Record] | None = None) -> Earlier | None:
    """What a run left; None when that is nothing, or of another model or revision."""
    records = _records(run, folder) if records is None else records
    facts = {record["name"]: record["value"] for record in records if record["kind"] == "fact"}
    asked = run.brief.hf_revision or ""
    other = _COMMIT.fullmatch(asked) and facts.get("revision") not in (None, "", asked)
    files = _files(folder)
    if not files or facts.get("model") != run.facts.model or other:
        return None
    passed = state_of(records) == "review"  # then what was committed is newer than what was unfinished
    file = files[-1] if passed else files[0]
    branch = str(facts.get("branch", "")) if file.name == "work.bundle" else ""
    return Earlier(folder.name, file, str(facts.get("base", "")), branch, _attempts(records))


def _attempts(records: list[Record]) -> tuple[dict[str, Any], ...]:
    """The checks of a run and of those that it began from, the last of them, in short."""
    found: list[dict[str, Any]] = []
    for record in records:
        if record["kind"] == "fact" and record["name"] == "earlier":
            before = record["value"].get("attempts")
            found = [{"error": one["error"]} for one in before] if _are_attempts(before) else []
        elif record["kind"] == "attempt":
            found.append({"error": clip(record["error"], ERROR_CHARS) if record["error"] else None})
        elif record["kind"] == "refused" and state_of(records) == "review":
            found.append({"error": clip(f"All checks passed, but then: {record['error']}", ERROR_CHARS)})
    return tuple(found[-ATTEMPTS:])


def _are_attempts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("error", 0), str | None) for one in value
    )


def _lay(run: "BringupRun", repository: "Repository", found: Earlier) -> str | None:
    """Put a run's files of the bringup's folders into codex's clone; what is left out, None when there is no work."""
    own, agent = unfinished.folders(run), run.workspace.agent
    try:
        if found.file and found.file.name.endswith(".tar.gz"):
            archive.unpack(found.file, agent, own)
            return ""
        tree = _tree(run, repository, found)
        if tree is None:
            return None
        for folder in own:
            repository.export(tree, agent, folder)
        return _outside(repository, found.base, tree, own)
    except (SetupError, OSError) as problem:
        log.warning("run_id=%s the work of %s cannot be used: %s", run.run_id, shown(found.run_id), problem)
        for folder in own:  # half of it may be there
            remove(agent / folder)
            repository.export(run.facts.base, agent, folder)
        return None


def _tree(run: "BringupRun", repository: "Repository", found: Earlier) -> str | None:
    """The tree, or the commit, that has a run's files."""
    if found.file is None:
        return run.facts.tip if run.facts.tip and repository.has(run.facts.tip) else None
    if found.branch:
        return repository.unbundle(found.file, found.branch)
    return repository.fetch_aside(found.file)


def _outside(repository: "Repository", base: str, tree: str, own: list[str]) -> str:
    """What the tree changed outside of the bringup's folders, in words; "" where that is nothing, or not known."""
    if not _COMMIT.fullmatch(base) or not repository.has(base):
        return ""
    try:
        changes = repository.changes(base, tree)
    except AnswerTooLarge:
        return "very many files"
    names = [c.path for c in changes if not c.path.startswith(tuple(f"{folder}/" for folder in own))]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(shown(name, 80) for name in names[:_NAMED]) + more
