"""The journal: one line a record, chained by hashes, on disk before the caller goes on.

A record is one ASCII JSON line `{v, seq, at, mono, kind, …, prev, hash}`. `hash` is the first 16 hex digits of the
sha256 of the line without `hash`; `prev` is the hash of the record before. A torn tail (the last line has no newline,
or ends in NULs, and nothing valid follows) is what a crash leaves: it is copied aside, cut off and reported.
Anything else that does not verify is damage, and nothing is ever appended to a damaged journal.
"""

import errno
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

from .errors import Exists, JournalBroken, JournalDamaged, NotFound, Owned, SetupError

VERSION = 1
GENESIS = "0" * 16
BALLAST_BYTES = 1 << 20

Record = dict[str, Any]

# Fields that hold the machine's own words. They steer a run that goes on, so a secret that is one of them changes none.
_OURS = frozenset(
    {"kind", "event", "source", "dest", "status", "effect", "key", "state", "by", "name", "run_id", "seq", "at", "hash"}
    | {"id", "item", "comment", "sha", "machine", "machine_table", "machine_hash", "system", "commit", "base", "log"}
    | {"sha256", "boot", "last"}
)
_STEERING = frozenset(
    {"base", "into", "tip", "branch", "commit", "workspace", "revision", "thread"}
)  # facts that do so
_FOREIGN = frozenset({"metrics", "settings", "versions", "why"})  # whatever is in there, others named it

_TAIL = re.compile(rb',"hash":"([0-9a-f]{16})"\}$')


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
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"no journal at {path}") from None
    return parse(data)


def parse(data: bytes) -> Reading:
    """Verify a journal's bytes; never raises, the verdict says it all."""
    reading = Reading()
    lines = data.split(b"\n")
    unfinished = lines.pop()  # what stands after the last newline, NULs too: empty in a whole journal
    prev = GENESIS
    for number, line in enumerate(lines, 1):
        record, problem = _verify(line, len(reading.records), prev)
        if record is None:
            return _damaged(reading, number, problem)
        reading.records.append(record)
        reading.good += len(line) + 1
        prev = record["hash"]
    if unfinished:
        number = len(lines) + 1
        reading.verdict, reading.at_line = "torn", number
        reading.detail = f"the last record was not finished ({len(data) - reading.good} bytes, line {number})"
    return reading


def _damaged(reading: Reading, number: int, problem: str) -> Reading:
    reading.verdict, reading.at_line, reading.detail = "corrupt", number, f"line {number}: {problem}"
    return reading


def _verify(line: bytes, seq: int, prev: str) -> tuple[Record | None, str]:
    """The record of a line and "", or None and what is wrong with it."""
    tail = _TAIL.search(line)
    if not tail:
        return None, "not a journal record"
    body = line[: tail.start()] + b"}"
    if digest(body) != tail[1].decode():
        return None, "its hash does not fit its text"
    try:
        record = json.loads(line)
    except ValueError:
        return None, "not JSON"
    if record.get("v") != VERSION:
        return None, f"schema version {record.get('v')!r}, and this ytfsm reads version {VERSION}"
    if record.get("seq") != seq:
        return None, f"record {record.get('seq')!r} stands where record {seq} belongs"
    if record.get("prev") != prev:
        return None, "it does not follow the record before it"
    return record, ""


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
        if path.exists():
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
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"no journal at {path}") from None
        try:
            _lock(fd)
        except OSError:
            os.close(fd)
            raise Owned(f"a live process writes {path}") from None
        reading = read(path)
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
        """Raise Owned when a live process writes the journal."""
        with path.open("rb") as file:
            try:
                _lock(file.fileno())
            except OSError:
                raise Owned(f"a live process writes {path}") from None

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
        line = body[:-1] + b',"hash":"' + digest(body).encode() + b'"}\n'
        if not self._write(line):
            self._free_ballast()
            if not self._write(line):
                raise SetupError(f"the disk that holds {self.path} is full")
        record = json.loads(line)
        self.records.append(record)
        self._good += len(line)
        return record

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


def clean(value: Any, redact: Callable[[str], str], ours: bool = True) -> Any:
    """`value` as JSON has it, every string redacted but the machine's own words; what JSON has no word for is a string.

    `ours` says whether it was we who named its fields.
    """
    if isinstance(value, dict):
        steers = ours and value.get("name") in _STEERING and isinstance(value.get("value"), str)
        return {
            redact(str(key)): item
            if ours and isinstance(item, str) and (key in _OURS or (steers and key == "value"))
            else clean(item, redact, ours and key not in _FOREIGN and key != "value")
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean(item, redact, ours) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def _lock(descriptor: int) -> None:
    import fcntl  # not on every system that can read a journal

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _set_aside(path: Path, good: int) -> None:
    """Copy a torn tail beside the journal under a name that is still free."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.torn-{number}")).exists():
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
