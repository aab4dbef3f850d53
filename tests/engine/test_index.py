"""The index of runs: whatever became of it or of the runs, what is told of them is what their journals say."""

import contextlib
import functools
import itertools
import json
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.bringup import MACHINE
from tests.parts.journals import begin
from yt_fsm.engine import index, janitor, store
from yt_fsm.engine import walk as engine
from yt_fsm.engine.errors import SetupError, Usage
from yt_fsm.engine.facts import Facts
from yt_fsm.engine.journal import Journal, held
from yt_fsm.engine.replay import replay
from yt_fsm.engine.run import Run
from yt_fsm.engine.worker import Worker

MACHINES = {MACHINE.name: MACHINE}
WAITS = {"state": "ready", "why": "the limit is used up", "until": "2026-11-26T04:41:00.000000Z"}


def run_id(number: int, tail: str = "7f3c") -> str:
    return f"20261122T{number:06d}Z-n300-i{number}-{tail}"


def ended(runs: Path, number: int, **refused: Any) -> Path:
    """A run that lost its issue at once and is over; with `again` it was refused, and may be published anew."""
    folder = runs / run_id(number)
    with contextlib.closing(begin(folder, issue={"number": number})) as journal:
        journal.append("transition", event="lose", source="ready", dest="released", status=None)
        if refused:
            journal.append("refused", error="403", **refused)
        journal.append("end", state="released", published=not refused)
    return folder


def begun(runs: Path, number: int) -> Path:
    folder = runs / run_id(number)
    begin(folder, issue={"number": number}).close()
    return folder


def add(folder: Path, kind: str, **fields: Any) -> None:
    with contextlib.closing(Journal.open(folder / "journal.jsonl")) as journal:
        journal.append(kind, **fields)


def by_journals(runs: Path) -> list[dict[str, Any]]:
    return [store.row(folder, MACHINES) for folder in store.everyone(runs)]


def rows(runs: Path, **asked: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.rows(runs, MACHINES, **asked)]


def open_by_journals(runs: Path) -> list[Path]:
    found = [(folder, store.row(folder, MACHINES)) for folder in store.everyone(runs)]
    return [folder for folder, row in found if not row["complete"] or row["state"] == "damaged"]


def waiting_by_journals(runs: Path) -> list[str]:
    return [run.name for run in store.everyone(runs) if replay(store.reading_of(run, MACHINES))["waiting"]]


