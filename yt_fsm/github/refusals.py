"""Refusals: what GitHub would say no to at a run's end, found before codex is paid for its work (faults W12, Q7)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from yt_fsm.engine.outside import Malformed, at, maybe

from .client import GitHub
from .errors import ClaimsIgnored, NoWay

MAY_PUSH = ("WRITE", "MAINTAIN", "ADMIN")

# Rules that a push of a new branch meets, in words. Others (linear history, no deletion) it passes.
_RULES = {
    "creation": "restricts the creation of branches",
    "update": "restricts updates of branches",
    "pull_request": "requires a pull request for every change",
    "required_status_checks": "requires status checks before a push",
    "required_signatures": "requires signed commits",
    "required_deployments": "requires deployments before a push",
    "merge_queue": "requires a merge queue",
}
_BYPASSES = ("always", "exempt")


def of_repository(github: GitHub) -> str:
    """What this login may do in the models repo, in words. Raises NoWay where that is too little for a run.

    Raises ClaimsIgnored for a login that is surely neither owner, member nor collaborator.
    """
    found = github.permission()
    if found.closed:
        raise NoWay(
            f"{github.repo} is {found.closed} on GitHub, so nobody can push to it: mend that, or YT_REPO_MODELS"
        )
    if found.role == "NONE":
        raise ClaimsIgnored("NONE", github.repo)
    if found.role not in MAY_PUSH:
        raise NoWay(
            f"{found.login} has the permission {found.role} for {github.repo}, and a run pushes a branch: give it WRITE"
        )
    return f"{found.login}: {found.role}"


def of_branch(github: GitHub, branch: str) -> None:
    """Raise NoWay where an active rule of the repo refuses the creation of `branch` to this login.

    Where GitHub does not say which rules there are, or who may bypass one, none is known.
    """
    rules = github.rest(f"rules/branches/{quote(branch, safe='')}")
    for rule in rules if isinstance(rules, list) else []:
        try:
            why = _hindrance(rule, branch)
            if why and not _bypassed(github, rule):
                raise NoWay(
                    f"a ruleset of {github.repo} {why}, which refuses the branch `{branch}`: exclude `bringup/**` from "
                    "it, or add this login to those who may bypass it"
                )
        except Malformed:
            continue


def _hindrance(rule: Any, branch: str) -> str:
    kind = at(str, rule, "type")
    if kind == "branch_name_pattern":
        return "" if _matches(rule, branch) else f"wants other names ({maybe(str, rule, 'parameters', 'pattern')})"
    if maybe(bool, rule, "parameters", "do_not_enforce_on_create"):
        return ""
    return _RULES.get(kind, "")


def _matches(rule: Any, name: str) -> bool:
    """Whether a name is as a pattern rule wants it; a pattern that this Python cannot read refuses nothing."""
    pattern, how = at(str, rule, "parameters", "pattern"), at(str, rule, "parameters", "operator")
    tests = {"starts_with": name.startswith, "ends_with": name.endswith, "contains": name.__contains__}
    if how == "regex":
        try:
            found = re.search(pattern, name) is not None
        except re.error:
            return True
    elif how in tests:
        found = tests[how](pattern)
    else:
        return True
    return found is not bool(maybe(bool, rule, "parameters", "negate"))


def _bypassed(github: GitHub, rule: Any) -> bool:
    """Whether this login may go round a rule, or nobody says that it may not."""
    ruleset = github.rest(f"rulesets/{at(int, rule, 'ruleset_id')}")
    can = maybe(str, ruleset, "current_user_can_bypass") if isinstance(ruleset, dict) else None
    return can is None or can in _BYPASSES
