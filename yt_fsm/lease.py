"""The lease: a claim comment on an issue, so that one worker owns it at a time (§6).

§6.2 taken literally ("the latest `[yt-claim]` is mine") admits two winners: A posts and verifies, then B, which
listed the issue earlier, posts and verifies. So its condition is kept as necessary and one is added that makes it
sufficient: a bid wins only as the *sole live claim, which is also the latest*.

    LOOK      nobody bids where a live claim is visible
    BID       post the claim, keep its id
    VERIFY    one consistent read decides: won, ask again, wait, or withdraw
    MARK      the Project Status says `in progress`
    HEARTBEAT edit the own claim every TTL/3; TTL/2 without one, or a lost claim, stops the run
    FENCE     before each outward step: the claim is still there, and never was silent for longer than its TTL
    WITHDRAW  delete the own bid, by its id
    END       terminal status first, then the `[yt-status]` comment, which kills the claim

Safe: let A and B both win, A's bid committed first. B's VERIFY read contains B's bid, so also A's, which A never
deletes after winning and which is live; so B was not alone. Live: among live bids the earliest never withdraws and
all others do at their next read. It rests on a read that shows my bid showing every comment before it (the list is
compared with `totalCount`), and on a live owner's heartbeat within its TTL. All times are GitHub's, except in LOOK.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

from .errors import GitHubError, Lost

if TYPE_CHECKING:
    from .github import Comment, Snapshot

CLAIM, STATUS = "[yt-claim]", "[yt-status]"
TRUSTED = ("OWNER", "MEMBER", "COLLABORATOR")
PATIENCE_SECS = 90.0  # for later bids to withdraw
STALE_SECS = 60.0  # for a read to show our own bid

_FIELD = re.compile(r"^(worker|system|run_id|timestamp|ttl|heartbeat|released|status):[ \t]*(.*?)[ \t]*$", re.MULTILINE)


class Forge(Protocol):
    """What the lease needs of GitHub."""

    def snapshot(self, issue: str, before: str | None = None) -> Snapshot:
        """One consistent read."""

    def comment(self, issue: str, body: str) -> Comment:
        """Post."""

    def edit_comment(self, comment: str, body: str) -> None:
        """Edit by id."""

    def delete_comment(self, comment: str) -> None:
        """Delete by id."""


class Clock(Protocol):
    """What the lease needs of time: seconds that do not stop in suspend, and a sleep that a stop can end."""

    def now(self) -> float:
        """CLOCK_BOOTTIME."""

    def wait(self, seconds: float) -> None:
        """Sleep; raises what the stop flag carries."""


@dataclass(frozen=True)
class Claim:
    """A claim comment. `beat` is when it was posted or last edited, by GitHub's clock."""

    comment: str
    run_id: str
    worker: str
    ttl: float
    created: float
    beat: float
    ended: bool  # released, or a [yt-status] names its run

    def dead(self, now: float) -> bool:
        """Whether it no longer holds the issue at GitHub's time `now`."""
        return self.ended or now - self.beat > self.ttl


def text(worker: str, system: str, run_id: str, timestamp: str, ttl: int, **more: str) -> str:
    """A claim comment (§6.1, then our `ttl:` and what `more` says)."""
    lines = [CLAIM, f"worker: {worker}", f"system: {system}", f"run_id: {run_id}", f"timestamp: {timestamp}"]
    lines += [f"ttl: {ttl}", *(f"{key}: {value}" for key, value in more.items())]
    return "\n".join(lines) + "\n"


