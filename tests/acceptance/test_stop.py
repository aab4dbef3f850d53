"""Stopping, crashing and going on: the record is readable, the run continues, nothing is done twice."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.parts.command import Finished, Started
from tests.parts.journals import begin
from tests.parts.workplace import Workplace
from yt_fsm.engine.processes import Mark
from yt_fsm.engine.workspace import prefix


class Live(Started):
    """A worker in the background, whose runs can be watched."""

    def __init__(self, world: Workplace, *argv: str, **env: str) -> None:
        super().__init__({**world.env, **env}, *argv)

    def journal(self) -> Path | None:
        found = sorted((Path(self.env["YTFSM_HOME"]) / "runs").glob("*/journal.jsonl"))
        return found[-1] if found else None

    def until(self, words: str, timeout: float = 90) -> Path:
        """Wait until the newest run's journal says `words`."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            path = self.journal()
            if path and words in path.read_text():
                return path
            assert self.process.poll() is None, self.process.stderr.read() if self.process.stderr else ""
            time.sleep(0.05)
        raise AssertionError(f"{words!r} never came")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


HERE = Path(__file__).parent
BRINGUP = '"dest":"bringup"'
THREAD = '"name":"thread"'


def killed(world: Workplace, words: str) -> str:
    """The run of a worker that got SIGKILL once its journal said `words`."""
    live = Live(world)
    run_id = live.until(words).parent.name
    live.signal(signal.SIGKILL)
    live.ended()
    return run_id


