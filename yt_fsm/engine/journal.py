"""The journal: one line a record, chained by hashes, on disk before the caller goes on.

A record is one ASCII JSON line `{v, seq, at, mono, kind, …, prev, hash}`. `hash` is the first 16 hex digits of the
sha256 of the line without `hash`; `prev` is the hash of the record before. A torn tail (the last line has no newline,
or ends in NULs, and nothing valid follows) is what a crash leaves: it is copied aside, cut off and reported.
Anything else that does not verify is damage, and nothing is ever appended to a damaged journal; so is a record whose
fields are not those of its kind (records.py), and a transition that the machine in the header does not have.
"""

import contextlib
import errno
import io
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, NoReturn

from . import records
from .errors import Exists, JournalBroken, JournalDamaged, NotFound, Owned, SetupError
from .jsonable import clean, shortened

VERSION = 1
GENESIS = "0" * 16
BALLAST_BYTES = 1 << 20
RECORD_BYTES = 16 << 20  # of one record: ten times what any run has written, and read in a moment
JOURNAL_BYTES = 1 << 30

Record = dict[str, Any]

_TAIL = re.compile(rb',"hash":"([0-9a-f]{16})"\}')
_TAIL_BYTES = len(b',"hash":"0123456789abcdef"}')


@dataclass
class Reading:
    """What a journal file says and how far it can be believed.

    `verdict` is `ok`, `torn` or `corrupt`; `records` are the verified ones, in order; `good` is the number of bytes
    they fill; `at_line` (from 1) and `detail` say where and why the rest is not believed.
    """

    verdict: str = "ok"
    records: list[Record] = field(default_factory=list)
    good: int = 0
    at_line: int | None = None
    detail: str | None = None

    @property
    def last(self) -> str:
        """`SEQ:HASH` of the last verified record, or `-1:000…` when there is none."""
        if not self.records:
            return f"-1:{GENESIS}"
        return f"{self.records[-1]['seq']}:{self.records[-1]['hash']}"


def digest(body: bytes) -> str:
    """The chain's hash of a record's bytes without its `hash` member."""
    import hashlib  # loads OpenSSL, which a drawing needs none of

    return hashlib.sha256(body).hexdigest()[:16]


def read(path: Path) -> Reading:
    """Read and verify a journal without locking it. Raises NotFound when there is no such file."""
    try:
        descriptor = _open(path, os.O_RDONLY)
    except JournalDamaged as problem:
        return Reading("corrupt", at_line=1, detail=str(problem))
    with open(descriptor, "rb") as file:
        return _parse(file)


def parse(data: bytes) -> Reading:
    """Verify a journal's bytes; never raises, the verdict says it all."""
    return _parse(io.BytesIO(data))