def change(runs: Path, sql: str, *values: Any) -> None:
    no_text = contextlib.suppress(UnicodeEncodeError)  # a name that is none has no row
    with contextlib.closing(sqlite3.connect(runs.parent / index.FILE)) as db, db, no_text:
        db.execute(sql, values)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "state" / "runs"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The numbers of the runs whose journals are read for the index."""
    seen: list[str] = []
    real = store.told

    def told(run: Path, machines: Any) -> Any:
        seen.append(run.name.split("-")[2])
        return real(run, machines)

    monkeypatch.setattr(store, "told", told)
    return seen


# --- what is told is what the journals say


class Home:
    """A home to which things happen; each method is one of them."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.file = folder / index.FILE
        self.ticks = 0

    def happen(self, what: str, which: int) -> None:
        """Do it, to the `which`-th run where it is about one."""
        found = store.everyone(self.runs)
        getattr(self, what)(which, found[which % len(found)] if found else None)

    def begins(self, number: int, _: Path | None) -> None:
        if not (self.runs / run_id(number)).exists():
            begun(self.runs, number)

    def is_over(self, number: int, _: Path | None) -> None:
        if not (self.runs / run_id(number)).exists():
            ended(self.runs, number, **({"again": True} if number % 3 == 0 else {}))

    def goes_on(self, _: int, run: Path | None) -> None:
        reading = store.reading_of(run) if run else None
        whole = reading and reading.verdict != "corrupt" and reading.records
        if run and whole and whole[-1]["kind"] != "end":
            add(run, "waiting", **WAITS)

    def is_published_anew(self, _: int, run: Path | None) -> None:
        reading = store.reading_of(run) if run else None
        whole = reading and reading.verdict != "corrupt" and reading.records
        if run and whole and whole[-1]["kind"] == "end" and whole[-2].get("again"):
            add(run, "resumed", state="released", anew=True)

    def goes(self, _: int, run: Path | None) -> None:
        if run and run.is_symlink():
            run.unlink()
        elif run:
            shutil.rmtree(run)

    def loses_its_journal(self, _: int, run: Path | None) -> None:
        if run:
            (run / "journal.jsonl").unlink()

    def is_cut(self, which: int, run: Path | None) -> None:
        self._spoil(run, lambda data: data[: len(data) - 1 - which])

    def is_spoiled(self, which: int, run: Path | None) -> None:
        self._spoil(run, lambda data: data[:which] + bytes([data[which] ^ 1]) + data[which + 1 :])

    def becomes_a_link(self, _: int, run: Path | None) -> None:
        if run and not run.is_symlink():
            there = self.runs.parent / f"elsewhere-{len(os.listdir(self.runs.parent))}"
            run.rename(there)
            run.symlink_to(there)

    def is_junk(self, which: int, _: Path | None) -> None:
        junk = self.runs / os.fsdecode(b"junk-\xff-%d" % which)
        junk.mkdir(parents=True, exist_ok=True)
        (junk / "journal.jsonl").write_bytes(b"junk\n")

    def _spoil(self, run: Path | None, how: Callable[[bytes], bytes]) -> None:
        if run:
            path = run / "journal.jsonl"
            path.write_bytes(how(path.read_bytes()))
            self.ticks += 1  # the clock of files is too coarse for what a test does to them
            os.utime(path, (time.time() + self.ticks, time.time() + self.ticks))

    # --- to the index

    def row_lies(self, which: int, run: Path | None) -> None:
        lies: list[tuple[str, Any]] = [
            ("line", '{"complete": true, "state": "released", "issue": 3}'), ("line", "["), ("waits", "{}"),
            ("settled", 1), ("settled", 0), ("settled", "x"), ("clean", 1), ("size", 7), ("reader", "who"),
            ("seal", None), ("line", None), ("name", "20261122T000000Z-n300-i1-none"), ("name", b"\xff"),
            ("reader", b"\xff"),
        ]  # fmt: skip
        column, value = lies[which % len(lies)]
        with contextlib.suppress(sqlite3.Error):  # there may be no row, or no index
            change(self.runs, f"UPDATE OR REPLACE runs SET {column} = ? WHERE name = ?", value, run.name if run else "")

    def row_goes(self, _: int, run: Path | None) -> None:
        with contextlib.suppress(sqlite3.Error):
            change(self.runs, "DELETE FROM runs WHERE name = ?", run.name if run else "")

    def two_rows_are_swapped(self, _: int, run: Path | None) -> None:
        found = store.everyone(self.runs)
        with contextlib.suppress(sqlite3.Error):
            sql = "UPDATE runs SET (size, mtime, inode, line, settled) = (SELECT size, mtime, inode, line, settled FROM"
            change(self.runs, f"{sql} runs WHERE name = ?) WHERE name = ?", *(one.name for one in found[:2]))

    def index_is_replaced(self, which: int, _: Path | None) -> None:
        if self.runs.parent.is_dir() and not self.file.is_dir():
            self.file.write_bytes([b"", b"SQLite format 3\0", b"no database\n" * 400, os.urandom(5000)][which % 4])

    def index_is_cut(self, which: int, _: Path | None) -> None:
        if self.file.is_file():
            os.truncate(self.file, self.file.stat().st_size * (which % 10) // 10)

    def index_is_older(self, which: int, _: Path | None) -> None:
        with contextlib.suppress(sqlite3.Error):
            changes = (
                "PRAGMA user_version = 7",
                "DROP TABLE turn",
                "ALTER TABLE runs DROP COLUMN line",
                "DROP TABLE runs",
            )
            change(self.runs, changes[which % 4])

    def index_goes(self, _: int, __: Path | None) -> None:
        if self.file.is_file():
            self.file.unlink()


class Quick(sqlite3.Connection):
    """Does not wait for the disk: that is no part of what is proved here."""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous = NORMAL", "synchronous = OFF"), *values)


HAPPENINGS = [name for name in vars(Home) if name[0] != "_" and name != "happen"]
LOOKS = {
    "runs": lambda runs: (rows(runs), by_journals(runs)),
    "start": lambda runs: (store.unfinished(runs, MACHINES), open_by_journals(runs)),
    "waits": lambda runs: ([one["run_id"] for one in store.waiting(runs, MACHINES)], waiting_by_journals(runs)),
    "state": lambda runs: (
        rows(runs, state="released"),
        [row for row in by_journals(runs) if row["state"] == "released"],
    ),
    "issue": lambda runs: (
        rows(runs, issue=3),
        [row for row in by_journals(runs) if row["issue"] == 3],
    ),
}  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(1, 30), st.sampled_from(list(LOOKS))), max_size=12),
    st.sampled_from(list(LOOKS)),
)
@settings(max_examples=30)
def test_whatever_happens_to_runs_and_index_what_is_told_is_what_the_journals_say(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int, str]], first: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yt_fsm.engine.journal.BALLAST_BYTES", 1)
        for sync in ("fsync", "fdatasync"):
            patch.setattr(os, sync, lambda descriptor: None)
        patch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Quick))
        home = Home(tmp_path_factory.mktemp("home"))
        for number in (1, 2, 3):
            ended(home.runs, number)
        begun(home.runs, 4)
        LOOKS[first](home.runs)
        for what, which, look in events:
            home.happen(what, which)
            # A filter believes an index that fits itself of runs that are over: first it is looked at as a start does.
            for name in ("start", look):
                said, true = LOOKS[name](home.runs)
                assert said == true, (what, name)


