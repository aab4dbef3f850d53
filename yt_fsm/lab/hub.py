"""The lab's Hugging Face Hub: serves model folders over HTTP so that the real clients download them.

Routes, shapes, headers and error codes are the Hub's, as far as `huggingface_hub`, `hf download` and
transformers ask for them: model info, tree, refs, paths-info, whoami, and `resolve` with ETag, ranges, 304
and, for large files, the redirect to a content store. A repository is a folder `ORG/NAME` under the models
folder, its commit a hash of its files; `ORG/NAME@REVISION` is another branch or tag of the same repository.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from aiohttp import web

from yt_fsm.lab.door import Door
from yt_fsm.lab.faults import Fault, Faults, Vocabulary
from yt_fsm.lab.hub_models import CHUNK, File, Models, Revision, parameters
from yt_fsm.lab.request_log import RequestLog, now

TOKEN = "hf_lab000000000000000000000000000000"  # noqa: S105 - what the lab's own account is given
MODEL = "/api/models/{org}/{name}"

BREAKS = ("reset", "truncated", "corrupt")  # met by whoever is sent a file's content
ANYBODY = ("status", "hang", "slow")  # whole answers that need no repository
# What huggingface_hub asks for and can do without; the real Hub may answer 404 too.
ABSENT = ("/api/agent-harnesses",)
FAULTS = Vocabulary(
    kinds={
        "status": "an answer of `status` (500), with the error code `code` and `message`",
        "gated": "401 or 403: the model's licence was not accepted",
        "revision": "404: there is no such revision",
        "missing": "404: there is no such file",
        "vanished": "404 (strangers: 401): there is no such repository",
        "hang": "no answer",
        "slow": "the answer takes `seconds` (1) longer",
        "reset": "the connection breaks after `bytes` (half) of a file",
        "truncated": "a file ends after `bytes` (half), but cleanly",
        "corrupt": "a file of the right length has other bytes than its sha256 says",
        "away": "every connection is refused, for as long as it `lasts` or until it is taken back",
        "huge": "a file is said to have `bytes`, more than any disk",
    },
    operations=("info", "tree", "resolve", "content", "whoami"),
    details=("path", "status", "code", "message", "seconds", "bytes", "lasts"),
    only={
        **dict.fromkeys(("gated", "revision", "missing", "vanished"), ("info", "tree", "resolve", "content")),
        "huge": ("info",),
        "away": (),
        **dict.fromkeys(BREAKS, ("resolve", "content")),
    },
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """An answer in the Hub's error shape: status, X-Error-Code (may be empty) and X-Error-Message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        """The answer itself."""
        headers = {"X-Error-Message": self.message}
        if self.code:
            headers["X-Error-Code"] = self.code
        return web.json_response({"error": self.message}, status=self.status, headers=headers)