def _open(path: Path, flags: int) -> int:
    """Open a journal, which is a file and no link to one. Raises NotFound, or JournalDamaged saying what it is."""
    safe = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"))  # a pipe must not hold us
    try:
        descriptor = os.open(path, flags | safe)
    except FileNotFoundError:
        raise NotFound(f"no journal at {path}") from None
    except (OSError, ValueError) as problem:
        linked = isinstance(problem, OSError) and problem.errno == errno.ELOOP
        raise JournalDamaged(f"{path} cannot be read: {'it is a link' if linked else problem}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise JournalDamaged(f"{path} cannot be read: it is no regular file")
    return descriptor


def _parse(file: IO[bytes]) -> Reading:
    reading = Reading()
    prev, number = GENESIS, 0
    way = records.Way({})
    while True:
        try:
            line = file.readline(RECORD_BYTES + 1)
        except OSError as problem:
            return _damaged(reading, number + 1, f"the disk fails to read it ({problem.strerror})")
        if not line:
            return reading
        number += 1
        if len(line) > RECORD_BYTES or reading.good > JOURNAL_BYTES:
            return _damaged(reading, number, f"longer than any record ({RECORD_BYTES >> 20} MiB) or journal")
        if not line.endswith(b"\n"):  # what stands after the last newline, NULs too: empty in a whole journal
            reading.verdict, reading.at_line = "torn", number
            reading.detail = f"the last record was not finished ({len(line)} bytes, line {number})"
            return reading
        record, wrong = _verify(line[:-1], len(reading.records), prev)
        if record is None:
            return _damaged(reading, number, wrong)
        if number == 1:
            way = records.Way(record["machine_table"])
        elif way.strays(record):
            move = f"{record['source']} --{record['event']}--> {record['dest']}"
            return _damaged(reading, number, f"{move} is no edge of its machine")
        reading.records.append(record)
        reading.good += len(line)
        prev = record["hash"]


def _damaged(reading: Reading, number: int, problem: str) -> Reading:
    reading.verdict, reading.at_line, reading.detail = "corrupt", number, f"line {number}: {problem}"
    return reading


def _verify(line: bytes, seq: int, prev: str) -> tuple[Record | None, str]:
    """The record of a line and "", or None and what is wrong with it."""
    tail = _TAIL.fullmatch(line[-_TAIL_BYTES:])
    if not tail:
        return None, "not a journal record"
    body = line[:-_TAIL_BYTES] + b"}"
    if digest(body) != tail[1].decode():
        return None, "its hash does not fit its text"
    if not line.isascii():
        return None, "not ASCII"
    try:
        record = json.loads(line.decode("ascii"), parse_constant=_refuse, parse_int=_whole_number)
    except (ValueError, RecursionError):
        return None, "not JSON"
    if not isinstance(record, dict):
        return None, "not a journal record"
    if beyond := records.too_much(record):
        return None, beyond
    if type(record.get("v")) is not int or record["v"] != VERSION:
        return None, f"schema version {record.get('v')!r:.40}, and this ytfsm reads version {VERSION}"
    if type(record.get("seq")) is not int or record["seq"] != seq:
        return None, f"record {record.get('seq')!r:.40} stands where record {seq} belongs"
    if record.get("prev") != prev:
        return None, "it does not follow the record before it"
    problem = records.wrong(record, seq)
    return (None, problem) if problem else (record, "")


def _refuse(word: str) -> float:
    raise ValueError(word)


def _whole_number(digits: str) -> int:
    if len(digits) > 50:
        raise ValueError("a whole number of more than 40 digits")
    return int(digits)


class Journal:
    """The one writer of a run's journal; holds its lock until `close`."""

    def __init__(self, path: Path, descriptor: int, reading: Reading, redact: Callable[[str], str]) -> None:
        self.path = path
        self.records = reading.records
        self.full = False  # the disk ran full and the ballast is spent: the run has to end
        self._fd = descriptor
        self._good = reading.good
        self._redact = redact
        self._broken = ""

    @classmethod
    def create(cls, path: Path, redact: Callable[[str], str] = str, **header: Any) -> "Journal":
        """Start a journal with its `header` record. Raises Exists rather than overwrite one."""
        if os.path.lexists(path):
            raise Exists(f"there is a journal at {path} already")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.with_name("ballast").write_bytes(os.urandom(BALLAST_BYTES))
        except OSError as problem:
            raise SetupError(f"the disk that holds {path} is full or fails: {problem.strerror}") from None
        fresh = path.with_suffix(".new")
        fd = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o644)
        _lock(fd)
        journal = cls(path, fd, Reading(), redact)
        journal.append("header", **header)
        os.fsync(fd)
        os.rename(fresh, path)  # so a journal that exists has its header
        _sync_folder(path.parent)
        _sync_folder(path.parent.parent)
        return journal

    @classmethod
    def open(cls, path: Path, redact: Callable[[str], str] = str) -> "Journal":
        """Go on with a journal; a torn tail is set aside as `journal.torn-N` and cut off.

        Raises NotFound, Owned (a live process writes it) or JournalDamaged (the file is left as it is).
        """
        fd = _open(path, os.O_RDWR | os.O_APPEND)
        try:
            _lock(fd)
        except OSError:
            os.close(fd)
            raise Owned(f"a live process writes {path}") from None
        with open(fd, "rb", closefd=False) as file:
            reading = _parse(file)
        if reading.verdict == "corrupt":
            os.close(fd)
            raise JournalDamaged(f"{path} is damaged at {reading.detail}; it is left as it is")
        if reading.verdict == "torn":
            _set_aside(path, reading.good)
            os.ftruncate(fd, reading.good)
            os.fsync(fd)
        journal = cls(path, fd, reading, redact)
        if not reading.records:
            journal.close()
            raise JournalDamaged(f"{path} has no header")
        if reading.verdict == "torn":
            journal.append("repaired", detail=reading.detail)
        return journal

    @staticmethod
    def probe(path: Path) -> None:
        """Raise Owned when a live process writes the journal, NotFound or JournalDamaged when there is none."""
        with held(path):
            return

    def append(self, kind: str, **fields: Any) -> Record:
        """Write one record and return it; on return it is on disk.

        Raises SetupError when the disk is full even without the ballast, JournalBroken when it fails otherwise.
        """
        if self._broken:
            raise JournalBroken(self._broken)
        prev = self.records[-1]["hash"] if self.records else GENESIS
        record: Record = {
            "v": VERSION,
            "seq": len(self.records),
            "at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "mono": round(time.clock_gettime(time.CLOCK_BOOTTIME), 6),
            "kind": kind,
            **clean(fields, self._redact),
            "prev": prev,
        }
        body = json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii")
        if len(body) > RECORD_BYTES - 2 * _TAIL_BYTES:  # it would be damage to the next reader
            if "shortened" in fields:
                raise SetupError(f"a record `{kind}` of {len(body)} bytes does not fit into {self.path}")
            return self.append(kind, **shortened(fields), shortened=True)
        line = body[:-1] + b',"hash":"' + digest(body).encode() + b'"}\n'
        if not self._write(line):
            self._free_ballast()
            if not self._write(line):
                raise SetupError(f"the disk that holds {self.path} is full")
        record = json.loads(line)
        self.records.append(record)
        self._good += len(line)
        return record

    def all(self, *kinds: str) -> list[Record]:
        """The records of these kinds so far, oldest first."""
        return [record for record in self.records if record["kind"] in kinds]

    def last(self, *kinds: str) -> Record | None:
        """The newest record of these kinds, or None."""
        return next((record for record in reversed(self.records) if record["kind"] in kinds), None)

    def close(self) -> None:
        """Let go of the lock; harmless when done twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, line: bytes) -> bool:
        """Write and sync `line`; False when the disk is too full for it, and the file is as it was."""
        try:
            written = os.write(self._fd, line)
        except OSError as problem:
            self._truncate()
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                return False
            self._fail(f"{self.path}: the disk failed to write ({problem}); nothing more is written")
        if written < len(line):
            self._truncate()
            return False
        try:
            os.fdatasync(self._fd)
        except OSError as problem:
            # The kernel may have dropped the page and forgotten the error, so a second try would lie.
            self._fail(f"{self.path}: the disk failed to sync ({problem}); nothing more is written")
        return True

    def _truncate(self) -> None:
        try:
            os.ftruncate(self._fd, self._good)
        except OSError as problem:
            self._fail(f"{self.path}: the disk failed to truncate ({problem}); nothing more is written")

    def _fail(self, text: str) -> NoReturn:
        self._broken = text
        raise JournalBroken(text) from None

    def _free_ballast(self) -> None:
        ballast = self.path.with_name("ballast")
        if not ballast.exists():
            raise SetupError(f"the disk that holds {self.path} is full")
        ballast.unlink()
        self.full = True


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """While this lasts nobody begins to write the journal. Raises Owned when a live process does already."""
    descriptor = _open(path, os.O_RDONLY)
    try:
        try:
            _lock(descriptor)
        except OSError:
            raise Owned(f"a live process writes {path}") from None
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    import fcntl  # not on every system that can read a journal

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _set_aside(path: Path, good: int) -> None:
    """Copy a torn tail beside the journal under a name that is still free."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.stem}.torn-{number}")):
        number += 1
    with path.open("rb") as source, aside.open("xb") as copy:
        source.seek(good)
        copy.write(source.read())
        copy.flush()
        os.fsync(copy.fileno())


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
