"""One lab's GitHub for each test, and the clients that talk to it: the real gh (two versions), git, and plain HTTP."""

import asyncio
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.lab.github.server import GitHubServer
from yt_fsm.lab.github.store import TOKEN, Store

REPO = "yieldthought/ttnn_models"
NEW_GH = shutil.which("gh", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
OLD_VERSION = "2.23"


@dataclass
class Reply:
    """What plain HTTP got: status, headers by lower-case name, and the body (JSON when it is)."""

    status: int
    headers: dict[str, str]
    body: Any


class SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("api.github.com", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(self.path))


class Lab:
    """A GitHubServer in a thread of its own, with a home and a configuration for its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A socket's path has 107 bytes at most; pytest's folders can be longer.
        self.short = Path(tempfile.mkdtemp(prefix="ytl-"))
        self.socket = self.short / "s"
        self.gh_binary = NEW_GH
        self.start()

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.hub = GitHubServer(self.folder)
        self.run(self.hub.start(self.socket))

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> None:
        self.run(self.hub.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.short)

    @property
    def store(self) -> Store:
        return self.hub.store

    def env(self, token: str | None = TOKEN) -> dict[str, str]:
        home = self.short / "home"
        (home / "gh").mkdir(parents=True, exist_ok=True)
        (home / "gh" / "config.yml").write_text(f"version: '1'\nhttp_unix_socket: {self.socket}\nprompt: disabled\n")
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        return {
            **kept,
            "HOME": str(home),
            "GH_CONFIG_DIR": str(home / "gh"),
            **({"GH_TOKEN": token} if token else {}),
            "GH_TELEMETRY": "0",
            "GH_NO_UPDATE_NOTIFIER": "1",
            "GH_PROMPT_DISABLED": "1",
            "GIT_SSH_COMMAND": str(self.store.git.ssh()),
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "url.git@github.com:.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            "GIT_CONFIG_KEY_1": "user.name",
            "GIT_CONFIG_VALUE_1": "Worker",
            "GIT_CONFIG_KEY_2": "user.email",
            "GIT_CONFIG_VALUE_2": "worker@example.org",
        }

    def run_command(self, *argv: str, token: str | None = TOKEN, input: str = "", cwd: Path | None = None) -> Any:
        return subprocess.run(
            argv, env=self.env(token), input=input, capture_output=True, text=True, timeout=60, cwd=cwd or self.short
        )

    def gh(self, *arguments: str, token: str | None = TOKEN, input: str = "") -> Any:
        """Runs gh and returns the finished process."""
        return self.run_command(str(self.gh_binary), *arguments, token=token, input=input)

    def said(self, *arguments: str, **more: Any) -> str:
        """Runs gh, which must succeed, and returns what it printed."""
        done = self.gh(*arguments, **more)
        assert done.returncode == 0, f"gh {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout.strip()

    def json(self, *arguments: str) -> Any:
        """Runs gh, which must succeed, and returns the JSON that it printed."""
        return json.loads(self.said(*arguments))

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = self.run_command("git", *arguments, cwd=cwd)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def http(
        self, method: str, path: str, body: Any = None, token: str | None = TOKEN, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = SocketConnection(self.socket)
        sent = {"Authorization": f"token {token}"} if token else {}
        try:
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {**sent, "User-Agent": "test", **(headers or {})},
            )
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        kind = reply.headers.get("content-type", "")
        found = {name.lower(): value for name, value in reply.headers.items()}
        return Reply(reply.status, found, json.loads(text) if text and "json" in kind else text)

    def query(self, text: str, token: str | None = TOKEN, **variables: Any) -> Any:
        """A GraphQL request over plain HTTP: the whole answer."""
        return self.http("POST", "/graphql", {"query": text, "variables": variables}, token).body

    def data(self, text: str, **variables: Any) -> Any:
        """A GraphQL request that must have no errors: its data."""
        answer = self.query(text, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def fault(self, fault: str, **more: Any) -> None:
        reply = self.http("POST", "/_lab/faults", {"fault": fault, **more})
        assert reply.status == 200, reply.body

    def act(self, do: str, **more: Any) -> Any:
        reply = self.http("POST", "/_lab/act", {"do": do, **more})
        assert reply.status == 200, reply.body
        return reply.body

    def seed(self, title: str = "Bring up org/model", **more: Any) -> int:
        given = {"title": title, "labels": ["n300"], "status": "ready", **more}
        reply = self.http("POST", "/_lab/seed", given)
        assert reply.status == 200, reply.body
        return int(reply.body["numbers"][0])

    def state(self) -> Any:
        return self.http("GET", "/_lab/state").body

    def issue(self, number: int) -> Any:
        return next(one for one in self.state()["issues"] if one["number"] == number)

    def issue_id(self, number: int) -> str:
        return str(self.store.numbered(self.store.home()[0], number).id)  # type: ignore[union-attr]

    def push(self, branch: str, files: dict[str, str], message: str = "Work", base: str = "main") -> Path:
        """Commits files on a new branch in a clone and pushes it, as a worker does."""
        tree = self.short / f"clone-{len(list(self.short.iterdir()))}"
        self.git("clone", "--quiet", f"https://github.com/{REPO}.git", str(tree))
        self.git("checkout", "--quiet", "-B", branch, f"origin/{base}", cwd=tree)
        for name, text in files.items():
            (tree / name).write_text(text)
        self.git("add", "--all", cwd=tree)
        self.git("commit", "--quiet", "--message", message, cwd=tree)
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}", cwd=tree)
        return tree

    def pull(self, branch: str, title: str = "Bringup", body: str = "") -> int:
        """Opens a pull request over REST; its number."""
        given = {"title": title, "body": body, "head": branch, "base": "main"}
        reply = self.http("POST", f"/repos/{REPO}/pulls", given)
        assert reply.status == 201, reply.body
        return int(reply.body["number"])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "lab")
    made.store.bootstrap()
    yield made
    made.close()


def old_gh() -> Path | None:
    """Debian's gh 2.23, unpacked once into the cache; None where apt can't give it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ytfsm" / "clients" / f"gh-{OLD_VERSION}"
    binary = cache / "usr" / "bin" / "gh"
    if not binary.exists() and shutil.which("apt-get") and shutil.which("dpkg"):
        with tempfile.TemporaryDirectory() as folder:
            fetched = subprocess.run(["apt-get", "download", "gh"], cwd=folder, capture_output=True, timeout=60)
            packages = list(Path(folder).glob(f"gh_{OLD_VERSION}*.deb"))
            if fetched.returncode == 0 and packages:
                cache.parent.mkdir(parents=True, exist_ok=True)
                fresh = Path(tempfile.mkdtemp(dir=cache.parent))
                subprocess.run(["dpkg", "-x", str(packages[0]), str(fresh)], check=True, timeout=60)
                with suppress(OSError):  # another test process was quicker
                    fresh.rename(cache)
    return binary if binary.exists() else None


@pytest.fixture(params=["new", "old"])
def any_gh(request: pytest.FixtureRequest, lab: Lab) -> Lab:
    """A lab whose gh is 2.103 or later, and one whose gh is 2.23."""
    if request.param == "old":
        found = old_gh()
        if found is None:
            pytest.skip(f"not run: no gh {OLD_VERSION} on this machine")
        lab.gh_binary = str(found)
    return lab
