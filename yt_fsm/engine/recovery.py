"""Recovery: going on with a run after a crash or a stop, and ending one properly.

A journal whose lock is free has no live writer: the lock goes with the process, however it died.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import records, store, walk
from .errors import JournalDamaged, NotFound, SetupError, Usage
from .journal import Journal
from .machine import LOSE, Definition, reachable
from .processes import end_survivors
from .queue import Queue
from .replay import refusal_of, state_of
from .run import ROLES, Hold, Run, assemble, owner
from .settings import Settings
from .shell import Shell
from .workspace import Workspace

log = logging.getLogger("ytfsm")

CRASHES = 3  # in one state: then a person has to look


def open_run(
    folder: Path, definition: Definition, settings: Settings, queue: Queue, shell: Shell, ending: bool = False
) -> Any:
    """Take a run over from its dead owner. Raises Owned, JournalDamaged, or Usage when it cannot go on.

    The run's own settings are not used again, but for what identifies its subject: today's machine and today's
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
        refusal = refusal_of(journal.records)
        if journal.records[-1]["kind"] == "end" and (ending or not (refusal and refusal.get("again"))):
            raise NotFound(f"{header['run_id']} is complete: there is nothing to go on with")
        subject = queue.of(header)
        machine = _as_it_was(definition, journal) if ending else definition
        if not ending:
            _still_valid(journal, header, definition)
        run = assemble(machine, settings, journal, subject, shell, redact)
        # What the dead owner started may live on: codex would write into the workspace and hold the board, gh could
        # still send a request that we are about to look for.
        for role in ROLES:
            end_survivors(run.mark.as_role(role))
        _own_workspace(run)
    except BaseException:
        journal.close()
        raise
    return run


def _as_it_was(definition: Definition, journal: Journal) -> Definition:
    try:
        return definition.as_in(journal.records[0]["machine_table"])
    except ValueError as problem:
        raise JournalDamaged(f"{journal.path} is damaged at line 1: {problem}; it is left as it is") from None


def _readable(folder: Path, definition: Definition) -> None:
    """Raise JournalDamaged unless the folder is a run's, and its journal that run's; the file is left as it is."""
    reading = store.reading_of(folder, {definition.name: definition})
    if reading.verdict == "corrupt":
        raise JournalDamaged(f"{folder / 'journal.jsonl'} is damaged: {reading.detail}; it is left as it is")


def _own_workspace(run: Run) -> None:
    """A journal's word for a folder is no proof: a run that names one which cannot be its own gets another."""
    if not run.facts.workspace:
        return
    try:
        Workspace.of(run.facts.workspace, run.settings.tmp_root, run.mark)
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


def resume(run: Run) -> None:
    """Go on with a run: its subject first, then what its state needs, then the walk. Raises as `walk.walk`.

    What was refused for good is published anew where its record had ended with that: a person asked, and may have
    mended what refused it.
    """
    anew = run.journal.records[-1]["kind"] == "end"
    run.journal.append("resumed", state=run.state, **owner(), **({"anew": True} if anew else {}))
    if anew:
        run.refused, run.untold = None, False
    walk.walk(run, lambda: _take_up(run, going_on=True))


def abandon(run: Run, reason: str, *events: str) -> None:
    """End a run properly, by the first of `events`, then of the machine's `ends`, that leads on.

    A run whose verdict stands and only is not published ends unpublished. Raises Usage when its machine gives a run
    in this state no such end.
    """
    if not run.final and end_of(run, *events) is None:
        run.journal.close()
        raise Usage(f"{run.run_id} stands in `{run.state}`, and the `ends` of its machine do not lead out of that")
    run.journal.append("resumed", state=run.state, abandon=reason, **owner())
    if run.final:
        run.refused = f"abandoned: {reason}"
        run.journal.append("refused", error=run.refused)
        walk.tear_down(run)
        return

    def give_back() -> None:
        _take_up(run, going_on=False)
        if run.next_event is None:
            event = end_of(run, *events)
            run.journal.append("verdict", state=run.state, event=event, error="Abandoned", text=f"abandoned: {reason}")
            run.next_event = event

    walk.walk(run, give_back)


def end_of(run: Run, *events: str) -> str | None:
    """The event by which a person may end a run: the first of `events`, then of its machine's `ends`, that leads on."""
    ways = (event for event in (*events, *run.definition.ends) if run.definition.allows(event, run.state))
    return next(ways, None)


def _take_up(run: Run, going_on: bool) -> None:
    """The subject (of an issue: RESUME), then the state's surroundings; an error decides what is next."""

    def restore() -> None:
        run.definition.restore(run, going_on)

    try:
        if run.refused or run.arrived_by == LOSE:
            return  # the subject is no longer this run's, and must not look as if it were before that is written down
        run.subject.take_up()
        if not run.final:
            restore()
    except Exception as problem:
        run.patient &= going_on  # who ends a run does not wait
        walk.settle(run, problem)
        if run.pause:  # what its work needs is not all there, so it is looked for again before that is entered
            run.pause = run.pause._replace(back=[Hold("surroundings", run.leave_workspace, False, restore)])


def unfinished(settings: Settings, definition: Definition, queue: Queue) -> Iterator[Path]:
    """This machine's runs that nobody walks and that can go on, oldest first; damaged ones are named and left."""
    here = owner()
    for folder in reversed(store.unfinished(settings.runs, {definition.name: definition})):
        reading = store.reading_of(folder, {definition.name: definition})
        if reading.verdict == "corrupt" or not reading.records:
            log.error("%s: its journal is damaged (%s); it is left alone", folder.name, reading.detail)
            continue
        header, last = reading.records[0], reading.records[-1]
        taken = next(r for r in reversed(reading.records) if r["kind"] in ("header", "resumed"))
        same = taken.get("host") == here["host"] or taken.get("machine_id", "") == here["machine_id"] != ""  # renamed
        mine = header["machine"] == definition.name and queue.owns(header) and same
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
