"""The janitor: clears away what dead runs left: workspaces, processes, files that are of no use any more."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from . import processes, store
from .errors import JournalDamaged, NotFound, Owned, SetupError, Usage
from .journal import Journal, held
from .machine import Definition
from .processes import end_survivors
from .removal import ours, remove, remove_file
from .run import ROLES, mark_of
from .settings import Settings
from .workspace import Workspace, prefix, run_of

log = logging.getLogger("ytfsm")

UNBORN_SECS = 10.0  # a run's folder is older than that without a journal only when its maker died


def clean(settings: Settings, definitions: Iterable[Definition]) -> list[str]:
    """Remove what dead, finished runs left.

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
        own = path.name.startswith(prefix(mark_of(settings.home, header)))
        if own and _removed(lambda path: Workspace(path).delete(), path):
            done.append(f"workspace {path}")
    done += _look_after(settings.runs, machines)
    return done


def _end_processes(settings: Settings, run_id: str, machines: Mapping[str, Definition]) -> list[str]:
    """End what a run that nobody walks left running; nobody begins to walk it meanwhile."""
    folder = settings.runs / run_id
    reading = store.reading_of(folder, machines)
    if reading.verdict == "corrupt" or not reading.records:
        return []
    try:
        with held(folder / "journal.jsonl"):
            mark = mark_of(settings.home, reading.records[0])
            ended = [pid for role in ROLES for pid in end_survivors(mark.as_role(role))]
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


# What a run that died after its last record leaves in its folder, and what is there before its journal is.
_AFTER = ("ballast", "run_record.new")
_BEFORE = {"config.json", "ballast", "journal.new"}


def _look_after(runs: Path, machines: Mapping[str, Definition]) -> list[str]:
    """Clear away what is left in the folders of runs that are over, and folders of runs that never began.

    A settled run that nobody writes any more is looked at once, when nothing is left of it, and never again.
    """
    done = []
    try:
        with store.index(runs, machines) as index:
            for name, entry in index.unclean().items():
                folder = runs / name
                if entry is None:
                    if _unborn(folder, machines) and _removed(remove, folder):
                        done.append(f"run {name}, which never began")
                    continue
                quiet = entry.settled and ours(folder) and not _alive(folder)  # before it is looked through
                left = [folder / after for after in _AFTER if os.path.lexists(folder / after)]
                gone = [path for path in left if _over(folder, machines) and _removed(remove_file, path)]
                done += [f"{path.name} of {name}" for path in gone]
                if quiet and gone == left:
                    index.cleaned(entry)
    except Usage as problem:
        log.warning("%s", problem)
    return done


def _unborn(folder: Path, machines: Mapping[str, Definition]) -> bool:
    """Whether a run's maker died before its journal had its header: nothing had happened yet."""
    if not ours(folder) or not any(re.fullmatch(one.run_id, folder.name, re.ASCII) for one in machines.values()):
        return False
    try:
        begun = not set(os.listdir(folder)) <= _BEFORE
        fresh = time.time() - folder.lstat().st_mtime <= UNBORN_SECS
    except OSError:
        return False
    return not begun and not fresh and not _alive(folder)


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
