"""Recovery: going on with a run after a crash or a stop, ending one properly, and clearing away what is left.

A journal whose lock is free has no live writer: the lock goes with the process, however it died.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from yt_fsm.bringup.workspace import Workspace, prefix, run_of
from yt_fsm.github import publishing
from yt_fsm.github.client import GitHub, Issue
from yt_fsm.github.lease import stamp

from . import processes, records, store
from . import run as runs
from . import walk as engine
from .errors import (
    GitHubError,
    JournalDamaged,
    Lost,
    NotFound,
    Owned,
    SetupError,
    StopRequested,
    Usage,
    Verdict,
)
from .journal import Journal, held
from .machine import Definition, reachable
from .processes import end_survivors
from .removal import ours, remove, remove_file
from .replay import state_of
from .run import Run
from .settings import Settings
from .shell import StopFlag

log = logging.getLogger("ytfsm")

CRASHES = 3  # in one state: then a person has to look
UNBORN_SECS = 10.0  # a run's folder is older than that without a journal only when its maker died


def open_run(
    folder: Path, definition: Definition, settings: Settings, github: GitHub, stop: StopFlag, ending: bool = False
) -> Run:
    """Take a run over from its dead owner. Raises Owned, JournalDamaged, or Usage when it cannot go on.

    The run's own settings are not used again, but for what identifies its issue: today's machine and today's
    settings decide, as the operator may have mended them. A run that is only to be ended leaves by the edges it had.
    """
    redact = settings.redactor()
    _readable(folder, definition)
    journal = Journal.open(folder / "journal.jsonl", redact)
    try:
        header = journal.records[0]
        problem = store.stranger(header, folder, definition) or records.lacking(header)
        if problem:
            raise JournalDamaged(f"{journal.path} is damaged at line 1: {problem}; it is left as it is")
        if header["machine"] != definition.name:
            raise Usage(f"{header['run_id']} is a run of the machine {header['machine']!r}")
        if header["system"] != settings.system:
            raise Usage(f"{header['run_id']} is of {header['system']} and this worker is {settings.system}")
        if journal.records[-1]["kind"] == "end":
            raise NotFound(f"{header['run_id']} is complete: there is nothing to go on with")
        machine = definition.as_in(header["machine_table"]) if ending else definition
        if not ending:
            _still_valid(journal, header, definition)
        run = runs.assemble(machine, settings, journal, _issue(header["issue"]), github, stop, redact)
        # What the dead owner started may live on: codex would write into the workspace and hold the board, gh could
        # still send a request that we are about to look for.
        for role in runs.ROLES:
            end_survivors(run.mark.as_role(role))
        _own_workspace(run)
    except BaseException:
        journal.close()
        raise
    return run


def _readable(folder: Path, definition: Definition) -> None:
    """Raise JournalDamaged unless the folder is a run's, and its journal that run's; the file is left as it is."""
    reading = store.reading_of(folder, {definition.name: definition})
    if reading.verdict == "corrupt":
        raise JournalDamaged(f"{folder / 'journal.jsonl'} is damaged: {reading.detail}; it is left as it is")


def _own_workspace(run: Run) -> None:
    """A journal's word for a folder is no proof: a run that names one which cannot be its own gets another."""
    if "workspace" not in run.facts:
        return
    try:
        Workspace.of(run.facts["workspace"], run.settings.tmp_root, run.mark)
    except SetupError as problem:
        log.error("run_id=%s %s; what it names is left alone, and the run gets a new one", run.run_id, problem)
        run.new_workspace()


def _still_valid(journal: Journal, header: dict[str, Any], definition: Definition) -> None:
    """Raise Usage unless every edge that the run could still take exists unchanged today."""
    state = state_of(journal.records) or definition.initial
    if state not in definition.states:
        raise Usage(f"the machine has changed since {header['run_id']} began: it has no state `{state}` any more")
    then = reachable(header["machine_table"], state)
    now = reachable(definition.table(), state)
    changed = sorted({str(edge[0]) for edge in then - now})
    if changed:
        raise Usage(
            f"the machine has changed since {header['run_id']} began ({', '.join(changed)} from `{state}` on): it "
            f'cannot go on; end it with `ytfsm abandon {header["run_id"]} --reason "…"`'
        )


