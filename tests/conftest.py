"""What tests share: a bare environment, programs and packages, a shell, settings, and gh's far end."""

import dataclasses
import json
import os
import shutil
import stat
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from machines.bringup import MACHINE
from tests.parts.journals import RUN, begin
from yt_fsm.bringup.settings import Settings
from yt_fsm.engine.journal import Journal
from yt_fsm.engine.machine import Definition
from yt_fsm.engine.processes import Mark
from yt_fsm.engine.redaction import Redactor
from yt_fsm.engine.run import Run, create
from yt_fsm.engine.shell import Result, Shell
from yt_fsm.github.client import GitHub, Issue

# Two cores that others use too: a slow example is no error, and a run leaves no database behind.
hypothesis.settings.register_profile(
    "ytfsm", deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("ytfsm")

OURS = ("YT_", "YTFSM_", "HF_", "GH_", "GITHUB_", "CODEX_", "GIT_")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment that says nothing: no settings, no logins, a HOME and a current folder of its own."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("YTFSM_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(home)
    return home


LACKING = "system package missing: "


@pytest.fixture(scope="session")
def needs_package() -> Callable[[str], None]:
    """Skips a test on a machine without a package of scripts/apt-packages.txt, which must name it; in CI it fails."""
    listed = (Path(__file__).parents[1] / "scripts" / "apt-packages.txt").read_text().splitlines()
    there = {name: shutil.which(program) for name, program in (line.split() for line in listed if line[:1] != "#")}

    def ask(name: str) -> None:
        if there[name] is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(LACKING + name)

    return ask


@pytest.fixture
def walls(needs_package: Callable[[str], None]) -> None:
    """For tests of what bubblewrap makes."""
    needs_package("bubblewrap")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the tests that were skipped for want of a package."""
    reasons = (report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    lacking = Counter(reason.partition(LACKING)[2] for reason in reasons if LACKING in reason)
    for name, count in sorted(lacking.items()):
        terminalreporter.write_line(f"{count} skipped, {LACKING}{name} (apt-get install {name})", yellow=True)


@pytest.fixture
def settings(bare: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Makes settings; what is not given has its default."""

    def make(**given: Any) -> Settings:
        places = {"home": tmp_path / "state", "tmp_root": tmp_path / "tmp"}
        others = {"worker_name": "bench-7", "write_gap_secs": 0, "isolation": "none"}
        return Settings(**{"system": "n300", **others, **places, **given})

    return make


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a program on PATH, before all others; `python` text runs in this Python, other text in sh."""
    folder = tmp_path / "bin"

    def make(name: str, text: str) -> Path:
        folder.mkdir(exist_ok=True)
        file = folder / name
        first = "" if text.startswith("#!") else f"#!{sys.executable}\n"
        file.write_text(first + text)
        file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        if not os.environ["PATH"].startswith(f"{folder}:"):
            monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return file

    return make


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell with logs and no journal; `shell.noted` has what it would journal."""
    noted: list[dict[str, object]] = []
    # Tests run side by side, and some end what carries their shell's marker.
    mark = Mark(tmp_path, f"test-{uuid.uuid4().hex}", 0.0)
    made = Shell(mark, Redactor(), tmp_path / "logs", noted.append)
    made.noted = noted  # type: ignore[attr-defined]
    return made


class Wire(Shell):
    """gh's far end as a plain function: `answer(query name, variables)` returns a result, or raw `(code, stdout)`.

    `calls` lists the names of the documents that were sent, in order, and of other commands their argv.
    """

    def __init__(self, answer: Callable[[str, dict[str, Any]], Any]) -> None:
        super().__init__("wire", Redactor())
        self.answer = answer
        self.calls: list[Any] = []
        self.sent: list[dict[str, Any]] = []

    def logged(self, *_: Any, **__: Any) -> "Shell":
        """A run's shell talks to the same far end."""
        return self

    def quiet(self, *_: Any, **__: Any) -> "Shell":
        """So does the heartbeat's."""
        return self

    def as_role(self, *_: Any) -> "Shell":
        """So does the subject's."""
        return self

    def run(self, argv: list[str], **options: Any) -> Result:
        """Answer a command without starting it."""
        if argv[:2] == ["gh", "api"] and "graphql" in argv:
            payload = json.loads(options["input"])
            name = str(options["name"]).removeprefix("gh-")
            self.calls.append(name)
            self.sent.append(payload["variables"])
            answered = self.answer(name, payload["variables"])
        else:
            self.calls.append(argv)
            answered = self.answer(" ".join(argv), options)
        if isinstance(answered, Result):
            return answered
        code, out = answered if isinstance(answered, tuple) else (0, http(200, {"data": answered}))
        tail = out if code else ""
        result = Result(argv, code, out, tail, 0.0, None)
        if options.get("check", True) and not result.ok:
            raise result.failed()
        return result


def http(status: int, body: Any, **headers: str) -> str:
    """What `gh api -i` prints for an answer."""
    headers = {"Date": format_datetime(datetime.now(timezone.utc), usegmt=True), **headers}
    lines = [f"HTTP/2.0 {status} Whatever", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines) + "\r\n\r\n" + (body if isinstance(body, str) else json.dumps(body))


@pytest.fixture
def answered() -> Callable[..., str]:
    """Writes an answer as `gh api -i` prints it."""
    return http


@pytest.fixture
def wired() -> Callable[..., GitHub]:
    """Makes a GitHub whose far end is a plain function; its shell is the Wire."""

    def make(answer: Callable[[str, dict[str, Any]], Any], number: int | None = 7, title: str | None = None) -> GitHub:
        return GitHub(Wire(answer), "yieldthought", "ttnn_models", number, title, 0.0)

    return make


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Callable[..., Journal]]:
    """Starts journals, each in a run's folder of its own."""
    made: list[Journal] = []

    def make(name: str = RUN, **header: Any) -> Journal:
        journal = begin(tmp_path / "state" / "runs" / name, **header)
        made.append(journal)
        return journal

    yield make
    for journal in made:
        journal.close()


ISSUE = Issue(
    id="ISSUE12",
    number=12,
    title="Bring up org/name",
    body="hf_model_id: org/name\n",
    url="https://github.com/yieldthought/ttnn_models/issues/12",
    labels=("n300",),
    item="ITEM12",
    status="ready",
)


def unreachable(name: str, variables: dict[str, Any]) -> Any:
    """A far end that nothing may ask."""
    raise AssertionError(f"nobody may ask GitHub for {name}")


@pytest.fixture
def new_run(settings: Callable[..., Settings], wired: Callable[..., GitHub]) -> Iterator[Callable[..., Run]]:
    """Starts runs of issue 12 on real files; `answer` is gh's far end, `work` replaces the work of states."""
    made: list[Run] = []

    def make(
        answer: Callable[[str, dict[str, Any]], Any] = unreachable,
        work: dict[str, Callable[[Run], str | None]] | None = None,
        machine: Definition = MACHINE,
        issue: Issue = ISSUE,
        **given: Any,
    ) -> Run:
        definition = dataclasses.replace(machine, states={**machine.states, **(work or {})})
        set_up, github = settings(**given), wired(answer)
        queue = definition.queue(set_up, github.shell)
        queue.github = github
        run = create(definition, set_up, queue.subject(issue), github.shell, {"ytfsm": "0"})
        made.append(run)
        return run

    yield make
    for run in made:
        run.subject.leave()
        run.journal.close()
