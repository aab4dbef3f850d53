"""What the process that runs the model can reach where a person starts the evaluation: Landlock, where there is one."""

import ctypes
import importlib
import json
import os
import re
import textwrap
from pathlib import Path

import pytest

from yt_fsm.bringup import template

from .test_cheats import at_import

SHORT = ("--prefill-len", 8, "--decode-len", 4)
NO_LANDLOCK = ctypes.CDLL(None).syscall(444, None, 0, 1) < 1
needs_landlock = pytest.mark.skipif(NO_LANDLOCK, reason="this kernel has no Landlock, so nothing stands around a model")

# Each maps or opens through compiled code, which no hook of Python's sees. What works is printed.
PROBES = """
    import os
    import safetensors
    import torch

    def write(path):
        torch.from_file(path, shared=True, size=4096, dtype=torch.uint8)[:1] = 35

    def read(path):
        return bytes(torch.from_file(path, shared=False, size=8, dtype=torch.uint8).numpy())

    def probe(name, action, *given):
        try:
            action(*given)
            print("WORKS", name)
        except BaseException as problem:
            print("REFUSED", name, type(problem).__name__)

    root = os.path.dirname(__file__).partition("/models/")[0]
    probe("scoring", write, root + "/scripts/harness/scoring.py")
    probe("new module", write, root + "/scripts/sitecustomize.py")
    probe("test", write, root + "/tests/conftest.py")
    probe("pyc", write, root + "/scripts/harness/__pycache__/scoring.cpython-312.pyc")
    probe("pth", write, os.path.dirname(os.path.dirname(torch.__file__)) + "/planted.pth")
    probe("itself", write, __file__)
    probe("metrics", write, "{metrics}")
    for name in {entries}:
        probe("reference", read, name)
        probe("reference written", write, name)
    probe("memory", read, f"/proc/{os.getppid()}/mem")
    probe("descriptor", write, f"/proc/{os.getppid()}/fd/1")
    probe("its folder", write, os.environ["TMPDIR"] + "/mine")
    probe("kernels", write, os.path.expanduser("~/.cache/tt-metal-cache/mine"))
    probe("home", write, os.path.expanduser("~/.config"))
    probe("libraries", read, torch.__file__)
"""


@needs_landlock
def test_compiled_code_reads_no_reference_and_rewrites_nothing_that_a_later_command_imports(
    evaluate, bringup, repo, references, tmp_path
):
    before = {path: path.read_bytes() for path in (repo / "scripts").rglob("*.py")}
    evaluate("--mode", "hf", *SHORT)  # so that there is one to read
    entries = [str(path) for path in references.glob("*.ytref")]
    assert entries
    code = textwrap.dedent(PROBES).replace("{metrics}", str(tmp_path / "m")).replace("{entries}", json.dumps(entries))
    bringup(at_import(code))
    (repo / "scripts" / "harness" / "__pycache__").mkdir(exist_ok=True)
    own = {"HOME": str(tmp_path), "YT_METRICS_FILE": str(tmp_path / "m"), "YT_METRICS_NONCE": "n"}
    done = evaluate("--mode", "tt", *SHORT, **own)
    assert done.code == 0, done.err
    assert set(re.findall("WORKS (.*)", done.err)) == {"its folder", "kernels", "libraries"}
    assert len(re.findall("REFUSED", done.err)) == 10 + 2 * len(entries)
    assert done.metrics["walls"] == "landlock"
    assert {path: path.read_bytes() for path in (repo / "scripts").rglob("*.py")} == before


def test_what_the_process_leaves_is_read_as_a_plain_file_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A link would lead the scorer to what the process could not see, and a pipe would have it wait for ever."""
    monkeypatch.syspath_prepend(str(template.SOURCE / "scripts"))
    plain = importlib.import_module("harness.device_process").plain
    (tmp_path / "file").write_text("mine")
    with plain(tmp_path / "file") as file:
        assert file.read() == b"mine"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError), plain(tmp_path / name):  # noqa: PT011 - whatever the kernel says
            pass