def written(world: Workplace, name: str) -> None:
    """Wait until codex has written that file."""
    deadline = time.monotonic() + 30
    while not list(Path(world.env["YT_TMP_ROOT"]).glob(f"ytfsm-*/agent/{name}")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_stopped_run_goes_on_with_its_thread_and_its_work(enter: Callable[..., Workplace]) -> None:
    world = enter()
    first = [{"exec": "mkdir -p models/lab && echo half > models/lab/half.txt"}, {"exec": "sleep 300"}, {"say": "x"}]
    world.lab.script([first])
    number = world.seed()
    live = Live(world)
    path = live.until(THREAD)
    written(world, "models/lab/half.txt")
    live.signal(signal.SIGINT)
    done = live.ended()
    assert done.code == 130, done.err
    run_id = path.parent.name
    world.nothing_is_left(run_id)
    assert world.issue(number)["status"] == "in progress"
    told = world.replay(run_id)
    assert (told["state"], told["complete"]) == ("bringup", False)
    # It goes on in the same codex thread, and finds what it wrote.
    world.lab.script([[{"exec": "cat models/lab/half.txt && rm -r models/lab/half.txt"}, {"say": "seen"}]])
    again = world.ytfsm("resume", run_id, "--json", YT_MAX_ATTEMPTS="1")
    assert again.json["state"] == "failed", again.err
    logs = "".join(p.read_text() for p in (path.parent / "logs").glob("*codex.log"))
    assert '"aggregated_output":"half' in logs
    assert "resume" in again.err
    assert len(world.comments(number, "[yt-claim]")) == 1
    assert len(world.comments(number, "[yt-status]")) == 1
    world.nothing_is_left(run_id)


def test_sigterm_is_a_stop_with_exit_code_0(world: Workplace) -> None:
    world.seed()
    live = Live(world)
    live.until('"dest":"setup"')
    live.signal(signal.SIGTERM)
    assert live.ended().code == 0


def test_a_second_signal_gives_the_issue_back_with_its_work(enter: Callable[..., Workplace]) -> None:
    world = enter()
    folder = f"models/{world.lab.model}/n300"
    world.lab.script([[{"exec": f"mkdir -p {folder} && echo half > {folder}/half.py && sleep 300"}, {"say": "x"}]])
    number = world.seed()
    live = Live(world)
    path = live.until(THREAD)
    written(world, f"{folder}/half.py")
    live.signal(signal.SIGINT)
    time.sleep(0.05)  # the kernel makes one of two that come at once
    live.signal(signal.SIGINT)
    done = live.ended()
    run_id = path.parent.name
    assert world.replay(run_id)["state"] == "released", done.err
    assert world.issue(number)["status"] == "ready"
    assert "released:" in world.comments(number, "[yt-claim]")[0]
    (branch,) = world.branches()
    assert str(number) in branch
    world.nothing_is_left(run_id)
    # Whoever takes it next goes on from that work instead of stumbling over the branch.
    world.lab.script("right")
    after = world.work()
    assert after.json["state"] == "review", after.err
    assert after.json["run_id"] != run_id
    assert world.branches() == [branch]


def test_a_killed_worker_is_recovered_by_the_next_start(world: Workplace) -> None:
    number = world.seed()
    run_id = killed(world, '"kind":"attempt"')
    told = world.replay(run_id)
    assert told["complete"] is False
    assert world.workspaces(), "only a kill leaves a workspace behind"
    done = world.work()
    assert done.code == 0, done.err
    assert done.json == {"run_id": None, "reason": "no work"}, "a recovered run does not count with --once"
    told = world.replay(run_id)
    assert (told["state"], told["complete"]) == ("review", True)
    assert [a["n"] for a in told["attempts"]] == [1, 2]
    assert world.issue(number)["status"] == "in review"
    assert len(world.lab.state()["pull_requests"]) == 1
    assert len(world.comments(number, "[yt-claim]")) == 1
    assert len(world.comments(number, "[yt-status]")) == 1
    world.nothing_is_left(run_id)


def test_a_live_run_cannot_be_taken_over(enter: Callable[..., Workplace]) -> None:
    world = enter(script="silent")
    world.seed()
    live = Live(world)
    run_id = live.until(BRINGUP).parent.name
    taken = world.ytfsm("resume", run_id)
    assert taken.code == 4
    assert "a live process writes" in taken.err
    live.signal(signal.SIGTERM)
    assert live.ended().code == 0


def test_abandon_ends_a_run_properly(enter: Callable[..., Workplace]) -> None:
    world = enter(script="silent")
    number = world.seed()
    run_id = killed(world, THREAD)
    done = world.ytfsm("abandon", run_id, "--reason", "wrong revision", "--json")
    assert done.code == 1
    assert done.json["state"] == "failed", done.err
    assert world.issue(number)["status"] == "failed"
    assert "abandoned: wrong revision" in world.comments(number, "[yt-status]")[0]
    world.nothing_is_left(run_id)


def test_a_run_of_a_machine_that_has_changed_is_ended_and_not_gone_on_with(enter: Callable[..., Workplace]) -> None:
    world = enter(script="silent")
    number = world.seed()
    run_id = killed(world, THREAD)

    def later(*argv: str) -> Finished:
        return world.script(HERE / "changed_machine.py", *argv)

    refused = later("resume", run_id)
    assert refused.code == 2
    assert f"the machine has changed since {run_id} began (retry from `bringup` on)" in refused.err
    assert f"ytfsm abandon {run_id}" in refused.err
    assert later("run", "--system", "n300", "--once").code == 0, "a worker leaves it alone"
    assert world.issue(number)["status"] == "in progress"
    done = later("abandon", run_id, "--reason", "the machine has changed", "--json")
    assert done.json["state"] == "failed", done.err
    assert world.issue(number)["status"] == "failed"
    told = world.replay(run_id)
    assert (told["integrity"]["verdict"], told["complete"], told["definition"]["drift"]) == ("ok", True, False)
    world.nothing_is_left(run_id)


def test_a_closed_terminal_and_sighup_do_not_end_a_worker(enter: Callable[..., Workplace]) -> None:
    world = enter(script="right")
    number = world.seed()
    live = Live(world)
    run_id = live.until('"dest":"claimed"').parent.name
    live.process.stdout.close()
    live.process.stderr.close()
    live.signal(signal.SIGHUP)
    live.process.wait(180)
    assert world.issue(number)["status"] == "in review"
    assert world.replay(run_id)["complete"] is True
    world.nothing_is_left(run_id)


def test_a_person_who_moves_the_card_stops_the_run_and_keeps_the_card(enter: Callable[..., Workplace]) -> None:
    world = enter(script="silent")
    number = world.seed()
    live = Live(world, YT_CLAIM_TTL_SECS="6")
    run_id = live.until(THREAD).parent.name
    world.act("delete_comment", issue=number, containing="[yt-claim]")
    done = live.ended()
    assert done.json["state"] == "released", done.err
    assert done.code == 0
    assert world.issue(number)["status"] == "in progress", "the card is a person's affair now"
    assert world.comments(number, "[yt-status]") == []
    world.nothing_is_left(run_id)


def test_a_resumed_run_whose_claim_was_taken_over_leaves_the_issue_alone(enter: Callable[..., Workplace]) -> None:
    world = enter(script="silent")
    number = world.seed()
    run_id = killed(world, THREAD)
    other = (
        "[yt-claim]\nworker: other\nsystem: n300\nrun_id: 20260101T000000Z-n300-i2-0000\n"
        "timestamp: 2026-01-01T00:00:00Z\nttl: 3600\n"
    )
    world.act("comment", issue=number, body=other, by="yt-bot")
    done = world.script(HERE / "impatient_worker.py", "resume", run_id, "--json")
    assert done.json["state"] == "released", done.err
    assert "worker other took the issue over" in done.err
    assert world.issue(number)["status"] == "in progress"
    assert world.comments(number, "[yt-status]") == []


def test_a_run_whose_claim_github_does_not_confirm_waits_and_is_nobodys_verdict(
    enter: Callable[..., Workplace],
) -> None:
    world = enter(script="right")
    number = world.seed()
    run_id = killed(world, BRINGUP)
    world.lab.fault("github", "reset-before", match="edit_comment", count=None)
    waiting = world.work()
    assert waiting.json == {"run_id": None, "reason": "no work"}, waiting.err
    assert f"{run_id} waits, as GitHub did not confirm its claim" in waiting.err
    assert world.issue(number)["status"] == "in progress"
    world.lab.clear("github")
    assert world.work().code == 0
    told = world.replay(run_id)
    assert (told["state"], told["complete"]) == ("review", True)
    world.nothing_is_left(run_id)


def test_a_run_whose_claim_github_refuses_to_confirm_waits_for_who_mends_that(enter: Callable[..., Workplace]) -> None:
    """Found by the fault matrix: it was taken up again each minute, for ever."""
    world = enter(script="right")
    number = world.seed()
    run_id = killed(world, BRINGUP)
    body = '{"message":"Resource not accessible by personal access token"}'
    world.lab.fault("github", "answer", match="edit_comment", count=1, status=403, body=body)
    done = world.work(YT_PROBE_SECS="1")
    assert world.replay(run_id)["state"] == "review", done.err
    journal = (world.run_folder(run_id) / "journal.jsonl").read_text().splitlines()
    (waited,) = [r for r in map(json.loads, journal) if r["kind"] == "waiting"]
    assert waited["state"] == "bringup"
    assert f"{run_id} waits, as GitHub did not confirm its claim: " in waited["why"]
    assert world.issue(number)["status"] == "in review"


def test_publishing_survives_a_github_that_is_away(enter: Callable[..., Workplace]) -> None:
    world = enter(script="right")
    number = world.seed()
    world.lab.fault("github", "bad-gateway", match="add_comment", skip=1, count=3)
    done = world.work()
    assert done.json["state"] == "review", done.err
    assert world.issue(number)["status"] == "in review"
    assert len(world.comments(number, "[yt-status]")) == 1


def test_a_run_that_cannot_be_published_is_never_done_anew_and_resume_publishes_it(
    enter: Callable[..., Workplace],
) -> None:
    """Faults W14: six whole paid bringups of one issue in 110 s, without a word on the issue, for ever."""
    world = enter(script="right")
    number = world.seed()
    world.act("refuse_pushes", count=99)
    done = world.work()
    run_id = done.json["run_id"]
    assert done.code == 1
    assert (done.json["state"], done.json["status"]) == ("review", "unpublished")
    assert world.replay(run_id)["complete"] is True
    assert (world.run_folder(run_id) / "artifacts" / "work.bundle").exists()
    (claimed,) = world.comments(number, "[yt-claim]")
    assert "unpublished: " in claimed
    told = [c["body"] for c in world.issue(number)["comments"] if "could not be published" in c["body"]]
    assert len(told) == 1
    assert f"`ytfsm resume {run_id}`" in told[0]
    assert world.work().json == {"run_id": None, "reason": "no work"}
    world.act("refuse_pushes", count=0)
    again = world.ytfsm("resume", run_id, "--json")
    assert (again.code, again.json["state"], again.json["status"]) == (0, "review", "in review"), again.err
    assert world.issue(number)["status"] == "in review"
    assert len(world.replay(run_id)["attempts"]) == 1, "what passed is not judged again"
    assert world.ytfsm("resume", run_id).code == 4


def test_the_janitor_clears_what_a_finished_run_left_and_touches_no_live_one(world: Workplace) -> None:
    root = Path(world.env["YT_TMP_ROOT"])
    folder = world.run_folder("20260101T000000Z-n300-i9-dead")
    mark = Mark(Path(world.env["YTFSM_HOME"]), folder.name, 0.0)
    finished_workspace = root / f"{prefix(mark)}abcd1234"
    strangers = root / f"{prefix(Mark(folder, folder.name, 0.0))}abcd1234"
    for path in (folder, finished_workspace / "deep", strangers):
        path.mkdir(parents=True)
    journal = begin(folder, issue={"number": 9})
    marked = subprocess.Popen(["sleep", "60"], env={**os.environ, **mark.variables})
    world.work()
    assert finished_workspace.exists(), "a live process writes that run's journal"
    assert marked.poll() is None
    journal.append("end")
    journal.close()
    done = world.ytfsm("doctor", "--clean", "--json")
    assert done.code == 0, done.err
    assert not finished_workspace.exists()
    assert not (folder / "ballast").exists()
    assert strangers.exists(), "another YTFSM_HOME's run is not ours to judge"
    assert marked.wait(10) == -signal.SIGKILL
    assert json.loads(done.out)
