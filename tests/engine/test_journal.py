"""The journal: what a crash, a bad disk or a hand can do to it, and that none of it is silently believed."""

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.bringup import MACHINE
from yt_fsm.engine import journal as module
from yt_fsm.engine.errors import Exists, JournalBroken, JournalDamaged, NotFound, Owned, SetupError
from yt_fsm.engine.journal import BALLAST_BYTES, GENESIS, Journal, digest, parse, read

HEADER: dict[str, Any] = {
    "run_id": "r", "machine": "bringup", "machine_table": MACHINE.table(), "system": "n300", "issue": {"number": 12},
}  # fmt: skip
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of five records, as bytes."""
    path = tmp_path_factory.mktemp("whole") / "run" / "journal.jsonl"
    journal = Journal.create(path, **HEADER)
    journal.append("transition", event="claim", source="ready", dest="claimed", status="in progress")
    journal.append("fact", name="model", value="org/näme ✓")
    journal.append("command", argv=["gh", "api"], cwd=None, code=0, seconds=0.25)
    journal.append("transition", event="prepare", source="claimed", dest="setup", status=None)
    journal.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    made = Journal.create(path, **HEADER)
    yield made
    made.close()


def lines_of(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def sealed(record: dict[str, Any]) -> bytes:
    """A line with a hash that fits it, whatever it says."""
    body = json.dumps(record, separators=(",", ":")).encode()
    return body[:-1] + b',"hash":"' + digest(body).encode() + b'"}\n'


# --- what is written


def test_a_record_is_one_ascii_line_that_carries_its_place_and_the_hash_before_it(whole: bytes) -> None:
    assert whole.isascii()
    prev = GENESIS
    for seq, line in enumerate(lines_of(whole)):
        record = json.loads(line)
        assert list(record)[:5] == ["v", "seq", "at", "mono", "kind"]
        assert list(record)[-2:] == ["prev", "hash"]
        assert (record["v"], record["seq"], record["prev"]) == (1, seq, prev)
        without = line.rstrip(b"\n").replace(f',"hash":"{record["hash"]}"'.encode(), b"")
        assert hashlib.sha256(without).hexdigest()[:16] == record["hash"]
        assert record["at"].endswith("Z")
        assert len(record["at"]) == len("2026-11-22T03:41:07.123456Z")
        prev = record["hash"]


def test_a_whole_journal_is_ok(whole: bytes) -> None:
    reading = parse(whole)
    assert (reading.verdict, reading.at_line, reading.detail) == ("ok", None, None)
    assert reading.good == len(whole)
    assert reading.records == [json.loads(line) for line in lines_of(whole)]
    assert reading.last == f"4:{reading.records[-1]['hash']}"


def test_each_record_is_one_write_then_a_sync_before_append_returns(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:
            happened.append(name)
            return call(*arguments)

        return noting

    disk = Disk(write=noted("write", os.write), fdatasync=noted("sync", os.fdatasync))
    monkeypatch.setattr(module, "os", disk)
    journal.append("fact", name="a", value=1)
    assert happened == ["write", "sync"]


def test_a_journal_appears_with_its_header_and_never_without(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "os", Disk(write=fails(errno.EIO)))
    with pytest.raises(JournalBroken):
        Journal.create(path, **HEADER)
    assert not path.exists()


def test_a_journal_is_never_overwritten(journal: Journal, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(Exists) as caught:
        Journal.create(path, run_id="another")
    assert caught.value.exit_code == 4
    assert path.read_bytes() == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON, odd=st.text(alphabet=st.characters(categories=["Cs", "Cc"]), max_size=1))
@settings(max_examples=40)
def test_what_is_appended_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, value: Any, odd: str) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal.create(path, **HEADER)
    try:
        returned = journal.append("fact", name=odd, value=value)
    finally:
        journal.close()
        path.with_name("ballast").unlink()
    assert path.read_bytes().isascii()
    reading = read(path)
    assert reading.verdict == "ok"
    assert reading.records[-1] == returned
    assert (returned["name"], returned["value"]) == (odd, value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_no_word_for_is_refused_and_nothing_is_written(
    journal: Journal, path: Path, number: float
) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        journal.append("attempt", metrics={"top1": number})
    assert path.read_bytes() == before
    journal.append("fact", name="next", value=1)
    assert read(path).verdict == "ok"


def test_strings_are_redacted_before_they_are_hashed(path: Path) -> None:
    journal = Journal.create(path, lambda text: text.replace("hunter2!", "[redacted]"), **HEADER)
    journal.append("fact", name="deep", value={"list": ["x hunter2! y", {"hunter2!": Path("/tmp/hunter2!")}]})
    journal.close()
    assert b"hunter2!" not in path.read_bytes()
    assert read(path).verdict == "ok"


# --- one writer


def test_a_journal_has_one_writer_and_any_number_of_readers(journal: Journal, path: Path) -> None:
    with pytest.raises(Owned) as caught:
        Journal.open(path)
    assert caught.value.exit_code == 4
    assert read(path).verdict == "ok"
    journal.close()
    journal.close()
    Journal.open(path).close()


def test_a_journal_that_goes_on_continues_the_chain(journal: Journal, path: Path) -> None:
    journal.close()
    again = Journal.open(path)
    again.append("resumed", why="test")
    again.close()
    reading = read(path)
    assert [r["kind"] for r in reading.records] == ["header", "resumed"]
    assert reading.verdict == "ok"


def test_no_journal_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read(tmp_path / "nothing.jsonl")
    with pytest.raises(NotFound):
        Journal.open(tmp_path / "nothing.jsonl")


# --- what a crash leaves


def test_every_truncation_is_a_torn_tail_or_the_loss_of_whole_records(whole: bytes) -> None:
    ends = [0]
    for line in lines_of(whole):
        ends.append(ends[-1] + len(line))
    originals = parse(whole).records
    for cut in range(len(whole)):
        reading = parse(whole[:cut])
        kept = sum(end <= cut for end in ends) - 1
        assert reading.records == originals[:kept]
        assert reading.good == ends[kept]
        if cut in ends:  # a chain cannot show this; `replay --verify` does
            assert reading.verdict == "ok"
        else:
            assert (reading.verdict, reading.at_line) == ("torn", kept + 1)


@given(data=st.data())
def test_a_torn_tail_is_set_aside_cut_off_and_reported(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    first = len(lines_of(whole)[0])
    cut = data.draw(st.integers(first, len(whole)))
    nuls = data.draw(st.sampled_from([0, 1, 4096]))
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    path.write_bytes(whole[:cut] + b"\0" * nuls)
    before = read(path)
    Journal.open(path).close()
    after = read(path)
    assert after.verdict == "ok"
    assert after.records[: len(before.records)] == before.records
    if before.verdict == "torn":
        assert [r["kind"] for r in after.records[len(before.records) :]] == ["repaired"]
        assert after.records[-1]["detail"] == before.detail
        assert path.with_name("journal.torn-1").read_bytes() == whole[before.good : cut] + b"\0" * nuls
    else:
        assert after.records == before.records
        assert not path.with_name("journal.torn-1").exists()


def test_a_second_torn_tail_does_not_overwrite_the_first(journal: Journal, path: Path) -> None:
    journal.close()
    for number in (1, 2):
        with path.open("ab") as file:
            file.write(b'{"v":1,"seq":%d' % number)
        Journal.open(path).close()
    assert path.with_name("journal.torn-1").read_bytes() == b'{"v":1,"seq":1'
    assert path.with_name("journal.torn-2").read_bytes() == b'{"v":1,"seq":2'


def test_a_journal_without_a_whole_header_is_damaged(path: Path, whole: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(whole[:40])
    with pytest.raises(JournalDamaged, match="has no header"):
        Journal.open(path)


def test_no_acknowledged_record_is_lost_to_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "run" / "journal.jsonl"
    script = textwrap.dedent(f"""
        from pathlib import Path
        from yt_fsm.engine.journal import Journal
        journal = Journal.create(Path({str(path)!r}), **{HEADER!r})
        for number in range(100_000):
            print(journal.append("fact", name="n", value=number)["seq"], flush=True)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout
        said = [child.stdout.readline() for _ in range(50)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
    acknowledged = max(int(line) for line in said if line.endswith(b"\n"))
    reading = read(path)
    assert reading.verdict in ("ok", "torn")
    assert reading.records[acknowledged]["seq"] == acknowledged


# --- what else can happen to it


def test_every_single_bit_flip_is_found_at_its_line(whole: bytes) -> None:
    ends, total = [], 0
    for line in lines_of(whole):
        total += len(line)
        ends.append(total)
    originals = parse(whole).records
    for place in range(len(whole)):
        at_line = 1 + sum(end <= place for end in ends)
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            reading = parse(bytes(flipped))
            # Without its newline the last line is what a crash leaves.
            expected = "torn" if place == len(whole) - 1 else "corrupt"
            assert (reading.verdict, reading.at_line) == (expected, at_line), (place, bit)
            assert reading.records == originals[: at_line - 1]


def test_a_dropped_line_is_found_where_it_is_missing(whole: bytes) -> None:
    lines = lines_of(whole)
    for number in range(len(lines) - 1):
        reading = parse(b"".join(lines[:number] + lines[number + 1 :]))
        assert (reading.verdict, reading.at_line) == ("corrupt", number + 1)
        assert f"stands where record {number} belongs" in (reading.detail or "")


def test_a_swapped_line_is_found(whole: bytes) -> None:
    for first in range(4):
        for second in range(first + 1, 5):
            lines = lines_of(whole)
            lines[first], lines[second] = lines[second], lines[first]
            reading = parse(b"".join(lines))
            assert (reading.verdict, reading.at_line) == ("corrupt", first + 1)


def test_a_doubled_line_is_found(whole: bytes) -> None:
    lines = lines_of(whole)
    for number in range(len(lines)):
        reading = parse(b"".join(lines[: number + 1] + lines[number:]))
        assert (reading.verdict, reading.at_line) == ("corrupt", number + 2)


@pytest.mark.parametrize(
    ("alien", "words"),
    [
        (b"\n", "not a journal record"),
        (b"{}\n", "not a journal record"),
        (b"\0\0\0\n", "not a journal record"),
        (b'{"v":1,"seq":5,"kind":"end","hash":"0123456789abcdef"}\n', "its hash does not fit its text"),
    ],
)
def test_a_bad_last_line_that_ends_in_a_newline_is_damage(whole: bytes, alien: bytes, words: str) -> None:
    reading = parse(whole + alien)
    assert (reading.verdict, reading.at_line) == ("corrupt", 6)
    assert words in (reading.detail or "")
    assert len(reading.records) == 5


def test_nuls_in_the_middle_are_damage(whole: bytes) -> None:
    lines = lines_of(whole)
    reading = parse(b"".join([*lines[:2], b"\0" * 512, *lines[2:]]))
    assert (reading.verdict, reading.at_line) == ("corrupt", 3)


@given(start=st.integers(0, 2000), length=st.integers(0, 400), put=st.binary(max_size=60))
def test_whatever_is_spliced_in_only_a_prefix_is_ever_believed(
    whole: bytes, start: int, length: int, put: bytes
) -> None:
    reading = parse(whole[:start] + put + whole[start + length :])
    originals = parse(whole).records
    assert reading.records == originals[: len(reading.records)]


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_the_reader_raise(data: bytes) -> None:
    assert parse(data).records == []


def test_a_rewritten_record_is_found_by_the_one_after_it(whole: bytes) -> None:
    lines = lines_of(whole)
    record = json.loads(lines[1])
    del record["hash"]
    record["status"] = "done"
    lines[1] = sealed(record)
    reading = parse(b"".join(lines))
    assert (reading.verdict, reading.at_line) == ("corrupt", 3)
    assert "does not follow the record before it" in (reading.detail or "")


def test_a_journal_of_another_schema_version_says_which(whole: bytes, path: Path) -> None:
    record = json.loads(lines_of(whole)[0])
    del record["hash"]
    record["v"] = 2
    path.parent.mkdir()
    path.write_bytes(sealed(record))
    reading = read(path)
    assert (reading.verdict, reading.at_line) == ("corrupt", 1)
    assert reading.detail == "line 1: schema version 2, and this ytfsm reads version 1"
    with pytest.raises(JournalDamaged, match="schema version 2"):
        Journal.open(path)


def test_a_damaged_journal_is_left_as_it_is(journal: Journal, path: Path) -> None:
    journal.close()
    data = path.read_bytes() + b"{}\n"
    path.write_bytes(data)
    with pytest.raises(JournalDamaged, match="line 2") as caught:
        Journal.open(path)
    assert caught.value.exit_code == 3
    assert path.read_bytes() == data
    assert [f.name for f in path.parent.glob("*torn*")] == []


# --- what a bad disk does


class Disk:
    """The os module with some of its calls replaced."""

    def __init__(self, **calls: Callable[..., Any]) -> None:
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def fails(number: int, times: int = 10**9, real: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A call that fails `times` times, then works."""
    left = [times]

    def call(*arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        assert real
        return real(*arguments)

    return call


def short(times: int) -> Callable[[int, bytes], int]:
    """A write that lands only in part, `times` times."""
    left = [times]

    def write(fd: int, data: bytes) -> int:
        if left[0]:
            left[0] -= 1
            return os.write(fd, data[: len(data) // 3])
        return os.write(fd, data)

    return write


@pytest.mark.parametrize("write", [short(1), fails(errno.ENOSPC, 1, os.write), fails(errno.EDQUOT, 1, os.write)])
def test_a_full_disk_costs_the_ballast_and_no_record(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Any]
) -> None:
    assert path.with_name("ballast").stat().st_size == BALLAST_BYTES
    monkeypatch.setattr(module, "os", Disk(write=write))
    journal.append("fact", name="a", value=1)
    assert journal.full
    assert not path.with_name("ballast").exists()
    journal.append("fact", name="b", value=2)
    reading = read(path)
    assert reading.verdict == "ok"
    assert [r.get("name") for r in reading.records] == [None, "a", "b"]


@pytest.mark.parametrize("write", [short(9), fails(errno.ENOSPC)])
def test_a_disk_that_stays_full_leaves_whole_records_only(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Any]
) -> None:
    before = path.read_bytes()
    monkeypatch.setattr(module, "os", Disk(write=write))
    for _ in range(2):
        with pytest.raises(SetupError, match=r"the disk that holds .* is full"):
            journal.append("fact", name="a", value=1)
        assert path.read_bytes() == before
    monkeypatch.undo()
    journal.append("fact", name="a", value=1)  # somebody made room
    assert read(path).verdict == "ok"


def test_a_failed_sync_is_never_tried_again(journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "os", Disk(fdatasync=fails(errno.EIO, 1, os.fdatasync)))
    with pytest.raises(JournalBroken, match="failed to sync"):
        journal.append("fact", name="a", value=1)
    size = path.stat().st_size
    with pytest.raises(JournalBroken, match="nothing more is written"):
        journal.append("fact", name="b", value=2)
    assert path.stat().st_size == size
    assert len(journal.records) == 1


def test_a_failed_truncate_ends_this_writer(journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "os", Disk(write=short(1), ftruncate=fails(errno.EIO)))
    with pytest.raises(JournalBroken, match="failed to truncate"):
        journal.append("fact", name="a", value=1)
    monkeypatch.undo()
    with pytest.raises(JournalBroken):
        journal.append("fact", name="b", value=2)
    journal.close()
    assert read(path).verdict == "torn"
    Journal.open(path).close()
    assert read(path).verdict == "ok"


def test_a_write_that_fails_otherwise_ends_this_writer(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "os", Disk(write=fails(errno.EIO, 1)))
    with pytest.raises(JournalBroken, match="Input/output error"):
        journal.append("fact", name="a", value=1)
    with pytest.raises(JournalBroken):
        journal.append("fact", name="b", value=2)
    assert read(path).verdict == "ok"


def test_a_disk_too_full_for_a_new_run_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", fails(errno.ENOSPC))
    with pytest.raises(SetupError, match="is full"):
        Journal.create(path, **HEADER)


def test_a_real_limit_on_the_file_cuts_a_write_short_and_the_journal_back(tmp_path: Path) -> None:
    path = tmp_path / "run" / "journal.jsonl"
    script = textwrap.dedent(f"""
        import resource
        from pathlib import Path
        from yt_fsm.engine.errors import YtfsmError
        from yt_fsm.engine.journal import Journal
        path = Path({str(path)!r})
        journal = Journal.create(path, **{HEADER!r})
        limit = path.stat().st_size + 700
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            while True:
                journal.append("fact", name="n", value="x" * 100)
        except YtfsmError as problem:
            print(type(problem).__name__, len(journal.records))
    """)
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["SetupError", "3"]
    reading = read(path)
    assert (reading.verdict, len(reading.records)) == ("ok", 3)
    assert path.stat().st_size == reading.good


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 3 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_really_full_disk_is_survived(small_disk: Path) -> None:
    path = small_disk / "run" / "journal.jsonl"
    journal = Journal.create(path, **HEADER)
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    records = 0
    while not journal.full:
        journal.append("fact", name="n", value="x" * 1000)
        records += 1
        assert records < 100
    assert not path.with_name("ballast").exists()
    (small_disk / "filler2").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(SetupError, match="is full"):
        journal.append("fact", name="n", value="x" * 10_000)
    journal.close()
    reading = read(path)
    assert reading.verdict == "ok"
    assert len(reading.records) == len(journal.records)
