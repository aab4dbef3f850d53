"""Several real workers meet in one lab: each ends with another issue, whoever they are on GitHub."""

from pathlib import Path
from typing import Any

import pytest

from yt_fsm.lab.serving import running_lab

WORKERS = 3


@pytest.mark.parametrize("shared", [False, True], ids=["a login each", "one login for all"])
def test_each_worker_ends_with_another_issue(tmp_path: Path, worker: Any, malformed: str, shared: bool) -> None:
    with running_lab(tmp_path / "lab", model="tiny") as lab:
        lab.act("move_card", issue=1, status="assessing")
        numbers = [lab.seed(body=malformed) for _ in range(WORKERS)]
        machines = [lab.machine(f"m{n}", login=None if shared else f"bot-{n}") for n in range(WORKERS)]
        workers = [worker(machine) for machine in machines]  # all at once
        ended = [one.ended().json for one in workers]
        issues = {issue["number"]: issue for issue in lab.state()["issues"]}
        logins = {one["login"] for one in lab.state()["requests"]}
    assert sorted(end["issue"] for end in ended) == numbers
    assert {end["state"] for end in ended} == {"setup_error"}
    assert len(logins) == (1 if shared else WORKERS)
    for end in ended:
        issue = issues[end["issue"]]
        assert issue["status"] == "setup error"
        # One claim and one end, both of this run: whoever came second took its bid back.
        assert [one["body"].splitlines()[0] for one in issue["comments"]] == ["[yt-claim]", "[yt-status]"]
        assert all(f"run_id: {end['run_id']}" in one["body"] for one in issue["comments"])
        assert len({one["author"] for one in issue["comments"]}) == 1
    if not shared:
        assert {issues[number]["comments"][0]["author"] for number in numbers} == logins


def test_one_issue_is_one_workers(tmp_path: Path, worker: Any, malformed: str) -> None:
    with running_lab(tmp_path / "lab", model="tiny") as lab:
        lab.act("move_card", issue=1, status="assessing")
        number = lab.seed(body=malformed)
        workers = [worker(lab.machine(f"m{n}", login=f"bot-{n}")) for n in range(2)]
        ended = [one.ended().json for one in workers]
        (issue,) = [issue for issue in lab.state()["issues"] if issue["number"] == number]
    assert sorted(end["issue"] for end in ended if end["run_id"]) == [number]
    assert {"run_id": None, "reason": "no work"} in ended
    assert [one["body"].splitlines()[0] for one in issue["comments"]] == ["[yt-claim]", "[yt-status]"]
