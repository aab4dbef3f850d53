"""A lab's own socket: what `ytfsm lab state`, `seed`, `faults` and the tests ask a running lab for.

`GET /state`; `POST /seed`, `/script` {"script", "model"}, `/gate` {"model", "tokens"}, `/login` {"name"},
`/machine` {"name", "system"}, `/act` and `/limits` (as GitHub's `/_lab/act` and `/_lab/limits` take them);
`GET`, `POST`, `DELETE /faults[/TARGET]`.
"""

import json
import re
from typing import Any

from aiohttp import web

from yt_fsm.errors import YtfsmError
from yt_fsm.lab.lab import Lab
from yt_fsm.lab.machine import Machine
from yt_fsm.lab.scripts import script_of

TARGETS = ("github", "hub", "codex", "tt-smi", "evaluation")


class Control:
    """Serves one lab's control socket."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
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
        name, system = asked["name"], asked.get("system") or self.lab.plan.system
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError(f"a machine's name is letters, digits, _ and -, not {name!r}")
        machine = Machine(self.lab.folder / "machines" / name)
        machine.make(system, self.lab.python, self.lab.codex.config())
        return web.json_response(machine.variables(system, name))

    async def _act(self, request: web.Request) -> web.Response:
        return await self._github("POST", "/_lab/act", await request.json())

    async def _limits(self, request: web.Request) -> web.Response:
        return await self._github("POST", "/_lab/limits", await request.json())

    async def _all_faults(self, request: web.Request) -> web.Response:
        github = await self._github("GET", "/_lab/faults")
        listing = {target: self._listing(target) for target in TARGETS if target != "github"}
        return web.json_response({"github": json.loads(github.text or "{}")["faults"], **listing})

    async def _faults(self, request: web.Request) -> web.Response:
        target = _target(request)
        if target == "github":
            return await self._github("GET", "/_lab/faults")
        return web.json_response(self._listing(target))

    async def _set_fault(self, request: web.Request) -> web.Response:
        target, fault = _target(request), await request.json()
        if target == "github":
            return await self._github("POST", "/_lab/faults", {"fault": fault.pop("kind", ""), **fault})
        if target == "hub":
            self.lab.hub.faults.add(fault)
        elif target == "codex":
            self.lab.codex.faults.add(fault)
        else:
            if not fault.get("kind"):
                raise ValueError("a fault needs a kind")
            fault.setdefault("count", 1)
            machine = self.lab.machine_named(fault.pop("machine", None))
            (machine.add_board_fault if target == "tt-smi" else machine.add_python_fault)(fault)
        return web.json_response(self._listing(target))

    async def _clear(self, request: web.Request) -> web.Response:
        target = _target(request)
        if target == "github":
            return await self._github("DELETE", "/_lab/faults")
        self._clear_ours(target)
        return web.json_response([])

    async def _clear_all(self, request: web.Request) -> web.Response:
        await self._github("DELETE", "/_lab/faults")
        for target in TARGETS[1:]:
            self._clear_ours(target)
        return web.json_response({})

    def _clear_ours(self, target: str) -> None:
        if target == "hub":
            self.lab.hub.faults.clear()
        elif target == "codex":
            self.lab.codex.faults.clear()
        for machine in (self.lab.machine, *self.lab.machines().values()):
            if target == "tt-smi":
                machine.clear_board_faults()
            elif target == "evaluation":
                machine.clear_python_faults()

    def _listing(self, target: str) -> list[dict[str, Any]]:
        lab = self.lab
        return {
            "hub": lab.hub.faults.listing,
            "codex": lab.codex.faults.listing,
            "tt-smi": lab.machine.board_faults,
            "evaluation": lab.machine.python_faults,
        }[target]()

    async def _github(self, method: str, path: str, body: Any = None) -> web.Response:
        status, text = await self.lab.ask_github(method, path, body)
        return web.Response(status=status, text=text, content_type="application/json")


def _target(request: web.Request) -> str:
    target = request.match_info["target"]
    if target not in TARGETS:
        raise ValueError(f"no target {target!r}; there are {', '.join(TARGETS)}")
    return target


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
