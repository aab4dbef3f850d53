"""The queue that is a list: each of its subjects has one run, over processes."""

from pathlib import Path

import pytest

from yt_fsm.engine.errors import JournalDamaged, NotFound, Usage
from yt_fsm.engine.journal import Journal
from yt_fsm.engine.queue import Queue
from yt_fsm.engine.subject import Plain, Subject


def begun(runs: Path, subject: Subject) -> Journal:
    """A run about it, which nobody walks."""
    table = {"name": "m", "initial": "a", "states": ["a"], "final": ["a"], "edges": []}
    said = {"kind": subject.kind, "words": subject.words, **subject.data()}
    header = {"run_id": "20261122T034107Z-x-7f3c", "machine": "m", "machine_table": table, "subject": said}
    journal = Journal.create(runs / header["run_id"] / "journal.jsonl", **header)
    journal.close()
    return journal


def test_subjects_come_in_their_order_and_those_with_a_run_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("one")
    first, second = Plain("first", data=file), Plain("second")
    runs = tmp_path / "state" / "runs"
    queue = Queue([first, second], runs)
    assert queue.next() is first
    begun(tmp_path / "state" / "runs", first)
    assert queue.next() is second
    file.write_text("two")  # other inputs are another subject
    assert Queue([Plain("first", data=file)], runs).next() is not None


def test_a_person_may_name_one(tmp_path: Path) -> None:
    queue = Queue([Plain("first"), Plain("second")], tmp_path / "state" / "runs")
    assert queue.asked_for("second").name == "second"
    begun(tmp_path / "state" / "runs", Plain("second"))
    with pytest.raises(NotFound, match="'second' has a run already"):
        queue.asked_for("second")
    with pytest.raises(Usage, match="'third' is none of first, second"):
        queue.asked_for("third")


def test_a_run_that_goes_on_has_its_subject_again(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("one")
    journal = begun(tmp_path / "state" / "runs", Plain("First one!", data=file))
    file.unlink()
    again = Queue().of(journal.records[0])
    assert (again.name, again.tag) == ("First one!", "first-one-")
    assert again.data()["inputs"]["data"]["sha256"].startswith("7692c3ad")


def test_a_journal_without_a_subjects_name_is_damage() -> None:
    with pytest.raises(JournalDamaged, match="its subject has no `name`"):
        Queue().of({"run_id": "r", "subject": {"kind": "plain", "words": "x"}})
