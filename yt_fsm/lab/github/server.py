"""The lab's GitHub on a Unix socket: takes HTTP in, meets faults, hands to GraphQL or REST, records every request.

A request is carried out in one go, without giving way to another; only waiting (faults) lets others in between.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import web

from yt_fsm.lab.github import acts, admin, graphql, rest
from yt_fsm.lab.github.conditions import Conditions
from yt_fsm.lab.github.context import Context
from yt_fsm.lab.github.exchange import Answer, Request, refusal
from yt_fsm.lab.github.faults import Fault, answer_of, partial, secondary_limit
from yt_fsm.lab.github.record import Record
from yt_fsm.lab.github.schema import schema
from yt_fsm.lab.github.store import Store

log = logging.getLogger(__name__)


class GitHubServer:
    """One lab's GitHub: its store, its conditions, its record of requests, and the socket that it listens on."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(folder, lambda: clock() + self.conditions.offset)
        self.store.load()
        self.record = Record(folder / "requests.jsonl")
        self.store.requests = self.record.entries
        self.conditions = Conditions(folder / "conditions.json", self.store)
        self.conditions.limits.recall(self.record.entries)
        self._runner: web.ServerRunner | None = None
        self._later: set[asyncio.Task[None]] = set()

    async def start(self, socket: Path) -> None:
        """Listens on the socket, in place of whatever file lies there. Raises OSError when the path is too long."""
        schema()  # the first request must not wait for it
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.2)
        await self._runner.setup()
        socket.parent.mkdir(parents=True, exist_ok=True)
        socket.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(socket)).start()

    async def stop(self) -> None:
        """Stops listening and writes what is left to write."""
        for task in self._later:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.store.save()
        self.record.close()

    # -- one request ------------------------------------------------------------------------------

    async def _handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        try:
            request = await self._read(raw)
        except ConnectionError:
            return web.Response(status=400)
        if request.path.startswith("/_lab/"):
            return self._sent(raw, request, admin.answer(self.store, self.conditions, request))
        started = time.perf_counter()
        self._authenticate(request)
        (graphql if request.path == "/graphql" else rest).describe(request)
        faults = self.conditions.faults.meeting(request)
        self.conditions.keep()
        for fault in faults:
            if fault.fault in ("hang", "reset-before", "lands-late"):
                self._note(request, None, started, faults)
                return await self._break(raw, request, fault)
            if fault.fault == "slow":
                await asyncio.sleep(fault.delay())
        done = self._carry_out(request, faults)
        self._note(request, done, started, faults)
        for fault in faults:
            if fault.fault in ("hang-after", "reset-after"):
                return await self._break(raw, request, fault)
            if fault.fault == "truncated":
                return await self._truncate(raw, request, done, fault)
        return self._sent(raw, request, done)

    async def _read(self, raw: web.BaseRequest) -> Request:
        target = raw.rel_url
        headers = {name.lower(): value for name, value in raw.headers.items()}
        body = await raw.read()
        path = target.raw_path.removeprefix("/api/v3") or "/"  # what clients of an enterprise host put before REST
        path = "/graphql" if path in ("/api/graphql", "/graphql") else path
        return Request(raw.method, path, rest.read_query(target.raw_query_string), headers, body)

    def _authenticate(self, request: Request) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        who = self.store.tokens.get(token.strip()) if kind.lower() in ("token", "bearer") else None
        if who is not None:
            request.viewer, request.scopes = self.store.owner(who.login), who.scopes

    def _carry_out(self, request: Request, faults: list[Fault]) -> Answer:
        """Answers the request: refused by a fault, or by what GitHub itself checks, or done."""
        acts.notice_pushes(self.store)
        instead = None
        for fault in faults:
            if fault.fault == "stale-option":
                admin.renew_status_options(self.store)
            elif not fault.afterwards and (instead := answer_of(fault, request)) is not None:
                return self._with_headers(request, instead, exhausted=fault.fault == "rate-limited")
        before = self.store.nodes
        try:
            done = self._answer(request, faults)
        except Exception:
            # A bug of the lab's: say so loudly, keep nothing of it, and answer as GitHub does when it breaks.
            log.exception("the lab's GitHub broke on %s", request.operation)
            self.store.nodes = before
            return Answer(500, {"message": "Server Error"})
        for fault in faults:
            if fault.fault == "not-landed" and request.writes:
                self.store.nodes = before
            elif fault.fault == "workflow":
                self._move_back(before, fault)
            elif fault.fault == "act":
                admin.act_in_a_run(self.store, before, fault)
            elif fault.fault == "partial":
                done = partial(fault, done)
            elif fault.afterwards and (instead := answer_of(fault, request)) is not None:
                done = self._with_headers(request, instead, exhausted=fault.fault == "rate-limited")
        self.store.save()
        self.conditions.history.note(self.store.nodes)
        return done

    def _answer(self, request: Request, faults: list[Fault]) -> Answer:
        if request.viewer is None:
            given = "authorization" in request.headers
            return self._with_headers(request, refusal(401, "Bad credentials" if given else "Requires authentication"))
        snapshot = None
        if not request.writes:
            lag = max((f.delay() for f in faults if f.fault == "lag"), default=None)
            snapshot = self.store.nodes if lag is None else self.conditions.history.at(lag, self.store.nodes)
        context = Context(self.store, request.viewer, request.scopes, snapshot)
        if request.writes and not self.conditions.limits.write(request.login, request.writes):
            done = Answer(403, secondary_limit(), {"Retry-After": "60"})
        elif request.path == "/graphql":
            done = graphql.answer(request, context, self.conditions.limits)
        elif request.path == "/rate_limit":
            done = self._rate_limits(request)
        else:
            done = self._rest(request, context)
        return self._with_headers(request, done)

    def _rest(self, request: Request, context: Context) -> Answer:
        resource = _resource(request)
        done = rest.tagged(request, rest.answer(request, context))
        if done.status != 304 and not self.conditions.limits.spend(request.login, resource):
            number = request.viewer.database_id if request.viewer else 0
            return refusal(403, f"API rate limit exceeded for user ID {number}.")
        return done

    def _rate_limits(self, request: Request) -> Answer:
        shown = {}
        for resource in ("core", "search", "graphql"):
            window = self.conditions.limits.window(request.login, resource)
            shown[resource] = {"limit": window.limit, "used": window.used, "remaining": window.remaining,
                               "reset": window.reset}  # fmt: skip
        return Answer(200, {"resources": shown, "rate": shown["core"]})

    def _with_headers(self, request: Request, done: Answer, exhausted: bool = False) -> Answer:
        """Adds what GitHub sends with every answer: its clock, the scopes, the rate limit."""
        headers = {
            "Date": formatdate(self.store.clock(), usegmt=True),
            "Server": "github.com",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Request-Id": f"LAB0:{len(self.record.entries) + 1:X}",
        }
        if request.viewer is not None:
            if request.viewer.kind != "Bot":  # an App has permissions, no scopes
                headers["X-OAuth-Scopes"] = ", ".join(request.scopes)
                headers["X-Accepted-OAuth-Scopes"] = "repo" if request.kind != "rest" else ""
            headers |= self.conditions.limits.headers(request.login, _resource(request))
            if exhausted:
                headers["X-RateLimit-Remaining"] = "0"
        done.headers = {**headers, **done.headers}
        return done

    def _note(self, request: Request, done: Answer | None, started: float, faults: list[Fault]) -> None:
        seconds = time.perf_counter() - started
        self.record.note(self.store.clock(), request, done, seconds, [f.fault for f in faults])

    # -- faults that need the connection, or time ---------------------------------------------------

    async def _break(self, raw: web.BaseRequest, request: Request, fault: Fault) -> web.StreamResponse:
        if fault.fault.startswith("hang"):
            await asyncio.sleep(fault.delay())
        if fault.fault == "lands-late":
            self._after(fault.delay(), lambda: self._carry_out(request, []))
        if raw.transport is not None:
            raw.transport.abort()
        return web.Response(status=500)

    async def _truncate(self, raw: web.BaseRequest, request: Request, done: Answer, fault: Fault) -> web.StreamResponse:
        body = done.body()
        response = web.StreamResponse(status=done.status, headers={**done.headers, "Content-Length": str(len(body))})
        response.content_type = "application/json"
        await response.prepare(raw)
        await response.write(body[: fault.at if fault.at is not None else len(body) // 2])
        if raw.transport is not None:
            raw.transport.close()
        return response

    def _move_back(self, before: dict[str, Any], fault: Fault) -> None:
        changes = admin.moved_cards(self.store, before, fault.to)

        def move() -> None:
            for item, status in changes:
                admin.put_back(self.store, item, status)
            self.store.save()
            self.conditions.history.note(self.store.nodes)

        if fault.delay() > 0:
            self._after(fault.delay(), move)
        else:
            move()

    def _after(self, seconds: float, act: Callable[[], Any]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            act()

        task = asyncio.get_running_loop().create_task(wait())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _sent(self, raw: web.BaseRequest, request: Request, done: Answer) -> web.Response:
        html = isinstance(done.content, str)
        body = b"" if request.method == "HEAD" else done.body()
        response = web.Response(status=done.status, body=body, headers=done.headers)
        if done.content is not None:
            response.content_type = "text/html" if html else "application/json"
            response.charset = "utf-8"
        return response


def _resource(request: Request) -> str:
    if request.path == "/graphql":
        return "graphql"
    return "search" if request.path.startswith("/search/") else "core"
