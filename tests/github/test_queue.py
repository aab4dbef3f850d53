"""The queue: what a person is told of an issue that cannot be claimed, and logins whose claims count for nothing."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from yt_fsm.bringup import surroundings
from yt_fsm.bringup.settings import Settings
from yt_fsm.engine import walk
from yt_fsm.engine.errors import Lost, NotFound
from yt_fsm.engine.run import Run, create
from yt_fsm.github import queue as module
from yt_fsm.github.client import STATUSES, GitHub
from yt_fsm.github.errors import ClaimsIgnored, GitHubError
from yt_fsm.github.lease import text
from yt_fsm.github.queue import Issues

LATER = "2026-11-22T03:41:08Z"


class Repo:
    """A models repo with one issue; `association` is how GitHub shows this login's comments."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.archived, self.association, self.refusal = False, "MEMBER", ""
        self.calls: list[str] = []

    def add(self, body: str, by: str = "MEMBER") -> dict[str, Any]:
        node = {
            "id": f"C{len(self.comments)}", "databaseId": 1, "createdAt": LATER, "lastEditedAt": None,
            "authorAssociation": by, "body": body, "author": {"login": "bot"},
        }  # fmt: skip
        self.comments.append(node)
        return node

    def issue(self) -> dict[str, Any]:
        card = {"id": "I", "project": {"id": "P"}, "isArchived": self.archived, "fieldValueByName": {"name": "Ready"}}
        last = {"hasPreviousPage": False, "startCursor": None}
        return {
            "id": "ISSUE12", "number": 12, "title": "T", "url": "https://x/12", "state": "OPEN",
            "body": "hf_model_id: a/b", "labels": {"nodes": [{"name": "n300"}]}, "projectItems": {"nodes": [card]},
            "comments": {"totalCount": len(self.comments), "pageInfo": last, "nodes": list(self.comments)},
        }  # fmt: skip

    def __call__(self, name: str, variables: dict[str, Any]) -> Any:
        self.calls.append(name)
        if name == "project":
            options = [{"id": status, "name": status} for status in STATUSES]
            node = {"id": "P", "number": 7, "title": "T", "url": "https://x/7", "items": {"totalCount": 1}}
            return {"repositoryOwner": {"id": "O", "projectV2": {**node, "field": {"id": "F", "options": options}}}}
        if name == "poll":
            last = {"hasNextPage": False, "endCursor": None}
            return {"repository": {"issues": {"pageInfo": last, "nodes": [self.issue()]}}}
        if name == "issue":
            return {"repository": {"issue": self.issue()}}
        if name == "snapshot":
            return {"node": self.issue()}
        if name == "add_comment" and self.refusal:
            return 1, self.refusal
        if name == "add_comment":
            return {"addComment": {"commentEdge": {"node": self.add(variables["body"], self.association)}}}
        assert name == "delete_comment", name
        self.comments = [c for c in self.comments if c["id"] != variables["comment"]]
        return {"deleteIssueComment": {"clientMutationId": None}}


@pytest.fixture
def repo() -> Repo:
    return Repo()


@pytest.fixture
def queue(repo: Repo, wired: Callable[..., GitHub], settings: Callable[..., Settings]) -> Issues:
    return surroundings.queue(settings(project_number=7, settle_secs=0), wired(repo).shell)


@pytest.fixture
def walked(queue: Issues, new_run: Callable[..., Run]) -> Callable[[], Run]:
    """Takes the queue's next issue, as a worker does."""
    from machines.bringup import MACHINE

    def take() -> Run:
        subject = queue.next()
        assert subject
        run = create(MACHINE, queue.settings, subject, queue.shell, {"ytfsm": "0"})
        walk.walk(run)
        queue.walked(run)
        return run

    return take


def test_an_issue_with_an_archived_card_is_not_claimed_and_says_so(queue: Issues, repo: Repo) -> None:
    """Faults Q5: it was claimed, and could never be moved."""
    repo.archived = True
    assert queue.next() is None
    with pytest.raises(NotFound, match=r"#12 has an archived card on https://x/7, which nobody can move: restore it"):
        queue.asked_for("12")


def test_an_issue_whose_work_is_unpublished_is_not_claimed_and_says_so(queue: Issues, repo: Repo) -> None:
    """Faults W14."""
    old = text("bench-1", "n300", "r-1", "now", 60, unpublished="the branch is protected")
    repo.add(old)["createdAt"] = "2025-11-22T03:41:07Z"
    assert queue.next() is None
    with pytest.raises(NotFound, match="worker bench-1 did it and could not publish it: `ytfsm resume r-1` there does"):
        queue.asked_for("12")
    repo.comments[0]["body"] += "released: yes\n"
    assert queue.next() is not None


@pytest.mark.parametrize("association", ["CONTRIBUTOR"])
def test_a_login_whose_claims_do_not_count_bids_once(
    queue: Issues, repo: Repo, walked: Callable[[], Run], monkeypatch: pytest.MonkeyPatch, association: str
) -> None:
    """Faults Q7: three comments and 277 reads in three minutes, without end."""
    now = 1000.0
    monkeypatch.setattr(module, "boot_secs", lambda: now)
    repo.association = association
    run = walked()
    assert run.state == "released"
    assert repo.comments == [], "the bid is withdrawn"
    assert repo.calls.count("snapshot") == 0, "nothing was asked again and again"
    for ask in (queue.next, queue.next):
        with pytest.raises(ClaimsIgnored, match=f"this login's claims do not count: .* as {association}"):
            ask()
    now += module.ALONE_SECS[1]
    assert queue.next() is not None, "somebody may have mended it"


def test_a_bid_that_github_refuses_has_the_refusal_as_its_cause(
    repo: Repo, queue: Issues, walked: Callable[[], Run], answered: Callable[..., str]
) -> None:
    """Faults Q3: by it the worker counts it; and the issue is left alone."""
    repo.refusal = answered(200, {"errors": [{"type": "FORBIDDEN", "message": "the issue is locked"}]})
    run = walked()
    assert isinstance(run.problem, Lost)
    assert isinstance(run.problem.__cause__, GitHubError)
    assert run.problem.__cause__.cause == "GitHubError: FORBIDDEN"
    assert queue.next() is None


def test_an_issue_whose_bid_was_lost_is_left_alone_for_longer_each_time(
    queue: Issues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults Q3: some twenty runs and comments on one issue in half a minute."""
    now = 0.0
    monkeypatch.setattr(module, "boot_secs", lambda: now)
    pauses = []
    for _ in range(7):
        subject = queue.next()
        lost: Any = SimpleNamespace(subject=subject, arrived_by="lose", taken=False, problem=Lost("slower"))
        queue.walked(lost)
        began = now
        while queue.next() is None:
            now += 60
        pauses.append((now - began) / 60)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
