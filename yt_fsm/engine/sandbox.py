"""The sandbox: walls and limits around one program that nobody reviewed (faults S5).

Commands: `bwrap` (bubblewrap) makes the walls, `prlimit` sets the limits, `sh` enters a cgroup where one can be made.

Behind the walls a program has a PID namespace of its own, so all that it started ends with it and no other process is
in sight; a read-only system without anybody's home; the folders that it was given; and the network only where its
step needs it. Its capabilities are gone, also for a worker that is root.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WALLS = "bwrap"
INSTALL = "apt-get install bubblewrap"

# The system as a program needs it. Of /etc only what tells it who and where it is: no keys, nothing of a service's.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sys/devices/system")
_ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "fonts", "gai.conf", "group",
    "host.conf", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "mime.types",
    "nsswitch.conf", "os-release", "passwd", "pki/ca-trust", "pki/tls/cert.pem", "pki/tls/certs", "protocols",
    "resolv.conf", "services", "ssl/cert.pem", "ssl/certs", "ssl/openssl.cnf", "timezone",
)  # fmt: skip
# Folders of the program's own in memory, with their sizes: a limit on files alone would let many of them fill it.
_MEMORY = (("/tmp", 1 << 30), ("/var/tmp", 1 << 28), ("/run", 1 << 26), ("/dev/shm", 1 << 30))  # noqa: S108 - its own
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Sandbox:
    """What one program may see and use: folders to `read` and to `write`, device nodes, the network, and its limits.

    A folder in `hidden` is empty for it, also where it lies in one of these.

    Without `walls` (YT_ISOLATION=none) the limits are all there is.
    """

    walls: bool
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()
    network: bool = False
    processes: int = 2048
    file_bytes: int = 2 << 30
    memory_bytes: int = 0  # 0: no limit
    hidden: tuple[Path, ...] = ()

    @contextlib.contextmanager
    def around(self, argv: list[str], cwd: Path) -> Iterator["Cell"]:
        """A place for one run of `argv`: start `cell.argv` with `cell.fds` open in it; afterwards ask `cell.end`."""
        group = _group(self.processes)
        reading, writing = os.pipe() if self.walls else (-1, -1)
        try:
            limited = [*self._limits(), *argv]
            whole = [*self._bwrap(cwd, writing), *limited] if self.walls else limited
            if group:
                whole = ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(group / "cgroup.procs"), *whole]
            yield Cell(whole, (writing,) if self.walls else (), self, group, reading)
        finally:
            for descriptor in (reading, writing):
                if descriptor >= 0:
                    with contextlib.suppress(OSError):
                        os.close(descriptor)
            if group:
                _remove(group)

    def _limits(self) -> list[str]:
        if not shutil.which("prlimit"):
            return []
        limits = [f"--fsize={self.file_bytes}", "--core=0"]
        if self.memory_bytes:
            limits.append(f"--data={self.memory_bytes}")
        if os.getuid() != 0:  # the kernel does not count root's processes
            limits.append(f"--nproc={self.processes}")
        return ["prlimit", *limits, "--"]

    def _bwrap(self, cwd: Path, status: int) -> list[str]:
        argv = [WALLS, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        argv += [] if self.network else ["--unshare-net"]
        argv += ["--cap-drop", "ALL", "--json-status-fd", str(status)]
        for place in _SYSTEM:
            # In a merged system /bin is a link into /usr.
            link = os.path.islink(place)
            argv += ["--symlink", os.readlink(place), place] if link else _bound("--ro-bind-try", place)
        for name in _ETC:
            argv += _bound("--ro-bind-try", f"/etc/{name}")
        argv += ["--proc", "/proc", *_settings_of_the_kernel(), "--dev", "/dev"]
        for place, size in _MEMORY:
            argv += ["--size", str(size), "--tmpfs", place]
        if self.devices:
            argv += _bound("--ro-bind-try", "/sys")
        for home in homes():
            if any(home.is_relative_to(place) for place in _SYSTEM):
                argv += ["--tmpfs", str(home)]
        seen: list[Path] = [Path(place) for place in _SYSTEM]
        for path in sorted(set(self.read)):
            if any(path.is_relative_to(place) for place in seen) and not _within_home(path, seen):
                continue  # in sight already
            seen.append(path)
            argv += _bound("--ro-bind-try", path)
        for path in sorted(self.write):
            argv += _bound("--bind", path)
        for path in self.hidden:
            if path.is_dir() and any(path.is_relative_to(place) for place in (*seen, *self.write)):
                argv += ["--tmpfs", str(path), "--remount-ro", str(path)]
        for path in self.devices:
            argv += _bound("--dev-bind-try", path)
        # What is left is the folders that hold all these, in memory too: nothing more goes into them.
        return [*argv, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(cwd), "--"]


@dataclass
class Cell:
    """One run of a program in its sandbox."""

    argv: list[str]
    fds: tuple[int, ...]
    sandbox: Sandbox
    group: Path | None
    _status: int
    words: str = field(default="", init=False)  # which limit it met, "" for none
    made: bool = field(default=True, init=False)  # whether the sandbox came to be and the program began

    def end(self, code: int | None) -> int | None:
        """The program's own exit code, a signal's negative; what it met is in `words` and `made` afterwards."""
        if self.sandbox.walls:
            os.close(self.fds[0])
            said = os.read(self._status, 1 << 16).decode(errors="replace")
            self.made = code is None or '"exit-code"' in said
            os.close(self._status)
            if code is not None and 128 < code <= 128 + signal.NSIG:
                code = 128 - code  # as bwrap and shells tell of a signal
            _gone(said)
        if code == -signal.SIGXFSZ:
            self.words = f"it wrote a file of more than {self.sandbox.file_bytes / 1e9:.1f} GB (YT_MAX_FILE_GB)"
        if self.group and _times_full(self.group):
            self.words = f"it wanted more than {self.sandbox.processes} processes and threads (YT_MAX_PROCESSES)"
        return code


def _settings_of_the_kernel() -> list[str]:
    """What of /proc is no process's: read-only. Root may write it without a capability, and so run code outside."""
    argv: list[str] = []
    for name in sorted(os.listdir("/proc")):
        path = f"/proc/{name}"
        if not name.isdecimal() and not os.path.islink(path):
            with contextlib.suppress(OSError):
                if os.path.isdir(path) or os.stat(path).st_mode & 0o222:
                    argv += _bound("--ro-bind-try", path)
    return argv


