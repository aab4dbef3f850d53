"""The index of runs: what each journal said when it was last read, so that 100,000 runs that are over cost next to
nothing.

A cache and nothing else, `index.sqlite` in YTFSM_HOME: whoever deletes it loses the time of reading every journal once.
A row counts while its seal fits its text, its journal has the size, time and inode that it had before it was read,
and it was read with the machine as that is today; else the journal is read anew and the row mended. The folder of
runs is listed each time, so a run that is new or gone is seen at once. Only a *settled* run, one whose journal is
whole and can never have another record, is not looked at each time: some are, by chance.

Nothing here raises for the file's sake: one that is no index, is of another version or cannot be read is made anew,
and where none can be made, read or written, the journals are read. Several processes may use it at once.
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import Usage
from .journal import digest

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger("ytfsm")

FILE = "index.sqlite"
VERSION = 1  # goes up with the table, with what a row says, and with what counts as damage in a journal
ROUND = 2000  # settled runs that are looked at again each time: what is wrong of 100,000 does not stay so for long
BATCH = 200  # journals read between two short transactions, and what a kill costs
BUSY_SECS = 1.0  # then what another process holds is done without
SAID_EACH = 1000  # journals read: some seconds

_NOT_ITS_FAULT = ("locked", "full", "disk I/O", "newer")  # what is said when another file would fare no better


class Told(NamedTuple):
    """What reading a journal gave: the run's line and what it waits for, how it was read ("" fits nobody), and whether
    it is settled.
    """

    line: dict[str, Any]
    waits: dict[str, Any] | None
    reader: str
    settled: bool


class Entry(NamedTuple):
    """A row; `size`, `mtime` (ns) and `inode` are the journal's before it was read.

    `clean` says that the janitor has looked at it since it is settled. `line` and `waits` are JSON.
    """

    name: str
    size: int
    mtime: int
    inode: int
    reader: str
    settled: int
    clean: int
    line: str
    waits: str

    @property
    def seal(self) -> str:
        """Fits nothing but this row."""
        return _seal(tuple(self))


class Index:
    """The runs in a folder, through what is remembered of them; a context, within which it may be used.

    `look` reads a run's journal; `fits` says whether what a `reader` read is what `look` would read today.
    """

    def __init__(self, runs: Path, look: Callable[[Path], Told], fits: Callable[[str], bool]) -> None:
        self._runs, self._look, self._fits = runs, look, fits
        self._path = runs.parent / FILE
        self._folder = str(runs)
        self._db: sqlite3.Connection | None = None
        self._fresh: list[Entry] = []
        self._read, self._many = 0, 0
        self._spoilt = False  # it could not be asked, so nothing that it said before counts either

    def __enter__(self) -> "Index":
        self._db = self._opened() if os.path.isdir(self._runs) else None
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        try:
            self._save()
        finally:
            if self._db:
                self._db.close()

    def newest(self, wanted: Callable[[Entry], bool]) -> Iterator[Entry]:
        """The runs that are `wanted`, newest first, each as its journal is now. Raises Usage as `names`."""
        names, links = self._names()
        for part in _parts(sorted(names, reverse=True)):
            known = self._known(name for name in part if name not in links)
            for name in part:
                entry = known.get(name)
                settled = entry is not None and entry.settled
                if entry and settled and not wanted(entry):
                    continue
                now = self._now(name, entry)
                if now and ((now is entry and settled) or wanted(now)):
                    yield now

    def unsettled(self) -> list[Entry]:
        """The runs that are not settled, newest first, each as its journal is now. Raises Usage as `names`.

        Forgets runs that are gone, and looks at ROUND of those that are settled, too.
        """
        names, links = self._names()
        standing = self._standing()
        gone = [name for name in standing if name not in names]
        self._write("DELETE FROM runs WHERE name = ?", [(name,) for name in gone])
        settled = {name for name, (over, _) in standing.items() if over and name in names} - links
        found = self._all_but(settled - self._doubtful(settled), names, links)
        return [entry for entry in found.values() if entry and not entry.settled]

    def unclean(self) -> dict[str, Entry | None]:
        """The names that the janitor has to look at, newest first; None for a folder without a journal. Raises Usage
        as `names`.
        """
        names, links = self._names()
        done = {name for name, flags in self._standing().items() if all(flags)} - links
        return self._all_but(done, names, links)

    def note(self, name: str) -> None:
        """Remember what the journal of one run says now."""
        self._now(name, self._known([name]).get(name))

    def cleaned(self, entry: Entry) -> None:
        """Remember that the janitor has nothing more to do for a settled run."""
        self._remember(entry._replace(clean=1))

    # --- names and journals

    def _names(self) -> tuple[set[str], set[str]]:
        """What is in the folder of runs, and which of it are links. Raises Usage when it cannot be listed."""
        try:
            with os.scandir(self._runs) as found:
                kinds = {one.name: one.is_symlink() for one in found}
        except (FileNotFoundError, NotADirectoryError):
            return set(), set()
        except OSError as problem:
            raise Usage(f"the runs in {self._runs} cannot be listed: {problem.strerror}") from None
        self._many = len(kinds)
        return set(kinds), {name for name, link in kinds.items() if link}

    def _all_but(self, passed_over: set[str], names: set[str], links: set[str]) -> dict[str, Entry | None]:
        """The entries of what is listed, newest first; what is passed over on the index's word is not, unless that
        turns out to be spoilt.
        """
        found = self._all_now(names - passed_over, links)
        if self._spoilt:
            found.update(self._all_now(names & passed_over, links))
        return dict(sorted(found.items(), reverse=True))

    def _all_now(self, names: Iterable[str], links: set[str]) -> dict[str, Entry | None]:
        found: dict[str, Entry | None] = {}
        for part in _parts(sorted(names, reverse=True)):
            known = self._known(name for name in part if name not in links)
            found.update({name: self._now(name, known.get(name)) for name in part})
        return found

    def _stamp(self, name: str) -> tuple[int, int, int] | None:
        try:
            found = os.lstat(f"{self._folder}/{name}/journal.jsonl")
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino

    def _now(self, name: str, entry: Entry | None) -> Entry | None:
        """The entry as the journal is now; None when there is no journal."""
        stamp = self._stamp(name)  # before it is read, so that what is written meanwhile is seen the next time
        if stamp is None:
            return None
        if entry and entry[1:4] == stamp and self._fits(entry.reader):
            return entry
        if entry and entry.reader:
            log.debug("the index of runs is behind or wrong about %s: its journal is read", name)
        self._read += 1
        if self._read % SAID_EACH == 0:
            log.warning(
                "reading journals for the index of runs, each once: %d so far, of %d at most", self._read, self._many
            )
        told = self._look(self._runs / name)
        line, waits = json.dumps(told.line), json.dumps(told.waits)
        found = Entry(name, *stamp, told.reader, int(told.settled), 0, line, waits)
        if found != entry:
            self._remember(found)
        return found

    # --- the file

    def _known(self, names: Iterable[str]) -> dict[str, Entry]:
        """What is remembered of some runs, where the seal fits."""
        wanted = [name for name in names if _can_be_kept(name)]
        marks = ",".join("?" * len(wanted))
        return _sealed(self._rows(f"SELECT * FROM runs WHERE name IN ({marks})", wanted))  # noqa: S608 - marks only

    def _standing(self) -> dict[str, tuple[int, int]]:
        """Of each run that is remembered, whether it is settled and clean."""
        return {name: (settled, clean) for name, settled, clean in self._rows("SELECT name, settled, clean FROM runs")}

    def _doubtful(self, settled: set[str]) -> set[str]:
        """Of ROUND settled runs, taken by chance, those whose row does not fit itself or its journal."""
        import random

        some = list(settled) if len(settled) <= ROUND else random.sample(list(settled), ROUND)
        found = set()
        for part in _parts(some):
            known = self._known(part)
            for name in part:
                entry = known.get(name)
                if not entry or entry[1:4] != self._stamp(name) or not self._fits(entry.reader):
                    found.add(name)
        return found

    def _remember(self, entry: Entry) -> None:
        self._fresh.append(entry)
        if len(self._fresh) >= BATCH:
            self._save()

    def _save(self) -> None:
        fresh, self._fresh = self._fresh, []
        kept = [(*entry, entry.seal) for entry in fresh if _can_be_kept(entry.name)]
        self._write("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", kept)

    def _rows(self, sql: str, values: Iterable[Any] = ()) -> list[Any]:
        """What the file says; nothing, where it cannot be asked."""
        if self._db is None:
            return []
        import sqlite3

        try:
            return self._db.execute(sql, list(values)).fetchall()
        except sqlite3.Error as problem:
            self._spoilt = True
            self._db.close()
            self._db = self._anew(problem)
            return []

    def _write(self, sql: str, rows: list[Any]) -> None:
        """Change the file in one short transaction; who cannot goes on with what is there."""
        if self._db is None or not rows:
            return
        import sqlite3

        try:
            with self._db:
                self._db.executemany(sql, rows)
        except sqlite3.Error as problem:
            log.debug("the index of runs, %s, cannot be written: %s", self._path, problem)

    def _opened(self) -> "sqlite3.Connection | None":
        try:
            import sqlite3
        except ImportError:  # some systems have a Python without it
            return None
        try:
            return self._connected()
        except sqlite3.Error as problem:
            return self._anew(problem)

    def _anew(self, problem: Exception) -> "sqlite3.Connection | None":
        """The index made anew in place of one that cannot be used; None where there can be none."""
        import sqlite3

        if not any(words in str(problem) for words in _NOT_ITS_FAULT):
            log.debug("the index of runs, %s, is made anew: %s", self._path, problem)
            with contextlib.suppress(OSError):
                self._path.unlink()
                self._path.with_name(f"{FILE}-journal").unlink(missing_ok=True)
            try:
                return self._connected()
            except sqlite3.Error as again:
                problem = again
        log.debug("the index of runs, %s, is done without: %s", self._path, problem)
        return None

    def _connected(self) -> "sqlite3.Connection":
        """The file, with its tables. Raises sqlite3.Error when it is no index of this version."""
        import sqlite3

        if os.path.exists(self._path) and os.access(self._path.parent, os.W_OK) and not os.access(self._path, os.W_OK):
            raise sqlite3.OperationalError("another user made it, and it cannot be kept up")
        db = sqlite3.connect(self._path, timeout=BUSY_SECS)
        try:
            db.execute("PRAGMA synchronous = NORMAL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:  # whose worker would make it anew in turn
                raise sqlite3.DatabaseError("a newer ytfsm made it")
            if version == 0:
                db.executescript(_tables())
            columns = [column[0] for column in db.execute("SELECT * FROM runs LIMIT 0").description]
            if version not in (0, VERSION) or columns != [*Entry._fields, "seal"]:
                raise sqlite3.DatabaseError("it is of an older version")
        except BaseException:
            db.close()
            raise
        return db


def _tables() -> str:
    return f"""
        BEGIN IMMEDIATE;
        CREATE TABLE IF NOT EXISTS runs (
            name TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, inode INTEGER, reader TEXT, settled INTEGER,
            clean INTEGER, line TEXT, waits TEXT, seal TEXT
        ) WITHOUT ROWID;
        CREATE INDEX IF NOT EXISTS standing ON runs (name, settled, clean);
        PRAGMA user_version = {VERSION};
        COMMIT;
    """


def _seal(fields: tuple[Any, ...]) -> str:
    return digest(repr(fields).encode(errors="backslashreplace"))


def _sealed(rows: Iterable[Any]) -> dict[str, Entry]:
    """The rows whose seal fits, by name."""
    found = {}
    for row in rows:
        entry = Entry._make(row[:-1])
        if _seal(row[:-1]) == row[-1]:
            found[entry.name] = entry
        else:
            log.debug("the index of runs holds a row of %s that is not as it was written: it is read anew", entry.name)
    return found


def _can_be_kept(name: str) -> bool:
    """Whether a file's name is text: a run's is, and what else lies in the folder may be anything."""
    return name.isascii() or name == name.encode(errors="replace").decode()


def _parts(names: list[str]) -> Iterator[list[str]]:
    """A list in parts: a short one first, as most ask for the newest only."""
    yield names[:20]
    for start in range(20, len(names), 500):
        yield names[start : start + 500]