# --- what is read


def look(runs: Path) -> list[str]:
    """What a worker's start, `runs --all` and doctor's part do; the runs that may not be over."""
    found = store.unfinished(runs, MACHINES)
    rows(runs)
    list(store.waiting(runs, MACHINES))
    return [run.name for run in found]


def test_each_journal_is_read_once(runs: Path, read: list[str]) -> None:
    for number in (1, 2, 3):
        ended(runs, number)
    begun(runs, 4)
    look(runs)
    assert sorted(read) == ["i1", "i2", "i3", "i4"]
    look(runs)
    assert len(read) == 4


def test_only_what_changed_is_read_again(runs: Path, read: list[str]) -> None:
    ended(runs, 1)
    going = begun(runs, 2)
    look(runs)
    read.clear()
    add(going, "waiting", **WAITS)
    ended(runs, 3)
    assert look(runs) == [going.name]
    assert read == ["i3", "i2"]


def test_the_newest_twenty_cost_no_more_than_twenty_where_there_is_no_index_yet(runs: Path, read: list[str]) -> None:
    for number in range(1, 31):
        ended(runs, number)
    assert len(list(itertools.islice(store.rows(runs, MACHINES), 20))) == 20
    assert len(read) == 20
    read.clear()
    look(runs)
    assert sorted(read) == sorted(f"i{number}" for number in range(1, 11))


def test_a_run_that_is_over_is_not_looked_at_by_a_start_unless_by_chance(
    runs: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        ended(runs, number)
    look(runs)
    read.clear()
    looked: list[str] = []
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path, **how: looked.append(str(path)) or real(path, **how))
    monkeypatch.setattr(index, "ROUND", 1)
    for _ in range(3):
        looked.clear()
        assert store.unfinished(runs, MACHINES) == []
        assert len([path for path in looked if path.endswith("journal.jsonl")]) == 1
    assert read == []


