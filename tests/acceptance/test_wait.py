"""Waiting is not failing (design §3): what the world withholds for a while costs no attempt and no verdict."""

import json
import signal
from collections.abc import Callable

from tests.acceptance.test_stop import Live
from tests.parts.workplace import Workplace

LIMIT = "ERROR: You’ve hit your usage limit. Upgrade to Pro or try again {}."


def test_codexs_limit_is_waited_out_and_no_issue_pays_for_it(enter: Callable[..., Workplace]) -> None:
    """Faults W1: it spoiled three issues in 29 s, and then the worker ended."""
    world = enter(script="right")
    number = world.seed()
    world.lab.fault("codex", "exit", operation="exec", text=LIMIT.format("later"), count=6)
    done = world.work(YT_PROBE_SECS="0.2")
    assert done.json["state"] == "review", done.err
    assert "waits in `bringup` and asks again" in done.err
    told = world.replay(done.json["run_id"])
    assert [(a["n"], a["passed"]) for a in told["attempts"]] == [(1, True)]
    assert told["waiting"] is None
    assert [m["event"] for m in told["transitions"]].count("submit") == 1
    assert len(world.comments(number, "[yt-claim]")) == 1
    assert "waiting until" in world.ytfsm("replay", done.json["run_id"]).out
    world.nothing_is_left(done.json["run_id"])


def test_a_run_that_waits_holds_no_board_is_stopped_at_once_and_goes_on_later(enter: Callable[..., Workplace]) -> None:
    world = enter(script="right")
    number = world.seed()
    world.lab.fault("codex", "exit", operation="exec", text=LIMIT.format("at Nov 28th, 2094 4:40 AM"), count=1)
    live = Live(world)
    run_id = live.until('"kind":"waiting"').parent.name
    told = world.replay(run_id)
    assert told["state"] == "bringup"
    assert "codex's limit is used up" in told["waiting"]["why"]
    assert world.issue(number)["status"] == "in progress"
    live.signal(signal.SIGTERM)
    done = live.ended()
    assert done.code == 0, done.err
    world.nothing_is_left(run_id)
    again = world.ytfsm("resume", run_id, "--json")
    assert again.json["state"] == "review", again.err
    records = [json.loads(line) for line in (world.run_folder(run_id) / "journal.jsonl").read_text().splitlines()]
    assert [r["kind"] for r in records if r["kind"] in ("waiting", "stopped", "attempt")] == [
        "waiting", "stopped", "attempt",
    ]  # fmt: skip


def test_a_limit_of_the_account_is_known_to_all_workers_and_nobody_has_to_wait_with_it(
    enter: Callable[..., Workplace],
) -> None:
    world = enter(script="right")
    first, second = world.seed(), world.seed()
    world.lab.fault("codex", "exit", operation="exec", text=LIMIT.format("at Nov 28th, 2094 4:40 AM"), count=2)
    done = world.work("--no-wait")
    assert done.code == 0, done.err
    assert (done.json["issue"], done.json["state"], done.json["status"]) == (first, "bringup", None)
    assert "codex's limit is used up" in done.json["waiting"]["why"]
    world.nothing_is_left(done.json["run_id"])
    told = world.ytfsm("doctor", "--json")
    assert "none is taken until 2094-11-28T04:41:00Z: codex's limit is used up" in told.out
    idle = world.ytfsm("run", "--system", "n300", "--issue", str(second), "--json", "--no-wait")
    assert idle.code == 0
    assert "waiting: codex's limit is used up" in json.loads(idle.out)["reason"]
    assert world.comments(second, "[yt-claim]") == []
    again = world.ytfsm("resume", done.json["run_id"], "--json")
    assert again.json["state"] == "review", again.err
    assert "none is taken" not in world.ytfsm("doctor", "--json").out, "codex works, so the limit is over"
