"""Signals and deletions reach what is provably a run's own, and nothing else; looked at in namespaces of their own."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.bringup.workspace import Workspace
from yt_fsm.engine import processes
from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.processes import MARK, MARKER, Mark, end_survivors, survivors
from yt_fsm.engine.removal import DEEP, remove, remove_file
from yt_fsm.engine.workspace import prefix, run_of

ROOT = Path(__file__).parents[2]
RUN = "20261122T034107Z-n300-i12-7f3c"
SIGNALS = {"kill", "killpg", "terminate", "send_signal", "pidfd_send_signal", "tgkill", "pthread_kill"}
# The lab ends its own children, and what the template ships runs in another project.
OTHERS = ("lab", "ttnn_models")


def sources() -> Iterator[Path]:
    for package in ("yt_fsm", "states", "machines"):
        for file in (ROOT / package).rglob("*.py"):
            if not set(OTHERS) & set(file.relative_to(ROOT).parts):
                yield file


def users_of(names: set[str]) -> set[str]:
    found = set()
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            called = isinstance(node, ast.Attribute) and node.attr in names
            imported = isinstance(node, ast.ImportFrom) and names & {alias.name for alias in node.names}
            if called or imported:
                found.add(file.name)
    return found


def test_one_module_signals_processes() -> None:
    assert users_of(SIGNALS) == {"processes.py"}


def test_one_module_deletes_folders() -> None:
    """sandbox removes the cgroups that it made, which are folders without files."""
    assert users_of({"rmtree", "rmdir", "removedirs"}) <= {"removal.py", "sandbox.py"}


@pytest.mark.parametrize("run_id", ["", " ", None, "x", 0, True, [], "a b c d", "../../etc", ":github", RUN + "\n"])
def test_what_is_no_run_id_marks_nothing(tmp_path: Path, run_id: Any) -> None:
    with pytest.raises(ValueError, match="no process can be marked"):
        Mark(tmp_path, run_id, 0.0)


@pytest.mark.parametrize("mark", [None, "", RUN, {}, 0])
def test_what_is_no_mark_ends_nothing(mark: Any) -> None:
    with pytest.raises(TypeError, match="marks no process"):
        end_survivors(mark)


@pytest.fixture
def sleeper() -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    made: list[subprocess.Popen[bytes]] = []

    def start(variables: dict[str, str], **options: Any) -> "subprocess.Popen[bytes]":
        base = {name: value for name, value in os.environ.items() if not name.startswith("YTFSM_RUN_")}
        made.append(subprocess.Popen(["/bin/sleep", "60"], env={**base, **variables}, **options))
        return made[-1]

    yield start
    for one in made:
        one.kill()
        one.wait()


def test_only_a_runs_own_processes_are_ended(sleeper: Callable[..., Any], tmp_path: Path) -> None:
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    mark = Mark(tmp_path, RUN, began)
    elsewhere = Mark(tmp_path / "other", RUN, began)
    bystanders = [
        sleeper({}),
        sleeper({MARKER: ""}),
        sleeper({MARKER: "", MARK: ""}),
        sleeper({MARKER: RUN}),
        sleeper({MARKER: RUN, MARK: ""}),
        sleeper({MARKER: RUN, MARK: mark.hash[:-1]}),
        sleeper({MARKER: "", MARK: mark.hash}),
        sleeper({MARKER: RUN + " ", MARK: mark.hash}),
        sleeper(mark.as_role("github").variables),
        sleeper(elsewhere.variables),
        sleeper(Mark(tmp_path, RUN[:-1] + "d", began).variables),
    ]
    if os.getuid() == 0:
        bystanders.append(sleeper(mark.variables, user="nobody"))
    own = sleeper(mark.variables, start_new_session=True)
    deadline = time.monotonic() + 20
    while survivors(mark) != [own.pid]:  # until it has its environment
        assert time.monotonic() < deadline
    assert end_survivors(mark) == [own.pid]
    assert own.wait(20) == -signal.SIGKILL
    assert [one.poll() for one in bystanders] == [None] * len(bystanders)


def test_what_began_before_the_run_is_none_of_its(sleeper: Callable[..., Any], tmp_path: Path) -> None:
    later = Mark(tmp_path, RUN, time.clock_gettime(time.CLOCK_BOOTTIME) + 1000)
    early = sleeper(later.variables)
    time.sleep(0.2)
    assert end_survivors(later) == []
    assert early.poll() is None


def test_we_and_our_ancestors_are_never_ended(tmp_path: Path) -> None:
    mark = Mark(tmp_path, RUN, 0.0)
    inner = "import sys; from pathlib import Path; from yt_fsm.engine.processes import *; " + (
        f"print(end_survivors(Mark(Path({str(tmp_path)!r}), {RUN!r}, 0.0)))"
    )
    outer = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {inner!r}]).returncode)"
    done = subprocess.run(
        [sys.executable, "-c", outer], env={**os.environ, **mark.variables}, capture_output=True, text=True,
        check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_a_process_is_ended_by_number_where_there_are_no_descriptors(
    sleeper: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    mark = Mark(tmp_path, RUN, 0.0)
    own = sleeper(mark.variables)
    time.sleep(0.2)
    assert end_survivors(mark) == [own.pid]
    assert own.wait(20) == -signal.SIGKILL


def test_what_hides_in_a_pid_namespace_is_found(sleeper: Callable[..., Any], tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "--pid", "--fork", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make PID namespaces")
    mark = Mark(tmp_path, RUN, 0.0)
    # Without --kill-child: nobody but us ends what is inside.
    outer = subprocess.Popen([unshare, "--pid", "--fork", "sleep", "60"], env={**os.environ, **mark.variables})
    deadline = time.monotonic() + 20
    while len(survivors(mark)) < 2:
        assert time.monotonic() < deadline
    assert len(end_survivors(mark)) == 2
    outer.wait(20)
    assert survivors(mark) == []


def test_a_child_that_was_reaped_is_signalled_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.Popen(["true"], start_new_session=True)
    done.wait()
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("its number may be another's"))
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("its number may be another's"))
    processes.stop_group(done)


# --- deletions


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    made = tmp_path / "victim"
    made.mkdir()
    (made / "whole").write_text("mine")
    (made / "closed").mkdir(mode=0o500)
    return made


def untouched(victim: Path) -> bool:
    closed = (victim / "closed").stat().st_mode & 0o777
    return (victim / "whole").read_text() == "mine" and closed == 0o500


def test_a_link_in_a_folders_place_is_named_and_left(tmp_path: Path, victim: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(victim)
    with pytest.raises(SetupError, match="it is a link"):
        remove(link)
    with pytest.raises(SetupError):
        Workspace(link).delete()
    assert untouched(victim)
    assert link.is_symlink()


def test_links_within_are_removed_and_not_followed(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "work"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "link").symlink_to(victim)
    (folder / "whole").symlink_to(victim / "whole")
    (folder / "deep").chmod(0)
    Workspace(folder).delete()
    assert not folder.exists()
    assert untouched(victim)


def test_what_another_user_owns_is_named_and_left_and_the_rest_goes(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    folder = tmp_path / "work"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "theirs").write_text("x")
    (folder / "a" / "ours").write_text("x")
    os.chown(folder / "a" / "theirs", 65534, 65534)
    with pytest.raises(SetupError, match="a/theirs \\(it belongs to user 65534\\)"):
        remove(folder)
    assert os.listdir(folder / "a") == ["theirs"]
    with pytest.raises(SetupError, match="belongs to user"):
        remove_file(folder / "a" / "theirs")


def test_a_folder_deeper_than_any_stack_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    back = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(DEEP * 15):
            os.mkdir("d")
            os.chdir("d")
        Path("file").write_text("x")
    finally:
        os.fchdir(back)
        os.close(back)
    remove(folder)
    assert not folder.exists()


MOUNTS = """
import subprocess, sys
from pathlib import Path
from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.removal import remove
folder, victim = Path(sys.argv[1]), Path(sys.argv[2])
(folder / "in").mkdir(parents=True)
subprocess.run(["mount", "--bind", str(victim), str(folder / "in")], check=True)
try:
    remove(folder)
