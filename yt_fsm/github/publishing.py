"""Publishing: what a run shows the world, each step an effect that happens once (§9.1 G and H, §12.2)."""

import functools
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yt_fsm.bringup.clean import clean_clone
from yt_fsm.bringup.evaluation import HF, TT0, TT1, eval_argv
from yt_fsm.bringup.metrics import Metrics, summary
from yt_fsm.engine.errors import CommandFailed, GitHubError, Refused
from yt_fsm.engine.journal import Record
from yt_fsm.tools.gate import check_push, publishable
from yt_fsm.tools.git import TRAILER, Repository, refused

from .lease import STATUS, TRUSTED

if TYPE_CHECKING:
    from yt_fsm.engine.run import Run

    from .client import GitHub

COMMENT_CHARS = 60_000  # GitHub takes 65,536
READ_BACK = 5  # looks for a status that was just set


def marker(run_id: str, seq: object) -> str:
    """The hidden mark by which a run finds its own comment again."""
    return f"<!-- ytfsm {run_id}/{seq} -->"


def set_status(run: "Run", status: str, *allowed: str | None, read_back: bool = True) -> None:
    """Move the card to `status`; it must stand on one of `allowed` (or be there already).

    Raises Lost when a person moved it, GitHubError when it does not stay where it was put.
    """
    item = run.issue.item
    assert item

    def observe(_: Record) -> dict[str, Any] | None:
        return {"status": status} if run.github.snapshot(run.issue.id).status == status else None

    def apply(_: Record) -> dict[str, Any]:
        run.github.set_status(item, status, lambda: run.fence(*allowed, status))
        if not read_back:
            return {"status": status}
        for attempt in range(READ_BACK):
            if run.github.snapshot(run.issue.id).status == status:
                return {"status": status}
            run.stop.wait(0.5 * 2**attempt)
        raise GitHubError(f"the card was moved to {status!r} and does not stay there: is a board workflow at work?")

    run.effects.once("status", status, apply, observe, proof=False)


def comment(run: "Run", status: str, text: str) -> None:
    """Post the run's one terminal comment (§12.2); its first lines kill the claim (claim protocol, END)."""

    def observe(_: Record) -> dict[str, Any] | None:
        return posted(run)

    def apply(intent: Record) -> dict[str, Any]:
        told, worker = (publishable(run.shell.redact, said) for said in (text, run.settings.worker_name))
        body = (
            f"{STATUS}\nstatus: {status}\nrun_id: {run.run_id}\n\n{told.strip()[:COMMENT_CHARS]}\n\n"
            f"worker: {worker} · journal: `{intent['seq']}:{intent['hash']}`\n"
            f"{marker(run.run_id, intent['seq'])}\n"
        )
        return {"comment": run.github.comment(run.issue.id, body, lambda: run.fence(status)).number}

    run.effects.once("comment", status, apply, observe)


def posted(run: "Run") -> dict[str, Any] | None:
    """The run's terminal comment as GitHub shows it."""
    mark = marker(run.run_id, "").removesuffix(" -->")
    for found in run.github.snapshot(run.issue.id).comments:
        if mark in found.body:
            return {"comment": found.number}
    return None


def commit(run: "Run", repository: Repository, tree: str, message: str) -> str:
    """Commit `tree` as the run's branch, and keep it as a bundle that outlives the workspace; returns its sha."""
    sha = repository.commit(tree, run.facts["base"], run.facts["branch"], f"{message}\n\n{TRAILER}: {run.run_id}\n")
    run.artifacts.mkdir(parents=True, exist_ok=True)
    repository.bundle(run.facts["branch"], run.facts["base"], run.bundle)
    return sha


