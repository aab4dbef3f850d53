"""The lab's Hub, asked by the real huggingface_hub."""

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from yt_fsm.lab.hub import TOKEN, HubServer

REPO = "lab/small"


def download(hub: HubServer, cache: Path, **options: Any) -> Path:
    return Path(snapshot_download(REPO, endpoint=hub.url, cache_dir=cache, **({"token": False} | options)))


def get(url: str, **headers: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers))


def test_a_snapshot_is_the_folder_that_is_served(hub: HubServer, tmp_path: Path) -> None:
    found = download(hub, tmp_path / "cache")
    served = tmp_path / "models" / "lab" / "small"
    files = sorted(path.relative_to(served) for path in served.rglob("*") if path.is_file())
    assert sorted(path.relative_to(found) for path in found.rglob("*") if path.is_file()) == files
    for file in files:
        assert (found / file).read_bytes() == (served / file).read_bytes()


def test_main_and_its_sha_are_the_same_commit(hub: HubServer, tmp_path: Path) -> None:
    sha = HfApi(endpoint=hub.url, token=False).model_info(REPO).sha
    assert sha is not None
    assert len(sha) == 40
    by_branch = download(hub, tmp_path / "cache")
    assert by_branch.name == sha
    assert download(hub, tmp_path / "cache", revision=sha) == by_branch


def test_the_commit_changes_with_a_file_and_only_then(hub: HubServer, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.url, token=False)
    before = api.model_info(REPO).sha
    readme = tmp_path / "models" / "lab" / "small" / "README.md"
    text = readme.read_text()
    readme.write_text(text + "More.\n")
    assert api.model_info(REPO).sha != before
    readme.write_text(text)
    assert api.model_info(REPO).sha == before


def test_another_branch_is_another_commit(hub: HubServer, tmp_path: Path, model_maker: Any) -> None:
    model_maker(tmp_path / "models" / "lab" / "small@old", words="older")
    old = download(hub, tmp_path / "cache", revision="old")
    assert (old / "README.md").read_text() == "A model: older\n"
    assert old != download(hub, tmp_path / "cache")
    refs = HfApi(endpoint=hub.url, token=False).list_repo_refs(REPO)
    assert {branch.name for branch in refs.branches} == {"main", "old"}


def test_the_parameter_count_comes_from_the_weights(hub: HubServer) -> None:
    info = HfApi(endpoint=hub.url, token=False).model_info(REPO, files_metadata=True)
    assert info.safetensors is not None
    assert info.safetensors.total == 3_000_000
    sizes = {file.rfilename: file.size for file in info.siblings or []}
    assert sizes["README.md"] == len("A model: small\n")


def test_the_tree_lists_folders_and_large_files(hub: HubServer) -> None:
    api = HfApi(endpoint=hub.url, token=False)
    paths = {entry.path for entry in api.list_repo_tree(REPO)}
    assert paths == {"README.md", "config.json", "extra", "model.safetensors"}
    everything = {entry.path: entry for entry in api.list_repo_tree(REPO, recursive=True)}
    assert "extra/notes.txt" in everything
    assert everything["model.safetensors"].lfs is not None  # type: ignore[union-attr]
    assert [entry.path for entry in api.get_paths_info(REPO, ["config.json", "nope"])] == ["config.json"]


def test_small_weights_have_a_sha256_too(hub: HubServer, tmp_path: Path) -> None:
    """As by the .gitattributes of the real Hub's repositories: found by the fault matrix, whose model is small."""
    (tmp_path / "models" / "lab" / "small" / "tokenizer.model").write_bytes(b"few")
    info = HfApi(endpoint=hub.url, token=False).model_info(REPO, files_metadata=True)
    lfs = {file.rfilename: file.lfs for file in info.siblings or []}
    assert lfs["config.json"] is None
    assert lfs["tokenizer.model"]["sha256"] == hashlib.sha256(b"few").hexdigest()  # type: ignore[index]


def test_weights_come_from_another_host_which_gets_no_token(hub: HubServer, tmp_path: Path) -> None:
    download(hub, tmp_path / "cache", token=TOKEN)
    content = [entry for entry in hub.log.entries if entry["path"].startswith("/_content/")]
    assert content
    assert not any(entry["authorized"] for entry in content)
    assert any(entry["authorized"] for entry in hub.log.entries)


