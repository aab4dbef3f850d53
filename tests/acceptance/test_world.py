"""The world's faults cost no attempt and no finished work, and are nobody's model's (faults W2, W9)."""

from collections.abc import Callable

from tests.parts.workplace import Workplace


def test_a_board_that_loses_a_chip_while_it_evaluates_costs_no_attempt(enter: Callable[..., Workplace]) -> None:
    """A board that vanished cost all of them, with a right bringup."""
    world = enter(script="right")
    world.seed()
    world.lab.fault("evaluation", "lost", operation="tt0", chips=1)
    done = world.work()
    assert done.json["state"] == "review", done.err
    assert "this n300 is not whole: tt-smi lists 1 chip(s) of 2" in done.err
    told = world.replay(done.json["run_id"])
    assert [(a["n"], a["passed"]) for a in told["attempts"]] == [(1, True)]
    logs = [log.name.partition("-")[2] for log in sorted((world.run_folder(done.json["run_id"]) / "logs").iterdir())]
    assert "open-mesh.log" in logs[: logs.index("codex.log")], "codex is not paid for work on a board that is no good"
    looked = logs.index("tt-smi-failure.log")
    assert logs[looked : looked + 3] == ["tt-smi-failure.log", "tt-smi-reset.log", "tt-smi.log"]
    world.nothing_is_left(done.json["run_id"])


def test_a_board_that_stays_away_is_a_setup_error_that_keeps_the_work(enter: Callable[..., Workplace]) -> None:
    world = enter(script="right")
    number = world.seed()
    world.lab.fault("evaluation", "lost", operation="tt0", chips="all")
    world.lab.fault("tt-smi", "idle", operation="reset", after=1, count=None)
    done = world.work()
    assert done.json["state"] == "setup_error", done.err
    told = world.replay(done.json["run_id"])
    assert told["attempts"] == []
    assert told["transitions"][-1]["source"] == "checking"
    assert (world.run_folder(done.json["run_id"]) / "artifacts" / "wip.bundle").exists()
    assert "No Tenstorrent devices detected!" in world.comments(number, "[yt-status]")[0]
    world.nothing_is_left(done.json["run_id"])


def test_a_models_repo_whose_own_tests_fail_blames_no_model_and_pays_for_no_codex(
    enter: Callable[..., Workplace],
) -> None:
    world = enter(script="right")
    number = world.seed()
    world.lab.fault("evaluation", "exit", operation="pytest", text="1 failed, 3 passed")
    done = world.work()
    assert done.json["state"] == "setup_error", done.err
    (comment,) = world.comments(number, "[yt-status]")
    assert "the models repo's own tests fail on main at " in comment
    assert "1 failed, 3 passed" in comment
    told = world.replay(done.json["run_id"])
    assert told["transitions"][-1]["source"] == "download"
    state = world.lab.state()
    assert (told["attempts"], state["codex"]["requests"], state["hub"]["requests"]) == ([], [], [])