def _gone(said: str) -> None:
    """Wait until the namespace's first process is gone, and with it all others: bwrap itself ends a moment before."""
    found = re.search(r'"child-pid": *(\d+)', said)
    for _ in range(1000):
        try:
            state = Path(f"/proc/{found[1]}/stat").read_text().rpartition(")")[2].split()[0] if found else "Z"
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.01)


def available() -> bool:
    """Whether there is a program that makes walls."""
    return shutil.which(WALLS) is not None


def homes() -> list[Path]:
    """Where people and this worker keep their own: never in sight, wherever they lie."""
    import pwd

    named = [os.environ.get("HOME"), pwd.getpwuid(os.getuid()).pw_dir, "/root", "/home"]
    found = {Path(os.path.realpath(name)) for name in named if name} - {Path("/")}
    return sorted(found)


def _within_home(path: Path, seen: list[Path]) -> bool:
    """Whether a home hides `path` from what was bound before it."""
    hiding = [home for home in homes() if path.is_relative_to(home)]
    return bool(hiding) and not any(path.is_relative_to(place) and place.is_relative_to(hiding[-1]) for place in seen)


def roots_of(program: str, search: str | None = None) -> set[Path]:
    """What a program needs on the disk to start: its file, its installation, and its interpreter with that one's."""
    found: set[Path] = set()
    todo = [shutil.which(program, path=search)]
    while todo:
        name = todo.pop()
        path = Path(os.path.abspath(name)) if name else None
        for _ in range(40):  # links; a circle of them ends somewhere
            if path is None or path in found or not os.path.lexists(path):
                break
            found |= {path, *_installation(path)}
            if path.is_symlink():
                path = Path(os.path.normpath(path.parent / os.readlink(path)))
                continue
            todo.append(_interpreter(path, search))
            break
    return found