class HubServer:
    """The Hub on a port of the loopback interface.

    It knows the lab's own token and those in `gated`, which maps a repository to the tokens that may read it.
    `faults` are FAULTS, kept in the file `kept`; `path` limits one to a file.
    """

    def __init__(self, folder: Path, log: Path, kept: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.models = Models(folder)
        self.gated: dict[str, set[str]] = {}
        self.faults = Faults(FAULTS, kept)
        self.log = RequestLog(log)
        self.url = self.content_url = ""
        self._door: Door | None = None

    async def start(self, port: int = 0, content_port: int = 0) -> str:
        """Serve, unless it is away; the endpoint's URL. The content store has a host and a port of its own.

        Its name must differ: older versions of huggingface_hub take the same host on another port for the Hub itself.
        """
        app = web.Application(middlewares=[self._recorded])
        app.router.add_get("/api/whoami-v2", self._whoami)
        app.router.add_get("/api/models", self._list)
        app.router.add_get(MODEL, self._info)
        app.router.add_get(MODEL + "/revision/{revision}", self._info)
        app.router.add_get(MODEL + "/refs", self._refs)
        app.router.add_get(MODEL + "/tree/{revision}", self._tree)
        app.router.add_get(MODEL + "/tree/{revision}/{path:.*}", self._tree)
        app.router.add_post(MODEL + "/paths-info/{revision}", self._paths_info)
        app.router.add_get("/{org}/{name}/resolve/{revision}/{path:.+}", self._resolve)
        app.router.add_get("/_content/{sha256}", self._content)
        self._door = Door(app)
        await self._door.make(port, content_port)
        own, content = self._door.ports
        self.url, self.content_url = f"http://127.0.0.1:{own}", f"http://localhost:{content}"
        await self.settle()
        return self.url

    def misbehave(self, fault: dict[str, Any]) -> None:
        """Set a fault; `settle` makes that it is away. Raises ValueError for one that cannot be."""
        if fault.get("kind") == "away" and (unknown := set(fault) - {"kind", "lasts"}):
            raise ValueError(
                f"`away` takes `lasts` only, no {', '.join(sorted(unknown))}: nobody can reach the Hub then"
            )
        self.faults.add(fault)

    async def settle(self) -> None:
        """Refuse connections, or take them, as the fault `away` says now."""
        away = [fault for fault in self.faults.listing() if fault["kind"] == "away"]
        left = max((fault.get("until", float("inf")) - time.time() for fault in away), default=0.0)
        if self._door is not None:
            await (self._door.shut_for(left) if left > 0 else self._door.open())

    @property
    def _away(self) -> bool:
        return self._door is None or self._door.shut

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._door is not None:
            await self._door.remove()
        self.log.close()

    def state(self) -> dict[str, Any]:
        """What is served and what was asked."""
        models = {
            name: {branch: revision.sha for branch, revision in self.models.revisions(name).items()}
            for name in self.models.names()
        }
        return {
            "url": self.url,
            "models": models,
            "requests": self.log.entries,
            "faults": self.faults.listing(),
        }

    @web.middleware
    async def _recorded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._away and request.transport is not None:
            request.transport.abort()  # a connection of before
        started = time.monotonic()
        entry: dict[str, Any] = {
            "at": now(),
            "client": request.headers.get("User-Agent", ""),
            "method": request.method,
            "path": request.path_qs,
            "authorized": "Authorization" in request.headers,
            "range": request.headers.get("Range"),
        }
        try:
            response = await handler(request)
            entry["status"] = response.status
        except Refused as refused:
            response = refused.response()
            entry["status"] = response.status
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            what = f"{request.method} {request.path}"
            if request.path in ABSENT:
                response = Refused(404, "", "Sorry, there is no such page.").response()
            else:
                response = Refused(501, "NotImplemented", f"The lab's Hub does not implement {what}.").response()
                entry["not_implemented"] = what
            entry["status"] = response.status
        finally:
            self.log.add(entry | {"seconds": round(time.monotonic() - started, 4)})
        return response

    def _due(self, operation: str, request: web.Request, kinds: Collection[str]) -> Fault | None:
        """The fault of one of these kinds that this request meets; no other is used up."""
        path = f"{request.path} {request.query.get('path', '')}"
        return self.faults.due(operation, path, never=FAULTS.kinds.keys() - set(kinds))

    async def _meet(self, operation: str, request: web.Request, kinds: Collection[str] = ()) -> None:
        """Lets this request meet the fault that is due: those that are a whole answer are raised, others waited for."""
        fault = self._due(operation, request, kinds or FAULTS.kinds.keys() - {"huge", "away", *BREAKS})
        if fault is None:
            return
        repo = f"{request.match_info.get('org', '')}/{request.match_info.get('name', '')}"
        if fault.kind == "hang":
            await asyncio.sleep(3600)
        if fault.kind == "slow":
            await asyncio.sleep(float(fault.detail.get("seconds", 1)))
        if fault.kind == "gated":
            raise self._restricted(repo, request)
        if fault.kind == "revision":
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {request.match_info.get('revision', 'main')}")
        if fault.kind == "vanished":
            raise self._unknown(request)
        if fault.kind == "missing":
            raise Refused(404, "EntryNotFound", "Entry not found")
        if fault.kind == "status":
            code, message = (
                str(fault.detail.get("code", "")),
                str(fault.detail.get("message", "Internal Error")),
            )
            raise Refused(int(fault.detail.get("status", 500)), code, message)

    def _token(self, request: web.Request) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not token:
            return None
        if scheme.lower() != "bearer" or token not in {TOKEN}.union(*self.gated.values()):
            raise Refused(401, "", "Invalid credentials in Authorization header")
        return token

    def _repo(self, request: web.Request) -> str:
        repo = f"{request.match_info['org']}/{request.match_info['name']}"
        self._token(request)
        if not self.models.revisions(repo):
            raise self._unknown(request)
        return repo

    def _unknown(self, request: web.Request) -> Refused:
        # The Hub does not tell strangers whether a repository exists.
        if self._token(request) is None:
            return Refused(401, "RepoNotFound", "Invalid username or password.")
        return Refused(404, "RepoNotFound", "Repository not found")

    def _restricted(self, repo: str, request: web.Request) -> Refused:
        if self._token(request) is None:
            return Refused(
                401,
                "GatedRepo",
                f"Access to model {repo} is restricted. You must have access to it and be authenticated to "
                "access it. Please log in.",
            )
        return Refused(
            403,
            "GatedRepo",
            f"Access to model {repo} is restricted and you are not in the authorized list. "
            f"Visit {self.url}/{repo} to ask for access.",
        )

    def _revision(self, repo: str, request: web.Request) -> Revision:
        wanted = request.match_info.get("revision", "main")
        revision = self.models.revision(repo, wanted)
        if revision is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {wanted}")
        return revision

    async def _whoami(self, request: web.Request) -> web.Response:
        await self._meet("whoami", request, ANYBODY)
        token = self._token(request)
        if token is None:
            raise Refused(401, "", "Invalid username or password.")
        return web.json_response(
            {
                "type": "user",
                "id": "0" * 24,
                "name": "lab",
                "fullname": "Lab",
                "orgs": [],
                "auth": {"type": "access_token"},
            }
        )

    async def _list(self, request: web.Request) -> web.Response:
        await self._meet("info", request)
        search = request.query.get("search", "").lower()
        models = [self._card(name, self.models.revisions(name)["main"]) for name in self.models.names()]
        found = [model for model in models if search in model["id"].lower()]
        return web.json_response(found[: int(request.query.get("limit", "1000"))])

    def _card(self, repo: str, revision: Revision) -> dict[str, Any]:
        """A model's description: its config and parameter count are read from its files."""
        config: dict[str, Any] = {}
        if "config.json" in revision.files:
            config = json.loads(revision.files["config.json"].source.read_text())
        card: dict[str, Any] = {
            "_id": revision.sha[:24],
            "id": repo,
            "modelId": repo,
            "author": repo.partition("/")[0],
            "sha": revision.sha,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "private": False,
            "gated": "manual" if repo in self.gated else False,
            "disabled": False,
            "downloads": 1,
            "likes": 0,
            "tags": ["transformers", "safetensors", "text-generation"],
            "pipeline_tag": "text-generation",
            "library_name": "transformers",
            "config": {"architectures": config.get("architectures"), "model_type": config.get("model_type")},
            "siblings": [{"rfilename": path} for path in revision.files],
            "usedStorage": sum(file.size for file in revision.files.values()),
        }
        counted = parameters(revision)
        if counted:
            card["safetensors"] = {"parameters": counted, "total": sum(counted.values())}
        return card

    async def _info(self, request: web.Request) -> web.Response:
        await self._meet("info", request)
        repo = self._repo(request)
        revision = self._revision(repo, request)
        card = self._card(repo, revision)
        if request.query.get("blobs"):
            card["siblings"] = [
                {"rfilename": f.path, "size": f.size, "blobId": f.oid}
                | ({"lfs": {"sha256": f.sha256, "size": f.size, "pointerSize": 134}} if f.large else {})
                for f in revision.files.values()
            ]
            if fault := self._due("info", request, ["huge"]):
                card["siblings"][-1]["size"] = int(fault.detail.get("bytes", 10**15))
        return web.json_response(card)

    async def _refs(self, request: web.Request) -> web.Response:
        await self._meet("info", request)
        repo = self._repo(request)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": revision.sha}
            for name, revision in self.models.revisions(repo).items()
        ]
        return web.json_response({"branches": branches, "tags": [], "converts": []})

    async def _tree(self, request: web.Request) -> web.Response:
        await self._meet("tree", request)
        repo = self._repo(request)
        revision = self._revision(repo, request)
        inside = request.match_info.get("path", "").strip("/")
        prefix = f"{inside}/" if inside else ""
        recursive = request.query.get("recursive", "").lower() in ("true", "1")
        entries: dict[str, dict[str, Any]] = {}
        for file in revision.files.values():
            if not file.path.startswith(prefix):
                continue
            *folders, _ = file.path.removeprefix(prefix).split("/")
            for depth in range(1, len(folders) + 1 if recursive else min(len(folders), 1) + 1):
                path = prefix + "/".join(folders[:depth])
                oid = hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest()
                entries.setdefault(path, {"type": "directory", "oid": oid, "size": 0, "path": path})
            if recursive or not folders:
                entries[file.path] = file.entry()
        if inside and not entries:
            raise Refused(404, "EntryNotFound", f"{inside} does not exist on {request.match_info['revision']}")
        return web.json_response(list(entries.values()))

    async def _paths_info(self, request: web.Request) -> web.Response:
        await self._meet("tree", request)
        repo = self._repo(request)
        revision = self._revision(repo, request)
        if request.content_type == "application/json":
            paths = (await request.json()).get("paths", [])
        else:
            form: Any = await request.post()
            paths = [str(path) for path in form.getall("paths")] if "paths" in form else []
        return web.json_response([revision.files[path].entry() for path in paths if path in revision.files])

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        await self._meet("resolve", request)
        repo = self._repo(request)
        if repo in self.gated and self._token(request) not in self.gated[repo]:
            raise self._restricted(repo, request)
        revision = self._revision(repo, request)
        file = revision.files.get(request.match_info["path"])
        if file is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": revision.sha, "Accept-Ranges": "bytes"}
        if file.large:
            headers |= {
                "X-Linked-Size": str(file.size),
                "X-Linked-ETag": f'"{file.sha256}"',
                "Location": f"{self.content_url}/_content/{file.sha256}?path={repo}/{file.path}",
            }
            return web.Response(status=302, headers=headers, text=f"Found. Redirecting to {headers['Location']}")
        return await self._send(request, file, headers, "resolve")

    async def _content(self, request: web.Request) -> web.StreamResponse:
        await self._meet("content", request)
        for name in self.models.names():
            for revision in self.models.revisions(name).values():
                for file in revision.files.values():
                    if file.sha256 == request.match_info["sha256"]:
                        return await self._send(request, file, {"Accept-Ranges": "bytes"}, "content")
        raise Refused(404, "EntryNotFound", "Entry not found")

    async def _send(
        self, request: web.Request, file: File, headers: dict[str, str], operation: str
    ) -> web.StreamResponse:
        headers |= {"ETag": f'"{file.etag}"', "Content-Type": "application/octet-stream"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        start, stop, status = 0, file.size, 200
        try:
            asked = request.http_range
        except ValueError:
            asked = slice(None)  # several ranges, or none that HTTP knows: the whole file is a right answer
        if asked.start is not None or asked.stop is not None:
            start = asked.start or 0
            if start < 0:
                start = max(0, file.size + start)
            stop = file.size if asked.stop is None else min(asked.stop, file.size)
            status = 206
            if start >= file.size:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{file.size}"})
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
        length = stop - start
        breaks = None
        # A HEAD has no body to break.
        fault = None if request.method == "HEAD" else self._due(operation, request, BREAKS)
        if fault is not None and fault.kind != "corrupt":
            breaks = min(int(fault.detail.get("bytes", length // 2)), length)
        if fault is not None and fault.kind == "truncated":
            # Without a length the early end looks like the whole file to HTTP; only size and hash can tell.
            length = breaks or 0
        response = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(length)})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        sent = 0
        with file.source.open("rb") as source:
            source.seek(start)
            while sent < (length if breaks is None else breaks):
                chunk = source.read(min(CHUNK, (length if breaks is None else breaks) - sent))
                if self._away and request.transport is not None:
                    request.transport.abort()
                if fault is not None and fault.kind == "corrupt":
                    chunk = bytes([chunk[0] ^ 0xFF]) + chunk[1:]
                await response.write(chunk)
                sent += len(chunk)
        if fault is not None and fault.kind == "reset" and request.transport is not None:
            request.transport.abort()
        return response
