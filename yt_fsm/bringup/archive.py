"""Archives: the files of a folder that git does not take as it is, whatever unreviewed code left in it (faults W7).

A folder that holds repositories, sockets, odd names or far too much is packed as far as it may matter: regular files
and links, those of the folders that count first and small ones before large ones, within bounds. What is left out is
said. No link is followed, neither on the way in nor on the way out.
"""

import contextlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.outside import shown
from yt_fsm.engine.removal import remove, remove_file

FILES = 20_000
BYTES = 256 << 20  # of all files
LARGEST = 32 << 20  # of one
LOOKED_AT = 200_000  # names; beyond them nothing is looked for
_NAMED = 3  # of the things that are left out, in words


class _File(NamedTuple):
    """A file or a link: its name in the folder, and what its `lstat` said."""

    name: str
    found: os.stat_result


def pack(folder: Path, file: Path, first: list[str]) -> str:
    """Pack a folder into `file`, which is whole or not there; returns what was left out, in words ("": nothing).

    The folders `first` are those that count. Every `.git` in it is left out. Raises OSError when `file` cannot be
    written.
    """
    look = _Look(folder, first)
    fresh = file.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            with tarfile.open(fileobj=target, mode="w:gz", format=tarfile.GNU_FORMAT, compresslevel=1) as tar:
                _write(tar, look)
            target.flush()
            os.fsync(target.fileno())
        fresh.rename(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return look.words()


def unpack(file: Path, folder: Path, only: list[str] | None = None) -> None:
    """Write the files of an archive into a folder (with `only`, those in these folders), over what is there.

    Links come last, so that nothing is written through one. Raises SetupError when it cannot be read.
    """
    links: list[tuple[tuple[str, ...], str]] = []
    size = 0
    try:
        with tarfile.open(file, "r:gz") as tar:
            for member in tar:
                parts = tuple(member.name.split("/"))
                size += member.size
                if size > BYTES or not _harmless(parts):
                    raise SetupError(f"{file} is no archive of ours: {shown(member.name)}")
                if only is not None and not member.name.startswith(tuple(f"{name}/" for name in only)):
                    continue
                data = tar.extractfile(member) if member.isreg() else None
                if data:
                    _place(folder, parts)
                    target = folder.joinpath(*parts)
                    target.write_bytes(data.read())
                    target.chmod(0o755 if member.mode & 0o100 else 0o644)
                elif member.issym():
                    links.append((parts, member.linkname))
        for parts, where in links:
            _place(folder, parts)
            folder.joinpath(*parts).symlink_to(where)
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as problem:
        raise SetupError(f"{file} cannot be unpacked: {shown(problem)}") from None


def _harmless(parts: tuple[str, ...]) -> bool:
    return bool(parts) and not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)


def _place(folder: Path, parts: tuple[str, ...]) -> None:
    """Make room for a file: real folders on the way to it, and nothing of its name."""
    for end in range(1, len(parts)):
        step = folder.joinpath(*parts[:end])
        if not os.path.lexists(step):
            step.mkdir()
        elif step.is_symlink() or not step.is_dir():
            remove_file(step)
            step.mkdir()
    target = folder.joinpath(*parts)
    if target.is_dir() and not target.is_symlink():
        remove(target)
    elif os.path.lexists(target):
        remove_file(target)


def _write(tar: tarfile.TarFile, look: "_Look") -> None:
    """Write what a look found, and note what does not fit."""
    room, count = BYTES, 0
    for name, found in look.files():
        if stat.S_ISREG(found.st_mode) and found.st_size > LARGEST:
            look.note(f"files of more than {LARGEST >> 20} MiB", name)
        elif count == FILES or found.st_size > room:
            look.note(f"files beyond the first {FILES:,} or {BYTES >> 20} MiB", name)
        else:
            try:
                wrote = _add(tar, look.folder / name, name, found)
            except OSError:
                look.note("files that cannot be read", name)
                continue
            room, count = room - wrote, count + 1


