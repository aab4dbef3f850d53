"""GitHub's issue search, as far as gh uses it: qualifiers, quoted words, negation, sort."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

import operator
import shlex
from collections.abc import Callable
from typing import Any

from yt_fsm.lab.github.answers.issue import ordered
from yt_fsm.lab.github.answers.repository import visible
from yt_fsm.lab.github.connections import Connection
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.executor import answers
from yt_fsm.lab.github.nodes import Issue, Owner, PullRequest, Repo

Test = Callable[[Any], bool]


@answers("Query.search")
def search(_: Any, arguments: dict[str, Any], context: Context) -> Connection:
    text = arguments["query"]
    if arguments["type"].startswith("ISSUE"):
        return Connection(search_issues(text, context), arguments)
    if arguments["type"] == "REPOSITORY":
        repos = [n for n in context.nodes.values() if isinstance(n, Repo) and visible(context, n)]
        return Connection([r for r in repos if text.lower() in context.store.full_name(r).lower()], arguments)
    owners = [n for n in context.nodes.values() if isinstance(n, Owner) and text.lower() in n.login.lower()]
    return Connection(owners, arguments)


@answers(*(f"SearchResultItemConnection.{kind}Count" for kind in ("code", "discussion", "repository", "user", "wiki")))
def other_counts(connection: Connection, arguments: dict[str, Any], context: Context) -> int:
    return 0


@answers("SearchResultItemEdge.textMatches")
def text_matches(edge: Any, arguments: dict[str, Any], context: Context) -> list[Any]:
    return []


def search_issues(text: str, context: Context) -> list[Any]:
    """The issues and pull requests that a search text finds, sorted as it says (newest first by default)."""
    order = {"field": "CREATED_AT", "direction": "DESC"}
    tests: list[Test] = []
    for word in words(text):
        negated, bare = word.startswith("-") and len(word) > 1, word.lstrip("-")
        name, colon, value = bare.partition(":")
        if colon and name == "sort":
            field, _, direction = value.partition("-")
            order = {"field": {"created": "CREATED_AT", "updated": "UPDATED_AT", "comments": "COMMENTS"}.get(
                field, "CREATED_AT"), "direction": "ASC" if direction == "asc" else "DESC"}  # fmt: skip
            continue
        test = qualifier(name, value, context) if colon else None
        test = test or _contains(bare)
        tests.append(_not(test) if negated else test)
    found = [
        n
        for n in context.nodes.values()
        if isinstance(n, Issue) and visible(context, context.nodes[n.repo]) and all(test(n) for test in tests)
    ]
    return ordered(found, order)


def words(text: str) -> list[str]:
    """The search's words; quotes keep a word together, parentheses and AND say nothing here."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.quotes = '"'
    lexer.commenters = lexer.escape = ""
    try:
        found = list(lexer)
    except ValueError:
        found = text.split()
    return [w for w in (w.strip("()") for w in found) if w and w != "AND"]


def _not(test: Test) -> Test:
    return lambda node: not test(node)


def _contains(word: str) -> Test:
    lowered = word.lower()
    return lambda node: lowered in f"{node.title}\n{node.body}".lower()


def qualifier(name: str, value: str, context: Context) -> Test | None:
    """What `name:value` asks of an issue, or None when it is no qualifier that the lab knows."""
    store, nodes = context.store, context.nodes
    lowered = value.lower()
    if name == "repo":
        return lambda n: store.full_name(nodes[n.repo]).lower() == lowered
    if name in ("org", "user", "owner"):
        return lambda n: nodes[nodes[n.repo].owner].login.lower() == lowered
    if name in ("is", "type", "state"):
        return _STATES.get(lowered)
    if name == "label":
        wanted = {part.strip().strip('"').lower() for part in lowered.split(",")}
        return lambda n: any(label.name.lower() in wanted for label in context.load(n.labels))
    if name in ("author", "assignee", "mentions", "involves", "commenter"):
        login = context.viewer.login.lower() if value == "@me" else lowered.lstrip("@")
        return _person(name, login, context)
    if name in ("head", "base"):
        return lambda n: isinstance(n, PullRequest) and getattr(n, name).lower().startswith(lowered)
    if name in ("created", "updated", "closed"):
        return _dated(f"{name}_at", value)
    if name == "no":
        return lambda n: not getattr(n, {"label": "labels", "assignee": "assignees", "project": "items"}[lowered], ())
    if name == "in":
        return lambda n: True
    if name == "draft":
        return lambda n: isinstance(n, PullRequest) and n.draft == (lowered == "true")
    return None


_STATES: dict[str, Test] = {
    "issue": lambda n: not isinstance(n, PullRequest),
    "pr": lambda n: isinstance(n, PullRequest),
    "open": lambda n: bool(n.state == "OPEN"),
    "closed": lambda n: bool(n.state != "OPEN"),
    "merged": lambda n: bool(n.state == "MERGED"),
    "unmerged": lambda n: bool(n.state != "MERGED"),
    "draft": lambda n: isinstance(n, PullRequest) and n.draft,
    "public": lambda n: True,
}


def _person(name: str, login: str, context: Context) -> Test:
    def said(node: Any) -> bool:
        texts = [node.body, *(c.body for c in context.load(node.comments))]
        return any(f"@{login}" in text.lower() for text in texts)

    def is_author(node: Any) -> bool:
        return bool(context.nodes[node.author].login.lower() == login)

    def is_assignee(node: Any) -> bool:
        return any(who.login.lower() == login for who in context.load(node.assignees))

    def commented(node: Any) -> bool:
        return any(context.nodes[c.author].login.lower() == login for c in context.load(node.comments))

    tests = {"author": is_author, "assignee": is_assignee, "mentions": said, "commenter": commented}
    if name == "involves":
        return lambda node: any(test(node) for test in tests.values())
    return tests[name]


def _dated(attribute: str, value: str) -> Test:
    for sign, test in ((">=", operator.ge), ("<=", operator.le), (">", operator.gt), ("<", operator.lt)):
        if value.startswith(sign):
            bound = value[len(sign) :]
            return lambda n: bool(getattr(n, attribute) and test(getattr(n, attribute), bound))
    if ".." in value:
        low, _, high = value.partition("..")
        return lambda n: bool(getattr(n, attribute)) and low <= getattr(n, attribute) <= high + "~"
    return lambda n: bool(getattr(n, attribute)) and getattr(n, attribute).startswith(value)