def _issue(data: dict[str, Any]) -> Issue:
    names = ("id", "number", "title", "body", "url", "item", "status")
    return Issue(labels=tuple(data["labels"]), **{name: data[name] for name in names})


def resume(run: Run) -> None:
    """Go on with a run: claim first, then what its state needs, then the walk. Raises as `engine.walk`."""
    run.journal.append("resumed", state=run.state, **runs.owner())
    engine.walk(run, lambda: _take_up(run, going_on=True))


def abandon(run: Run, reason: str, *events: str) -> None:
    """End a run properly, by the first of `events` that leads on, a bid by `lose`.

    The default is `give_up` from bringup and checking (the work is preserved), else `release`. A run whose verdict
    stands and only is not published ends unpublished.
    """
    run.journal.append("resumed", state=run.state, abandon=reason, **runs.owner())
    if run.final:
        run.refused = f"abandoned: {reason}"
        run.journal.append("refused", error=run.refused)
        engine.tear_down(run)
        return

    def give_back() -> None:
        _take_up(run, going_on=False)
        if run.next_event is None:
            wanted = (*events, "give_up", "release", "lose")
            event = next(e for e in wanted if run.definition.allows(e, run.state))
            run.journal.append("verdict", state=run.state, event=event, error="Abandoned", text=f"abandoned: {reason}")
            run.next_event = event

    engine.walk(run, give_back)


def _take_up(run: Run, going_on: bool) -> None:
    """The lease (claim protocol, RESUME), then the state's surroundings; an error decides the next event."""
    try:
        if run.state == run.definition.initial:
            raise Lost("the run had not won its claim when it ended")
        if run.refused or run.arrived_by == "lose":
            return  # the issue is no longer this run's: its claim must not look alive again before it is ended
        _reclaim(run)
        if not run.final:
            run.definition.restore(run, going_on)
    except Verdict as verdict:
        if run.final:
            engine.settle(run, verdict)
        else:
            engine.judge(run, verdict)


def _reclaim(run: Run) -> None:
    """RESUME: the claim must be alive and alone, and the card where this run left it.

    Raises Lost; the claim is released by who settles that, or on the way out. Raises
    StopRequested when GitHub does not answer: the run is no verdict's as long as nobody knows whose the issue is.
    """
    terminal = [r["status"] for r in run.journal.records if r["kind"] == "transition" and r["status"]]
    statuses = (run.definition.base, run.definition.mark, *terminal)
    try:
        if told(run, terminal[-1] if terminal else ""):
            return  # the issue knows: the claim is dead by that, and rightly so
        run.lease.resume(run.claim_text(heartbeat=stamp()), statuses)
    except GitHubError as problem:
        raise StopRequested(f"{run.run_id} waits, as GitHub did not confirm its claim: {problem}", 1) from None
    run.heartbeat.start()


def told(run: Run, status: str) -> bool:
    """Whether the run needs its claim no more: it has said its last word (looked for), or begun to release it."""
    if any(r["kind"] == "effect.intent" and r["effect"] == "release" for r in run.journal.records):
        return True
    return run.effects.look("comment", status, lambda _: publishing.posted(run)) is not None


def unfinished(settings: Settings, definition: Definition) -> Iterator[Path]:
    """This machine's runs that nobody walks and that can go on, oldest first; damaged ones are named and left."""
    host = runs.owner()["host"]
    for folder in reversed(store.everyone(settings.runs)):
        reading = store.reading_of(folder, {definition.name: definition})
        if reading.verdict == "corrupt" or not reading.records:
            log.error("%s: its journal is damaged (%s); it is left alone", folder.name, reading.detail)
            continue
        header, last = reading.records[0], reading.records[-1]
        owner = next(r for r in reversed(reading.records) if r["kind"] in ("header", "resumed"))
        mine = (
            header["machine"] == definition.name and header["system"] == settings.system and owner.get("host") == host
        )
        if last["kind"] == "end" or not mine:
            continue
        if _crashes(reading.records) >= CRASHES:
            log.error(
                "%s crashed %d times in one state: see `ytfsm replay`, then resume or abandon", folder.name, CRASHES
            )
            continue
        yield folder


