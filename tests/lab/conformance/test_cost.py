"""What a run costs is in the lab's record: GitHub's points, and what was written, to the last one."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.github.lease import text
from yt_fsm.lab.serving import running_lab


def test_a_run_that_ends_early_costs_twelve_points_and_four_writes(tmp_path: Path, worker: Any, malformed: str) -> None:
    with running_lab(tmp_path / "lab", model="tiny") as lab:
        lab.act("move_card", issue=1, status="assessing")
        lab.seed(body=malformed)
        assert worker(lab.env).ended().json["state"] == "setup_error"
        state = json.loads(lab.run(sys.executable, "-m", "yt_fsm.lab.cli", "state", "--json").stdout)
    requests = state["requests"]
    assert sum(one["cost"] for one in requests) == 12
    assert sum(one["writes"] for one in requests) == 4
    # Two of the four create content, which is what GitHub's secondary limit counts first.
    written = Counter(one["operation"] for one in requests if one["writes"])
    assert written == {"add_comment": 2, "set_status": 2}
    assert Counter(one["operation"] for one in requests if not one["writes"]) == {
        "GET /user": 1,  # the login, its scopes and its limits
        "project": 1,
        "permission": 1,  # what the login may do in the repo
        "poll": 1,
        "issue": 1,  # the chosen one's text, and whether it is still free
        "snapshot": 4,  # the claim verified; then a look before the status, after it, and before the comment
    }
    # A claim that nobody contests is one comment, one look and one move of the card.
    operations = [one["operation"] for one in requests]
    bid = operations.index("add_comment")
    assert operations[bid - 2 : bid + 4] == ["poll", "issue", "add_comment", "snapshot", "set_status", "snapshot"]
    for one in requests:
        assert {"at", "client", "login", "operation", "variables", "status", "cost", "answer"} <= set(one)
        assert one["client"].startswith("GitHub CLI")
        assert one["status"] == 200


def test_an_idle_look_costs_four_points_and_nothing_is_written(tmp_path: Path, worker: Any) -> None:
    with running_lab(tmp_path / "lab", model="tiny") as lab:
        lab.act("move_card", issue=1, status="assessing")
        assert worker(lab.env).ended().json == {"run_id": None, "reason": "no work"}
        requests = lab.state()["requests"]
    # The board, the permissions, the poll, and a look for issues whose system stands in their text only.
    assert sum(one["cost"] for one in requests) == 4
    assert sum(one["writes"] for one in requests) == 0


@pytest.mark.parametrize("status", ["ready", "in progress"])
def test_who_comes_late_writes_nothing(tmp_path: Path, worker: Any, malformed: str, status: str) -> None:
    with running_lab(tmp_path / "lab", model="tiny") as lab:
        lab.act("move_card", issue=1, status="assessing")
        number = lab.seed(body=malformed)
        lab.act("comment", issue=number, body=text("other", "n300", "run-of-other", "2026-11-22T03:41:07Z", 3600))
        lab.act("move_card", issue=number, status=status)
        assert worker(lab.env).ended().json == {"run_id": None, "reason": "no work"}
        requests = lab.state()["requests"]
    assert sum(one["writes"] for one in requests) == 0
    assert sum(one["cost"] for one in requests) == 4, "no more than an idle look"
