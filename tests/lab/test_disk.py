"""The small disk, and what the Hub's client says when it is full."""

import errno
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from yt_fsm.lab.disk import small_disk
from yt_fsm.lab.errors import LabError
from yt_fsm.lab.hub import HubServer


def test_a_small_disk_is_full_soon_and_gone_after(tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 64 * 1024) as folder:
            with pytest.raises(OSError, match="space") as full:
                (folder / "file").write_bytes(bytes(128 * 1024))
            assert full.value.errno == errno.ENOSPC
    except LabError as problem:
        pytest.skip(str(problem))
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_a_download_to_a_full_disk_fails(hub: HubServer, tmp_path: Path) -> None:
    try:
        with small_disk(tmp_path / "disk", 1024 * 1024) as folder, pytest.raises(OSError, match="space"):
            snapshot_download("lab/small", endpoint=hub.url, cache_dir=folder, token=False)
    except LabError as problem:
        pytest.skip(str(problem))


def test_where_mounting_is_not_allowed_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="cannot be mounted here"), small_disk(tmp_path / "disk", 1024):
        pass
