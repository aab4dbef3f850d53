"""The sandbox: what a program behind its walls can see, change, and use up (faults S5)."""

import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from yt_fsm.bringup import isolation
from yt_fsm.bringup.settings import Settings
from yt_fsm.engine import sandbox
from yt_fsm.engine.errors import CommandFailed, SetupError, StopRequested
from yt_fsm.engine.sandbox import Sandbox, roots_of
from yt_fsm.engine.shell import Result, Shell

walled = pytest.mark.usefixtures("walls")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    made = tmp_path / "room"
    made.mkdir()
    return made


@pytest.fixture
def inside(bare: Path, shell: Shell, room: Path) -> Callable[..., Result]:
    """Runs a shell script behind walls, with a room to write in; what is given replaces parts of its sandbox."""
    box = Sandbox(True, tuple(roots_of(sys.executable)), (room,))

    def run(script: str, timeout: float = 30, **given: object) -> Result:
        env = {"PATH": os.environ["PATH"], "HOME": str(room), "python": sys.executable}
        changed = replace(box, **given)  # type: ignore[arg-type]
        return shell.run(["sh", "-c", script], cwd=room, env=env, timeout=timeout, check=False, sandbox=changed)

    return run


# --- what it sees


@walled
def test_nobodys_home_is_in_sight(inside: Callable[..., Result], bare: Path) -> None:
    for name in (".netrc", ".ssh/id_ed25519", ".config/gh/hosts.yml"):
        file = bare / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a secret")
    found = inside(
        f"find / -xdev -type f -newermt '-1 minute' 2>/dev/null; ls -A {bare} /root /home; cat {bare}/.netrc"
    )
    assert "a secret" not in found.out
    assert ".ssh" not in found.out


