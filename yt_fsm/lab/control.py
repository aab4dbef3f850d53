"""A lab's own socket: what `ytfsm lab state`, `seed`, `faults` and the tests ask a running lab for.

`GET /state`; `POST /seed`, `/script` {"script", "model"}, `/gate` {"model", "tokens"}, `/login` {"name"},
`/machine` {"name", "system"}, `/act`, `/limits` and `/clock` (as GitHub's `/_lab/act` and so on take them);
`GET`, `POST`, `DELETE /faults[/TARGET]`, the last with `?kind=` too.
"""

import re
from typing import Any

from aiohttp import web

from yt_fsm.engine.errors import YtfsmError
from yt_fsm.lab.lab import Lab
from yt_fsm.lab.machine import Machine
from yt_fsm.lab.misbehaviour import KINDS, Misbehaviour
from yt_fsm.lab.scripts import script_of


class Control:
    """Serves one lab's control socket."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.misbehaviour = Misbehaviour(lab)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Serve at `lab.sock` beside GitHub's socket."""
        app = web.Application(middlewares=[_worded])
        app.router.add_get("/state", self._state)
        app.router.add_post("/seed", self._seed)
        app.router.add_post("/script", self._script)
        app.router.add_post("/gate", self._gate)
        app.router.add_post("/login", self._login)
        app.router.add_post("/machine", self._machine)
        app.router.add_post("/act", self._act)
        app.router.add_post("/limits", self._limits)
        app.router.add_post("/clock", self._clock)
        app.router.add_get("/faults", self._all_faults)
        app.router.add_delete("/faults", self._clear_all)
        for method, handler in (("GET", self._faults), ("POST", self._set_fault), ("DELETE", self._clear)):
            app.router.add_route(method, "/faults/{target}", handler)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.lab.sockets / "lab.sock")).start()

    async def stop(self) -> None:
        """Close the socket."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(self.lab.state())

    async def _seed(self, request: web.Request) -> web.Response:
        return web.json_response({"number": await self.lab.seed(**await request.json())})

    async def _script(self, request: web.Request) -> web.Response:
        asked = await request.json()
        script_of(asked["script"])
        if asked.get("model"):
            self.lab.codex.by_model[asked["model"]] = asked["script"]
        else:
            self.lab.codex.script = asked["script"]
        self.lab.keep()
        return web.json_response({"script": self.lab.codex.script, "by_model": self.lab.codex.by_model})

    async def _gate(self, request: web.Request) -> web.Response:
        """Make a repository of the Hub gated for all but `tokens`."""
        asked = await request.json()
        self.lab.hub.gated[asked["model"]] = set(asked.get("tokens", []))
        self.lab.keep()
        return web.json_response({"gated": sorted(self.lab.hub.gated)})

    async def _login(self, request: web.Request) -> web.Response:
        return web.json_response({"token": await self.lab.login((await request.json())["name"])})

    async def _machine(self, request: web.Request) -> web.Response:
        """Make another machine; the variables that differ from the lab's own."""
        asked = await request.json()
        name, system = asked["name"], self.lab.system_named(asked.get("system"))
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"a machine's name is letters, digits, _ and -, not {name!r}")
        machine = Machine(self.lab.folder / "machines" / name)
        machine.make(system, self.lab.python, self.lab.codex.config())
        return web.json_response(machine.variables(system, name))

    async def _act(self, request: web.Request) -> web.Response:
        return await self._github("POST", "/_lab/act", await request.json())

    async def _limits(self, request: web.Request) -> web.Response:
        return await self._github("POST", "/_lab/limits", await request.json())

    async def _clock(self, request: web.Request) -> web.Response:
        return await self._github("POST", "/_lab/clock", await request.json())

    async def _all_faults(self, request: web.Request) -> web.Response:
        return web.json_response({target: self.misbehaviour.listing(target) for target in KINDS})

    async def _faults(self, request: web.Request) -> web.Response:
        return web.json_response(self.misbehaviour.listing(request.match_info["target"]))

    async def _set_fault(self, request: web.Request) -> web.Response:
        self.misbehaviour.set(request.match_info["target"], await request.json())
        await self.lab.hub.settle()
        return await self._faults(request)

    async def _clear(self, request: web.Request) -> web.Response:
        self.misbehaviour.clear(request.match_info["target"], request.query.get("kind"))
        await self.lab.hub.settle()
        return web.json_response([])

    async def _clear_all(self, request: web.Request) -> web.Response:
        for target in KINDS:
            self.misbehaviour.clear(target)
        await self.lab.hub.settle()
        return web.json_response({})

    async def _github(self, method: str, path: str, body: Any = None) -> web.Response:
        status, text = await self.lab.ask_github(method, path, body)
        return web.Response(status=status, text=text, content_type="application/json")


@web.middleware
async def _worded(request: web.Request, handler: Any) -> web.StreamResponse:
    """A bad request's problem goes back in words."""
    try:
        response: web.StreamResponse = await handler(request)
    except (YtfsmError, ValueError, TypeError, KeyError) as problem:
        return web.json_response({"error": str(problem)}, status=400)
    except web.HTTPException:
        raise
    except Exception as problem:
        return web.json_response({"error": f"{type(problem).__name__}: {problem}"}, status=500)
    return response
