"""The corpus: malformed input of each kind, given to what reads it; `python -m malformed --cases N --seed S`.

A case is a kind and a seed, and gives the same again. What may happen is said by each kind: an answer that is sound, or
one of our own errors in words. Anything else (another exception, a traceback, a control character on the terminal, an
exit code that cli.md does not have, or no end) is a fault. Nothing here starts a program, signals or deletes: commands
that would are only given arguments that do not parse.
"""

import contextlib
import io
import json
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import click

from machines import MACHINES
from machines.bringup import MACHINE
from yt_fsm.bringup import brief, metrics, preflight
from yt_fsm.bringup import settings as settings_module
from yt_fsm.bringup.settings import Settings
from yt_fsm.cli.main import app
from yt_fsm.engine import configuration
from yt_fsm.engine.errors import YtfsmError
from yt_fsm.engine.journal import Journal
from yt_fsm.engine.redaction import Redactor
from yt_fsm.engine.shell import Result, Shell, StopFlag
from yt_fsm.github import lease, publishing, refusals
from yt_fsm.github.client import QUERIES, STATUSES, Comment, GitHub, Issue, Snapshot
from yt_fsm.github.issue import marker
from yt_fsm.lab import cli as lab
from yt_fsm.tools import systems
from yt_fsm.tools.board import Board
from yt_fsm.tools.codex_turn import Turn
from yt_fsm.tools.errors import CodexTrouble, CodexWait
from yt_fsm.tools.hub import download

from .junk import document, long_text, spoiled, word

HANG_SECS = 30  # of one case; each takes milliseconds
CODES = {0, 1, 2, 3, 4, 5}
RUN = "20261122T034107Z-n300-i12-7f3c"
_RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029]")


class Fault(AssertionError):
    """What must not happen."""


class Hang(Fault):
    """A case without an end."""


class _Patient(StopFlag):
    """Waits for nothing."""

    def wait(self, seconds: float) -> None:
        if not 0 <= seconds < 10**9:
            raise Fault(f"a wait of {seconds} s")


class Far(Shell):
    """Every program's far end: says `out` and exits with `code`."""

    def __init__(self, out: str | Callable[[str], str], code: int = 0) -> None:
        super().__init__("far", Redactor(), stop=_Patient())
        self.out, self.code = out, code

    def run(self, argv: list[str], **options: Any) -> Result:
        """Answer without starting anything."""
        out = self.out if isinstance(self.out, str) else self.out(str(options.get("name", "")))
        for line in out.split("\n") if options.get("on_line") else ():
            options["on_line"](line)
        result = Result(argv, self.code, out, out[-2000:], 0.0, None)
        if options.get("check", True) and not result.ok:
            raise result.failed()
        return result


class Place:
    """A folder of the corpus's own: HOME, YTFSM_HOME with one run, and a current folder that each case finds empty."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.here = folder, folder / "home", folder / "here"
        self.home.mkdir()
        self.here.mkdir()
        (folder / "bin").mkdir()
        journal = Journal.create(
            folder / "state" / "runs" / RUN / "journal.jsonl", run_id=RUN, machine="bringup",
            machine_table=MACHINE.table(), machine_hash=MACHINE.hash, system="n300",
            issue={"number": 12, "title": "\x1b[31mred", "id": "I"},
        )  # fmt: skip
        journal.append("fact", name="model", value="org/\x1b]0;x\x07name")
        journal.append("transition", event="claim", source="ready", dest="claimed", status="in progress")
        journal.append("stopped", state="claimed", why="\x1b[2Jcleared")
        journal.close()

    def environment(self) -> dict[str, str]:
        """Nothing of the operator's, and no program on PATH."""
        return {"HOME": str(self.home), "PATH": str(self.folder / "bin"), "YTFSM_HOME": str(self.folder / "state")}

    def empty(self) -> Path:
        """The current folder, without what the last case left in it."""
        for path in self.here.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return self.here


