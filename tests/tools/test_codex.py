"""codex as a real process that a script stands in for, and the retry loop around it (§9.1)."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.bringup.errors import BringupError
from yt_fsm.bringup.task import FunctionalBringupTask
from yt_fsm.engine.errors import Lost, SetupError, StopRequested, Wait
from yt_fsm.engine.shell import Shell
from yt_fsm.tools.codex import TRIES, Codex
from yt_fsm.tools.codex_turn import TIMEZONE
from yt_fsm.tools.errors import CodexAway, CodexLimited, CodexLoggedOut, CodexTrouble, CodexUnfinished, CodexWait

pytestmark = pytest.mark.usefixtures("bare")

# Plays one turn of a plan each time it is started, and notes what it was given.
CODEX = """
import json, os, subprocess, sys, time
folder = os.path.dirname(os.path.abspath(__file__)) + "/.."
plan = json.load(open(folder + "/turns.json"))
prompt = sys.stdin.read()
turn = plan.pop(0)
json.dump(plan, open(folder + "/turns.json", "w"))
with open(folder + "/codex.calls", "a") as file:
    call = {"argv": sys.argv[1:], "prompt": prompt, "cwd": os.getcwd(), "env": dict(os.environ)}
    file.write(json.dumps(call) + "\\n")
if "silent" in turn:
    print(turn["silent"], file=sys.stderr)
    sys.exit(turn["exit"])
def say(**event):
    print(json.dumps(event), flush=True)
if turn.get("thread", "t-1"):
    say(type="thread.started", thread_id=turn.get("thread", "t-1"))
say(type="turn.started")
for line in turn.get("raw", []):
    print(line, flush=True)
for message in turn.get("messages", ["done"]):
    say(type="item.completed", item={"type": "agent_message", "text": message})
for line in turn.get("late", []):
    print(line, flush=True)
if turn.get("leave"):
    child = subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    open(folder + "/left", "w").write(str(child.pid))
time.sleep(turn.get("sleep", 0))
if turn.get("error"):
    say(type="error", message=turn["error"])
    say(type="turn.failed", error={"message": turn["error"]})
elif turn.get("completes", "exit" not in turn):
    tokens = turn.get("tokens")
    usage = {"input_tokens": tokens - 10, "cached_input_tokens": 5, "output_tokens": 10} if tokens else None
    say(type="turn.completed", usage=usage)
for line in turn.get("after", []):
    print(line, flush=True)
time.sleep(turn.get("stays", 0))
sys.exit(turn.get("exit", 0))
"""


class Bench:
    """A codex that plays its turns, and what was learned from it."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell, self.folder = shell, folder
        self.clone = folder / "agent"
        self.clone.mkdir()
        self.threads: list[str] = []
        self.tokens: list[int] = []

    def plays(self, *turns: dict[str, Any]) -> None:
        (self.folder / "turns.json").write_text(json.dumps(turns))

    def codex(self, wall: float = 30, stall: float = 30, **more: Any) -> Codex:
        return Codex(
            self.shell,
            "codex",
            "danger-full-access",
            self.clone,
            {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "CODEX_HOME": "/codex"},
            self.folder / "artifacts",
            wall,
            stall,
            0.0,
            self.threads.append,
            self.tokens.append,
            **more,
        )

    @property
    def calls(self) -> list[dict[str, Any]]:
        file = self.folder / "codex.calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def task(self, attempts: int, *verdicts: str | None) -> tuple[FunctionalBringupTask, list[str]]:
        """A task whose checks say `verdicts`, and what happened in it, in order."""
        happened: list[str] = []
        left = list(verdicts)

        def submit() -> str | None:
            happened.append(f"submit {len(self.calls)}")
            return left.pop(0)

        def again(error: str) -> str:
            happened.append(f"again {error}")
            return f"mend {error}"

        return FunctionalBringupTask("bring it up", attempts, self.codex(), submit, again), happened


@pytest.fixture
def bench(shell: Shell, tmp_path: Path, program: Callable[[str, str], Path]) -> Bench:
    program("codex", CODEX)
    return Bench(shell, tmp_path)


# --- one turn


