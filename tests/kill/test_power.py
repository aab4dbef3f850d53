"""Power cuts and full disks on real filesystems: needs a machine on which this user may mount."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .matrix import Case, Trials


class Disk:
    """A filesystem in a file, mounted at `folder`."""

    def __init__(self, place: Path) -> None:
        self.image, self.folder = place / "disk.img", place / "disk"
        self.folder.mkdir()
        with self.image.open("wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(self.image)], check=True)
        self.mount()

    def mount(self) -> None:
        """Mount it; nothing is written by itself for the next minutes."""
        subprocess.run(["mount", "-o", "loop,commit=300", str(self.image), str(self.folder)], check=True)

    def cut(self) -> None:
        """A power cut: what was not synced is gone, and what was is there again."""
        then = self.image.with_suffix(".cut")
        subprocess.run(["cp", "--sparse=always", str(self.image), str(then)], check=True)
        self.unmount()
        then.rename(self.image)
        self.mount()

    def unmount(self) -> None:
        """Unmount it; harmless when it is not mounted."""
        subprocess.run(["umount", str(self.folder)], check=False, capture_output=True)


def mounting(*argv: str) -> None:
    """Run a command that mounts, or skip the test and say why."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError as problem:
        pytest.skip(f"{problem.filename} is not installed")
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    probe = tmp_path / "probe"
    probe.mkdir()
    with (tmp_path / "probe.img").open("wb") as file:
        file.truncate(8 << 20)
    mounting("mkfs.ext4", "-q", str(tmp_path / "probe.img"))
    mounting("mount", "-o", "loop", str(tmp_path / "probe.img"), str(probe))
    subprocess.run(["umount", str(probe)], check=True)
    made = Disk(tmp_path)
    yield made
    made.unmount()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    folder = tmp_path / "small"
    folder.mkdir()

    def make(megabytes: int) -> Path:
        mounting("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder))
        return folder

    yield make
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def place_of(trials: Trials, kind: str, nth: int) -> int:
    """The number of the nth record of a kind."""
    return [n for n, what in enumerate(trials.trace().of("record")) if what == kind][nth]


@pytest.mark.parametrize(("kind", "nth"), [("header", 0), ("attempt", 1), ("effect.done", 3)])
def test_a_power_cut_takes_back_nothing_that_was_journalled(trials: Trials, disk: Disk, kind: str, nth: int) -> None:
    places = {"YTFSM_HOME": str(disk.folder / "ytfsm"), "YT_TMP_ROOT": str(disk.folder / "tmp")}
    case = trials.case(**places)
    died = trials.start(case, f"record:{place_of(trials, kind, nth)}:after")
    assert died.code == -signal.SIGKILL
    end(trials, case)
    written = {folder.name: (folder / "journal.jsonl").read_bytes() for folder in case.runs if journal(folder)}
    disk.cut()
    for name, data in written.items():
        assert (disk.folder / "ytfsm" / "runs" / name / "journal.jsonl").read_bytes() == data
    case.env["KILL_BOOT"] = "after the cut"
    trials.go_on(case)
    trials.check(case, trials.trace().result)


def journal(folder: Path) -> bool:
    return (folder / "journal.jsonl").exists()


def end(trials: Trials, case: Case) -> None:
    """A power cut ends everything at once."""
    while left := trials.alive(case):
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(("kind", "nth"), [("attempt", 0), ("effect.intent", 3)])
def test_a_disk_that_is_really_full_ends_the_run_in_words(
    trials: Trials, small: Callable[[int], Path], kind: str, nth: int
) -> None:
    home = small(16) / "ytfsm"
    case = trials.case(YTFSM_HOME=str(home))
    ended = trials.start(case, f"record:{place_of(trials, kind, nth)}:filled")
    assert "Traceback" not in ended.err
    for filler in home.rglob("filler"):
        filler.unlink()
    trials.go_on(case)
    trials.check(case, trials.wanted(case, worlds_fault=True))
    shutil.rmtree(home)