@contextlib.contextmanager
def surrounded(place: Place) -> Iterator[None]:
    """The environment and the current folder are the place's."""
    before, folder = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(place.environment())
    os.chdir(place.empty())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.chdir(folder)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """No end in HANG_SECS is a Hang."""

    def ring(_: int, frame: FrameType | None) -> None:
        raise Hang(f"no end in {HANG_SECS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG_SECS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def sound(problem: YtfsmError) -> None:
    """An error of ours says something, and not endlessly."""
    told = str(problem)
    if not told.strip() or len(told) > 30_000:
        raise Fault(f"{type(problem).__name__} says {len(told)} characters")
    told.splitlines()[0].encode(errors="surrogatepass")


# --- GitHub

CARD = {"id": "I1", "project": {"id": "P"}, "fieldValueByName": {"name": "Ready"}}
COMMENT = {
    "id": "C1", "databaseId": 1, "createdAt": "2026-11-22T03:41:07Z", "lastEditedAt": "2026-11-22T03:42:07Z",
    "authorAssociation": "MEMBER", "body": lease.text("other", "n300", "r-1", "now", 3600), "author": {"login": "bot"},
}  # fmt: skip
ISSUE = {
    "id": "ISSUE12", "number": 12, "title": "Bring up", "url": "https://x/12", "state": "OPEN",
    "body": "hf_model_id: a/b", "labels": {"nodes": [{"name": "n300"}]}, "projectItems": {"nodes": [CARD]},
    "comments": {"totalCount": 1, "pageInfo": {"hasPreviousPage": False, "startCursor": None}, "nodes": [COMMENT]},
}  # fmt: skip
BOARD = {
    "id": "P", "number": 7, "title": "T", "url": "https://x/7", "items": {"totalCount": 3},
    "field": {"id": "F", "options": [{"id": f"o-{s}", "name": s} for s in STATUSES]},
}  # fmt: skip
ISSUES = {"pageInfo": {"hasNextPage": False, "endCursor": None}, "nodes": [ISSUE, {**ISSUE, "number": 13}]}
PULL = {"number": 3, "url": "https://x/pull/3", "state": "OPEN", "headRefOid": "0" * 40, "isCrossRepository": False}
WRITTEN = {**COMMENT, "editor": {"login": "bot"}, "issue": {**ISSUE, "labels": {"nodes": [{"name": "n300"}]}},
           "userContentEdits": {"nodes": [{"diff": "x", "editor": {"login": "bot"}}, None]}}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "project": {"repositoryOwner": {"id": "O", "projectV2": BOARD}},
    "projects": {
        "repositoryOwner": {
            "id": "O",
            "projectsV2": {"pageInfo": {"hasNextPage": False, "endCursor": None}, "nodes": [BOARD]},
        }
    },
    "poll": {"repository": {"issues": ISSUES}},
    "poll_past": {"repository": {"issues": {**ISSUES, "nodes": [{"number": 12}]}}},
    "issue": {"repository": {"issue": ISSUE}},
    "snapshot": {"node": ISSUE},
    "labels": {"repository": {"id": "R", "labels": {**ISSUES, "nodes": [{"name": "n300"}]}}},
    "pull_requests": {"repository": {"pullRequests": {"nodes": [PULL]}}},
    "permission": {
        "viewer": {"login": "bot"},
        "repository": {
            "viewerPermission": "WRITE",
            "isArchived": False,
            "isDisabled": False,
            "isLocked": False,
        },
    },
    "add_comment": {"addComment": {"commentEdge": {"node": COMMENT}}},
    "edit_comment": {"updateIssueComment": {"issueComment": WRITTEN}},
    "read_comment": {"node": WRITTEN},
    "delete_comment": {"deleteIssueComment": {"clientMutationId": None}},
    "set_status": {"updateProjectV2ItemFieldValue": {"projectV2Item": CARD}},
    "create_project": {"createProjectV2": {"projectV2": BOARD}},
    "link_project": {"linkProjectV2ToRepository": {"repository": {"id": "R"}}},
    "create_field": {"createProjectV2Field": {"projectV2Field": BOARD["field"]}},
    "set_options": {"updateProjectV2Field": {"projectV2Field": BOARD["field"]}},
}
assert set(ANSWERS) == {path.stem for path in QUERIES.glob("*.graphql")}
RULES = [
    {"type": "creation", "ruleset_id": 7},
    {"type": "branch_name_pattern", "parameters": {"operator": "regex", "pattern": "^x", "negate": False}},
    {"current_user_can_bypass": "never"},
]
ERROR = {"type": "NOT_FOUND", "path": ["repository", "issues", "nodes", 1], "message": "Could not resolve"}
HEADERS = {"Date": "Sun, 22 Nov 2026 03:41:07 GMT", "X-RateLimit-Reset": "1795318900", "Retry-After": "2",
           "X-RateLimit-Remaining": "0", "X-Oauth-Scopes": "repo, project"}  # fmt: skip