def test_a_lie_about_a_run_that_is_over_is_found_by_chance_in_the_end(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(runs, 1)
    going = begun(runs, 2)
    look(runs)
    change(runs, "UPDATE runs SET settled = 1")
    monkeypatch.setattr(index, "ROUND", 1)
    random.seed(7)
    assert any(store.unfinished(runs, MACHINES) == [going] for _ in range(20))


def test_what_a_spoilt_index_said_before_is_not_believed_either(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "ROUND", 0)
    going = begun(runs, 1)
    look(runs)
    change(runs, "UPDATE runs SET settled = 1")
    assert store.unfinished(runs, MACHINES) == [], "the test needs a lie that is not found by chance"
    with contextlib.closing(sqlite3.connect(runs.parent / index.FILE)) as db:
        ((page,), (size,)) = (
            db.execute(sql).fetchone()
            for sql in ("SELECT rootpage FROM sqlite_master WHERE name = 'runs'", "PRAGMA page_size")
        )
    with (runs.parent / index.FILE).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    new = begun(runs, 2)
    assert store.unfinished(runs, MACHINES) == [new, going]


def test_a_lie_is_said_at_debug_level_only(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ytfsm")
    ended(runs, 1)
    look(runs)
    assert caplog.messages == []
    change(runs, "UPDATE runs SET clean = 1")
    look(runs)
    said = f"the index of runs holds a row of {run_id(1)} that is not as it was written: it is read anew"
    assert set(caplog.messages) == {said}
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    caplog.clear()
    look(runs)
    assert caplog.messages == [], "it is mended"


def test_a_run_that_was_refused_is_looked_at_as_long_as_it_may_be_published_anew(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "ROUND", 0)
    refused = ended(runs, 1, again=True)
    assert look(runs) == []
    add(refused, "resumed", state="released", anew=True)
    assert look(runs) == [refused.name]
    add(refused, "end", state="released", published=True)
    assert look(runs) == []
    with store.index(runs, MACHINES) as known:
        assert known.unsettled() == []


def test_a_worker_that_walked_a_run_to_its_end_need_not_read_it_at_its_next_start(
    new_run: Callable[..., Run], read: list[str]
) -> None:
    run = new_run(work={"ready": lambda run: "lose", "released": lambda run: None})
    worker = Worker(run.definition, run.settings, run.shell)
    worker._walk(run)
    assert run.over
    assert read == ["i12"]
    assert store.unfinished(run.settings.runs, MACHINES) == []
    assert read == ["i12"]


def test_what_a_machine_counts_as_damage_today_is_found_in_runs_that_were_read_before(runs: Path) -> None:
    folder = begun(runs, 1)
    add(folder, "fact", name="model", value="org/name")
    assert json.loads(next(store.rows(runs, MACHINES)))["state"] == "ready"

    class Stricter(Facts):
        model: int = 0

    today = {MACHINE.name: replace(MACHINE, facts=Stricter)}
    assert json.loads(next(store.rows(runs, today)))["state"] == "damaged"
    assert json.loads(next(store.rows(runs, {})))["state"] == "damaged", (
        "who does not know the machine believes who does"
    )
    assert json.loads(next(store.rows(runs, MACHINES)))["state"] == "ready"


def test_many_journals_that_are_read_for_the_first_time_are_said(
    runs: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SAID_EACH", 2)
    for number in range(1, 6):
        ended(runs, number)
    store.unfinished(runs, MACHINES)
    assert caplog.messages == [
        f"reading journals for the index of runs, each once: {count} so far, of 5 at most" for count in (2, 4)
    ]


# --- where there can be no index


def read_only(path: Path, **how: Any) -> sqlite3.Connection:
    return sqlite3.Connection(f"file:{path}?mode=ro", uri=True, **how)


def full(path: Path, **how: Any) -> sqlite3.Connection:
    db = sqlite3.Connection(path, **how)
    db.execute("PRAGMA max_page_count = 1")  # no less than there are
    return db


@pytest.mark.parametrize("way", [read_only, full])
@pytest.mark.parametrize("there", [True, False], ids=["with an index", "without one"])
def test_a_home_that_cannot_be_written_is_told_of_all_the_same(
    runs: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[..., sqlite3.Connection], there: bool
) -> None:
    ended(runs, 1)
    if there:
        look(runs)
    before = (runs.parent / index.FILE).read_bytes() if there else b""
    for number in range(2, 40):
        begun(runs, number)
    monkeypatch.setattr(sqlite3, "connect", way)
    for _ in range(2):
        assert len(look(runs)) == 38
        assert rows(runs) == by_journals(runs)
    if there:
        assert (runs.parent / index.FILE).read_bytes() == before, "what was known is not thrown away"


def test_an_index_that_another_process_holds_is_done_without(
    runs: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    monkeypatch.setattr(index, "BUSY_SECS", 0.01)
    ended(runs, 1)
    look(runs)
    going = begun(runs, 2)
    with contextlib.closing(sqlite3.connect(runs.parent / index.FILE)) as db:
        for held, again in (("BEGIN IMMEDIATE", ["i2"]), ("BEGIN EXCLUSIVE", ["i2", "i1"])):
            read.clear()
            db.execute(held)  # the first lets others read
            assert store.unfinished(runs, MACHINES) == [going]
            assert read == again
            db.rollback()
    read.clear()
    look(runs)
    assert read == ["i2"], "what was known is not thrown away"


def test_a_python_without_sqlite_reads_the_journals(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    going = begun(runs, 1)
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    assert look(runs) == [going.name]


def test_an_index_that_another_user_made_is_made_anew(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(runs, 1)
    look(runs)
    file = runs.parent / index.FILE
    before = file.stat().st_ino
    real, asked = os.access, [False]

    def access(path: Path, mode: int) -> bool:
        return real(path, mode) if path != file or not asked else asked.pop()

    monkeypatch.setattr(os, "access", access)
    keep = file.open("rb")  # so that its number is not given to the next file
    look(runs)
    keep.close()
    assert file.stat().st_ino != before


def test_an_older_index_is_made_anew_and_a_newer_one_is_left_to_who_made_it(
    runs: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    ended(runs, 1)
    look(runs)
    monkeypatch.setattr(index, "VERSION", index.VERSION + 1)  # of an upgrade, while the old worker still runs
    look(runs)
    assert len(read) == 2
    monkeypatch.undo()
    before = (runs.parent / index.FILE).read_bytes()
    assert rows(runs) == by_journals(runs)
    assert (runs.parent / index.FILE).read_bytes() == before


def test_what_is_no_index_and_cannot_be_removed_is_done_without(runs: Path) -> None:
    going = begun(runs, 1)
    (runs.parent / index.FILE).mkdir()
    assert look(runs) == [going.name]


def test_no_index_is_made_where_there_are_no_runs(runs: Path) -> None:
    assert look(runs) == []
    assert not runs.parent.exists()


def test_runs_that_cannot_be_listed_are_an_error_in_words(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(runs, 1)

    def scandir(path: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(Usage, match="cannot be listed: Permission denied"):
        store.unfinished(runs, MACHINES)


def test_several_processes_may_use_it_at_once(runs: Path) -> None:
    for number in range(1, 30):
        ended(runs, number)
    going = begun(runs, 30)
    code = (
        "import sys; from pathlib import Path; from machines.bringup import MACHINE; from yt_fsm.engine import store\n"
        "for _ in range(5): print(*(run.name for run in store.unfinished(Path(sys.argv[1]), {MACHINE.name: MACHINE})))"
    )
    all_at_once = [
        subprocess.Popen([sys.executable, "-c", code, str(runs)], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in all_at_once:
        assert process.communicate(timeout=60)[0].split() == [going.name] * 5
        assert process.returncode == 0


# --- the janitor


def test_the_janitor_looks_at_a_run_once_after_its_end(new_run: Callable[..., Run], read: list[str]) -> None:
    run = new_run(work={"ready": lambda run: "lose", "released": lambda run: None})
    engine.walk(run)
    folder = run.folder
    assert unclean(run) == [folder.name]
    assert janitor.clean(run.settings, [MACHINE]) == []
    assert unclean(run) == []


def test_the_janitor_comes_back_to_what_it_could_not_remove(
    new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(work={"ready": lambda run: "lose", "released": lambda run: None})
    engine.walk(run)
    left = [run.folder / "ballast", run.folder / "run_record.new"]
    for path in left:
        path.write_text("of a run that died after its last record")

    def stuck(path: Path) -> bool:
        raise SetupError(f"{path} is immutable")

    with monkeypatch.context() as patch:
        patch.setattr(janitor, "remove_file", stuck)
        assert janitor.clean(run.settings, [MACHINE]) == []
    assert unclean(run) == [run.run_id]
    assert janitor.clean(run.settings, [MACHINE]) == [f"{path.name} of {run.run_id}" for path in left]
    assert unclean(run) == []


def test_a_run_that_still_writes_its_end_is_looked_at_again(new_run: Callable[..., Run]) -> None:
    run = new_run(work={"ready": lambda run: "lose", "released": lambda run: None})
    engine.walk(run)
    with held(run.journal.path):  # it has its last record, and not yet its summary
        janitor.clean(run.settings, [MACHINE])
        assert unclean(run) == [run.run_id]
    janitor.clean(run.settings, [MACHINE])
    assert unclean(run) == []


def test_the_janitor_removes_a_folder_that_never_became_a_run(new_run: Callable[..., Run]) -> None:
    run = new_run(work={})
    old, fresh = run.settings.runs / run_id(1), run.settings.runs / run_id(2)
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    os.utime(old, (1, 1))
    assert janitor.clean(run.settings, [MACHINE]) == [f"run {old.name}, which never began"]
    assert fresh.exists(), "its maker may be about to write its journal"


def unclean(run: Run) -> list[str]:
    with store.index(run.settings.runs, MACHINES) as known:
        return list(known.unclean())
