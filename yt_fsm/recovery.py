"""Recovery: going on with a run after a crash or a stop, ending one properly, and clearing away what is left.

A journal whose lock is free has no live writer: the lock goes with the process, however it died.
"""

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import engine, publishing, store
from . import run as runs
from .errors import GitHubError, Lost, NotFound, Owned, StopRequested, Usage, Verdict
from .github import GitHub, Issue
from .journal import Journal
from .lease import stamp
from .machine import Definition, reachable
from .replay import state_of
from .run import Run
from .settings import Settings
from .shell import MARKER, StopFlag, end_survivors
from .workspace import Workspace, remove

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
    journal = Journal.open(folder / "journal.jsonl", redact)
    try:
        header = journal.records[0]
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
    except BaseException:
        journal.close()
        raise
    # What the dead owner started may live on: codex would write into the workspace and hold the board, gh could
    # still send a request that we are about to look for.
    for marker in (run.run_id, f"{run.run_id}:github", f"{run.run_id}:heartbeat"):
        end_survivors(marker)
    return run


def _still_valid(journal: Journal, header: dict[str, Any], definition: Definition) -> None:
    """Raise Usage unless every edge that the run could still take exists unchanged today."""
    state = state_of(journal.records) or definition.initial
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


def unfinished(settings: Settings, machine: str) -> Iterator[Path]:
    """This machine's runs that nobody walks and that can go on, oldest first; damaged ones are named and left."""
    host = runs.owner()["host"]
    for folder in reversed(store.everyone(settings.runs)):
        reading = store.reading_of(folder)
        if reading.verdict == "corrupt" or not reading.records:
            log.error("%s: its journal is damaged (%s); it is left alone", folder.name, reading.detail)
            continue
        header, last = reading.records[0], reading.records[-1]
        owner = next(r for r in reversed(reading.records) if r["kind"] in ("header", "resumed"))
        mine = header["machine"] == machine and header["system"] == settings.system and owner["host"] == host
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


def clean(settings: Settings) -> list[str]:
    """The janitor: remove what dead, finished runs left (workspaces, processes, files that are of no use any more).

    Says what it removed. Live runs are not touched.

    What an unfinished run left is its own to use when it goes on.
    """
    import os
    import signal

    done = []
    for pid, run_id in _marked():
        folder = settings.runs / run_id
        if (folder / "journal.jsonl").exists() and not _alive(folder):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            done.append(f"process {pid} of {run_id}")
    pattern = re.compile(r"ytfsm-(\d{8}T\d{6}Z-\w+-i\d+-[0-9a-f]{4})-")
    for path in sorted(settings.tmp_root.glob("ytfsm-*")):
        named = pattern.match(path.name)
        if not named:
            continue
        if _over(settings.runs / named[1]):
            Workspace(path).delete()
            done.append(f"workspace {path}")
    for name in ("ballast", "run_record.new"):  # of a run that died after its last record
        for path in settings.runs.glob(f"*/{name}"):
            if _over(path.parent):
                path.unlink(missing_ok=True)
                done.append(f"{name} of {path.parent.name}")
    for folder in _unborn(settings.runs):
        remove(folder)
        done.append(f"run {folder.name}, which never began")
    return done


def _over(folder: Path) -> bool:
    """Whether this is the folder of a run that has ended, and whose process is gone."""
    if not (folder / "journal.jsonl").exists() or _alive(folder):
        return False
    reading = store.reading_of(folder)
    return reading.verdict != "corrupt" and bool(reading.records) and reading.records[-1]["kind"] == "end"


def _unborn(runs_folder: Path) -> list[Path]:
    """The folders of runs whose maker died before their journal had its header: nothing had happened yet."""
    if not runs_folder.is_dir():
        return []
    folders = [path for path in runs_folder.iterdir() if path.is_dir() and not (path / "journal.jsonl").exists()]
    return [path for path in folders if time.time() - path.stat().st_mtime > UNBORN_SECS and not _alive(path)]


def _alive(folder: Path) -> bool:
    """Whether some process writes the run's journal, or is about to begin it."""
    for name in ("journal.jsonl", "journal.new"):
        try:
            Journal.probe(folder / name)
        except Owned:
            return True
        except FileNotFoundError:
            continue
    return False


def _marked() -> Iterator[tuple[int, str]]:
    """Every process that a run started, with the run's id."""
    import os

    import psutil

    for process in psutil.process_iter():
        try:
            marker = process.environ().get(MARKER, "")
        except psutil.Error:
            continue
        if marker and process.pid != os.getpid():
            yield process.pid, marker.split(":")[0]