ASKS: dict[str, Callable[[GitHub], Any]] = {
    "project": lambda github: github.project,
    "projects": lambda github: GitHub(github.shell, "o", "r", None, "t", 0.0).find_project(),
    "poll": lambda github: [issue for part in github.candidates("n300") for issue in part],
    "issue": lambda github: github.issue(12),
    "snapshot": lambda github: github.snapshot("ISSUE12"),
    "labels": lambda github: github.repository(),
    "pull_requests": lambda github: github.pull_request("b", "0" * 40),
    "permission": lambda github: refusals.of_repository(github),
    "gh-rest": lambda github: refusals.of_branch(github, "b"),
    "add_comment": lambda github: github.comment("ISSUE12", "x"),
    "edit_comment": lambda github: github.edit_comment("C1", "x"),
    "read_comment": lambda github: github.read_comment("C1"),
    "delete_comment": lambda github: github.delete_comment("C1"),
    "set_status": lambda github: github.set_status("I1", "ready"),
    "create_project": lambda github: github.create_project("t"),
    "gh-user": lambda github: preflight._login(github.shell),
    "gh-pr-create": lambda github: github.create_pull_request("b", "main", "t", "x"),
    "named record": lambda github: publishing.named_record(github, "ISSUE12", RUN),
}


def http(chance: Random, body: Any) -> str:
    """An answer as `gh api -i` prints it, sometimes not quite."""
    headers = {name: word(chance) if chance.random() < 0.2 else text for name, text in HEADERS.items()}
    status = chance.choice((200, 200, 200, 200, 200, 401, 403, 404, 422, 429, 500, 502))
    head = "\r\n".join(
        [f"HTTP/2.0 {status} Whatever", *(f"{k}: {v}" for k, v in headers.items() if chance.random() < 0.6)]
    )
    text = head + "\r\n\r\n" + document(chance, body)
    return spoiled(chance, text) if chance.random() < 0.1 else text


def github_answers(chance: Random, place: Place) -> None:
    """Each query and mutation: what is not as GitHub's schema says is a GitHubError."""
    asked = chance.choice(list(ASKS))

    def answer(name: str) -> str:
        name = name.removeprefix("gh-")
        if name == "pr-create":
            return chance.choice(
                ("https://github.com/o/r/pull/3", "", "warning\nhttps://x/pull/" + "9" * 50, word(chance))
            )
        if name == "rest":
            return document(chance, RULES)
        data = ANSWERS.get(name, {"login": "bot"})
        if name == "project" and asked != "project":  # so that what was asked for is reached
            return f"HTTP/2.0 200 OK\nDate: {HEADERS['Date']}\n\n{json.dumps({'data': data})}"
        body: Any = {"data": data} if name in ANSWERS else data
        if chance.random() < 0.15:
            body["errors"] = [ERROR] * chance.randrange(1, 3)
        return http(chance, body)

    github = GitHub(Far(answer, chance.choice((0, 0, 0, 0, 1, 4))), "o", "r", 7, None, 0.0)
    found = ASKS[asked](github)
    for issue in found if isinstance(found, list) else [found]:
        if isinstance(issue, Issue):
            assert type(issue.number) is int
            assert all(isinstance(text, str) for text in (issue.id, issue.title, issue.body, issue.url, *issue.labels))
    if isinstance(found, Snapshot | Issue):
        lease.eligible(found.status, found.comments, 1e9, "ready", "in progress", 3600)
    repr(found).encode()


# --- what people write

