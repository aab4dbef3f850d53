"""Publishing on GitHub: what a run shows there, each step an effect that happens once (§9.1 G and H, §12.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from yt_fsm.engine.errors import NotFound, Refused
from yt_fsm.engine.journal import Reading, Record

from .errors import GitHubError
from .issue import IssueRun, marker
from .lease import STATUS, TRUSTED

if TYPE_CHECKING:
    from .client import GitHub

COMMENT_CHARS = 60_000  # GitHub takes 65,536
READ_BACK = 5  # looks for a status that was just set


def set_status(run: IssueRun, status: str, *allowed: str | None, read_back: bool = True) -> None:
    """Move the card to `status`, once for the run's last transition; it must stand on one of `allowed`, or be there.

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

    if run.effects.done("status", status) is None:  # an earlier ytfsm's key, which had no transition in it
        run.effects.once("status", status_key(run, status), apply, observe, proof=False)


def status_key(run: IssueRun, status: str) -> str:
    """The key of a card's move: a status that comes again by another transition is another move (faults P4)."""
    move = run.journal.last("transition")
    return f"{status} by {move['seq'] if move else 0}"


def comment(run: IssueRun, status: str, text: str) -> None:
    """Post the run's one terminal comment (§12.2); its first lines kill the claim (claim protocol, END)."""

    def observe(_: Record) -> dict[str, Any] | None:
        return run.subject.posted()

    def apply(intent: Record) -> dict[str, Any]:
        told, worker = (run.shell.redact.publishable(said) for said in (text, run.settings.worker_name))
        body = (
            f"{STATUS}\nstatus: {status}\nrun_id: {run.run_id}\n\n{told.strip()[:COMMENT_CHARS]}\n\n"
            f"worker: {worker} · journal: `{intent['seq']}:{intent['hash']}`\n"
            f"{marker(run.run_id, intent['seq'])}\n"
        )
        return {"comment": run.github.comment(run.issue.id, body, lambda: run.fence(status)).number}

    run.effects.once("comment", status, apply, observe)


def pull_request(run: IssueRun, branch: str, into: str, title: str, body: str, *statuses: str | None) -> str:
    """Open the pull request; returns its URL. Raises Refused when GitHub will not have it."""

    pushed = run.effects.done("push", branch) or {}

    def observe(_: Record) -> dict[str, Any] | None:
        found = run.github.pull_request(branch, pushed.get("sha", ""))
        return {"url": found["url"], "number": found["number"]} if found else None

    def apply(intent: Record) -> dict[str, Any]:
        run.fence(*statuses)
        try:
            told = [run.shell.redact.publishable(said) for said in (title, body)]
            url = run.github.create_pull_request(branch, into, *told)
        except GitHubError as problem:
            found = observe(intent)
            if found:
                return found
            if problem.final:
                raise Refused(f"GitHub refuses the pull request: {problem}") from None
            raise
        return {"url": url, "number": int(url.rsplit("/", 1)[-1])}

    return str(run.effects.once("pull request", branch, apply, observe)["url"])


def named_record(github: GitHub, issue: str, run_id: str) -> tuple[int, str] | None:
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


def lost_records(github: GitHub, reading: Reading, issue: dict[str, Any]) -> str | None:
    """Compare a journal with the `seq:hash` in its issue's terminal comment (the one use of the network of a replay).

    None when the named record stands in it; else what is missing. Raises NotFound when there is no such comment.
    """
    run_id = reading.records[0]["run_id"]
    named = named_record(github, issue["id"], run_id)
    if named is None:
        raise NotFound(f"issue {issue['number']} has no comment that ends run {run_id}")
    seq, digest = named
    last = len(reading.records) - 1
    if seq > last:
        return f"records are missing from the end: the issue's comment names record {seq}, the last here is {last}"
    if reading.records[seq]["hash"] != digest:
        return f"line {seq + 1}: the issue's comment names record {seq} with hash {digest}; it is another here"
    return None