def _add(tar: tarfile.TarFile, path: Path, name: str, found: os.stat_result) -> int:
    """Write one file; how many bytes it has. Raises OSError when it cannot be read."""
    info = tarfile.TarInfo(name)
    if stat.S_ISLNK(found.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        data = b""
    else:
        with open(_opened(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(f"{path} is no file any more")
            data = file.read(LARGEST)
        info.size, info.mode = len(data), 0o755 if found.st_mode & 0o100 else 0o644
    tar.addfile(info, io.BytesIO(data))
    return len(data)


def _opened(path: Path, flags: int) -> int:
    """Open what is no link; its own user may read what it is, whatever mode unreviewed code gave it."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except PermissionError:
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)  # the thing itself, whatever its name is now
        finally:
            os.close(handle)
        return os.open(path, flags)


class _Look:
    """One look through a folder: its files, and what is left out of them by kind."""

    def __init__(self, folder: Path, first: list[str]) -> None:
        self.folder, self.first = folder, first
        self._left: dict[str, list[str]] = {}  # kind: names
        self._counted: dict[str, int] = {}

    def files(self) -> list[_File]:
        """The files and links, those of the folders that count first, then the smallest first."""
        counts = tuple(f"{name}/" for name in self.first)
        found = {one.name: one for start in (*self.first, "") if self._is_real(start) for one in self._within(start)}
        return sorted(found.values(), key=lambda one: (not one.name.startswith(counts), one.found.st_size, one.name))

    def note(self, kind: str, name: str) -> None:
        """Something of this kind is left out."""
        self._counted[kind] = self._counted.get(kind, 0) + 1
        if len(named := self._left.setdefault(kind, [])) < _NAMED:
            named.append(shown(name.encode(errors="backslashreplace").decode(), 80))

    def words(self) -> str:
        """What was left out; "" when nothing was."""
        return "; ".join(
            f"{kind}: {self._counted[kind]:,} ({', '.join(names)}{', …' if self._counted[kind] > _NAMED else ''})"
            for kind, names in self._left.items()
        )

    def _is_real(self, start: str) -> bool:
        """Whether a folder is one, on a way without links."""
        steps = [self.folder.joinpath(*start.split("/")[: end + 1]) for end in range(len(start.split("/")))]
        return all(step.is_dir() and not step.is_symlink() for step in steps)

    def _within(self, start: str) -> Iterator[_File]:
        """What lies below a folder, at most LOOKED_AT names of it; without recursion, as any depth can be made."""
        waiting, seen = [start], 0
        while waiting:
            here = waiting.pop()
            try:
                with contextlib.closing(_Names(self.folder / here)) as names:
                    for entry in names:
                        if (seen := seen + 1) > LOOKED_AT:
                            self.note(f"names beyond the first {LOOKED_AT:,}", here or ".")
                            return
                        name = f"{here}/{entry}" if here else entry
                        yield from self._one(name, names.stat(entry), waiting)
            except OSError:
                self.note("folders that cannot be read", here)

    def _one(self, name: str, found: os.stat_result, waiting: list[str]) -> Iterator[_File]:
        if name.rpartition("/")[2].lower() == ".git":
            if "/" in name:
                self.note("what git knows of repositories within", name)
        elif stat.S_ISDIR(found.st_mode):
            waiting.append(name)
        elif stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            yield _File(name, found)
        else:
            self.note("sockets, pipes and devices", name)


class _Names:
    """The names in a folder, which is opened without following a link, as they are read from the disk."""

    def __init__(self, folder: Path) -> None:
        self._fd = _opened(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._scan = os.scandir(self._fd)

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self._scan)

    def stat(self, name: str) -> os.stat_result:
        """What is there by that name."""
        return os.stat(name, dir_fd=self._fd, follow_symlinks=False)

    def close(self) -> None:
        """Let go of it."""
        self._scan.close()
        os.close(self._fd)