BODIES = (
    "hf_model_id: org/name", "### HF model id", "\n", " ", "\t", "#", "# ", "#" + " " * 24_000, "- ", "* ", "**", "`",
    "```", "~~~", "<!--", "-->", "system: n300", "batch: 0", "prefill_len: " + "9" * 5000, "decode_len: ²", ":", "a:",
    "\r", "\r\n", "_No response_", "notes: ", "\x00", "\u2028", "hf_revision: ../..", "\x0b", "word", "__", "*_`",
)  # fmt: skip
CLAIMS = (
    "[yt-claim]", "[yt-status]", "\n", "run_id: r-1", "run_id:", "ttl: 3600", "ttl: ²", "ttl: " + "9" * 400, "ttl: 0",
    "ttl: -5", "ttl: ٣", "released: by hand", "status: failed", "worker: \x1b[31m", " ", "\t", "\r\n", ":",
    "heartbeat: x", "ttl:" + " " * 30_000 + "x", f"journal: `{'9' * 50}:0123456789abcdef`", marker(RUN, ""),
)  # fmt: skip


def issue_bodies(chance: Random, place: Place) -> None:
    """An issue's text: a brief whose parts are sound, or a SetupError that names the field."""
    body = ("hf_model_id: org/name\n" if chance.random() < 0.5 else "") + long_text(chance, BODIES)
    read = brief.fields(body)
    assert set(read) <= set(brief.FIELDS)
    found = brief.parse(body, [word(chance) for _ in range(chance.randrange(3))])
    assert ".." not in found.hf_model_id
    assert 1 <= found.batch <= 1024


def comments(chance: Random, place: Place) -> None:
    """Claims and statuses: what counts has a TTL in range, and nothing that is written makes the lease raise."""
    found = []
    for number in range(chance.randrange(5)):
        body = chance.choice(("[yt-claim]\nrun_id: r-1\n", "[yt-status]\nstatus: x\nrun_id: r-1\n", "")) + long_text(
            chance, CLAIMS
        )
        author = chance.choice(("OWNER", "MEMBER", "NONE", word(chance)))
        found.append(Comment(str(number), number, body, "x", author, chance.uniform(0, 2e9), chance.uniform(0, 2e9)))
    for claim in lease.claims(found, 3600.0):
        assert 60 <= claim.ttl <= 86_400
    snapshot = Snapshot(True, "I", "ready", tuple(found), len(found), 1e9)
    lease.verdict_of(snapshot, "r-1", "ready", "in progress", "ready", 3600)
    lease.eligible("ready", found, 1e9, "ready", "in progress", 3600)


# --- what programs print

METRICS = {
    "top1": 0.9688, "top5": 1.0, "tokens": 32, "mode": "tt", "trace": True, "timing": {"total_s": 1.5}, "kl": 0.004,
    "suspect": ["kl"], "model": "a/b", "reference": "x",
}  # fmt: skip


def metrics_lines(chance: Random, place: Place) -> None:
    """The printed line and the private file: believed when whole and equal, else BadMetrics."""
    line = metrics.PREFIX + document(chance, METRICS)
    private = place.empty() / "private.json"
    kind = chance.random()
    if kind < 0.1:
        chance.choice((private.mkdir, lambda: os.mkfifo(private), lambda: private.symlink_to("/dev/zero")))()
    elif kind < 0.9:
        private.write_text(document(chance, {"nonce": "n", "metrics": METRICS}), errors="replace")
    found = metrics.parse(
        chance.choice(("", "noise\n", word(chance) + "\n")) + line + chance.choice(("", "\n", "\nmore"))
    )
    assert 0 <= found["top1"] <= 1
    metrics.summary(found)
    metrics.agree(found, private, "n")
    metrics.matches(found, mode="tt", trace=True)


EVENTS = (
    {"type": "thread.started", "thread_id": "0199-abc"},
    {"type": "turn.started"},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "done"}},
    {"type": "item.completed", "item": {"type": "command_execution", "aggregated_output": "x" * 1000}},
    {"type": "turn.completed", "usage": {"input_tokens": 100, "output_tokens": 20}},
    {"type": "error", "message": "Reconnecting... 1/1 (X)"},
    {"type": "turn.failed", "error": {"message": "no"}},
)


