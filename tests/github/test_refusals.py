"""Refusals that can be known: they are found before codex is paid for work that nobody could publish (faults W12)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from yt_fsm.bringup.commits import look_ahead
from yt_fsm.bringup.errors import BranchExists
from yt_fsm.engine.errors import CommandFailed, SetupError
from yt_fsm.engine.run import Run
from yt_fsm.github import refusals
from yt_fsm.github.client import GitHub
from yt_fsm.github.errors import ClaimsIgnored, NoWay

BRANCH = "bringup/issue-12-org-name"
Wired = Callable[..., GitHub]


def rules(*found: Any, bypass: str | None = "never", role: str | None = "WRITE", **closed: bool) -> Any:
    """GitHub's far end, with these rules for our branch."""
    flags = {"isArchived": False, "isDisabled": False, "isLocked": False, **closed}
    ruleset = {"id": 7, "current_user_can_bypass": bypass}

    def answer(name: str, variables: dict[str, Any]) -> Any:
        if name == "permission":
            return {"viewer": {"login": "bot"}, "repository": {"viewerPermission": role, **flags}}
        if name == "gh api repos/yieldthought/ttnn_models/rules/branches/bringup%2Fissue-12-org-name":
            return 0, json.dumps([{"ruleset_id": 7, **rule} if isinstance(rule, dict) else rule for rule in found])
        assert name == "gh api repos/yieldthought/ttnn_models/rulesets/7", name
        return (1, "not found") if bypass is None else (0, json.dumps(ruleset))

    return answer


def named(operator: str, pattern: str, negate: bool = False) -> dict[str, Any]:
    return {
        "type": "branch_name_pattern",
        "parameters": {"operator": operator, "pattern": pattern, "negate": negate},
    }


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"type": "creation"}, "restricts the creation of branches"),
        ({"type": "pull_request", "parameters": {}}, "requires a pull request for every change"),
        ({"type": "required_signatures"}, "requires signed commits"),
        ({"type": "required_status_checks", "parameters": {"do_not_enforce_on_create": False}}, "status checks"),
        (named("starts_with", "feature/"), r"wants other names .feature/."),
        (named("regex", "issue", negate=True), "wants other names"),
    ],
)
def test_a_rule_that_refuses_our_branch_is_told(wired: Wired, rule: Any, words: str) -> None:
    with pytest.raises(NoWay, match=words) as caught:
        refusals.of_branch(wired(rules({"type": "deletion"}, rule)), BRANCH)
    assert "exclude `bringup/**` from it" in str(caught.value)


@pytest.mark.parametrize(
    "found",
    [
        [], [{"type": "deletion"}, {"type": "non_fast_forward"}, {"type": "a word of tomorrow"}],
        [{"type": "required_status_checks", "parameters": {"do_not_enforce_on_create": True}}],
        [named("starts_with", "bringup/"), named("regex", "^x", negate=True), named("regex", "("), named("newer", "x")],
        [None, 7, {}, {"type": 1}, {"type": "creation", "ruleset_id": None}],
    ],
)  # fmt: skip
def test_other_rules_refuse_nothing(wired: Wired, found: list[Any]) -> None:
    refusals.of_branch(wired(rules(*found)), BRANCH)


@pytest.mark.parametrize("bypass", ["always", "exempt", None])
def test_who_may_go_round_a_rule_or_is_not_told_goes_on(wired: Wired, bypass: str | None) -> None:
    refusals.of_branch(wired(rules({"type": "creation"}, bypass=bypass)), BRANCH)


@pytest.mark.parametrize("answer", [(1, "gh: Not Found (HTTP 404)"), (0, "not json"), (0, "{}"), (1, "")])
def test_rules_that_github_does_not_tell_are_none(wired: Wired, answer: tuple[int, str]) -> None:
    refusals.of_branch(wired(lambda name, variables: answer), BRANCH)


# --- before codex is paid


class Clone:
    """A clone that would be told this."""

    def __init__(self, beside: tuple[str, ...] = (), push: CommandFailed | None = None) -> None:
        self.beside, self.answer = beside, push

    def colliding(self, branch: str) -> list[str]:
        return list(self.beside)

    def push(self, branch: str, sha: str, tip: str | None, dry: bool) -> None:
        assert (branch, sha, tip, dry) == (BRANCH, "b" * 40, None, True)
        if self.answer:
            raise self.answer


def said(words: str) -> CommandFailed:
    return CommandFailed(["git", "push"], 128, words, None)


@pytest.mark.parametrize(
    ("far", "clone", "kind", "fault", "words"),
    [
        (rules(role="READ"), Clone(), NoWay, "machine", "has the permission READ"),
        (rules(role=None), Clone(), ClaimsIgnored, "machine", "claims do not count"),
        (rules(isArchived=True), Clone(), NoWay, "machine", "is archived on GitHub"),
        (rules({"type": "creation"}), Clone(), NoWay, "machine", "restricts the creation"),
        (rules(), Clone(("bringup",)), NoWay, "machine", "push origin --delete bringup`"),
        (rules(), Clone((f"{BRANCH}/x",)), BranchExists, "issue", f"push origin --delete {BRANCH}/x"),
        (rules(), Clone(push=said("ERROR: Permission to o/r.git denied to bot.")), NoWay, "machine", "may not push"),
        (rules(), Clone(push=said("the remote end hung up")), CommandFailed, "machine", "hung up"),
    ],
)
def test_what_would_refuse_the_work_is_found_before_it_is_done(
    new_run: Callable[..., Run], far: Any, clone: Clone, kind: type[SetupError], fault: str, words: str
) -> None:
    run = new_run(far)
    run.facts.base = "b" * 40
    with pytest.raises(kind, match=words) as caught:
        look_ahead(run, clone, BRANCH)  # type: ignore[arg-type]
    assert caught.value.fault == fault


def test_a_repo_that_takes_the_work_is_gone_on_with(new_run: Callable[..., Run]) -> None:
    run = new_run(rules({"type": "deletion"}))
    run.facts.base = "b" * 40
    look_ahead(run, Clone(), BRANCH)  # type: ignore[arg-type]
