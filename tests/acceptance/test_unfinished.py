"""Unfinished work is never lost: the next run of an issue goes on from where the last one ended (issue 11, 3)."""

import json
from collections.abc import Callable

from tests.parts.workplace import Workplace


def test_the_next_run_of_an_issue_begins_from_what_the_last_one_left(enter: Callable[..., Workplace]) -> None:
    world = enter(script="bringup")
    number = world.seed()
    world.lab.fault("codex", "exit", operation="exec", text="codex broke", after=1, count=None)
    first = world.work(YT_MAX_ATTEMPTS="3")
    assert first.json["state"] == "setup_error", first.err
    kept = world.run_folder(first.json["run_id"]) / "artifacts" / "wip.bundle"
    (told,) = world.comments(number, "[yt-status]")
    assert (
        f"The work so far is kept on the worker in `{kept}`; the next run of this issue there starts from it." in told
    )
    assert world.branches() == []
    world.nothing_is_left(first.json["run_id"])
    assert "its work is kept in artifacts/wip.bundle" in world.ytfsm("replay", first.json["run_id"]).out

    world.lab.clear("codex")
    main = f"git clone -q git@github.com:yieldthought/ttnn_models.git {world.folder}/person && cd {world.folder}/person"
    moved = world.lab.run(
        "sh",
        "-c",
        f"{main} && echo more >> README.md && git -c user.name=x -c user.email=x@y.z commit -qam more && git push -q",
    )
    assert moved.returncode == 0, moved.stderr
    world.act("move_card", issue=number, status="ready")
    second = world.work(YT_MAX_ATTEMPTS="1")
    assert second.json["state"] == "review", second.err
    assert world.issue(number)["status"] == "in review"
    run_id = second.json["run_id"]
    prompt = (world.run_folder(run_id) / "artifacts" / "prompt-01.md").read_text()
    assert f"An earlier run of this issue ({first.json['run_id']}) began this work" in prompt
    records = [json.loads(line) for line in (kept.parent.parent / "journal.jsonl").read_text().splitlines()]
    (attempt,) = [record for record in records if record["kind"] == "attempt"]
    assert "--mode tt --trace 0" in attempt["error"]
    assert attempt["error"] in prompt
    assert [a["passed"] for a in world.replay(run_id)["attempts"]] == [True], "it found what was there, and mended it"
    assert f"begins from the work of {first.json['run_id']}" in world.ytfsm("replay", run_id).out
    (branch,) = world.branches()
    assert str(number) in branch
    world.nothing_is_left(run_id)