def test_a_turn_is_one_command_with_the_prompt_on_its_stdin(bench: Bench) -> None:
    bench.plays({"messages": ["thinking", "all done"]})
    assert bench.codex()("bring it up") == "all done"
    (call,) = bench.calls
    assert call["argv"] == [
        "exec", "--json", "--color", "never", "--skip-git-repo-check", "--sandbox", "danger-full-access",
        "-c", 'approval_policy="never"', "--cd", str(bench.clone), "-",
    ]  # fmt: skip
    assert call["prompt"].startswith("bring it up\n\n")
    assert "MAKE IT STOP" in call["prompt"], "codex may ask to stop"
    assert call["cwd"] == str(bench.clone)
    assert bench.threads == ["t-1"]


def test_codex_gets_the_environment_it_was_given_and_no_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TOKEN", "secret-of-the-worker")
    bench.plays({})
    bench.codex()("x")
    env = bench.calls[0]["env"]
    assert "GH_TOKEN" not in env
    assert (env["CODEX_HOME"], env["YTFSM_RUN_ID"]) == ("/codex", bench.shell.marker)


def test_prompts_answers_and_events_are_kept(bench: Bench) -> None:
    bench.plays({"messages": ["first"]}, {"messages": ["second"]})
    codex = bench.codex()
    codex("one")
    codex("two")
    kept = {file.name: file.read_text() for file in (bench.folder / "artifacts").iterdir()}
    assert kept == {"prompt-01.md": "one", "answer-01.md": "first", "prompt-02.md": "two", "answer-02.md": "second"}
    logs = sorted((bench.folder / "logs").iterdir())
    assert [log.name for log in logs] == ["001-codex.log", "002-codex.log"]
    assert '"thread.started"' in logs[0].read_text()


def test_prompts_of_an_earlier_process_are_not_overwritten(bench: Bench) -> None:
    bench.plays({}, {})
    bench.codex()("one")
    bench.codex()("two")
    assert (bench.folder / "artifacts" / "prompt-01.md").read_text() == "one"
    assert (bench.folder / "artifacts" / "prompt-02.md").read_text() == "two"


def test_the_second_turn_goes_on_with_the_thread(bench: Bench) -> None:
    bench.plays({}, {})
    codex = bench.codex()
    codex("one")
    codex("two")
    assert bench.calls[0]["argv"][-1:] == ["-"]
    assert bench.calls[1]["argv"][-3:] == ["resume", "t-1", "-"]
    assert bench.threads == ["t-1"], "it is told once"


def test_a_run_that_goes_on_resumes_its_thread(bench: Bench) -> None:
    bench.plays({"thread": "t-9"})
    bench.codex(thread_id="t-9")("on")
    assert bench.calls[0]["argv"][-3:] == ["resume", "t-9", "-"]
    assert bench.threads == []


def test_lines_that_are_no_events_do_not_matter(bench: Bench) -> None:
    strange = ["not json", "3", "null", '"x"', "[]", '{"type": "news"}', '{"item": 3}', '{"type": "error"}']
    bench.plays({"raw": strange})
    assert bench.codex()("x") == "done"


@pytest.mark.parametrize("thread", ["--sandbox", "a b", "../x", "x" * 200, "", None, 7, ["t"]])
def test_a_thread_id_that_is_none_never_reaches_codexs_command_line(bench: Bench, thread: Any) -> None:
    bench.plays({"raw": [json.dumps({"type": "thread.started", "thread_id": thread})], "thread": None})
    codex = bench.codex()
    assert codex("x") == "done"
    assert codex.thread_id is None


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000, '{"type": "turn.completing", "usage": {"input_tokens": 1e999}}',
        '{"type": "item.completed", "item": []}',
        '{"type": "turn.completed", "usage": [1]}', '{"type": "error", "message": ["x"]}', "9" * 5000,
        '{"type": "turn.completed", "usage": {"input_tokens": "many", "output_tokens": true}}',
    ],
    ids=range(7),
)  # fmt: skip
def test_events_of_unknown_shape_say_nothing(bench: Bench, line: str) -> None:
    bench.plays({"raw": [line]})
    assert bench.codex()("x") == "done"
    assert bench.tokens == []


def test_half_a_letter_in_an_answer_can_be_written_down(bench: Bench) -> None:
    bench.plays({"messages": ["a\ud800b"]})
    assert bench.codex()("x") == "a\ufffdb"


# --- tokens


def test_tokens_of_a_thread_are_subtracted_turn_by_turn(bench: Bench) -> None:
    bench.plays({"tokens": 1000}, {"tokens": 1700}, {"tokens": 1700})
    codex = bench.codex()
    for _ in range(3):
        codex("x")
    assert bench.tokens == [1000, 700, 0]


