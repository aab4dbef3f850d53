"""What can go wrong with GitHub, on demand: which request it meets, how often, and what it does to it.

A fault is a JSON object: `fault` (one of KINDS), `match` (shell patterns on the operation's name, its root fields,
`query`, `mutation`, `rest` or a route such as `DELETE /repos/*`), `login`, `client` (patterns too), `count` (how many
times; null: for ever), `skip` (how many matching requests go free first), `probability` and `seed`, and what the kind
needs: `seconds` (a number, or [least, most]), `retry_after`, `status`, `act`, `to`, `at` (bytes), `type`, `message`,
`where`. `lasts` ends it after so many seconds (count is then null); `landed` has what is refused happen all the same.
"""

from __future__ import annotations

import copy
import fnmatch
import random
import time
from dataclasses import dataclass, fields
from typing import Any

from yt_fsm.lab.faults import chance, check_numbers, ends_at
from yt_fsm.lab.github.exchange import Answer, Request, refusal
from yt_fsm.lab.github.graphql import rate_limited
from yt_fsm.lab.github.person import DEEDS

KINDS = {
    "unauthorized": "401 Bad credentials",
    "forbidden": "403 with retry-after",
    "too-many-requests": "429 with retry-after",
    "rate-limited": "the hourly limit is used up: 200 with `type` (RATE_LIMITED; there is RATE_LIMIT) (REST: 403)",
    "secondary-limit": "403, secondary rate limit, retry-after",
    "bad-gateway": "502 with an HTML page, before anything was done",
    "bad-gateway-after": "502 with an HTML page, after the request was carried out",
    "server-error": "500 without an explanation, nothing done",
    "answer": "`status` and `body`, as given, nothing done",
    "went-wrong": "GraphQL: 200 with data null and an error that has no type, as in GitHub's outages, nothing done",
    "unavailable": "GraphQL: the same of the type SERVICE_UNAVAILABLE",
    "internal": "GraphQL: the same of the type INTERNAL",
    "too-quickly": "GraphQL: 200, `was submitted too quickly`, nothing done",
    "partial": "GraphQL: carried out; the first entry or `where` (repository.issues.nodes.0), is null, with its error",
    "hang": "no answer, nothing done; the connection closes after `seconds` (600)",
    "hang-after": "carried out, but no answer; the connection closes after `seconds` (600)",
    "reset-before": "the connection breaks before anything was done",
    "reset-after": "the connection breaks after the request was carried out",
    "lands-late": "the connection breaks at once, the request is carried out `seconds` (2) later",
    "truncated": "carried out; the answer breaks off after `at` bytes (half)",
    "slow": "the answer takes `seconds` (1) longer",
    "lag": "queries see the store as it was `seconds` (2) ago; mutations see it as it is",
    "not-landed": "a mutation is answered as if it had happened, but nothing is kept",
    "workflow": "`seconds` (0) after a card's Status was set, the board moves it to `to` (where it was)",
    "stale-option": "all Status options get new ids first, so that cached ones are wrong",
    "act": "after the request was carried out, a person does `act` (yt_fsm.lab.github.person)",
}
_FOR_EVER = {"lag"}
_WRONG = "Something went wrong while executing your query. This may be the result of a timeout, or it could be a " \
         "GitHub bug. Please include `LAB0:1` when reporting this issue."  # fmt: skip
# The types and words of the errors that GraphQL gives in place of an answer.
_ERRORS: dict[str, tuple[str | None, str]] = {
    "went-wrong": (None, _WRONG),
    "unavailable": ("SERVICE_UNAVAILABLE", "Service unavailable. Please try again later."),
    "internal": ("INTERNAL", _WRONG),
    "too-quickly": ("UNPROCESSABLE", "was submitted too quickly"),
}
_REFUSING = {"unauthorized", "forbidden", "too-many-requests", "rate-limited", "secondary-limit", "bad-gateway",
             "server-error", "answer", *_ERRORS}  # fmt: skip
