"""Servers of the lab in a thread of their own, and a model that needs no torch to make."""

import asyncio
import json
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.lab.hub import HubServer


class Loop:
    """An event loop in a thread; `run` waits for a coroutine there."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def served(server: Any) -> Iterator[Any]:
    loop = Loop()
    loop.run(server.start())
    server.in_loop = loop.run
    try:
        yield server
    finally:
        loop.run(server.stop())
        loop.close()


def make_model(folder: Path, words: str = "small", weights: int = 3_000_000) -> Path:
    """A model folder as the Hub has them, with a safetensors file of `weights` bytes."""
    (folder / "extra").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    (folder / "README.md").write_text(f"A model: {words}\n")
    (folder / "extra" / "notes.txt").write_text("notes\n")
    header = json.dumps({"w": {"dtype": "U8", "shape": [weights], "data_offsets": [0, weights]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(weights))
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    make_model(tmp_path / "models" / "lab" / "small")
    with served(HubServer(tmp_path / "models", tmp_path / "hub.jsonl")) as server:
        yield server


@pytest.fixture
def in_thread() -> Any:
    return served


@pytest.fixture
def model_maker() -> Any:
    return make_model