def push(run: "Run", *statuses: str | None) -> None:
    """Push the run's commit as its branch, from a clone that is made for it.

    Raises Leaked when it would send a secret of this machine, Refused when the remote rejects it.
    """
    branch, sha = run.facts["branch"], run.facts["commit"]

    @functools.cache
    def repository() -> Repository:
        clean = clean_clone(run)
        if clean.unbundle(run.bundle, branch) != sha and not run.shell.dry:
            raise Refused(f"{run.bundle} does not hold the commit {sha} that passed: somebody wrote to it")
        return clean

    def observe(_: Record) -> dict[str, Any] | None:
        return {"sha": sha} if repository().remote_head(branch) == sha else None

    def apply(_: Record) -> dict[str, Any]:
        run.fence(*statuses)
        try:
            repository().push(branch, sha, run.facts.get("tip"))
        except CommandFailed as problem:
            if observe({}) is not None:  # it landed and only its answer was lost
                return {"sha": sha}
            if refused(problem):
                raise Refused(f"the remote refuses the branch {branch}: {problem}") from None
            raise
        return {"sha": sha}

    if run.effects.done("push", branch) is None and not run.shell.dry:
        check_push(repository(), run.facts["base"], sha, branch)
    run.effects.once("push", branch, apply, observe)


def pull_request(run: "Run", title: str, body: str, *statuses: str | None) -> str:
    """Open the pull request; returns its URL. Raises Refused when GitHub will not have it."""
    branch = run.facts["branch"]

    def observe(_: Record) -> dict[str, Any] | None:
        found = run.github.pull_request(branch)
        return {"url": found["url"], "number": found["number"]} if found else None

    def apply(intent: Record) -> dict[str, Any]:
        run.fence(*statuses)
        try:
            told = [publishable(run.shell.redact, said) for said in (title, body)]
            url = run.github.create_pull_request(branch, run.facts["into"], *told)
        except GitHubError as problem:
            found = observe(intent)
            if found:
                return found
            if problem.landed is False and problem.kind not in (
                "RATE_LIMITED", "SECONDARY", "UNAUTHORIZED", "PASSING",
            ):  # fmt: skip
                raise Refused(f"GitHub refuses the pull request: {problem}") from None
            raise
        return {"url": url, "number": int(url.rsplit("/", 1)[-1])}

    return str(run.effects.once("pull request", branch, apply, observe)["url"])


def reproduction(run: "Run", branch: str | None = None) -> str:
    """The commands that repeat the checks, as a fenced block."""
    lines = [f"git clone {run.settings.remote} && cd {run.settings.repo_models}"]
    if branch:
        lines.append(f"git checkout {branch}")
    lines.append("python -m pytest -q")
    revision = run.facts.get("revision") or run.brief.hf_revision or "main"
    lines += [shlex.join(eval_argv("python", run.brief, revision, case)) for case in (HF, TT0, TT1)]
    return fenced("\n".join(lines), "bash")


def table(found: dict[str, Metrics]) -> str:
    """The metrics of one check as a Markdown table."""
    names = {"hf": "HF reference", "tt0": "TT, trace off", "tt1": "TT, trace on"}
    lines = ["| evaluation | result |", "|---|---|"]
    lines += [f"| {names.get(key, key)} | {summary(data)} |" for key, data in found.items()]
    return "\n".join(lines)


def metrics_block(found: dict[str, Metrics]) -> str:
    """The whole metrics as a fenced JSON block."""
    return fenced(json.dumps(found, indent=2, sort_keys=True), "json")


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text, so that nothing in it can get out."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def kept(path: Path) -> str:
    """A file of the run's folder, as the operator finds it."""
    return f"`{path}`"


def named_record(github: "GitHub", issue: str, run_id: str) -> tuple[int, str] | None:
    """The `seq:hash` that a run's terminal comment carries, or None when the issue has no such comment."""
    snapshot = github.snapshot(issue)
    while True:
        for found in snapshot.comments:
            # The last one is the run's own; above it the comment quotes what programs printed.
            words = re.findall(r"journal: `([0-9]{1,12}):([0-9a-f]{16})`", found.body)
            if words and marker(run_id, "").removesuffix(" -->") in found.body and found.association in TRUSTED:
                return int(words[-1][0]), words[-1][1]
        if not snapshot.more:
            return None
        snapshot = github.snapshot(issue, snapshot.more)