def _crashes(records: list[dict[str, Any]]) -> int:
    """How often the run crashed since its last transition."""
    count = 0
    for record in reversed(records):
        if record["kind"] == "transition":
            break
        count += record["kind"] == "crashed"
    return count


def clean(settings: Settings, definitions: Iterable[Definition]) -> list[str]:
    """The janitor: remove what dead, finished runs left (workspaces, processes, files that are of no use any more).

    Says what it removed; what it may not or cannot remove is logged once a process and tried again at the next start.
    Nothing is touched that is not provably a run's of this home: of our own user, under no link, with the name that
    such a run gives it, and a journal that can be believed. Live runs are not touched, and what an unfinished run left
    is its own to use when it goes on.
    """
    machines = {definition.name: definition for definition in definitions}
    done = []
    for run_id in processes.marked():
        done += _end_processes(settings, run_id, machines)
    for path in _named(settings.tmp_root, "ytfsm-*"):
        named = run_of(path.name)
        if named is None or not _over(settings.runs / named[0], machines):
            continue
        header = store.reading_of(settings.runs / named[0], machines).records[0]
        own = path.name.startswith(prefix(runs.mark_of(settings.home, header)))
        if own and _removed(lambda path: Workspace(path).delete(), path):
            done.append(f"workspace {path}")
    for name in ("ballast", "run_record.new"):  # of a run that died after its last record
        for path in _named(settings.runs, f"*/{name}"):
            if _over(path.parent, machines) and _removed(remove_file, path):
                done.append(f"{name} of {path.parent.name}")
    for folder in _unborn(settings.runs, machines):
        if _removed(remove, folder):
            done.append(f"run {folder.name}, which never began")
    return done


def _end_processes(settings: Settings, run_id: str, machines: Mapping[str, Definition]) -> list[str]:
    """End what a run that nobody walks left running; nobody begins to walk it meanwhile."""
    folder = settings.runs / run_id
    reading = store.reading_of(folder, machines)
    if reading.verdict == "corrupt" or not reading.records:
        return []
    try:
        with held(folder / "journal.jsonl"):
            mark = runs.mark_of(settings.home, reading.records[0])
            ended = [pid for role in runs.ROLES for pid in end_survivors(mark.as_role(role))]
    except (Owned, NotFound, JournalDamaged):
        return []
    return [f"process {pid} of {run_id}" for pid in ended]


def _named(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError as problem:
        log.warning("%s cannot be looked through: %s", folder, problem.strerror)
        return []


_said: set[str] = set()


def _removed(how: Callable[[Path], object], path: Path) -> bool:
    try:
        how(path)
    except SetupError as problem:
        if str(problem) not in _said:
            _said.add(str(problem))
            log.error("%s; it is tried again at each start", problem)
        return False
    return True


def _over(folder: Path, machines: Mapping[str, Definition]) -> bool:
    """Whether this is the folder of a run that has ended, and whose process is gone."""
    reading = store.reading_of(folder, machines)
    ended = reading.verdict == "ok" and bool(reading.records) and reading.records[-1]["kind"] == "end"
    return ended and ours(folder) and not _alive(folder)


# What is in a run's folder before its journal is.
_BEFORE = {"config.json", "ballast", "journal.new"}


def _unborn(runs_folder: Path, machines: Mapping[str, Definition]) -> list[Path]:
    """The folders of runs whose maker died before their journal had its header: nothing had happened yet."""
    found = []
    for path in _named(runs_folder, "*"):
        if not ours(path) or not any(re.fullmatch(one.run_id, path.name, re.ASCII) for one in machines.values()):
            continue
        try:
            begun = not set(os.listdir(path)) <= _BEFORE
            fresh = time.time() - path.lstat().st_mtime <= UNBORN_SECS
        except OSError:
            continue
        if not begun and not fresh and not _alive(path):
            found.append(path)
    return found


def _alive(folder: Path) -> bool:
    """Whether some process writes the run's journal, or is about to begin it."""
    for name in ("journal.jsonl", "journal.new"):
        try:
            Journal.probe(folder / name)
        except Owned:
            return True
        except (NotFound, JournalDamaged):
            continue
    return False