def test_a_redirect_leads_to_another_host_name(hub: HubServer) -> None:
    # huggingface_hub 2.0 and 2.1 follow one to the same name, whatever its port, and then miss X-Repo-Commit.
    connection = http.client.HTTPConnection(urlsplit(hub.url).netloc)
    connection.request("HEAD", f"/{REPO}/resolve/main/model.safetensors")
    answer = connection.getresponse()
    connection.close()
    assert (answer.status, answer.headers["X-Repo-Commit"] is not None) == (302, True)
    assert urlsplit(answer.headers["Location"]).hostname != urlsplit(hub.url).hostname


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=5-2", "bytes=x-y", "lines=1-2"])
def test_several_ranges_or_none_are_answered_with_the_whole_file(hub: HubServer, asked: str) -> None:
    with get(f"{hub.url}/{REPO}/resolve/main/config.json", Range=asked) as answer:
        assert answer.status == 200
        assert json.loads(answer.read())["model_type"] == "llama"


def test_what_the_lab_s_hub_cannot_is_not_taken_for_what_is_not_there(hub: HubServer) -> None:
    for path, status in (("/api/spaces/lab/x", 501), ("/api/agent-harnesses", 404)):
        with pytest.raises(urllib.error.HTTPError, match=str(status)) as refused:
            get(hub.url + path)
        refused.value.close()
    assert [one["not_implemented"] for one in hub.log.entries if "not_implemented" in one] == ["GET /api/spaces/lab/x"]