def test_a_resumed_thread_goes_on_counting_from_what_the_run_used(bench: Bench) -> None:
    bench.plays({"thread": "t-9", "tokens": 1500})
    bench.codex(thread_id="t-9", thread_tokens=1000)("x")
    assert bench.tokens == [500]


def test_a_new_thread_counts_from_nothing(bench: Bench) -> None:
    bench.plays({"tokens": 1000}, {"thread": "t-2", "tokens": 300})
    codex = bench.codex()
    codex("x")
    codex("x")
    assert bench.tokens == [1000, 300]
    assert bench.threads == ["t-1", "t-2"]


# --- codex failing


def test_a_codex_that_fails_is_started_again_on_its_thread(bench: Bench) -> None:
    bench.plays({"exit": 1, "messages": [], "error": "stream disconnected"}, {"messages": ["done after all"]})
    assert bench.codex()("x") == "done after all"
    assert bench.calls[1]["argv"][-3:] == ["resume", "t-1", "-"], "the thread id is kept though codex exited 1"
    assert len(list((bench.folder / "artifacts").glob("prompt-*"))) == 1


def test_a_codex_that_keeps_failing_is_the_worlds_fault(bench: Bench) -> None:
    bench.plays(*[{"exit": 1, "messages": [], "error": "unknown model"}] * TRIES)
    with pytest.raises(CodexTrouble) as caught:
        bench.codex()("x")
    assert len(bench.calls) == TRIES
    assert f"codex does not work: unknown model. Tried {TRIES} times" in str(caught.value)
    assert "codex login status" in str(caught.value)
    assert "003-codex.log" in str(caught.value)
    assert (caught.value.thread, caught.value.fault, caught.value.event) == ("t-1", "service", "abort")


@pytest.mark.parametrize(
    ("error", "kind"),
    [("You’ve hit your usage limit. Try again later.", CodexLimited), ("401 Unauthorized", CodexLoggedOut)],
)
def test_what_no_second_try_mends_is_tried_once(bench: Bench, error: str, kind: type[CodexWait]) -> None:
    bench.plays({"exit": 1, "messages": [], "error": error}, {})
    codex = bench.codex()
    with pytest.raises(kind) as caught:
        codex("x")
    assert isinstance(caught.value, CodexWait)
    assert caught.value.thread == "t-1"
    assert codex("x") == "done"
    assert bench.calls[1]["argv"][-3:] == ["resume", "t-1", "-"]
    assert len(bench.calls) == 2, "nothing is asked of an account that has nothing left"


def test_an_overload_is_tried_again_before_it_is_waited_for(bench: Bench) -> None:
    bench.plays(*[{"exit": 1, "messages": [], "error": "Selected model is at capacity."}] * TRIES)
    with pytest.raises(CodexAway, match="codex's service is away"):
        bench.codex()("x")
    assert len(bench.calls) == TRIES


def test_what_a_tool_printed_in_a_turn_that_died_is_no_word_of_codexs(bench: Bench) -> None:
    """A model could otherwise have its run wait for days, and a test that timed out would be taken for the service."""
    said = "connection timed out: You've hit your usage limit, try again at Nov 28th, 2094 4:40 AM"
    ran = json.dumps({"type": "item.completed", "item": {"type": "command_execution", "aggregated_output": said}})
    bench.plays(*[{"raw": [ran], "messages": [], "exit": 1}] * TRIES)
    with pytest.raises(SetupError, match="codex does not work"):
        bench.codex()("x")


def test_a_codex_without_events_is_read_by_its_last_words(bench: Bench) -> None:
    bench.plays(*[{"silent": "ERROR: Selected model is at capacity.", "exit": 1}] * TRIES)
    with pytest.raises(Wait, match="codex's service is away"):
        bench.codex()("x")


def test_a_wait_goes_through_the_retry_loop_and_is_no_attempt(bench: Bench) -> None:
    bench.plays({"exit": 1, "messages": [], "error": "You've hit your usage limit. Try again at 5:36 AM."})
    task, happened = bench.task(3, None)
    with pytest.raises(Wait) as caught:
        task.run()
    assert caught.value.until
    assert happened == []


@pytest.mark.parametrize("code", [0, 1])
def test_a_codex_that_never_finishes_its_turn_does_not_work_either(bench: Bench, code: int) -> None:
    bench.plays(*[{"completes": False, "exit": code}] * TRIES)
    with pytest.raises(CodexUnfinished, match=f"it exited {code} without finishing its turn"):
        bench.codex()("x")


