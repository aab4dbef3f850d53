"""§13.2 on whatever GitHub there is: the lab's, or with `YTFSM_LIVE=owner/repo` the real one, seen through gh only.

Live, gh and git keep the caller's own logins, and `YT_PROJECT_NUMBER` names a board of that owner; the model, codex's
answers and the machine without a card still come from the lab. The issue, its branch and its pull request are closed
and deleted again.
"""

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.parts.workplace import Workplace

from .conftest import field

LIVE = os.environ.get("YTFSM_LIVE", "")
OURS = ("HOME", "GH_TOKEN", "GITHUB_TOKEN", "GH_CONFIG_DIR", "GH_HOST", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME")


class Site:
    """The models repo on some GitHub, as gh shows it."""

    def __init__(self, world: Workplace) -> None:
        self.env = dict(world.env)
        if LIVE:
            self.env = {name: value for name, value in self.env.items() if not name.startswith("GIT_CONFIG_")}
            for name in OURS:
                self.env.pop(name, None)
            self.env |= {name: os.environ[name] for name in OURS if name in os.environ}
            owner, _, repo = LIVE.partition("/")
            self.env |= {"YT_OWNER": owner, "YT_REPO_MODELS": repo, "YT_WRITE_GAP_SECS": "1", "YT_SETTLE_SECS": "60"}
            self.env["YT_PROJECT_NUMBER"] = os.environ["YT_PROJECT_NUMBER"]
        world.env = self.env
        self.world = world
        self.owner, self.repo = self.env["YT_OWNER"], f"{self.env['YT_OWNER']}/{self.env['YT_REPO_MODELS']}"
        self.board = self.env["YT_PROJECT_NUMBER"]

    def gh(self, *argv: str) -> str:
        done = subprocess.run(["gh", *argv], env=self.env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"gh {' '.join(argv)}: {done.stderr}"
        return done.stdout

    def read(self, *argv: str) -> Any:
        return json.loads(self.gh(*argv))

    def open_issue(self, model: str) -> int:
        body = f"hf_model_id: {model}\nprefill_len: 16\ndecode_len: 8\n"
        url = self.gh(
            "issue", "create", "-R", self.repo, "--title", f"Bring up {model}", "--body", body, "--label", "n300"
        ).strip()
        where = ("--owner", self.owner, "--format", "json")
        item = self.read("project", "item-add", self.board, "--url", url, *where)["id"]
        project = self.read("project", "view", self.board, *where)["id"]
        fields = self.read("project", "field-list", self.board, *where)["fields"]
        status = next(f for f in fields if f["name"] == "Status")
        ready = next(o["id"] for o in status["options"] if o["name"] == "ready")
        edit = ("--id", item, "--project-id", project, "--field-id", status["id"])
        self.gh("project", "item-edit", *edit, "--single-select-option-id", ready)
        return int(url.rsplit("/", 1)[-1])

    def issue(self, number: int) -> Any:
        return self.read("issue", "view", str(number), "-R", self.repo, "--json", "state,comments,projectItems")

    def clear(self, number: int, branch: str) -> None:
        self.gh("issue", "close", str(number), "-R", self.repo)
        for pull in self.read("pr", "list", "-R", self.repo, "--head", branch, "--json", "number"):
            self.gh("pr", "close", str(pull["number"]), "-R", self.repo)
        self.gh("api", "-X", "DELETE", f"repos/{self.repo}/git/refs/heads/{branch.replace('/', '%2F')}")


@pytest.fixture
def site(enter: Callable[..., Workplace]) -> Site:
    world = enter(script="right")
    world.lab.fault("tt-smi", "absent", command="snapshot", count=None)
    return Site(world)


def test_a_worker_without_a_card_takes_an_issue_to_review(site: Site) -> None:
    number = site.open_issue(site.world.lab.model)
    branch = f"bringup/issue-{number}-{site.world.lab.model.lower().replace('/', '-')}"
    try:
        argv = ("run", "--system", "n300", "--issue", str(number), "--once", "--skip-tt", "--json")
        done = site.world.ytfsm(*argv, timeout=900)
        assert done.code == 0, done.err
        assert done.json["status"] == "in review"
        issue = site.issue(number)
        assert [item["status"]["name"] for item in issue["projectItems"]] == ["in review"]
        first_lines = [comment["body"].splitlines()[0] for comment in issue["comments"]]
        assert first_lines == ["[yt-claim]", "[yt-status]"]
        assert field(issue["comments"][0]["body"].replace("\r", ""), "run_id") == done.json["run_id"]
        pull = site.read(
            "pr", "view", done.json["url"].rsplit("/", 1)[-1], "-R", site.repo, "--json", "title,body,headRefName,state"
        )
        assert (pull["state"], pull["headRefName"]) == ("OPEN", branch)
        assert f"Closes #{number}" in pull["body"]
        assert "The TT evaluation was skipped" in pull["body"]
        assert '"skip_tt": true' in pull["body"]
        moves = [t["dest"] for t in site.world.replay(done.json["run_id"])["transitions"]]
        assert moves[:2] == ["claimed", "setup"]
        assert moves[-1] == "review"
        site.world.nothing_is_left(done.json["run_id"])
    finally:
        site.clear(number, branch)


def test_skipping_the_card_is_refused_where_there_is_one(enter: Callable[..., Workplace]) -> None:
    world = enter(script="right")
    world.seed()
    done = world.work("--skip-tt")
    assert done.code == 5
    assert "--skip-tt is for machines without a card, and tt-smi lists n300" in done.err