_DEFAULT_SECONDS = {"hang": 600.0, "hang-after": 600.0, "lands-late": 2.0, "slow": 1.0, "lag": 2.0}
_HTML = "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n<center><h1>502 Bad Gateway</h1></center>\n" \
        "<hr><center>nginx</center>\n</body>\n</html>\n"  # fmt: skip


class BadFault(ValueError):
    """A fault that can't be: the message says what is wrong with it and what there is."""


@dataclass
class Fault:
    """One fault that waits for its requests."""

    fault: str
    match: str = "*"
    login: str = "*"
    client: str = "*"
    count: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    seconds: Any = None
    retry_after: int = 60
    status: int = 500
    body: str = ""
    at: int | None = None
    to: str | None = None
    act: dict[str, Any] | None = None
    type: str | None = None
    message: str | None = None
    where: str | None = None
    landed: bool = False
    lasts: float | None = None
    until: float | None = None  # the host's time, in epoch seconds
    id: int = 0
    hits: int = 0
    throws: int = 0  # of its die

    def meets(self, request: Request) -> bool:
        """Whether this request is one that it means, and its turn; counts it down when it is."""
        if self.count is not None and self.count <= 0:
            return False
        if self.until is not None and time.time() >= self.until:
            return False
        if request.kind == "rest" and (self.fault in _ERRORS or self.fault == "partial"):
            return False
        if not fnmatch.fnmatchcase(request.login, self.login) or not fnmatch.fnmatchcase(request.client, self.client):
            return False
        if not any(fnmatch.fnmatchcase(name, self.match) for name in request.names):
            return False
        if self.fault == "workflow" and "updateProjectV2ItemFieldValue" not in request.names:
            return False
        if self.fault == "lag" and request.writes:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.probability < 1.0 and self._die().random() >= self.probability:
            return False
        if self.count is not None:
            self.count -= 1
        self.hits += 1
        return True

    @property
    def afterwards(self) -> bool:
        """Whether the request is carried out before this answers in its place."""
        return self.landed or self.fault == "bad-gateway-after"

    def delay(self) -> float:
        """Its seconds, drawn when they are a range."""
        given = self.seconds if self.seconds is not None else _DEFAULT_SECONDS.get(self.fault, 0.0)
        if isinstance(given, list | tuple):
            return self._die().uniform(*given)
        return float(given)

    def _die(self) -> random.Random:
        self.throws += 1
        return chance(self.seed, self.throws)

    def json(self) -> dict[str, Any]:
        """As it stands now, with how often it hit."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def answer_of(fault: Fault, request: Request) -> Answer | None:
    """The answer that this fault gives in place of the real one; None when it does not."""
    later = {"Retry-After": str(fault.retry_after)}
    if fault.fault == "unauthorized":
        return refusal(401, "Bad credentials")
    if fault.fault == "forbidden":
        return Answer(403, refusal(403, "Forbidden").content, later)
    if fault.fault == "too-many-requests":
        return Answer(429, refusal(429, "Too Many Requests").content, later)
    if fault.fault == "rate-limited":
        if request.kind != "rest":
            return rate_limited(request, fault.type or "RATE_LIMITED")
        number = request.viewer.database_id if request.viewer else 0
        return refusal(403, f"API rate limit exceeded for user ID {number}.")
    if fault.fault == "secondary-limit":
        return Answer(403, secondary_limit(), later)
    if fault.fault in ("bad-gateway", "bad-gateway-after"):
        return Answer(502, _HTML)
    if fault.fault == "server-error":
        return Answer(500, {"message": "Server Error"})
    if fault.fault == "answer":
        return Answer(fault.status, fault.body)
    if fault.fault in _ERRORS:
        kind, words = _ERRORS[fault.fault]
        error = _error(fault.type or kind, fault.message or words)
        if fault.fault == "too-quickly" and (roots := request.names[1:-2]):
            return Answer(200, {"data": dict.fromkeys(roots), "errors": [{**error, "path": [roots[0]]}]})
        return Answer(200, {"data": None, "errors": [error]})
    return None


def _error(kind: str | None, message: str) -> dict[str, Any]:
    return {"type": kind, "message": message} if kind else {"message": message}


def partial(fault: Fault, done: Answer) -> Answer:
    """The answer with one of its objects null, and the error that says so; as it was when it holds no such object."""
    content = copy.deepcopy(done.content)
    data = content.get("data") if isinstance(content, dict) else None
    path = _first_entry(data) if fault.where is None else [int(p) if p.isdigit() else p for p in fault.where.split(".")]
    try:
        holder: Any = data
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = None
    except (KeyError, IndexError, TypeError):
        return done
    error = {**_error(fault.type, fault.message or _WRONG), "path": path}
    content["errors"] = [*content.get("errors", ()), error]
    return Answer(done.status, content, done.headers, done.cost)


def _first_entry(data: Any) -> list[Any]:
    """The path to the first entry of the first list, or to the first field."""
    waiting: list[tuple[list[Any], Any]] = [([], data)]
    while waiting:
        path, found = waiting.pop(0)
        if isinstance(found, list) and found:
            return [*path, 0]
        if isinstance(found, dict):
            waiting += [([*path, name], value) for name, value in found.items()]
    return list(data)[:1] if isinstance(data, dict) else []


def secondary_limit() -> dict[str, str]:
    """What GitHub says to who writes too fast."""
    return {
        "documentation_url": "https://docs.github.com/free-pro-team@latest/rest/overview/"
        "rate-limits-for-the-rest-api#about-secondary-rate-limits",
        "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
    }


class Faults:
    """All faults that are set, in the order in which they were."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._last = 0

    def add(self, spec: dict[str, Any]) -> Fault:
        """Sets a fault. Raises BadFault, which names what it does not know."""
        known = {f.name for f in fields(Fault)} - {"id", "hits", "throws", "until"}
        if unknown := set(spec) - known:
            raise BadFault(f"a fault has no {', '.join(sorted(unknown))}; it has: {', '.join(sorted(known))}")
        kind = spec.get("fault", "")
        if kind not in KINDS:
            raise BadFault(f"there is no fault {kind!r}; there is: {', '.join(KINDS)}")
        if kind == "act" and not spec.get("act"):
            raise BadFault('the fault `act` needs `act`, what the person does: {"do": …}')
        if kind == "act" and spec["act"].get("do") not in DEEDS:
            raise BadFault(f"nobody knows how to {spec['act'].get('do')!r}; there is: {', '.join(DEEDS)}")
        try:
            check_numbers({"after": spec.get("skip", 0), **spec})
        except ValueError as problem:
            raise BadFault(str(problem)) from None
        if spec.get("landed") and kind not in _REFUSING:
            raise BadFault(f"`landed` is for what refuses: {', '.join(k for k in KINDS if k in _REFUSING)}")
        if kind in _FOR_EVER or "lasts" in spec:
            spec = {"count": None, **spec}
        if "lasts" in spec:
            spec = {**spec, "until": ends_at(spec["lasts"])}
        self._last += 1
        fault = Fault(**{**spec, "id": self._last})
        self._faults.append(fault)
        return fault

    def load(self, listed: list[dict[str, Any]]) -> None:
        """Sets what `json` said, spent ones too."""
        self._faults = [Fault(**one) for one in listed]
        self._last = max((f.id for f in self._faults), default=0)

    def clear(self, number: int | None = None, kind: str | None = None) -> int:
        """Takes one fault away, those of a kind, or all; says how many those were."""
        kept = [f for f in self._faults if number not in (None, f.id) or kind not in (None, f.fault)]
        gone = len(self._faults) - len(kept)
        self._faults = kept
        return gone

    def meeting(self, request: Request) -> list[Fault]:
        """The faults that meet this request; no more than one of them answers in its place."""
        return [f for f in self._faults if f.meets(request)] if self._faults else []

    def lagging(self) -> bool:
        """Whether any query may still have to see the past."""
        return any(f.fault == "lag" and f.count != 0 for f in self._faults)

    def json(self) -> list[dict[str, Any]]:
        """All of them, spent ones too."""
        return [f.json() for f in self._faults]