def test_a_turn_that_completes_without_a_message_is_a_turn(bench: Bench) -> None:
    bench.plays({"messages": []})
    task, happened = bench.task(1, None)
    task.run()
    assert happened == ["submit 1"]


def test_what_codex_does_after_its_turn_changes_nothing(bench: Bench) -> None:
    late = ['{"type": "turn.failed", "error": {"message": "late"}}', '{"type": "turn.completed", "usage": {}}']
    bench.plays({"tokens": 1000, "exit": 1, "completes": True, "after": late})
    assert bench.codex()("x") == "done"
    assert bench.tokens == [1000]


def test_a_codex_that_stays_after_its_turn_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yt_fsm.engine.shell.LINGER_SECS", 0.2)
    bench.plays({"stays": 600})
    assert bench.codex()("x") == "done"


def test_a_failed_turn_is_never_success(bench: Bench) -> None:
    bench.plays(*[{"error": "no such model", "after": ['{"type": "turn.completed"}']}] * TRIES)
    with pytest.raises(CodexTrouble, match="codex does not work: no such model"):
        bench.codex()("x")


def test_a_codex_that_says_nothing_at_all_costs_no_attempt(bench: Bench) -> None:
    bench.plays({"sleep": 600, "messages": []})
    with pytest.raises(CodexAway, match="was killed after 0 s without a word"):
        bench.codex(stall=0.4)("x")


def test_a_codex_that_hangs_while_its_service_is_away_costs_no_attempt(bench: Bench) -> None:
    lost = {"type": "error", "message": "Reconnecting... 1/5 (stream disconnected before completion: x)"}
    bench.plays({"messages": ["half way"], "late": [json.dumps(lost)], "sleep": 600})
    with pytest.raises(CodexAway):
        bench.codex(stall=0.4)("x")


def test_the_times_that_codex_prints_are_in_a_zone_that_we_know(bench: Bench) -> None:
    bench.plays({})
    bench.codex()("x")
    assert bench.calls[0]["env"]["TZ"] == TIMEZONE


def test_a_missing_codex_is_the_worlds_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SetupError, match="`codex` cannot be started"):
        bench.codex()("x")


def test_a_turn_that_takes_too_long_is_ended_and_what_it_wrote_is_judged(bench: Bench) -> None:
    bench.plays({"sleep": 60, "messages": ["half way"]}, {})
    codex = bench.codex(wall=1.0)
    started = time.monotonic()
    assert codex("x") == "(codex was killed after its 1 s were over)"
    assert time.monotonic() - started < 10
    codex("go on")
    assert bench.calls[1]["argv"][-3:] == ["resume", "t-1", "-"]


def test_a_turn_that_falls_silent_is_ended(bench: Bench) -> None:
    bench.plays({"sleep": 60})
    assert bench.codex(stall=0.7)("x") == "(codex was killed after 1 s without a word)"


def test_what_a_turn_leaves_running_is_ended(bench: Bench) -> None:
    bench.plays({"leave": True})
    bench.codex()("x")
    pid = int((bench.folder / "left").read_text())
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_stop_ends_a_turn(bench: Bench) -> None:
    import threading

    bench.plays({"sleep": 60})
    threading.Timer(0.5, lambda: bench.shell.stop.set(StopRequested("stopped by SIGTERM", 0))).start()
    with pytest.raises(StopRequested):
        bench.codex()("x")


# --- the loop (codexapi.Task)


def test_work_that_passes_at_once_is_judged_once(bench: Bench) -> None:
    bench.plays({})
    task, happened = bench.task(3, None)
    task.run()
    assert happened == ["submit 1"]
    assert len(bench.calls) == 1, "no turn is spent on a summary"


def test_work_is_mended_until_it_passes(bench: Bench) -> None:
    bench.plays({}, {}, {})
    task, happened = bench.task(5, "top1 is 0.5", "top1 is 0.8", None)
    task.run()
    assert happened == ["submit 1", "again top1 is 0.5", "submit 2", "again top1 is 0.8", "submit 3"]
    assert [call["prompt"].split("\n")[0] for call in bench.calls] == [
        "bring it up", "mend top1 is 0.5", "mend top1 is 0.8",
    ]  # fmt: skip
    assert [call["argv"][-3:-1] for call in bench.calls[1:]] == [["resume", "t-1"]] * 2


