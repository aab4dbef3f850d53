"""The download: what of a model is fetched, whose fault a failure is, and that the Hub's own trouble is waited out."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.conftest import make_model, served
from yt_fsm.engine.errors import ServiceError
from yt_fsm.engine.shell import Shell
from yt_fsm.lab.hub import TOKEN, HubServer
from yt_fsm.tools import hub as module
from yt_fsm.tools.hub import NotOnTheHub, TooLarge, WeightsDamaged, download, token_of, unneeded

REPO = "lab/small"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("hub")
    made = make_model(folder / "models" / "lab" / "small")
    (made / "consolidated.safetensors").write_bytes((made / "model.safetensors").read_bytes())
    wide = make_model(folder / "models" / "lab" / "wide") / "model.safetensors"
    head = json.dumps({"w": {"dtype": "BF16", "shape": [40, 50], "data_offsets": [0, 4000]}}).encode()
    wide.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4000))
    with served(HubServer(folder / "models", folder / "hub.jsonl")) as made:
        yield made


@pytest.fixture
def fetch(server: HubServer, shell: Shell, bare: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Downloads into a cache of the test's own, with the operator's HOME in `bare`."""
    first = len(server.log.entries)

    def ask(model: str = REPO, timeout: float = 60, most: int | None = None) -> Any:
        env = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": server.url}
        return download(shell, model, None, env, timeout, 0, lambda done, total: None, most)

    ask.asked = lambda part: [e for e in server.log.entries[first:] if part in e["path"]]  # type: ignore[attr-defined]
    yield ask
    server.faults.clear()
    server.gated.clear()


def test_a_hub_that_is_away_for_a_while_is_asked_again_and_one_copy_of_the_weights_is_fetched(
    server: HubServer, fetch: Callable[..., Any]
) -> None:
    """Faults W11: one 503 was a setup error, and `consolidated.safetensors` came too."""
    server.faults.add({"kind": "status", "status": 503, "operation": "info", "count": 1})
    found = fetch()
    assert found.sha
    assert 3_000_000 < found.bytes < 3_100_000
    assert fetch.asked("model.safetensors")  # type: ignore[attr-defined]
    assert not fetch.asked("consolidated.safetensors")  # type: ignore[attr-defined]


def test_a_model_with_more_weights_than_there_is_room_for_is_not_fetched(
    server: HubServer, fetch: Callable[..., Any]
) -> None:
    with pytest.raises(TooLarge, match=r"^lab/wide has 0\.0 billion weights$") as caught:
        fetch("lab/wide", most=1999)
    assert (caught.value.fault, caught.value.final, caught.value.weights) == ("issue", True, 2000)
    assert not fetch.asked("model.safetensors")  # type: ignore[attr-defined]
    assert fetch("lab/wide", most=2000).sha


@pytest.mark.parametrize(
    ("counted", "files", "weights"),
    [
        ({"BF16": 7, "F32": 1}, {"model.safetensors": 18}, 8),
        ({"F8_E4M3": 6, "I32": 100}, {"model.safetensors": 406}, 6),
        ({"I32": 100}, {"model.safetensors": 400}, 0),
        (None, {"pytorch_model.bin": 400, "tokenizer.json": 4000}, 100),
    ],
)
def test_weights_are_never_overcounted(counted: Any, files: dict[str, int], weights: int) -> None:
    """A model that may fit is not refused: packed integers are not counted, and unknown ones are wide."""
    told = SimpleNamespace(safetensors=SimpleNamespace(parameters=counted) if counted else None)
    assert module._weights(told, files) == weights


def test_a_hub_that_stays_away_is_the_services_fault(server: HubServer, fetch: Callable[..., Any]) -> None:
    server.faults.add({"kind": "status", "status": 503, "operation": "info", "count": None})
    with pytest.raises(ServiceError, match="the download of lab/small") as caught:
        fetch(timeout=4)
    assert (caught.value.fault, caught.value.final) == ("service", False)


def test_the_operators_login_counts_and_a_licence_that_nobody_accepted_is_the_issues_fault(
    server: HubServer, fetch: Callable[..., Any], bare: Path
) -> None:
    """Faults W11: after `hf auth login` without HF_TOKEN a model was "gated"."""
    server.gated[REPO] = {TOKEN}
    with pytest.raises(NotOnTheHub, match=r"is gated: accept its licence .*nobody did `hf auth login` here") as caught:
        fetch()
    assert caught.value.fault == "issue"
    file = bare / ".cache" / "huggingface" / "token"
    file.parent.mkdir(parents=True)
    file.write_text(f"{TOKEN}\n")
    assert fetch().sha