except SetupError as problem:
    assert "something is mounted there" in str(problem), problem
else:
    raise AssertionError("it said nothing")
"""


def test_what_is_mounted_in_a_folder_is_no_part_of_it(tmp_path: Path, victim: Path) -> None:
    within = [shutil.which("unshare") or "unshare", "--mount"]
    if subprocess.run([*within, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make mount namespaces")
    done = subprocess.run(
        [*within, sys.executable, "-c", MOUNTS, str(tmp_path / "work"), str(victim)], capture_output=True, text=True,
        check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert untouched(victim)


@pytest.mark.parametrize("named", ["/", "/home/x", "", "..", "{root}", "{root}/..", "{root}/ytfsm-x", "{own}/../..",
                                   "{own}x", "{own}/in", "{root}/sub/{name}", "{other}", "\0", "\ud800"])  # fmt: skip
def test_a_workspace_that_a_journal_names_must_be_its_runs_own(tmp_path: Path, named: str) -> None:
    mark = Mark(tmp_path / "home", RUN, 0.0)
    own = tmp_path / f"{prefix(mark)}abcd1234"
    other = tmp_path / f"{prefix(Mark(tmp_path / 'home2', RUN, 0.0))}abcd1234"
    assert Workspace.of(str(own), tmp_path, mark).folder == own
    assert run_of(own.name) == (RUN, mark.hash[:12])
    with pytest.raises(SetupError, match="no workspace of"):
        Workspace.of(named.format(root=tmp_path, own=own, name=own.name, other=other), tmp_path, mark)