def codex_events(chance: Random, place: Place) -> None:
    """codex's stream: what is no event says nothing; thread and tokens stay what may stand on a command line."""
    threads: list[str] = []
    tokens: list[int] = []
    turn = Turn(threads.append, tokens.append)
    for _ in range(chance.randrange(1, 8)):
        turn.hear(document(chance, chance.choice(EVENTS)))
    assert all(re.fullmatch(r"[A-Za-z0-9][\w-]*", thread, re.ASCII) for thread in threads)
    assert all(0 <= count <= 10**13 for count in tokens)
    assert len(turn.error) <= 500
    turn.message.encode()
    assert turn.completed or isinstance(turn.trouble("exited 1", "", None), CodexWait | CodexTrouble)


SNAPSHOT = {"device_info": [{"board_info": {"board_type": "n300 L"}}, {"board_info": {"board_type": "n300 R"}}]}


def boards(chance: Random, place: Place) -> None:
    """tt-smi's snapshot: the boards, or a SetupError."""
    out = chance.choice(("", "warning: x\n", word(chance))) + document(chance, SNAPSHOT)
    n300 = systems.known().find("n300")
    board = Board(Far(out, chance.choice((0, 0, 0, 1))), n300, chance.choice((None, 0)), place.here)
    assert all(isinstance(kind, str) and len(kind) < 300 for kind in board.boards())
    board.verify()


def downloads(chance: Random, place: Place) -> None:
    """The download's child: a commit and a size, or a SetupError."""
    lines = ["PROGRESS=" + document(chance, [1, 2]) for _ in range(chance.randrange(3))]
    lines.append("HUB=" + document(chance, chance.choice(({"sha": "0" * 40, "bytes": 5}, {"error": "gated"}))))
    chance.shuffle(lines)
    seen: list[tuple[int, int]] = []
    found = download(
        Far("\n".join(lines), chance.choice((0, 0, 1))), "a/b", None, {}, 1.0, 0.0, lambda *told: seen.append(told)
    )
    assert re.fullmatch(r"[\w./-]+", found.sha, re.ASCII)
    assert found.bytes >= 0


# --- the operator's

FILE = 'system = "n300"\nmax_attempts = 5\ntop1_min = 0.9\nhome = "/x"\n'
PIECES = (
    "system = ", '"n300"', "\n", "[a]\n", "a.b.c = 1\n", "x = [", "]", "{", "}", "=", '"', "'''", "\\u0000", "# x\n",
    "home = 5\n", 'home = ""\n', 'home = "\\u001b[31m"\n', 'python = "a\\u0000b"\n', "device = 1979-05-27\n",
    "a." * 3000, "[" * 3000, "9" * 5000, "max_attempts = " + "9" * 5000 + "\n", "sleep_secs = inf\n",
    "claim_ttl_secs = 59\n", "worker_name = {a = 1}\n", "\x00", "\r\n", "\ufeff", "\\uD800",
)  # fmt: skip


def config_files(chance: Random, place: Place) -> None:
    """ytfsm.toml, or what stands in its place: settings, or Usage that names the file or the setting."""
    with surrounded(place):
        file = place.here / "ytfsm.toml"
        kind = chance.random()
        if kind < 0.12:
            chance.choice(
                (file.mkdir, lambda: os.mkfifo(file), lambda: file.symlink_to("nothing"), lambda: file.symlink_to(file),
                 lambda: file.symlink_to("/dev/zero"), lambda: file.write_bytes(b"x" * 100_000))
            )()  # fmt: skip
        elif kind < 0.5:
            file.write_text(spoiled(chance, FILE), errors="surrogatepass")
        else:
            file.write_text(FILE * chance.randrange(2) + long_text(chance, PIECES), errors="surrogatepass")
        if chance.random() < 0.5:
            del os.environ["YTFSM_HOME"]
            command(["runs"])
        else:
            repr(settings_module.load()).encode()


def environments(chance: Random, place: Place) -> None:
    """Every variable with absurd values: settings, or Usage that names the variable and clips the value."""
    with surrounded(place):
        os.environ["YT_SYSTEM"] = "n300"
        for _ in range(chance.randrange(1, 3)):
            variable = chance.choice(list(Settings.variables().values()))
            given = chance.choice((word(chance), str(chance.choice((0, -1, 2**31, 10**40, 1e300, 1e-300)))))
            os.environ[variable] = given.replace("\0", "").replace("\ud800", "\udcff").replace("\udfff", "\udc80")
        if "YTFSM_HOME" in os.environ:
            with contextlib.suppress(YtfsmError):
                assert configuration.home().is_absolute()
        found = settings_module.load()
        assert found.sleep_secs >= 0.01
        json.dumps(found.public()).encode()


