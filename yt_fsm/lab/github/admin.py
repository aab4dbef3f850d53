"""The lab's own routes beside GitHub's: /_lab/state, /_lab/seed, /_lab/faults, /_lab/act, /_lab/limits, /_lab/clock."""

from __future__ import annotations

import json
import logging
from typing import Any

from yt_fsm.lab.github import acts, person
from yt_fsm.lab.github.conditions import Conditions
from yt_fsm.lab.github.errors import GitHubError
from yt_fsm.lab.github.exchange import Answer, Request
from yt_fsm.lab.github.faults import BadFault, Fault
from yt_fsm.lab.github.limits import SETTINGS
from yt_fsm.lab.github.nodes import Comment, Issue, Item, Project
from yt_fsm.lab.github.store import Store

log = logging.getLogger(__name__)


def answer(store: Store, conditions: Conditions, request: Request) -> Answer:
    """Carries out one of the lab's own requests; what can't be done is a 422 with a message."""
    acts.notice_pushes(store)
    try:
        done = _answer(store, conditions, request)
    except (GitHubError, BadFault) as error:
        done = Answer(422, {"message": str(error)})
    except json.JSONDecodeError as error:
        done = Answer(400, {"message": f"the body is not JSON: {error}"})
    store.save()
    conditions.history.note(store.nodes)
    conditions.keep()
    return done


def _answer(store: Store, conditions: Conditions, request: Request) -> Answer:
    method, path = request.method, request.path
    if (method, path) == ("GET", "/_lab/state"):
        return Answer(200, store.state())
    if (method, path) == ("POST", "/_lab/seed"):
        given = request.json()
        issues = given if isinstance(given, list) else [given]
        return Answer(200, {"numbers": [_seed(store, one) for one in issues]})
    if (method, path) == ("POST", "/_lab/act"):
        return Answer(200, person.act(store, request.json()))
    if path == "/_lab/faults":
        return _faults(conditions, request)
    if (method, path) == ("POST", "/_lab/limits"):
        for name, value in request.json().items():
            if name not in SETTINGS:
                raise BadFault(f"there is no limit {name!r}")
            setattr(conditions.limits, name, value)
        return Answer(200, conditions.limits.set())
    if (method, path) == ("POST", "/_lab/clock"):
        conditions.offset = float(request.json()["offset"])
        return Answer(200, {"now": store.now()})
    return Answer(404, {"message": f"the lab has no {method} {path}"})


def _seed(store: Store, given: dict[str, Any]) -> int:
    unknown = set(given) - {"title", "body", "labels", "status", "author"}
    if unknown or "title" not in given:
        raise GitHubError("an issue to seed has: title, body, labels, status, author")
    return store.seed_issue(**given)


def _faults(conditions: Conditions, request: Request) -> Answer:
    if request.method == "POST":
        given = request.json()
        for spec in given if isinstance(given, list) else [given]:
            conditions.misbehave(spec.pop("fault", ""), **spec)
    elif request.method == "DELETE":
        number = request.query.get("id")
        conditions.behave(int(number) if number else None)
    return Answer(200, {"faults": conditions.faults.json()})


# -- what faults do to the store ------------------------------------------------------------------


def renew_status_options(store: Store) -> None:
    """Gives the Status options of every project new ids."""
    for project in [n for n in store.nodes.values() if isinstance(n, Project)]:
        if of := store.status_field(project):
            acts.renew_options(store, of)


def moved_cards(store: Store, before: dict[str, Any], to: str | None) -> list[tuple[Item, str | None]]:
    """The cards whose Status changed since `before`, and where each is to go: `to`, or back to where it was."""
    found = []
    for key, node in store.nodes.items():
        old = before.get(key)
        if not isinstance(node, Item) or old is node:
            continue
        of = store.status_field(store.nodes[node.project])
        was = old.values.get(of.id) if of and old else None
        if of is None or was == node.values.get(of.id):
            continue
        name = next((o.name for o in of.options if was and o.id == was["option"]), None)
        found.append((node, to or name))
    return found


def put_back(store: Store, item: Item, status: str | None) -> None:
    """Moves a card to a Status, or takes its Status away."""
    of = store.status_field(store.nodes[item.project])
    if status is not None:
        store.set_status(item, status)
    elif of is not None:
        store.set_value(item, of, None)


def act_in_a_run(store: Store, before: dict[str, Any], fault: Fault) -> None:
    """Lets a person act right after a request; on the issue that the request changed, unless the act names one."""
    what = dict(fault.act or {})
    if "issue" not in what and (touched := _touched(store, before)):
        what["issue"] = touched.number
    try:
        person.act(store, what)
    except GitHubError as problem:
        log.warning("nobody could %s in this run: %s", what["do"], problem)


def _touched(store: Store, before: dict[str, Any]) -> Issue | None:
    for key, node in store.nodes.items():
        if before.get(key) is node:
            continue
        if isinstance(node, Comment):
            node = store.nodes[node.subject]
        elif isinstance(node, Item):
            node = store.nodes.get(node.content)
        if isinstance(node, Issue):
            return node
    return None