def test_a_file_that_the_disk_changed_is_fetched_again(fetch: Callable[..., Any], tmp_path: Path) -> None:
    fetch()
    (weights,) = (tmp_path / "hf").rglob("snapshots/*/model.safetensors")
    whole = weights.read_bytes()
    blob = weights.resolve()
    blob.chmod(0o644)
    blob.write_bytes(whole[:-1] + b"\1")
    assert fetch().bytes
    assert weights.read_bytes() == whole


def test_a_file_that_stays_another_is_an_integrity_error_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x")
    with pytest.raises(
        module._Trouble, match=r"model.safetensors has the sha256 2d71.* and the Hub names 0000"
    ) as caught:
        module._verify(file, file.name, "0" * 64)
    assert caught.value.fault == "integrity"
    assert not file.exists()
    assert isinstance(module._error_of("integrity", "x"), WeightsDamaged)
    with pytest.raises(module._Trouble, match="did not arrive") as caught:
        module._verify(file, file.name, None)
    assert caught.value.fault == "service"


# --- without a Hub


def unasked(index: str) -> set[str]:
    raise AssertionError(index)


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["model.safetensors", "consolidated.safetensors", "config.json"], ["consolidated.safetensors"]),
        (["model.safetensors", "pytorch_model.bin"], ["pytorch_model.bin"]),
        (["model.safetensors", "model.fp16.safetensors", "unet/x.safetensors"],
         ["model.fp16.safetensors", "unet/x.safetensors"]),
        (["pytorch_model.bin", "training_args.bin", "optimizer.pt"], ["optimizer.pt", "training_args.bin"]),
        (["model.safetensors", "adapter_config.json", "adapter_model.safetensors"], []),
        (["weights.safetensors", "old.bin"], ["old.bin"]),
        (["weights.bin", "tokenizer.json"], []),
        ([], []),
    ],
)  # fmt: skip
def test_what_transformers_would_not_load_is_not_fetched(names: list[str], left: list[str]) -> None:
    assert unneeded(names, unasked) == left


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_an_index_decides_which_shards_are_fetched(index: str) -> None:
    names = [index, "a-1.safetensors", "a-2.safetensors", "consolidated.00.safetensors", "b.bin", "config.json"]
    left = unneeded(names, lambda asked: {"a-1.safetensors", "a-2.safetensors"} if asked == index else set())
    assert left == ["b.bin", "consolidated.00.safetensors"]


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({"HF_TOKEN": " a "}, "a"),
        ({"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "b"}, "b"),
        ({"HF_TOKEN_PATH": "path", "HF_HOME": "home"}, "of path"),
        ({"HF_HOME": "home"}, "of home"),
        ({"HF_HOME": "nowhere"}, "of user"),
        ({}, "of user"),
        ({"HOME": "nowhere"}, ""),
    ],
)
def test_the_token_is_the_operators_own(tmp_path: Path, env: dict[str, str], found: str) -> None:
    for file, text in {"path": "of path", "home/token": "of home", "user/.cache/huggingface/token": "of user"}.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text + "\n")
    places = {name: value if "TOKEN" in name[-5:] else str(tmp_path / value) for name, value in env.items()}
    assert token_of({"HOME": str(tmp_path / "user"), **places}) == found


class Answered(Exception):
    def __init__(self, status: int) -> None:
        self.response = type("Response", (), {"status_code": status})()


@pytest.mark.parametrize(
    ("problem", "fault"),
    [
        (Answered(503), "service"), (Answered(429), "service"), (Answered(401), "machine"), (Answered(403), "machine"),
        (ConnectionResetError(), "service"), (TimeoutError(), "service"), (OSError(28, "No space left"), "machine"),
        (OSError("Consistency check failed: file should be of size 3"), "service"), (ValueError("x"), "machine"),
        (type("ReadTimeout", (type("TransportError", (Exception,), {}),), {})(), "service"),
        (type("OfflineModeIsEnabled", (ConnectionError,), {})(), "machine"),
    ],
)  # fmt: skip
def test_whose_fault_a_failed_download_is(problem: Exception, fault: str) -> None:
    """Faults Q4."""
    assert module._fault_of(problem) == fault


def test_a_download_that_is_killed_for_its_silence_is_the_hubs_fault(
    monkeypatch: pytest.MonkeyPatch, program: Callable[[str, str], Path], shell: Shell
) -> None:
    silent = program("silent", "import time; time.sleep(30)")
    monkeypatch.setattr(module.sys, "executable", str(silent))
    monkeypatch.setattr(module, "STALL_SECS", 0.3)
    with pytest.raises(ServiceError, match=r"did not come to its end: .* without a word") as caught:
        download(shell, REPO, None, dict(os.environ), 20, 0, lambda done, total: None)
    assert caught.value.kind == "TIMEOUT"
