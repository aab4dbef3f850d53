"""Archives: whatever lies in a folder, what can be had of it is packed, and comes out as it was (faults W7)."""

import io
import os
import socket
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yt_fsm.bringup import archive
from yt_fsm.engine.errors import SetupError
from yt_fsm.engine.removal import remove

FIRST = ["models/org/name/n300", "tests/models/org/name/n300"]
MODEL = f"{FIRST[0]}/model.py"

NAMES = st.one_of(
    st.sampled_from([b".git", b".GIT", b"a", b"models", b"org", b"name", b"n300", b"x\\y", b"-rf", b"\xff\xfe", b"\n"]),
    st.binary(min_size=1, max_size=12).filter(lambda name: name not in (b".", b"..") and not set(name) & {0, 47}),
)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map(b"/".join)


def file(data: bytes, mode: int) -> Callable[[bytes], None]:
    def make(path: bytes) -> None:
        with open(path, "wb") as target:
            target.write(data)
        os.chmod(path, mode)

    return make


def listening(path: bytes) -> None:
    """A socket, by a short way: its name may have 108 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as one:
        one.bind(f"{short}/s")
        os.rename(f"{short}/s", path)


THINGS = st.one_of(
    st.builds(file, st.binary(max_size=200), st.sampled_from([0o644, 0o755, 0o000, 0o4711, 0o200])),
    st.sampled_from([b"/etc", b"..", b".", b"a", b"../../../x", b"\xff"]).map(lambda to: lambda at: os.symlink(to, at)),
    st.just(os.mkfifo),
    st.just(os.mkdir),
)


def fill(folder: Path, things: list[tuple[bytes, Callable[[bytes], None]]]) -> None:
    """Make the things, as far as the file system takes them."""
    root = os.fsencode(folder)
    for path, make in things:
        above, _, _ = path.rpartition(b"/")
        steps = above.split(b"/") if above else []
        if any(os.path.islink(os.path.join(root, *steps[:end])) for end in range(1, len(steps) + 1)):
            continue  # it would lead out of the test
        try:
            os.makedirs(os.path.join(root, above), exist_ok=True)
            if not os.path.lexists(os.path.join(root, path)):
                make(os.path.join(root, path))
        except OSError:
            continue


def seen(folder: Path) -> dict[str, object]:
    """Files and links below a folder: what is in them; no `.git`, and no folder by itself."""
    found: dict[str, object] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name.lower() != ".git"]
        for name in [*names, *folders]:
            path = Path(place) / name
            mode = path.lstat().st_mode
            if name.lower() == ".git":
                continue
            if stat.S_ISLNK(mode):
                found[str(path.relative_to(folder))] = os.readlink(path)
            elif stat.S_ISREG(mode):
                path.chmod(mode | 0o600)
                found[str(path.relative_to(folder))] = (path.read_bytes(), bool(mode & 0o100))
    return found


@settings(max_examples=60)
@given(things=st.lists(st.tuples(PATHS, THINGS), max_size=12))
def test_what_is_packed_comes_out_as_it_was(things: list[tuple[bytes, Callable[[bytes], None]]]) -> None:
    with tempfile.TemporaryDirectory() as where:
        tree, packed, out = (Path(where) / name for name in ("tree", "packed.tar.gz", "out"))
        tree.mkdir()
        out.mkdir()
        fill(tree, things)
        archive.pack(tree, packed, FIRST)
        archive.unpack(packed, out)
        assert seen(out) == seen(tree)
        assert sorted(os.listdir(where)) == ["out", "packed.tar.gz", "tree"]
        assert packed.stat().st_mode & 0o077 == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    (made / FIRST[0]).mkdir(parents=True)
    (made / MODEL).write_text("RIGHT = 1\n")
    return made


def unpacked(tree: Path, only: list[str] | None = None) -> tuple[str, dict[str, object]]:
    file, out = tree.parent / "packed.tar.gz", tree.parent / "out"
    out.mkdir()
    left = archive.pack(tree, file, FIRST)
    archive.unpack(file, out, only)
    return left, seen(out)


def test_what_is_no_file_is_left_out_and_said(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    listening(os.fsencode(tree / "socket"))
    (tree / "vendor/lib/.git").mkdir(parents=True)
    (tree / "vendor/lib/x.py").write_text("x")
    left, found = unpacked(tree)
    assert "sockets, pipes and devices: 2 (pipe, socket)" in left
    assert "what git knows of repositories within: 1 (vendor/lib/.git)" in left
    assert sorted(found) == [MODEL, "vendor/lib/x.py"]


def test_a_bounded_archive_holds_what_counts(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FILES", 3)
    for number in range(8):
        (tree / f"{number}.txt").write_bytes(b"x" * number)
    left, found = unpacked(tree)
    assert sorted(found) == ["0.txt", "1.txt", MODEL], "the model first, then the smallest"
    assert left == "files beyond the first 3 or 256 MiB: 6 (2.txt, 3.txt, 4.txt, …)"


def test_a_huge_file_is_left_out_and_not_read(tree: Path) -> None:
    with (tree / FIRST[0] / "weights.bin").open("wb") as file:
        file.truncate(1 << 42)
    left, found = unpacked(tree)
    assert list(found) == [MODEL]
    assert left == f"files of more than 32 MiB: 1 ({FIRST[0]}/weights.bin)"


def test_a_folder_of_too_many_names_does_not_hide_the_model(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LOOKED_AT", 20)
    for number in range(50):
        (tree / f"{number}").mkdir()
    left, found = unpacked(tree)
    assert list(found) == [MODEL]
    assert left == "names beyond the first 20: 1 (.)"


def test_a_tree_deeper_than_any_path_is_packed_as_far_as_names_go(tree: Path) -> None:
    here = os.open(tree, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("dd", dir_fd=here)
        below = os.open("dd", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    left, found = unpacked(tree)
    assert list(found) == [MODEL]
    assert left.startswith("folders that cannot be read: 1 (dd/dd")
    remove(tree)


def test_a_model_folder_that_is_a_link_leads_nowhere(tree: Path) -> None:
    outside = tree.parent / "outside"
    (outside / "name/n300").mkdir(parents=True)
    (outside / "name/n300/secret.py").write_text("no")
    (tree / "models").rename(tree.parent / "was")
    (tree / "models").mkdir()
    (tree / "models/org").symlink_to(outside)
    assert unpacked(tree) == ("", {"models/org": str(outside)})


def test_only_some_folders_come_out(tree: Path) -> None:
    (tree / "README.md").write_text("mine")
    (tree / (FIRST[0] + "-more")).mkdir()
    (tree / (FIRST[0] + "-more") / "x").write_text("x")
    assert list(unpacked(tree, FIRST)[1]) == [MODEL]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ".git/config", "a/.GIT/hooks/x", "a//x", ""])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "bad.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(SetupError, match=r"no archive of ours|cannot be unpacked"):
        archive.unpack(file, out)
    assert seen(tmp_path) == {"bad.tar.gz": (file.read_bytes(), False)}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    file, out, outside = tmp_path / "bad.tar.gz", tmp_path / "out", tmp_path / "outside"
    with tarfile.open(file, "w:gz") as tar:
        link = tarfile.TarInfo("a")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        tar.addfile(link)
        info = tarfile.TarInfo("a/x")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    out.mkdir()
    outside.mkdir()
    (out / "a").symlink_to(outside)
    archive.unpack(file, out)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 999])
def test_a_spoiled_archive_is_said(tree: Path, spoil: Callable[[bytes], bytes]) -> None:
    file = tree.parent / "packed.tar.gz"
    archive.pack(tree, file, FIRST)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(SetupError, match="cannot be unpacked"):
        archive.unpack(file, tree)


def test_an_archive_that_cannot_be_written_leaves_the_one_before(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tree.parent / "packed.tar.gz"
    archive.pack(tree, file, FIRST)
    before = file.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        archive.pack(tree, file, FIRST)
    assert file.read_bytes() == before
    assert not file.with_suffix(".new").exists()
