"""GitHub's issue search, as far as gh uses it: qualifiers, quoted words, negation, sort."""

# ruff: noqa: D103 (the decorator names the field that a function answers)

from __future__ import annotations

import operator
import shlex
from collections.abc import Callable
from typing import Any

from yt_fsm.lab.github.answers.issue import ordered
from yt_fsm.lab.github.answers.repository import visible
from yt_fsm.lab.github.asked import Asked
from yt_fsm.lab.github.connections import Connection
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.errors import not_implemented
from yt_fsm.lab.github.executor import answers
from yt_fsm.lab.github.nodes import Issue, Owner, PullRequest, Repo

Test = Callable[[Any], bool]


@answers("Query.search")
def search(_: Any, arguments: Asked, context: Context) -> Connection:
    text = arguments["query"]
    if arguments["type"] in ("ISSUE", "ISSUE_ADVANCED"):
        return Connection(search_issues(text, context), arguments)
    if arguments["type"] == "REPOSITORY":
        repos = [n for n in context.nodes.values() if isinstance(n, Repo) and visible(context, n)]
        return Connection([r for r in repos if text.lower() in context.store.full_name(r).lower()], arguments)
    if arguments["type"] != "USER":
        raise not_implemented(f"a search of the type {arguments['type']}")
    owners = [n for n in context.nodes.values() if isinstance(n, Owner) and text.lower() in n.login.lower()]
    return Connection(owners, arguments)


@answers(*(f"SearchResultItemConnection.{kind}Count" for kind in ("code", "discussion", "repository", "user", "wiki")))
def other_counts(connection: Connection, arguments: Asked, context: Context) -> int:
    return 0


@answers("SearchResultItemEdge.textMatches")
def text_matches(edge: Any, arguments: Asked, context: Context) -> list[Any]:
    return []


def search_issues(text: str, context: Context) -> list[Any]:
    """The issues and pull requests that a search text finds, sorted as it says (newest first by default)."""
    order = {"field": "CREATED_AT", "direction": "DESC"}
    tests: list[Test] = []
    found_words = words(text)
    where = tuple(w.partition(":")[2].lower() for w in found_words if w.startswith("in:"))
    for word in found_words:
        if word in ("OR", "NOT"):
            raise not_implemented(f"{word} in a search")
        negated, bare = word.startswith("-") and len(word) > 1, word.lstrip("-")
        name, colon, value = bare.partition(":")
        if colon and name == "sort":
            field, _, direction = value.partition("-")
            if field not in _SORTS or direction not in ("", "asc", "desc"):
                raise not_implemented(f"a search's order by {value}")
            order = {"field": _SORTS[field], "direction": direction.upper() or "DESC"}
            continue
        test = qualifier(name, value, context) if colon else None
        test = test or _contains(bare, where, context)
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


def _contains(word: str, where: tuple[str, ...], context: Context) -> Test:
    """Whether the word is in these parts of an issue: its title and body, unless `in:` says otherwise."""
    lowered = word.lower()

    def text(node: Any) -> str:
        parts = {"title": [node.title], "body": [node.body], "comments": []}
        if "comments" in where:
            parts["comments"] = [one.body for one in context.load(node.comments)]
        return "\n".join(text for part in where or ("title", "body") for text in parts[part])

    if unknown := set(where) - {"title", "body", "comments"}:
        raise not_implemented(f"a search in:{', '.join(sorted(unknown))}")
    return lambda node: lowered in text(node).lower()


def qualifier(name: str, value: str, context: Context) -> Test | None:
    """What `name:value` asks of an issue, or None when it is no qualifier of GitHub's, but text.

    Raises NOT_IMPLEMENTED for one of GitHub's that the lab does not know.
    """
    store, nodes = context.store, context.nodes
    lowered = value.lower()
    if name == "repo":
        return lambda n: store.full_name(nodes[n.repo]).lower() == lowered
    if name in ("org", "user", "owner"):
        return lambda n: nodes[nodes[n.repo].owner].login.lower() == lowered
    if name in ("is", "type", "state"):
        if lowered not in _STATES:
            raise not_implemented(f"the search's {name}:{value}")
        return _STATES[lowered]
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
        lists = {"label": "labels", "assignee": "assignees", "project": "items", "milestone": "milestones"}
        if lowered not in lists:
            raise not_implemented(f"the search's no:{value}")
        return lambda n: not getattr(n, lists[lowered], ())
    if name == "in":
        return lambda n: True  # says where the words are to be
    if name == "archived":
        return lambda n: lowered == "false"  # no repository is
    if name == "draft":
        return lambda n: isinstance(n, PullRequest) and n.draft == (lowered == "true")
    if name in _QUALIFIERS:
        raise not_implemented(f"the search's qualifier {name}:")
    return None


_SORTS = {"created": "CREATED_AT", "updated": "UPDATED_AT", "comments": "COMMENTS"}
# Of GitHub's that are not answered here.
_QUALIFIERS = {
    "app", "comments", "has", "interactions", "language", "linked", "merged", "milestone", "parent-issue", "project",
    "reactions", "reason", "review", "review-requested", "reviewed-by", "sha", "status", "team",
    "team-review-requested", "user-review-requested",
}  # fmt: skip
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
