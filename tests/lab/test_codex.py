"""The lab's Responses server, asked by the real codex CLI."""

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab.conformance import words
from yt_fsm.lab import troubles
from yt_fsm.lab.codex import CodexServer, Thread
from yt_fsm.lab.faults import Fault
from yt_fsm.lab.scripts import SCRIPTS, script_of

CODEX = shutil.which("codex", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
needs_codex = pytest.mark.skipif(CODEX is None, reason="no codex on this machine")

TARGET = "models/lab/tiny/n300/functional/model.py"
PROMPT = f"Bring it up.\n\nhf_model_id: lab/tiny\nsystem: n300\nmodel file: {TARGET}\n"
EXAMPLE = "y = attention(x, scale=self.scale)\n"


@pytest.fixture
def server(tmp_path: Path, in_thread: Any) -> Iterator[CodexServer]:
    with in_thread(CodexServer(tmp_path / "codex.jsonl")) as running:
        yield running


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A clone with an example bringup, as codex finds it."""
    folder = tmp_path / "repo"
    example = folder / "models" / "example" / "llama" / "functional" / "model.py"
    example.parent.mkdir(parents=True)
    example.write_text(EXAMPLE)
    for file in ("README.md", "scripts/run_eval.py", "tests/test_eval_smoke.py"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text("original\n")
    for argv in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "base"]):
        subprocess.run(["git", *argv], cwd=folder, check=True)
    return folder


class Turn:
    """One run of codex: its exit code, its events."""

    def __init__(
        self, server: CodexServer, repo: Path, prompt: str, thread: str | None = None, patience: float = 90
    ) -> None:
        home = repo.parent / "codex-home"
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(server.config())
        assert CODEX is not None
        argv = [CODEX, "exec", "--json", "--skip-git-repo-check", "--sandbox", "danger-full-access"]
        argv += ["resume", thread, "-"] if thread else ["-"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(repo.parent), "CODEX_HOME": str(home)}
        # A group of its own: codex from npm is a launcher, whose death alone would leave the native one. Files, not
        # pipes: a tool of codex's that outlives it would hold a pipe open.
        asked, told = repo.parent / "prompt.md", repo.parent / "events.jsonl"
        asked.write_text(prompt)
        with asked.open() as stdin, told.open("w") as stdout:
            process = subprocess.Popen(
                argv, cwd=repo, env=environment, stdin=stdin, stdout=stdout, stderr=stdout, start_new_session=True
            )
        try:
            self.code = process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            self.code = process.wait()
        lines = told.read_text().splitlines()
        self.events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def thread(self) -> str:
        return str(self.of("thread.started")[0]["thread_id"])

    @property
    def says(self) -> str:
        texts = [e["item"].get("text", "") for e in self.of("item.completed") if e["item"]["type"] == "agent_message"]
        return texts[-1] if texts else ""

    @property
    def tokens(self) -> int:
        usage = self.of("turn.completed")[-1]["usage"]
        return int(usage["input_tokens"]) + int(usage["output_tokens"])


@needs_codex
def test_a_bringup_is_wrong_first_and_right_when_told(server: CodexServer, repo: Path) -> None:
    first = Turn(server, repo, PROMPT)
    assert (first.code, first.says) == (0, "Wrote the bringup and looked it over.")
    assert (repo / TARGET).read_text() == EXAMPLE.replace("self.scale", "1.0")
    second = Turn(server, repo, "The checks failed: top1 is 0.5", first.thread)
    assert second.code == 0
    assert second.thread == first.thread
    assert (repo / TARGET).read_text() == EXAMPLE
    assert second.tokens > first.tokens > 0  # codex counts a thread's tokens from its start


@needs_codex
def test_the_log_says_what_was_asked_and_what_came_out(server: CodexServer, repo: Path) -> None:
    turn = Turn(server, repo, PROMPT)
    asked = server.state()["requests"]
    assert [(entry["turn"], entry["step"]) for entry in asked] == [(1, 0), (1, 1)]
    assert {entry["thread"] for entry in asked} == {turn.thread}
    assert asked[0]["model"] == "lab/tiny"
    assert asked[0]["prompt"].startswith("Bring it up.")
    assert "exec" in asked[0]["answer"]
    assert TARGET in asked[1]["output"]
    total = sum(entry["tokens"]["total_tokens"] for entry in asked)
    assert total == turn.tokens


@needs_codex
def test_work_that_is_there_already_is_mended_not_broken(server: CodexServer, repo: Path) -> None:
    (repo / TARGET).parent.mkdir(parents=True)
    (repo / TARGET).write_text("half\n")
    Turn(server, repo, PROMPT)
    assert (repo / TARGET).read_text() == EXAMPLE


@needs_codex
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("right", [TARGET]),
        ("outside", ["README.md", TARGET, "notes.txt"]),
        ("harness", [TARGET, "scripts/run_eval.py", "tests/test_eval_smoke.py"]),
        ("idle", []),
    ],
)
def test_a_script_changes_what_it_says(server: CodexServer, repo: Path, script: str, expected: list[str]) -> None:
    server.script = script
    assert Turn(server, repo, PROMPT).code == 0
    status = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=repo, capture_output=True, text=True, check=True
    )
    assert sorted(line[3:] for line in status.stdout.splitlines()) == expected


@needs_codex
def test_commits_of_its_own_are_commits(server: CodexServer, repo: Path) -> None:
    server.script = "commits"
    Turn(server, repo, PROMPT)
    log = subprocess.run(["git", "log", "--format=%an %s"], cwd=repo, capture_output=True, text=True, check=True)
    assert log.stdout.splitlines()[0] == "agent my own"


@needs_codex
def test_welfare_stops_with_the_words_in_its_first_line(server: CodexServer, repo: Path) -> None:
    server.script = "welfare"
    assert Turn(server, repo, PROMPT).says.splitlines()[0] == "MAKE IT STOP"


@needs_codex
@pytest.mark.parametrize(("script", "said"), [("login", "401"), ("crash", ""), ("limit", "limit"), ("cut", "")])
def test_a_server_that_fails_makes_codex_fail(server: CodexServer, repo: Path, script: str, said: str) -> None:
    server.script = script
    turn = Turn(server, repo, PROMPT)
    assert turn.code != 0
    problems = json.dumps(turn.of("error") + turn.of("turn.failed"))
    assert said in problems
    assert turn.of("turn.failed")


@needs_codex
def test_silence_lasts_until_somebody_ends_it(server: CodexServer, repo: Path) -> None:
    server.script = "silent"
    turn = Turn(server, repo, PROMPT, patience=3)
    assert turn.code == -9
    assert turn.thread
    assert not turn.of("item.completed")[1:]  # but for codex's word about the model's name


@needs_codex
def test_endless_work_goes_on_and_on(server: CodexServer, repo: Path) -> None:
    server.script = "endless"
    turn = Turn(server, repo, PROMPT, patience=5)
    assert turn.code == -9
    assert not turn.of("turn.completed")
    commands = [event for event in turn.of("item.completed") if event["item"]["type"] == "command_execution"]
    assert len(commands) > 2


@needs_codex
def test_a_fork_outlives_codex(server: CodexServer, repo: Path) -> None:
    server.script = "forks"
    assert Turn(server, repo, PROMPT).code == 0
    deadline = time.monotonic() + 10
    left: list[psutil.Process] = []
    while not left and time.monotonic() < deadline:
        everybody = psutil.process_iter(["cmdline", "cwd"])
        left = [p for p in everybody if p.info["cmdline"] == ["sleep", "300"] and p.info["cwd"] == str(repo)]
    for process in left:
        process.kill()
    assert len(left) == 1


@needs_codex
def test_a_spy_tells_what_it_could_see(server: CodexServer, repo: Path) -> None:
    server.script = "spy"
    Turn(server, repo, PROMPT)
    seen = "".join(entry["output"] for entry in server.log.entries)
    assert f"HOME={repo.parent}" in seen
    assert "[core]" in seen  # .git/config


@needs_codex
def test_one_failure_is_retried_by_codex_itself(server: CodexServer, repo: Path) -> None:
    server.faults.add({"kind": "status", "status": 500})
    assert Turn(server, repo, PROMPT).code == 0
    assert server.log.entries[0]["answer"] == {"status": 500}


@needs_codex
def test_the_readme_has_what_codex_says_of_a_trouble(tmp_path: Path) -> None:
    """Of four here; the command that writes the table tries them all."""
    assert CODEX is not None
    some = ("usage limit, `resets_at`", "503 server_is_overloaded", "odd events", "no message")
    found = words.rows(words.turns(CODEX, tmp_path, some))
    assert [row for row in found if row not in words.in_readme()] == []


@needs_codex
def test_a_trouble_can_be_in_the_middle_of_a_later_turn_only(server: CodexServer, repo: Path) -> None:
    server.faults.add({"kind": "overloaded", "turn": 2, "step": 1, "count": None})
    first = Turn(server, repo, PROMPT)
    assert first.code == 0
    second = Turn(server, repo, "The checks failed", first.thread)
    assert second.code == 1
    assert [entry["step"] for entry in server.log.entries[2:]][:2] == [0, 1]


def test_a_trouble_lasts_as_long_as_it_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    made = troubles.lasting({"kind": "usage-limit", "lasts": 60, "resets_at": "+60"})
    assert made == {"kind": "usage-limit", "until": 1060.0, "resets_at": 1060, "count": None}
    fault = Fault("usage-limit", detail=made)
    assert troubles.meets(fault, 1, 0)
    monkeypatch.setattr(time, "time", lambda: 1060.0)
    assert not troubles.meets(fault, 1, 0)
    with pytest.raises(ValueError, match="`lasts` is 'long': it is a number of seconds"):
        troubles.lasting({"kind": "quota", "lasts": "long"})


@needs_codex
def test_one_model_can_have_another_script(server: CodexServer, repo: Path) -> None:
    server.by_model["lab/tiny"] = [[{"exec": 'echo "$model on $system" > said'}, {"say": "done"}]]
    assert Turn(server, repo, PROMPT).says == "done"
    assert (repo / "said").read_text() == "lab/tiny on n300\n"


def test_a_prompt_is_told_from_codex_s_own_preface() -> None:
    def words(role: str, text: str) -> dict[str, Any]:
        return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}

    thread = Thread(
        [
            words("developer", "<permissions>"),
            words("user", "<environment_context>\n</environment_context>"),
            words("user", "# AGENTS.md instructions for /repo\n"),
            words("user", "- **hf_model_id**: `a/b`\nsystem: n150\n"),
            {"type": "function_call_output", "output": "one"},
            words("user", "It failed."),
            {"type": "function_call_output", "output": [{"type": "input_text", "text": "two"}]},
        ]
    )
    assert (thread.turn, thread.step, thread.output) == (2, 1, "two")
    assert (thread.field("hf_model_id"), thread.field("system"), thread.field("model file")) == ("a/b", "n150", "")
    assert "target=models/a/b/n150/functional/model.py" in thread.shell("true")


@pytest.mark.parametrize("wrong", ["nope", [], [[]], [[{"sing": "a song"}]]])
def test_a_script_that_is_none_is_refused_in_words(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"script|step"):
        script_of(wrong)


def test_every_script_has_turns_of_known_steps() -> None:
    for name in SCRIPTS:
        assert all(turn.steps for turn in script_of(name))