def stamp() -> str:
    """Now, as claim comments carry it; for people, who see which clock it is: nothing is decided by it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def claims(comments: Iterable[Comment], default_ttl: float) -> list[Claim]:
    """The claims among `comments`, oldest first; only those of owners, members and collaborators count."""
    found: list[tuple[Comment, dict[str, str]]] = []
    ended: set[str] = set()
    for comment in comments:
        if comment.association not in TRUSTED or comment.first_line not in (CLAIM, STATUS):
            continue
        # The first of each name counts: further down a [yt-status] quotes what programs printed.
        fields = dict(reversed(_FIELD.findall(comment.body.replace("\r\n", "\n"))))
        if not fields.get("run_id"):
            continue
        if comment.first_line == STATUS:
            if fields.get("status"):
                ended.add(fields["run_id"])
        else:
            found.append((comment, fields))
    return [
        Claim(
            comment=comment.id,
            run_id=fields["run_id"],
            worker=fields.get("worker", ""),
            ttl=_number(fields.get("ttl"), default_ttl),
            created=comment.created,
            beat=max(comment.created, comment.edited),
            ended="released" in fields or fields["run_id"] in ended,
        )
        for comment, fields in found
    ]


def _number(text: str | None, default: float) -> float:
    return float(text) if text and text.isdigit() else default


def eligible(
    status: str | None, comments: Iterable[Comment], now: float, base: str, mark: str | None, ttl: float
) -> bool:
    """LOOK: ready with no live claim, or marked with a last claim that is dead (positive evidence)."""
    found = claims(comments, ttl)
    if any(not claim.dead(now) for claim in found):
        return False
    if status == base:
        return True
    return mark is not None and status == mark and bool(found)


def judge(snapshot: Snapshot, run_id: str, base: str, mark: str | None, seen: str, ttl: float) -> tuple[str, str]:
    """VERIFY: (`won` | `again` | `wait` | `withdraw`, why), from one read; `seen` is the status at LOOK."""
    if snapshot.more is None and len(snapshot.comments) < snapshot.total:
        return "again", "the list of comments is shorter than its count"
    found = claims(snapshot.comments, ttl)
    places = [place for place, claim in enumerate(found) if claim.run_id == run_id]
    if not places:
        return "again", "our bid is not visible yet"
    place = places[0]
    mine = found[place]
    now = mine.created
    if mine.ended:
        return "withdraw", "our bid was ended by somebody"
    if not snapshot.open:
        return "withdraw", "the issue was closed"
    if snapshot.status not in (base, mark):
        return "withdraw", f"the issue's status is {snapshot.status!r}"
    if mark is not None and seen == base and snapshot.status == mark and mark != base:
        return "withdraw", "another worker marked the issue"
    if any(not claim.dead(now) for claim in found[:place]):
        return "withdraw", "an earlier claim is live"
    later = found[place + 1 :]
    if any(not claim.dead(now) for claim in later):
        return "wait", "a later bid is live"
    if later:
        return "withdraw", "a dead claim follows ours, so ours is not the latest (§6.2)"
    return "won", ""


class Lease:
    """One run's claim on one issue."""

    def __init__(self, forge: Forge, clock: Clock, issue: str, run_id: str, ttl: int) -> None:
        self.forge, self.clock, self.issue, self.run_id, self.ttl = forge, clock, issue, run_id, ttl
        self.comment: str | None = None
        self.bid_at: float | None = None

    def bid(self, body: str) -> str:
        """BID: post the claim; returns the comment's id. Raises GitHubError; landed=None when it may be there."""
        self.comment = self.forge.comment(self.issue, body).id
        return self.comment

    def find_bid(self) -> str | None:
        """The id of this run's claim as GitHub shows it, for a bid whose answer was lost; None when it shows none."""
        self._recover(self.forge.snapshot(self.issue))
        return self.comment

    def verify(self, base: str, mark: str | None, seen: str) -> None:
        """VERIFY until the bid has won. Raises Lost (the caller withdraws)."""
        assert self.bid_at is not None
        while True:
            snapshot = self.forge.snapshot(self.issue)
            self._recover(snapshot)
            verdict, why = judge(snapshot, self.run_id, base, mark, seen, self.ttl)
            waited = self.clock.now() - self.bid_at
            if waited > self.ttl / 2:
                raise Lost(f"too long ago ({waited:.0f} s) to act on a bid")
            if verdict == "won":
                return
            if verdict == "withdraw":
                raise Lost(why)
            if waited > (STALE_SECS if verdict == "again" else PATIENCE_SECS):
                raise Lost(f"{why}, for {waited:.0f} s")
            self.clock.wait(random.uniform(1, 3) if verdict == "wait" else random.uniform(0.3, 1))  # noqa: S311

    def _recover(self, snapshot: Snapshot) -> None:
        """Learn the id of a bid whose answer was lost."""
        if self.comment is None:
            for claim in claims(snapshot.comments, self.ttl):
                if claim.run_id == self.run_id:
                    self.comment = claim.comment

    def withdraw(self) -> None:
        """Delete the own bid by its id; looks for it first when its answer was lost."""
        if self.comment or self.find_bid():
            assert self.comment
            self.forge.delete_comment(self.comment)
            self.comment = None

    def fence(self, allowed: Iterable[str | None] | None = None) -> Snapshot:
        """FENCE: raises Lost unless the claim is there and alive, the issue open, and its status among `allowed`."""
        snapshot = self.forge.snapshot(self.issue)
        mine = next((c for c in claims(snapshot.comments, self.ttl) if c.run_id == self.run_id), None)
        page = snapshot
        while mine is None and page.more:  # more than a hundred comments since the claim
            page = self.forge.snapshot(self.issue, page.more)
            mine = next((c for c in claims(page.comments, self.ttl) if c.run_id == self.run_id), None)
        if mine is None:
            raise Lost("our claim comment is gone")
        if mine.ended or mine.dead(snapshot.now):
            raise Lost("our claim is no longer alive")
        if not snapshot.open:
            raise Lost("somebody closed the issue")
        if allowed is not None and snapshot.status not in allowed:
            raise Lost(f"somebody moved the issue to {snapshot.status!r}")
        return snapshot

    def beat(self, body: str, forge: Forge | None = None) -> None:
        """HEARTBEAT: edit the own claim. Raises Lost when it is gone, GitHubError when GitHub fails."""
        assert self.comment
        try:
            (forge or self.forge).edit_comment(self.comment, body)
        except GitHubError as problem:
            if problem.kind == "NOT_FOUND":
                raise Lost("our claim comment was deleted") from None
            raise

    def resume(self, body: str, statuses: Iterable[str | None]) -> None:
        """RESUME of a run that MARKed: first edit the own claim, *then* read. Raises Lost.

        The claim must be there, alive and alone, the issue open, and its status one of `statuses`.
        """
        if self.comment is None:
            raise Lost("the run's claim comment is unknown")
        self.beat(body)
        snapshot = self.forge.snapshot(self.issue)
        found = claims(snapshot.comments, self.ttl)
        others = [claim for claim in found if claim.run_id != self.run_id and not claim.dead(snapshot.now)]
        if others:
            raise Lost(f"worker {others[0].worker} took the issue over (run {others[0].run_id})")
        if any(claim.ended for claim in found if claim.run_id == self.run_id):
            raise Lost("our claim was released")
        if not snapshot.open:
            raise Lost("somebody closed the issue")
        if snapshot.status not in statuses:
            raise Lost(f"somebody moved the issue to {snapshot.status!r}")

    def release(self, body: str) -> None:
        """Edit the own claim with `released:`; one that somebody deleted has said the same.

        The claim of a run that MARKed is never deleted: in progress without a claim would be stuck for ever.
        """
        try:
            if self.comment:
                self.forge.edit_comment(self.comment, body)
        except GitHubError as problem:
            if problem.kind != "NOT_FOUND":
                raise
