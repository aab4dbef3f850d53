"""A lab: GitHub, the Hub, codex's model and a machine with a board, in one folder, and the way to them.

The folder is the whole lab: stop it, start it again, and it goes on where it was, at the same addresses.
"""

import contextlib
import fcntl
import json
import os
import random
import shlex
import shutil
import socket
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from aiohttp import ClientSession, UnixConnector

from yt_fsm.lab import models
from yt_fsm.lab.codex import CodexServer
from yt_fsm.lab.environment import Say, cache_folder, evaluation_python, say_on_stderr
from yt_fsm.lab.errors import LabError
from yt_fsm.lab.github.server import GitHubServer
from yt_fsm.lab.github.store import TOKEN as GH_TOKEN
from yt_fsm.lab.hub import TOKEN as HF_TOKEN
from yt_fsm.lab.hub import HubServer
from yt_fsm.lab.machine import Machine
from yt_fsm.tools import systems
from yt_fsm.tools.systems import System

SHORT = 60  # characters of a folder in which a socket's path stays below the 107 bytes that Unix allows


@dataclass
class Plan:
    """What a lab was made with, and the addresses a restart takes again; kept in its folder as lab.json."""

    model: str = "tiny"
    script: Any = "bringup"
    scripts: dict[str, Any] = field(default_factory=dict)
    gated: dict[str, list[str]] = field(default_factory=dict)
    system: str = "n300"
    owner: str = "yieldthought"
    repo: str = "ttnn_models"
    sockets: str = ""
    hub_port: int = 0
    content_port: int = 0
    codex_port: int = 0

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """The plan in `path`; a new one when there is none."""
        if not path.exists():
            return cls()
        known = {each.name for each in fields(cls)}
        return cls(**{key: value for key, value in json.loads(path.read_text()).items() if key in known})

    def save(self, path: Path) -> None:
        """Keep it, atomically."""
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self), indent=2) + "\n")
        scratch.replace(path)


