"""A lab that was killed goes on where it was, at the same addresses; so does a worker that was killed with it."""

import json
import signal
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from yt_fsm.lab.serving import Running, running_lab

QUERY = "{viewer {login} rateLimit {used limit resetAt}}"


def limit(lab: Running) -> dict[str, Any]:
    """What GitHub says is used of the hour."""
    done = lab.run("gh", "api", "graphql", "-f", f"query={QUERY}")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["data"]["rateLimit"])


def test_clock_and_limits_are_what_they_were(tmp_path: Path) -> None:
    with running_lab(tmp_path / "lab") as lab:
        lab.ask("POST", "/clock", {"offset": 7200})
        lab.ask("POST", "/limits", {"points": 50, "writes_a_minute": 1})
        for _ in range(3):
            before = limit(lab)
        comment = ["gh", "issue", "comment", "1", "-R", "yieldthought/ttnn_models", "--body"]
        assert lab.run(*comment, "one").returncode == 0
        lab.stop(signal.SIGKILL)
    with running_lab(tmp_path / "lab") as lab:
        after = limit(lab)
        assert (after["limit"], after["resetAt"]) == (50, before["resetAt"])
        # Two more for the comment (the issue is looked up first), one for asking again.
        assert after["used"] == before["used"] + 3
        refused = lab.run(*comment, "two")
        assert refused.returncode == 1
        assert "secondary rate limit" in refused.stderr
        date = next(
            line for line in lab.run("gh", "api", "-i", "user").stdout.splitlines() if line.lower().startswith("date:")
        )
        assert 7000 < parsedate_to_datetime(date.partition(": ")[2]).timestamp() - time.time() < 7400


def test_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    with running_lab(tmp_path / "lab") as lab:
        made = lab.run("gh", "issue", "create", "-R", "yieldthought/ttnn_models", "--title", "New", "--body", "b")
        assert made.returncode == 0, made.stderr
        lab.act("move_card", issue=2, status="in review")
        lab.script("hopeless", model="some/model")
        before = lab.state()
        lab.stop(signal.SIGKILL)
    with running_lab(tmp_path / "lab") as lab:
        after = lab.state()
    for part in ("issues", "branches", "pull_requests", "requests", "tt_smi"):
        assert after[part] == before[part], part
    assert after["codex"]["by_model"] == {"some/model": "hopeless"}


def test_a_worker_and_its_lab_that_are_killed_both_go_on(tmp_path: Path, worker: Any, malformed: str) -> None:
    # The last comment lands, but nobody hears of it: then the lights go out on both sides.
    lost = {"target": "github", "kind": "hang-after", "operation": "addComment", "after": 1}
    with running_lab(tmp_path / "lab", model="tiny", faults=[lost]) as lab:
        lab.act("move_card", issue=1, status="assessing")
        number = lab.seed(body=malformed)
        first = worker(lab.env)
        deadline = time.monotonic() + 60
        while len(next(issue for issue in lab.state()["issues"] if issue["number"] == number)["comments"]) < 2:
            assert time.monotonic() < deadline
            assert first.process.poll() is None
            time.sleep(0.1)
        first.process.kill()
        first.process.communicate()
        lab.stop(signal.SIGKILL)
        environment = lab.env
    with running_lab(tmp_path / "lab") as lab:
        # The same environment as before leads into the lab that came back.
        assert worker(environment).ended().json == {"run_id": None, "reason": "no work"}
        (issue,) = [issue for issue in lab.state()["issues"] if issue["number"] == number]
        runs = lab.run("ytfsm", "runs", "--all", "--json")
    assert [one["body"].splitlines()[0] for one in issue["comments"]] == ["[yt-claim]", "[yt-status]"]
    assert issue["status"] == "setup error"
    (run,) = json.loads(runs.stdout)
    assert (run["state"], run["complete"]) == ("setup_error", True)