def test_other_bytes_of_the_right_length_are_told_by_their_hash_only(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.add({"kind": "corrupt", "operation": "content"})
    found = download(hub, tmp_path / "cache") / "model.safetensors"
    (entry,) = HfApi(endpoint=hub.url, token=False).get_paths_info(REPO, ["model.safetensors"])
    assert found.stat().st_size == entry.size  # type: ignore[union-attr]
    assert hashlib.sha256(found.read_bytes()).hexdigest() != entry.lfs.sha256  # type: ignore[union-attr]
    good = download(hub, tmp_path / "again") / "model.safetensors"
    assert hashlib.sha256(good.read_bytes()).hexdigest() == entry.lfs.sha256  # type: ignore[union-attr]


def test_a_repository_can_vanish(hub: HubServer) -> None:
    for token, status in ((TOKEN, "404"), (False, "401")):
        hub.faults.add({"kind": "vanished"})
        with pytest.raises(RepositoryNotFoundError, match=status):
            HfApi(endpoint=hub.url, token=token).model_info(REPO)
    assert HfApi(endpoint=hub.url, token=TOKEN).model_info(REPO).id == REPO


def test_the_hub_can_be_out_of_order_for_a_time_for_its_login_too(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.add({"kind": "status", "status": 503, "lasts": 60})
    api = HfApi(endpoint=hub.url, token=TOKEN)
    for _ in range(2):
        with pytest.raises(HfHubHTTPError, match="503"):
            api.whoami()
        with pytest.raises(HfHubHTTPError, match="503"):
            api.model_info(REPO)
    monkeypatch.setattr("yt_fsm.lab.faults.time.time", lambda now=time.time(): now + 61)
    assert api.whoami()["name"] == "lab"


def test_the_hub_can_be_away_until_it_is_told_to_be_back(tmp_path: Path, model_maker: Any, in_thread: Any) -> None:
    model_maker(tmp_path / "models" / "lab" / "small")
    kept = tmp_path / "faults.json"
    server = HubServer(tmp_path / "models", tmp_path / "hub.jsonl", kept)
    with in_thread(server) as hub:
        api, url = HfApi(endpoint=hub.url, token=False), hub.url
        assert api.model_info(REPO).id == REPO
        hub.misbehave({"kind": "away"})
        hub.in_loop(hub.settle())
        with pytest.raises(Exception, match="disconnected"):  # the connection that it had kept
            api.model_info(REPO)
        with pytest.raises(urllib.error.URLError, match="refused"):
            get(url)
        hub.faults.clear("away")
        hub.in_loop(hub.settle())
        assert api.model_info(REPO).id == REPO
        hub.misbehave({"kind": "away", "lasts": 0.2})
        hub.in_loop(hub.settle())
        with pytest.raises(urllib.error.URLError, match="refused"):
            get(url)
        back = next(hub for _ in range(500) if is_back(url))
        assert back is hub
    with pytest.raises(ValueError, match="`away` takes `lasts` only, no count"):
        server.misbehave({"kind": "away", "count": 2})


def is_back(url: str) -> bool:
    time.sleep(0.01)
    try:
        get(f"{url}/api/models").close()
    except urllib.error.URLError:
        return False
    return True


def test_a_range_is_that_part_of_the_file(hub: HubServer, tmp_path: Path) -> None:
    whole = (tmp_path / "models" / "lab" / "small" / "README.md").read_bytes()
    url = f"{hub.url}/{REPO}/resolve/main/README.md"
    for asked, expected in (("bytes=2-5", whole[2:6]), ("bytes=4-", whole[4:]), ("bytes=-3", whole[-3:])):
        with get(url, Range=asked) as answer:
            assert (answer.status, answer.read()) == (206, expected)
            assert answer.headers["Content-Range"].endswith(f"/{len(whole)}")
    with pytest.raises(urllib.error.HTTPError, match="416") as refused:
        get(url, Range="bytes=99999-")
    refused.value.close()


def test_a_known_etag_is_not_sent_again(hub: HubServer) -> None:
    url = f"{hub.url}/{REPO}/resolve/main/config.json"
    with get(url) as answer:
        etag = answer.headers["ETag"]
    with pytest.raises(urllib.error.HTTPError, match="304") as unchanged:
        get(url, **{"If-None-Match": etag})
    unchanged.value.close()


def test_what_is_not_there_says_what_is_missing(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(RevisionNotFoundError, match="nope"):
        download(hub, tmp_path / "a", revision="nope")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(REPO, "nope.json", endpoint=hub.url, cache_dir=tmp_path / "b", token=False)
    for token, status in ((False, "401"), (TOKEN, "404")):
        with pytest.raises(RepositoryNotFoundError, match=status):
            HfApi(endpoint=hub.url, token=token).model_info("lab/nope")


def test_a_gated_model_opens_for_those_on_its_list(hub: HubServer, tmp_path: Path) -> None:
    hub.gated[REPO] = {"hf_friend"}
    assert HfApi(endpoint=hub.url, token=False).model_info(REPO).gated == "manual"
    with pytest.raises(GatedRepoError, match="401"):
        download(hub, tmp_path / "a")
    with pytest.raises(GatedRepoError, match="403"):
        download(hub, tmp_path / "b", token=TOKEN)
    assert download(hub, tmp_path / "c", token="hf_friend").is_dir()


def test_a_wrong_token_is_refused(hub: HubServer) -> None:
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(endpoint=hub.url, token="hf_wrong").model_info(REPO)
    with pytest.raises(HfHubHTTPError):
        HfApi(endpoint=hub.url).whoami(token="hf_wrong")
    assert HfApi(endpoint=hub.url).whoami(token=TOKEN)["name"] == "lab"


def test_a_broken_connection_is_resumed_by_the_client(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.add({"kind": "reset", "operation": "content", "bytes": 1000})
    found = download(hub, tmp_path / "cache")
    whole = (tmp_path / "models" / "lab" / "small" / "model.safetensors").stat().st_size
    assert (found / "model.safetensors").stat().st_size == whole
    assert sum(entry["path"].startswith("/_content/") for entry in hub.log.entries) == 2


def test_a_file_that_ends_early_is_noticed_by_the_client(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.add({"kind": "truncated", "operation": "content", "bytes": 1000})
    with pytest.raises(OSError, match="Consistency check failed"):
        download(hub, tmp_path / "cache")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "gated", "operation": "resolve"}, GatedRepoError),
        ({"kind": "revision", "operation": "info"}, RevisionNotFoundError),
        ({"kind": "missing", "operation": "resolve", "path": "config.json"}, EntryNotFoundError),
        ({"kind": "status", "status": 403, "operation": "info", "message": "no"}, HfHubHTTPError),
    ],
    ids=["gated", "revision", "missing", "forbidden"],
)
def test_a_fault_comes_as_often_as_it_was_set(
    hub: HubServer, tmp_path: Path, fault: dict[str, Any], error: type[Exception]
) -> None:
    hub.faults.add(fault)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the next line's question
        download(hub, tmp_path / "cache")
    assert isinstance(caught.value, error) or isinstance(caught.value.__cause__, error)
    assert download(hub, tmp_path / "cache").is_dir()


def test_a_restart_remembers_requests_and_reads_no_weights_again(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = HfApi(endpoint=hub.url, token=False).model_info(REPO).sha
    asked = len(hub.log.entries)
    weights = tmp_path / "models" / "lab" / "small" / "model.safetensors"
    again = HubServer(tmp_path / "models", tmp_path / "hub.jsonl")
    # Were it read, these bytes would make another commit; size and time are what they were.
    times = (weights.stat().st_atime_ns, weights.stat().st_mtime_ns)
    weights.write_bytes(b"\1" * weights.stat().st_size)
    import os

    os.utime(weights, ns=times)
    assert again.models.revisions(REPO)["main"].sha == sha
    assert len(again.log.entries) == asked
    again.log.close()
    assert json.loads((tmp_path / "hub.jsonl").read_text().splitlines()[0])["path"].endswith(REPO)