class Lab:
    """The servers and files of one lab, in this process and event loop.

    `model`, `script` and `system` are what a new folder's lab is made with; an existing one keeps its own unless
    told otherwise. Raises LabError when the folder is another live lab's, or when a part cannot be had.
    """

    def __init__(
        self,
        folder: Path,
        *,
        model: str | None = None,
        script: str | None = None,
        system: str | None = None,
        say: Say = say_on_stderr,
    ) -> None:
        self.folder = folder.absolute()
        self.say = say
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._take()
        self.plan = Plan.load(self.folder / "lab.json")
        self.plan.model = model or self.plan.model
        self.plan.script = script or self.plan.script
        self.plan.system = system or self.plan.system
        self.systems = systems.known(Path(given) if (given := os.environ.get("YT_SYSTEMS_DIR")) else None)
        self.plan.system = self.system_named(None).name
        models.model_named(self.plan.model)
        faults = self.folder / "faults"
        try:
            self.codex = CodexServer(self.folder / "requests" / "codex.jsonl", self.plan.script, faults / "codex.json")
        except ValueError as problem:
            raise LabError(str(problem)) from None
        self.codex.by_model = self.plan.scripts
        self.hub = HubServer(self.folder / "models", self.folder / "requests" / "hub.jsonl", faults / "hub.json")
        self.hub.gated = {name: set(tokens) for name, tokens in self.plan.gated.items()}
        self.github = GitHubServer(self.folder / "github")
        self.machine = Machine(self.folder)
        self.python = Path()
        self.model_id = ""

    @property
    def sockets(self) -> Path:
        """The short folder of the Unix sockets."""
        return Path(self.plan.sockets)

    def system_named(self, name: str | None) -> System:
        """The system of that name; None is the lab's own. Raises LabError when there is none."""
        try:
            return self.systems.find(name or self.plan.system)
        except ValueError as problem:
            raise LabError(f"no system {name or self.plan.system!r}: it {problem}") from None

    async def start(self) -> None:
        """Make what is missing, then serve."""
        self.python = evaluation_python(self.say)
        self.model_id = models.serve(self.plan.model, self.folder / "models", self.say)
        self._open_sockets()
        await self.github.start(self.sockets / "github.sock")
        if not self.github.store.nodes:
            self._bootstrap()
            await self.seed()
        await self._open_ports()
        self.machine.make(self.system_named(None), self.python, self.codex.config())
        self._configure_gh()
        self.keep()

    async def stop(self) -> None:
        """Stop serving and take the sockets away; what the lab knows stays in its folder."""
        await self.codex.stop()
        await self.hub.stop()
        await self.github.stop()
        for machine in (self.machine, *self.machines().values()):
            machine.release_disks()
        if self.plan.sockets:
            shutil.rmtree(self.sockets, ignore_errors=True)
        self._lock.close()

    def state(self) -> dict[str, Any]:
        """All of it as JSON: GitHub's at the top, the others under their names."""
        return {
            **self.github.store.state(),
            "hub": self.hub.state(),
            "codex": self.codex.state(),
            "tt_smi": self.machine.board_state(),
            "machines": {name: {"tt_smi": machine.board_state()} for name, machine in self.machines().items()},
        }

    def machines(self) -> dict[str, Machine]:
        """The other machines, by name."""
        return {path.name: Machine(path) for path in sorted((self.folder / "machines").glob("*"))}

    def machine_named(self, name: str | None) -> Machine:
        """The lab's own machine, or another by its name. Raises LabError when there is none."""
        if name is None:
            return self.machine
        if name not in self.machines():
            raise LabError(f"no machine {name!r}; there are {', '.join(self.machines()) or 'none but the first'}")
        return self.machines()[name]

    async def ask_github(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """One request to the stand-in's own routes (`/_lab/…`): status and JSON text."""
        connector = UnixConnector(str(self.sockets / "github.sock"))
        async with (
            ClientSession(connector=connector) as session,
            session.request(method, f"http://api.github.com{path}", json=body) as answer,
        ):
            return answer.status, await answer.text()

    async def seed(self, **asked: Any) -> int:
        """Open an issue on the board; its number.

        `model`, `system`, `status` (None: not on the board), `title`, `body` and `labels` default to the lab's own
        model, ready to be brought up; any other keyword becomes a line of the body. Raises LabError with
        GitHub's word when it cannot be.
        """
        model = asked.pop("model", None) or self.model_id
        system = asked.pop("system", None) or self.plan.system
        status = asked.pop("status", "ready")
        title = asked.pop("title", None) or f"Bring up {model}"
        labels = asked.pop("labels", None)
        body = asked.pop("body", None)
        if body is None:
            body = "\n".join(f"{key}: {value}" for key, value in {"hf_model_id": model, **asked}.items()) + "\n"
        labels = [system] if labels is None else labels
        issue = {"title": title, "body": body, "labels": labels, "status": status}
        return int((await self._done("/_lab/seed", issue))["numbers"][0])

    def keep(self) -> None:
        """Write down what a restart has to know."""
        self.plan.script = self.codex.script
        self.plan.gated = {name: sorted(tokens) for name, tokens in self.hub.gated.items()}
        self.plan.save(self.folder / "lab.json")

    async def login(self, name: str) -> str:
        """Another GitHub account that may write to the models repo and its board; its token."""
        token = f"ghp_lab{name:0<34}"
        user = {"do": "add_user", "login": name, "token": token, "org": self.plan.owner, "role": "WRITE"}
        await self._done("/_lab/act", user)
        return token

    async def _done(self, path: str, body: Any) -> dict[str, Any]:
        status, text = await self.ask_github("POST", path, body)
        answer = json.loads(text)
        if status >= 400:
            raise LabError(answer["message"])
        return dict(answer)

    def variables(self) -> dict[str, str]:
        """The environment variables that lead the real clients here."""
        return {
            **self.machine.variables(self.system_named(None), "lab"),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "GH_CONFIG_DIR": str(self.folder / "gh"),
            "GH_TOKEN": GH_TOKEN,
            "GH_TELEMETRY": "0",
            "GH_NO_UPDATE_NOTIFIER": "1",
            "GH_PROMPT_DISABLED": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            # git goes to GitHub as it does elsewhere, but for what it calls ssh: remotes keep GitHub's addresses.
            "GIT_SSH_COMMAND": shlex.quote(str(self.github.store.git.ssh())),
            "GIT_SSH_VARIANT": "ssh",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "url.git@github.com:.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
            "HF_ENDPOINT": self.hub.url,
            "HF_TOKEN": HF_TOKEN,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "DO_NOT_TRACK": "1",
            "YT_OWNER": self.plan.owner,
            "YT_REPO_MODELS": self.plan.repo,
            "YT_PROJECT_NUMBER": "1",
            "YTFSM_CACHE": str(cache_folder()),
            "YTFSM_LAB": str(self.sockets / "lab.sock"),
        }

    def ready(self) -> dict[str, Any]:
        """The one line that `ytfsm lab serve` prints."""
        return {
            "env": self.variables(),
            "github": {"socket": str(self.sockets / "github.sock")},
            "hub": {"url": self.hub.url, "model": self.model_id},
            "codex": {"url": self.codex.url},
            "folder": str(self.folder),
            "pid": os.getpid(),
        }

    def _take(self) -> IO[str]:
        lock = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise LabError(f"process {owner} serves the lab in {self.folder}: stop it, or use another --dir") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    def _open_sockets(self) -> None:
        """Take the sockets' folder of the last time again, or make one."""
        if self.plan.sockets:
            with contextlib.suppress(FileExistsError):
                self.sockets.mkdir(mode=0o700)
            if self.sockets.is_dir() and self.sockets.stat().st_uid == os.getuid():
                for stale in self.sockets.iterdir():
                    stale.unlink()
                return
        base = tempfile.gettempdir()
        self.plan.sockets = tempfile.mkdtemp(prefix="ytlab-", dir=base if len(base) < SHORT else "/tmp")  # noqa: S108
        self.keep()

    async def _open_ports(self) -> None:
        plan = self.plan
        if not plan.hub_port:
            plan.hub_port, plan.content_port, plan.codex_port = unused_ports(3)
        try:
            await self.hub.start(plan.hub_port, plan.content_port)
            await self.codex.start(plan.codex_port)
        except OSError as problem:
            where = self.folder / "lab.json"
            raise LabError(f"a port of this lab is taken ({problem}); set the ports in {where} to 0") from None

    def _bootstrap(self) -> None:
        """The models repo from the template, its board and labels, as §3 wants them."""
        from yt_fsm.bringup import template

        with tempfile.TemporaryDirectory() as scratch:
            skeleton = Path(scratch) / "template"
            template.write(skeleton)
            self.github.store.bootstrap(
                owner=self.plan.owner,
                repo=self.plan.repo,
                project_number=1,
                project_title="TTNN Models Bringup",
                template=skeleton,
                labels={system.name: system.label.colour for system in self.systems},
            )

    def _configure_gh(self) -> None:
        (self.folder / "gh").mkdir(exist_ok=True)
        (self.folder / "gh" / "config.yml").write_text(
            f'version: "1"\ngit_protocol: https\nprompt: disabled\nhttp_unix_socket: {self.sockets / "github.sock"}\n'
        )


def unused_ports(count: int) -> list[int]:
    """Free ports below those that the system hands to clients, so that they are still free at a restart."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            taken = held.enter_context(socket.socket())
            port = random.randrange(20000, 32000)  # noqa: S311 - nothing secret
            with contextlib.suppress(OSError):
                taken.bind(("127.0.0.1", port))
                found.append(port)
        return found