SHAPES = (
    "runs", "runs --state ?", "runs --issue ?", "runs --all --json", "replay ?", "replay RUN", "replay RUN --json",
    "replay RUN --until ?", "replay RUN --step", "replay RUN --verify", "graph", "graph --machine ?", "graph --run ?",
    "graph --format ?", "graph --format dot --run RUN", "graph -o ?", "init-models ?", "? --json", "--debug runs ?",
    "lab faults ?", "lab faults --kinds", "lab act ? a=?", "lab state --dir ?", "lab seed --field ?", "? ?", "? ? ?",
)  # fmt: skip
DANGEROUS = ("run", "resume", "abandon", "doctor", "demo", "init-board")
SHORT = ("", "7f3c", "12", "mermaid", "dot", "bringup", "out.txt", "here/new", "--", "-", "--json", "--help")


def arguments(chance: Random, place: Place) -> None:
    """Command lines: exit codes as cli.md says, no traceback, nothing that controls the terminal."""
    with surrounded(place):
        argv = []
        for part in (chance.choice(SHAPES) if chance.random() < 0.8 else f"{chance.choice(DANGEROUS)} ? ?").split():
            given = chance.choice(SHORT) if chance.random() < 0.2 else word(chance)
            argv.append(part.replace("RUN", RUN).replace("?", given).replace("\0", ""))
        if chance.random() < 0.2:
            argv.insert(chance.randrange(len(argv) + 1), word(chance).replace("\0", ""))
        if set(argv) & set(DANGEROUS):  # what could act gets no further than its arguments
            argv.insert(argv.index(next(arg for arg in argv if arg in DANGEROUS)) + 1, "--no-such-option")
        command([arg for arg in argv if arg not in ("svg", "png", "--follow")])


def command(argv: list[str]) -> int:
    """Run the command line in this process; returns its exit code. Raises Fault."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace") for _ in range(2)]
    stdout, stderr = streams
    code: Any = 0
    stdin = sys.stdin
    sys.stdin = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    levels = [(logger, logger.level) for logger in (logging.getLogger(), logging.getLogger("ytfsm"))]
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            app(argv, obj=MACHINES, prog_name="ytfsm")
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdin = stdin
        for handler in logging.getLogger().handlers[:]:
            if handler not in handlers:
                logging.getLogger().removeHandler(handler)
        for logger, level in levels:
            logger.setLevel(level)
    said = []
    for stream in streams:
        stream.flush()
        said.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    if code not in CODES:
        raise Fault(f"exit code {code!r}: {said[1][:500]}")
    if code and not said[1].strip():
        raise Fault(f"exit code {code} without a word")
    for text in said:
        if "Traceback" in text or _RAW.search(text) or len(text) > 200_000:
            raise Fault(f"{len(text)} characters were printed: {text[:500]!r}")
    return int(code)


def lab_words(chance: Random, place: Place) -> None:
    """The lab's faults and settings, in words or as JSON."""
    text = spoiled(chance, chance.choice(("hub gated count=2", '{"target": "hub", "kind": "gated"}', "a=[1,2]")))
    for read in (lab._fault, lab._pair):
        with contextlib.suppress(click.BadParameter):
            read(text)


KINDS: dict[str, Callable[[Random, Place], None]] = {
    "github": github_answers,
    "body": issue_bodies,
    "comment": comments,
    "metrics": metrics_lines,
    "codex": codex_events,
    "tt-smi": boards,
    "hub": downloads,
    "config": config_files,
    "environment": environments,
    "argv": arguments,
    "lab": lab_words,
}


def attempt(kind: str, seed: str, place: Place) -> bool:
    """Try one case; whether the input was taken. Raises whatever else than one of our errors came of it."""
    try:
        with guarded():
            KINDS[kind](Random(f"{seed}/{kind}"), place)
    except YtfsmError as problem:
        sound(problem)
        return False
    return True