def test_after_the_last_attempt_it_is_the_models_fault(bench: Bench) -> None:
    bench.plays({}, {})
    task, happened = bench.task(2, "top1 is 0.5", "top1 is 0.6")
    with pytest.raises(BringupError, match=r"top1 is 0\.6"):
        task.run()
    assert happened == ["submit 1", "again top1 is 0.5", "submit 2"]
    assert len(bench.calls) == 2


@pytest.mark.parametrize(
    "message",
    [
        "MAKE IT STOP\nThe model needs an op that TTNN lacks.",
        "\n  MAKE IT STOP  \nThe model needs an op that TTNN lacks.",
    ],
)
def test_codex_may_ask_to_stop(bench: Bench, message: str) -> None:
    bench.plays({"messages": [message]})
    task, happened = bench.task(3)
    with pytest.raises(BringupError, match="codex asked to stop: The model needs an op that TTNN lacks"):
        task.run()
    assert happened == []
    assert (bench.folder / "artifacts" / "answer-01.md").read_text() == message


def test_codex_may_ask_to_stop_after_a_failed_check(bench: Bench) -> None:
    bench.plays({}, {"messages": ["MAKE IT STOP"]})
    task, happened = bench.task(3, "top1 is 0.5")
    with pytest.raises(BringupError, match="codex asked to stop"):
        task.run()
    assert happened == ["submit 1", "again top1 is 0.5"]


def test_words_about_stopping_are_no_stop(bench: Bench) -> None:
    bench.plays({"messages": ["I will not MAKE IT STOP."]})
    task, _ = bench.task(1, None)
    task.run()


@pytest.mark.parametrize("error", [Lost("the claim is gone"), SetupError("no disk"), StopRequested("stopped")])
def test_an_error_of_the_check_gets_through(bench: Bench, error: Exception) -> None:
    bench.plays({})
    task, _ = bench.task(3)

    def submit() -> str | None:
        raise error

    task._submit = submit
    with pytest.raises(type(error), match=str(error)):
        task.run()


def test_an_error_of_the_next_prompt_gets_through(bench: Bench) -> None:
    """The token budget."""
    bench.plays({})
    task, _ = bench.task(3, "top1 is 0.5")

    def again(_: str) -> str:
        raise BringupError("codex used 1000 tokens and may use 900 (YT_MAX_TOKENS)")

    task._again = again
    with pytest.raises(BringupError, match="may use 900"):
        task.run()


def test_a_codex_that_does_not_work_is_no_failure_of_the_model(bench: Bench) -> None:
    bench.plays(*[{"exit": 1, "messages": []}] * TRIES)
    task, happened = bench.task(3)
    with pytest.raises(SetupError):
        task.run()
    assert happened == []


@pytest.mark.parametrize("text", ["rubbish\n", "user-key\napp-token\n"])
def test_codexapi_tells_no_third_party(bench: Bench, tmp_path: Path, text: str) -> None:
    """It would read ~/.pushover and send the prompt's first words there."""
    home = tmp_path / "pushed"
    home.mkdir()
    (home / ".pushover").write_text(text)
    script = textwrap.dedent("""
        import urllib.request
        from pathlib import Path
        from yt_fsm.bringup.task import FunctionalBringupTask
        from yt_fsm.tools.codex import Codex
        from yt_fsm.engine.redaction import Redactor
        from yt_fsm.engine.shell import Shell
        urllib.request.urlopen = lambda *_, **__: print("asked")
        codex = Codex(Shell("x", Redactor()), "true", "s", Path("."), {}, Path("."), 1, 1, 0, print, print)
        codex.__class__.__call__ = lambda self, prompt: "done"
        FunctionalBringupTask("x", 1, codex, lambda: None, str).run()
    """)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_thread_that_codex_has_lost_is_replaced_by_a_new_one_with_the_whole_task(bench: Bench) -> None:
    lost = "thread/resume failed: no rollout found for thread id t-0 (code -32600)"
    bench.plays({"thread": "", "messages": [], "error": lost, "exit": 1}, {"thread": "t-1"})
    codex = bench.codex(thread_id="t-0", thread_tokens=900, task="bring it up")
    assert codex("mend it") == "done"
    assert (codex.thread_id, bench.threads) == ("t-1", ["t-1"])
    first, second = bench.calls
    assert "t-0" in first["argv"]
    assert "resume" not in second["argv"]
    assert second["prompt"].startswith("bring it up\n\nmend it")