@walled
def test_a_home_within_the_system_is_hidden_too(inside: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/usr/share")
    assert inside("ls /usr/share | wc -l").out.strip() == "0"


@walled
def test_only_its_own_processes_are_in_sight(inside: Callable[..., Result]) -> None:
    found = inside('echo /proc/[0-9]*; cat /proc/1/environ; kill -0 "$outside"')
    pids = [int(name.removeprefix("/proc/")) for name in found.out.split() if name.startswith("/proc/")]
    assert max(pids) < 20
    assert str(os.getpid()) not in found.out.split()


@walled
def test_it_has_no_capabilities_and_cannot_change_the_system(inside: Callable[..., Result]) -> None:
    """Root needs no capability for /proc/sys: what it writes there is what it reads, so that a failure harms nobody."""
    found = inside(
        "grep CapEff /proc/self/status; for f in /etc/x /usr/bin/x /x /sys/x /dev/x; do "
        "(echo x > $f) 2>/dev/null && echo wrote $f; done; mknod b b 8 0 2>/dev/null && echo made a node; "
        "for f in kernel/core_pattern kernel/modprobe vm/drop_caches; do v=$(cat /proc/sys/$f); "
        "(echo $v > /proc/sys/$f) 2>/dev/null && echo wrote $f; done; true"
    )
    assert found.out.split() == ["CapEff:", "0000000000000000"]


@walled
def test_the_systems_keys_are_out_of_sight(inside: Callable[..., Result]) -> None:
    assert inside("cat /etc/shadow /etc/ssh/* /etc/ssl/private/* /etc/environment 2>/dev/null; true").out == ""


@walled
def test_it_writes_where_it_may_and_reads_what_it_was_given(
    inside: Callable[..., Result], room: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "weights").write_text("weights")
    found = inside(f"cat {given}/weights; echo x > {given}/x; rm {given}/weights; echo y > y", read=(given,))
    assert found.out == "weights"
    assert [path.name for path in given.iterdir()] == ["weights"]
    assert (room / "y").read_text() == "y\n"


@walled
def test_a_link_leads_nowhere_outside(inside: Callable[..., Result], room: Path, bare: Path) -> None:
    (bare / "victim").write_text("whole")
    (room / "link").symlink_to(bare / "victim")
    inside("echo broken > link; ln -s / root; echo x > root/etc/x")
    assert (bare / "victim").read_text() == "whole"


@walled
def test_only_the_devices_it_was_given_are_there(inside: Callable[..., Result]) -> None:
    plain = set(inside("ls /dev").out.split())
    assert plain <= {
        "core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom",
        "zero", "console",
    }  # fmt: skip
    if Path("/dev/kmsg").exists():
        assert "kmsg" in inside("ls /dev", devices=(Path("/dev/kmsg"),)).out.split()


@walled
@pytest.mark.parametrize("network", [True, False])
def test_the_network_is_there_only_where_the_step_needs_it(inside: Callable[..., Result], network: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
        assert inside(f'"$python" -c "{code}"', network=network).ok is network


# --- how it ends


@walled
def test_what_it_started_ends_with_it(inside: Callable[..., Result], room: Path) -> None:
    began = time.monotonic()
    daemon = (
        "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        "os.environ.clear()\nopen('alive', 'w').close()\nwhile True: os.utime('alive'); time.sleep(0.01)\n"
    )
    (room / "daemon.py").write_text(daemon)
    found = inside('"$python" daemon.py; while [ ! -e alive ]; do sleep 0.01; done; echo done')
    assert (found.out, found.ok) == ("done", True)
    last = (room / "alive").stat().st_mtime_ns
    time.sleep(0.1)
    assert (room / "alive").stat().st_mtime_ns == last
    assert time.monotonic() - began < 25, "nothing waited for it"


@walled
def test_exit_codes_and_signals_are_the_programs_own(inside: Callable[..., Result]) -> None:
    assert inside("exit 3").code == 3
    assert inside("kill -9 $$").code == -9
    assert inside("kill -TERM $$").code == -15


@walled
def test_a_program_that_takes_too_long_is_ended(inside: Callable[..., Result]) -> None:
    found = inside("trap '' TERM; sleep 60", timeout=0.3)
    assert (found.code, found.why) == (None, "was killed after its 0 s were over")


@walled
def test_a_stop_ends_it(inside: Callable[..., Result], shell: Shell) -> None:
    shell.stop.set(StopRequested("stopped"))
    with pytest.raises(StopRequested):
        inside("sleep 60")


@walled
def test_the_journal_has_the_program_and_not_its_walls(inside: Callable[..., Result], shell: Shell) -> None:
    inside("true")
    assert shell.noted[-1]["argv"] == ["sh", "-c", "true"]  # type: ignore[attr-defined]


# --- its limits


@walled
def test_too_many_processes_end_in_words(inside: Callable[..., Result]) -> None:
    found = inside("for i in $(seq 200); do sleep 5 & done 2>/dev/null; wait", processes=64)
    if not found.limit and os.getuid() == 0:
        pytest.skip("root may make no cgroup here, and the kernel does not count root's processes")
    assert "64 processes and threads (YT_MAX_PROCESSES)" in found.limit or "fork" in found.tail


@walled
def test_a_file_without_end_ends_in_words(inside: Callable[..., Result], room: Path) -> None:
    found = inside("exec truncate -s 3G big", file_bytes=1 << 20)
    assert "a file of more than 0.0 GB (YT_MAX_FILE_GB)" in found.limit
    assert "as it wrote a file" in str(found.failed())
    assert (room / "big").stat().st_size <= 1 << 20


@walled
def test_memory_without_end_ends_in_words(inside: Callable[..., Result]) -> None:
    found = inside('"$python" -c "x = bytearray(1 << 40)"', memory_bytes=1 << 30)
    assert "MemoryError" in found.tail


@walled
def test_files_in_memory_have_an_end_too(inside: Callable[..., Result]) -> None:
    found = inside(
        "for d in / /dev /run; do (head -c 100000000 /dev/zero > $d/x) 2>/dev/null && echo wrote $d; done; true"
    )
    assert found.out == ""


def test_without_walls_the_limits_stay(shell: Shell, room: Path) -> None:
    if not shutil.which("prlimit"):
        pytest.skip("there is no prlimit here")
    box = Sandbox(False, file_bytes=1 << 20)
    found = shell.run(["truncate", "-s", "3G", "big"], cwd=room, timeout=20, check=False, sandbox=box)
    assert found.code == -25
    assert "YT_MAX_FILE_GB" in found.limit


# --- what cannot be had


@walled
def test_a_program_that_is_not_there_is_the_worlds_fault(shell: Shell, room: Path) -> None:
    with pytest.raises(SetupError, match="`nonesuch` cannot be started"):
        shell.run(["nonesuch"], cwd=room, timeout=20, sandbox=Sandbox(True))


@walled
def test_a_sandbox_that_cannot_be_made_is_the_worlds_fault(inside: Callable[..., Result], tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="the sandbox of `sh` cannot be made"):
        inside("true", write=(tmp_path / "not there",))


@walled
def test_a_program_cannot_pretend_that_it_had_no_sandbox(inside: Callable[..., Result]) -> None:
    found = inside("echo 'bwrap: no namespace' >&2; exit 1")
    assert isinstance(found.failed(), CommandFailed)


def test_walls_that_are_wanted_and_not_there_are_refused_in_words(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sandbox, "available", lambda: False)
    with pytest.raises(SetupError, match=r"apt-get install bubblewrap`, or set YT_ISOLATION=none"):
        isolation.in_force(settings(isolation="bwrap"))
    assert isolation.in_force(settings(isolation="none")) == "none"
    monkeypatch.setenv("YTFSM_LAB", "/a/lab")
    isolation._say_once.cache_clear()
    assert [isolation.in_force(settings(isolation="bwrap")) for _ in range(2)] == ["none", "none"]
    assert caplog.text.count("NO WALLS") == 1


# --- what a program is made of


def test_a_virtual_environment_is_shown_with_the_python_behind_it() -> None:
    found = roots_of(sys.executable)
    assert Path(sys.prefix) in found
    assert any(Path(sys.base_prefix).resolve().is_relative_to(path.resolve()) for path in found)


def test_a_program_of_node_is_shown_with_its_modules(tmp_path: Path) -> None:
    script = tmp_path / "lib" / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"
    script.parent.mkdir(parents=True)
    script.write_text("#!/usr/bin/env node\n")
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("")
    (tmp_path / "bin" / "codex").symlink_to(script)
    for file in (script, node):
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    found = roots_of("codex", str(tmp_path / "bin"))
    assert found == {tmp_path / "bin" / "codex", script, tmp_path / "lib" / "node_modules", node}


def test_a_home_is_never_shown_whole(tmp_path: Path) -> None:
    """`~/.local/bin` lies beside `~/.local/share`, where keyrings are."""
    program = tmp_path / ".local" / "bin" / "codex"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert not any(tmp_path.is_relative_to(path) for path in roots_of(str(program)))
    assert tmp_path / ".local" not in roots_of(str(program))


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert roots_of(str(tmp_path / "a")) == set()


def test_variables_that_name_a_home_show_nothing(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, bare: Path, tmp_path: Path
) -> None:
    metal = tmp_path / "tt-metal"
    metal.mkdir()
    monkeypatch.setenv("TT_METAL_HOME", str(metal))
    monkeypatch.setenv("PYTHONPATH", f"/:{bare}:{bare.parent}:relative")
    read = isolation.sandbox_of(settings(python=sys.executable, codex_bin="true")).read
    assert metal in read
    assert not [path for path in read if bare.is_relative_to(path)]


def test_a_group_of_another_pid_namespace_is_left_alone(tmp_path: Path) -> None:
    """Its worker's number is nobody's here, or somebody else's."""
    ours = sandbox._namespace()
    for name in (f"ytfsm-{ours}-4194303-1", "ytfsm-1-4194303-1", f"ytfsm-{ours}-{os.getpid()}-9999", "others"):
        (tmp_path / name).mkdir()
    sandbox._forget_dead(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["others", "ytfsm-1-4194303-1", f"ytfsm-{ours}-{os.getpid()}-9999"]
    )