def _interpreter(path: Path, search: str | None) -> str | None:
    try:
        with path.open("rb") as file:
            words = file.readline(512).decode(errors="replace").split()
    except OSError:
        return None
    if not words or not words[0].startswith("#!"):
        return None
    first = words[0][2:] or (words[1] if len(words) > 1 else "")
    if Path(first).name == "env":
        return next((shutil.which(word, path=search) for word in words[1:] if "=" not in word and word[0] != "-"), None)
    return first or None


def _installation(path: Path) -> set[Path]:
    """The folder that a program was installed in, where it is one of its own: a Python's, or Node's modules."""
    modules = [parent for parent in path.parents if parent.name == "node_modules"]
    if modules:
        return {modules[-1]}
    prefix = path.parent.parent
    if path.parent.name == "shims":  # pyenv and its kin: a script that looks for the real one beside it
        return {prefix}
    if path.parent.name != "bin" or prefix == Path("/"):
        return set()
    venv = prefix / "pyvenv.cfg"
    if venv.is_file():
        lines = (line.partition("=") for line in venv.read_text(errors="replace").splitlines())
        home = next((value.strip() for key, _, value in lines if key.strip() == "home"), "")
        return {prefix, *_linked(prefix), *(_installation(Path(home) / "python") if home else ())}
    if any(prefix.glob("lib/python3*/os.py")):
        return {prefix, *_linked(prefix)}
    return set()


def _linked(prefix: Path) -> set[Path]:
    """The folders that a Python's `.pth` files add, as packages in development have them."""
    found = set()
    for file in prefix.glob("lib/python3*/site-packages/*.pth"):
        for line in file.read_text(errors="replace").splitlines():
            if line.startswith("/") and Path(line.strip()).is_dir():
                found.add(Path(line.strip()))
    return found


def _bound(how: str, path: Path | str) -> list[str]:
    return [how, str(path), str(path)]


def _group(processes: int) -> Path | None:
    """A cgroup that holds at most so many processes and threads; None where this worker may make none."""
    for parent in _parents():
        group = parent / f"ytfsm-{_namespace()}-{os.getpid()}-{next(_numbers)}"
        try:
            _forget_dead(parent)
            group.mkdir()
            (group / "pids.max").write_text(str(processes))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        return group
    return None


def _namespace() -> str:
    """The PID namespace that we are in: numbers of processes mean something in it only."""
    try:
        return re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:
        return "0"


def _remove(group: Path) -> None:
    for _ in range(100):  # what was killed a moment ago may still be counted
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.01)


def _parents() -> Iterator[Path]:
    """Where a cgroup that counts processes may stand: in the old hierarchy below our own, in the new one beside it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(","):
            yield Path("/sys/fs/cgroup/pids") / path.lstrip("/")
        elif number == "0":
            own = Path("/sys/fs/cgroup") / path.lstrip("/")
            parent = own if path == "/" else own.parent
            with contextlib.suppress(OSError):
                if "pids" in (parent / "cgroup.subtree_control").read_text().split():
                    yield parent


def _forget_dead(parent: Path) -> None:
    """Remove the empty groups of workers that were killed; of another PID namespace nobody here can tell that."""
    for path in parent.glob(f"ytfsm-{_namespace()}-*-*"):
        pid = path.name.split("-")[2]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                path.rmdir()


def _times_full(group: Path) -> int:
    try:
        words = (group / "pids.events").read_text().split()
        return int(words[words.index("max") + 1])
    except (OSError, ValueError):
        return 0
