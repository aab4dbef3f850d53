"""The lease: a claim comment on an issue, so that one worker owns it at a time (§6).

§6.2 taken literally ("the latest `[yt-claim]` is mine") admits two winners: A posts and verifies, then B, which
listed the issue earlier, posts and verifies. So its condition is kept as necessary and one is added that makes it
sufficient: a bid wins only as the *sole live claim, which is also the latest*.

    LOOK      nobody bids where a live claim is visible
    BID       post the claim, once, and keep its id
    VERIFY    one consistent read decides: won, ask again, wait, or withdraw
    MARK      the Project Status says `in progress`
    HEARTBEAT read the own claim, then edit it, every TTL/3, and read in the edit's answer who has the issue; a loss,
              or TTL without an edit that GitHub confirmed, stops what the run does
    FENCE     before each outward step: the claim is alive, nobody has the issue since, and it never was silent
              for longer than its TTL: else RESUME first
    WITHDRAW  delete the own bid, by its id
    END       terminal status first, then the `[yt-status]` comment, which kills the claim
    RESUME    look, edit the own claim, look: the first look only refuses, and the second only allows the sole live
              claim, which is also the latest
    RELEASE   edit the own claim with `released:`, once the last heartbeat has landed
    KEEP      edit the own claim with `unpublished:`: it lives until the work is published, or a person ends it

Silence proves nothing by itself: a run is Unconfirmed then, and has lost only when RESUME is refused (faults W6).

Safe: let A and B both win, A's bid committed first. B's VERIFY read contains B's bid, so also A's, which A never
deletes after winning and which is live; so B was not alone. RESUME is the same with an edit in the bid's place: of a
bid and an edit, the later one's read shows the earlier. Live: among live bids the earliest never withdraws and all
others do at their next read. It rests on three things. A read that shows one's own write shows every write before
it: a list shorter than its `totalCount`, and a read that does not show the write, are asked for again. A live owner
edits its claim within its TTL; that it did is checked, by GitHub's own timestamps, when it goes on after a silence,
and then it does RESUME. A request without an answer lands soon or never, where it moves a card.

What a person writes is obeyed: a claim that ever carried `released:` is released, also where a heartbeat was faster
than its own read and wrote over it; the edit's answer shows the comment's versions, and the person's text is put back.

All times are GitHub's, except for patience. Every step here is one request; `verify`, `fence` and
`resume` repeat theirs while the answer decides nothing. `tests/explorer` drives these steps through all that can
happen between them.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from yt_fsm.engine.clock import Clock
from yt_fsm.engine.errors import Lost, Unconfirmed

from .errors import GitHubError

if TYPE_CHECKING:  # what the commands that only read need not pay for
    from typing import Protocol

    from .client import Comment, Snapshot, Written

    class Forge(Protocol):
        """What the lease needs of GitHub."""

        def snapshot(self, issue: str, before: str | None = None) -> Snapshot:
            """One consistent read."""

        def comment(self, issue: str, body: str) -> Comment:
            """Post."""

        def edit_comment(self, comment: str, body: str) -> Written:
            """Edit by id; what it was and is."""

        def read_comment(self, comment: str) -> Written | None:
            """Read by id, maybe of old."""

        def delete_comment(self, comment: str) -> None:
            """Delete by id."""


CLAIM, STATUS = "[yt-claim]", "[yt-status]"
TRUSTED = ("OWNER", "MEMBER", "COLLABORATOR")
PATIENCE_SECS = 90.0  # for later bids to withdraw
SETTLE_SECS = 60.0  # for a read to show our own writes

_NUMBER = re.compile(r"[0-9]{1,9}")
_FIELD = re.compile(r"^(worker|system|run_id|timestamp|ttl|heartbeat|released|unpublished|status):(.*)$", re.MULTILINE)


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
    told: bool = False  # a [yt-status] names its run
    unpublished: bool = False  # its work is done and could not be published: nobody is to do it again (faults W14)

    def dead(self, now: float) -> bool:
        """Whether it no longer holds the issue at GitHub's time `now`."""
        return self.ended or (not self.unpublished and now - self.beat > self.ttl)

    @property
    def kept(self) -> bool:
        """Whether its run edited it, which only a run does that believes that it owns the issue."""
        return self.beat > self.created or self.unpublished


def text(worker: str, system: str, run_id: str, timestamp: str, ttl: int, **more: str) -> str:
    """A claim comment (§6.1, then our `ttl:` and what `more` says)."""
    lines = [CLAIM, f"worker: {worker}", f"system: {system}", f"run_id: {run_id}", f"timestamp: {timestamp}"]
    lines += [f"ttl: {ttl}", *(f"{key}: {value}" for key, value in more.items())]
    return "\n".join(lines) + "\n"


def stamp() -> str:
    """Now, as claim comments carry it; for people, who see which clock it is: nothing is decided by it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def ttl_range() -> tuple[int, int]:
    """The shortest and the longest life that a claim may have, in seconds; a lab is in a hurry."""
    return (1 if os.environ.get("YTFSM_LAB") else 60), 86_400


def fields_of(body: str) -> dict[str, str]:
    """What a claim or status comment says. The first of each name counts: a [yt-status] quotes programs further on."""
    found = _FIELD.findall(body.replace("\r\n", "\n"))
    return {name: value.strip(" \t") for name, value in reversed(found)}


def claims(comments: Iterable[Comment], default_ttl: float) -> list[Claim]:
    """The claims among `comments`, oldest first; only those of owners, members and collaborators count."""
    found: list[tuple[Comment, dict[str, str]]] = []
    ended: set[str] = set()
    for comment in comments:
        if comment.association not in TRUSTED or comment.first_line not in (CLAIM, STATUS):
            continue
        fields = fields_of(comment.body)
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
            told=fields["run_id"] in ended,
            unpublished="unpublished" in fields,
        )
        for comment, fields in found
    ]


def _number(text: str | None, default: float) -> float:
    """A claim's `ttl:`; one that no worker may have counts as the default."""
    shortest, longest = ttl_range()
    return float(text) if text and _NUMBER.fullmatch(text) and shortest <= int(text) <= longest else default


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


def verdict_of(
    snapshot: Snapshot,
    run_id: str,
    base: str,
    mark: str | None,
    seen: str,
    ttl: float,
    comment: str | None = None,
) -> tuple[str, str]:
    """VERIFY: (`won` | `again` | `wait` | `withdraw`, why), from one read.

    `seen` is the status at LOOK; our bid is `comment`, or the claim of `run_id` when its id is not known.
    """
    if _short(snapshot):
        return "again", "the list of comments is shorter than its count"
    found = claims(snapshot.comments, ttl)
    mine = own(found, run_id, comment)
    if mine is None:
        return "again", "our bid is not visible yet"
    place, now = found.index(mine), mine.created
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


def own(found: list[Claim], run_id: str, comment: str | None) -> Claim | None:
    """Our claim among those `found`: by its id when we know it, as two machines may draw the same run id."""
    return next((c for c in found if (c.comment == comment if comment else c.run_id == run_id)), None)


def overtaken(comments: Iterable[Comment], comment: str, ttl: float) -> None:
    """HEARTBEAT, last: raise Lost where the newest comments show that another run holds, or held, the issue since.

    A bid behind the claim `comment` that nobody edited withdraws by itself; that one is the fence's to ask about.
    """
    found = list(comments)
    place = next((n for n, one in enumerate(found) if one.id == comment), -1)  # -1: all of them are later
    for claim in claims(found[place + 1 :], ttl):
        if claim.kept:
            raise Lost(f"worker {claim.worker} took the issue over (run {claim.run_id})")


def moved(status: str | None) -> Lost:
    """The loss of an issue whose card is not where the run left it."""
    return Lost(f"somebody moved the issue to {status!r}" if status else "somebody took the issue off the board")


def _told(comments: Iterable[Comment], after: str) -> list[str]:
    """The runs whose [yt-status] stands behind the comment `after`."""
    behind = False
    found = []
    for comment in comments:
        if behind and comment.first_line == STATUS and comment.association in TRUSTED:
            found += [run] if (run := fields_of(comment.body).get("run_id")) else []
        behind = behind or comment.id == after
    return found


def _short(snapshot: Snapshot) -> bool:
    """Whether the list lacks comments that its count promises: a read that mixes old and new."""
    return len(snapshot.comments) < snapshot.total


class Lease:
    """One run's claim on one issue; `settle` is how many seconds reads may lag behind our writes."""

    def __init__(
        self, forge: Forge, clock: Clock, issue: str, run_id: str, ttl: int, settle: float = SETTLE_SECS
    ) -> None:
        self.forge, self.clock, self.issue, self.run_id = forge, clock, issue, run_id
        self.ttl, self.settle = ttl, settle
        self.comment: str | None = None
        self.bid_at: float | None = None  # by our clock, before the bid was sent
        self.sent: float | None = None  # by our clock, before the last write that GitHub has confirmed was sent
        self.shown: float | None = None  # by GitHub's clock, when that write landed
        self.doubt: float | None = None  # by our clock, when an edit was begun or given up that may land later
        self._kept: str | None = None  # a person's `released:`, to put back: an edit of ours may land over it
        self._just_won = False
        self._accepted: set[str | None] = set()  # statuses of fences that we have passed

    # --- BID, VERIFY, WITHDRAW

    def bid(self, body: str) -> Comment:
        """BID: post the claim, once; returns the comment.

        Raises GitHubError, landed=None when it may be there; Lost on a second call, as the first may still land.
        """
        if self.bid_at is not None:
            raise Lost("our bid did not arrive")
        self.bid_at = self.clock.now()
        posted = self.forge.comment(self.issue, body)
        self.comment = posted.id
        return posted

    def find_bid(self) -> str | None:
        """The id of this run's claim as GitHub shows it, for a bid whose answer was lost; None when it shows none."""
        mine = self._mine(self._read())
        if mine:
            self.comment = mine.comment
        return self.comment

    def verify(self, base: str, mark: str | None, seen: str) -> None:
        """VERIFY until the bid has won. Raises Lost (the caller withdraws)."""
        while pause := self.look_at_bid(base, mark, seen):
            self.clock.wait(pause)

    def look_at_bid(self, base: str, mark: str | None, seen: str) -> float:
        """One VERIFY: 0 when the bid has won, else the seconds until the next look. Raises Lost."""
        assert self.bid_at is not None
        snapshot = self._read()
        mine = self._mine(snapshot)
        if mine:
            self.comment = mine.comment
        word, why = verdict_of(snapshot, self.run_id, base, mark, seen, self.ttl, self.comment)
        waited = self.clock.now() - self.bid_at
        if waited > self.ttl / 2:
            raise Lost(f"too long ago ({waited:.0f} s) to act on a bid")
        if word == "won":
            assert mine
            self.sent, self.shown = self.bid_at, mine.beat
            self._just_won = True
            self._accepted |= {base, mark}
            return 0.0
        if word == "withdraw":
            raise Lost(why)
        if waited > (self.settle if word == "again" else PATIENCE_SECS):
            raise Lost(f"{why}, for {waited:.0f} s")
        return random.uniform(1, 3) if word == "wait" else random.uniform(0.3, 1)  # noqa: S311 - jitter

    def withdraw(self) -> None:
        """Delete the own bid by its id; looks for it first when its answer was lost."""
        if self.comment or self.find_bid():
            assert self.comment
            self.forge.delete_comment(self.comment)
            self.comment = None

    # --- an owner's steps

    def fence(self, allowed: Iterable[str | None] | None = None) -> None:
        """FENCE: raises Lost unless the claim is ours and alive, the issue open, and its status among `allowed`.

        Raises Unconfirmed where the claim ever was silent for longer than its TTL, and nobody is seen to have it since.

        Right after a win it costs nothing: the read that won is not TTL/2 old yet.
        """
        since = self.clock.now()
        while pause := self.look_at_claim(since, allowed):
            self.clock.wait(pause)

    def look_at_claim(self, since: float, allowed: Iterable[str | None] | None = None) -> float:
        """One FENCE: 0 when it is passed, else the seconds until the next look. Raises Lost, or Unconfirmed.

        What a read older than our own writes explains (no claim yet, a status that we have moved on from) is not
        believed until it has stayed so for `settle` seconds since `since`.
        """
        if self._just_won:
            self._just_won = False
            if self.silence() > self.ttl / 2:
                raise Lost(f"too long ago ({self.silence():.0f} s) to act on a bid")
            return 0.0
        snapshot = self._read()
        mine = self._mine(snapshot)
        if mine is None:
            return self._ask_again(since, "our claim comment is gone")
        if _short(snapshot):
            return self._ask_again(since, "the list of comments is shorter than its count")
        if mine.ended:
            raise Lost("our claim is no longer alive")
        if pause := self._unless_taken(snapshot, mine, since):
            return pause
        if allowed is not None and snapshot.status not in (known := set(allowed)):
            if snapshot.status in self._accepted:
                return self._ask_again(since, str(moved(snapshot.status)))
            raise moved(snapshot.status)
        if mine.dead(snapshot.now):
            raise self._unconfirmed(f"GitHub shows no edit of our claim for {snapshot.now - mine.beat:.0f} s")
        self._never_silent(mine.beat)
        self._accepted |= known if allowed is not None else set()
        return 0.0

    def heed(self, forge: Forge | None = None) -> None:
        """HEARTBEAT, first: read what is to be written over. Raises Lost when a person wrote `released:` into it."""
        assert self.comment
        found = (forge or self.forge).read_comment(self.comment)
        if found:
            self._obey(found)

    def beat(self, body: str, forge: Forge | None = None) -> Written:
        """HEARTBEAT: edit the own claim; returns what the edit's answer shows of it and of its issue.

        Raises Lost when it is gone or was released by a person, Unconfirmed when it was silent for longer than its TTL,
        GitHubError when GitHub fails.
        """
        assert self.comment
        self._awake()  # a claim that may have been taken over is not to look alive again
        sent, before = self.clock.now(), self.doubt
        self.doubt = sent
        try:
            written = (forge or self.forge).edit_comment(self.comment, body)
        except GitHubError as problem:
            self.doubt = before if problem.landed is not None else self.clock.now()
            if problem.kind == "NOT_FOUND":
                raise Lost("our claim comment was deleted") from None
            raise
        self.doubt = before
        self._obey(written)
        self._never_silent(written.at)
        self.sent, self.shown = sent, written.at
        return written

    def silence(self) -> float:
        """Seconds since the newest write to the claim that GitHub has confirmed, at most."""
        return 0.0 if self.sent is None else self.clock.now() - self.sent

    def settling(self) -> float:
        """Seconds until no edit of the own claim that was left without an answer can land any more."""
        return 0.0 if self.doubt is None else max(0.0, self.doubt + self.settle - self.clock.now())

    def release(self, body: str) -> None:
        """Edit the own claim with `released:`, after every edit that may still land (faults T3).

        A claim that somebody deleted has said the same; where a person wrote `released:`, that text stands.
        The claim of a run that MARKed is never deleted: in progress without a claim would be stuck for ever.
        """
        while left := self.settling():
            self.clock.wait(min(left, 3.0))
        body = body if self._kept is None else self._kept
        try:
            if self.comment:
                self.forge.edit_comment(self.comment, body)
        except GitHubError as problem:
            if problem.kind != "NOT_FOUND":
                raise

    def keep(self, body: str) -> None:
        """KEEP: edit the own claim with `unpublished:`. Raises Lost when it is gone or was released by a person."""
        assert self.comment
        while left := self.settling():
            self.clock.wait(min(left, 3.0))
        try:
            self._obey(self.forge.edit_comment(self.comment, body))
        except GitHubError as problem:
            if problem.kind == "NOT_FOUND":
                raise Lost("our claim comment was deleted") from None
            raise

    def resume(self, body: str, statuses: Iterable[str | None]) -> None:
        """RESUME of a run that MARKed: look, edit the own claim, look. Raises Lost (the caller releases).

        Before the edit nobody may have, or have had, the issue since, and no person have ended the claim; so a claim
        that has lost is not made to look alive again (faults W15). After it the claim must be the sole live one and
        the latest. Both times the issue must be open and its status one of `statuses`.
        Raises GitHubError when GitHub does not answer, Unconfirmed when this machine slept meanwhile: nothing is known
        then, and nothing may be done.
        """
        if self.comment is None:
            raise Lost("the run's claim comment is unknown")
        known = set(statuses)
        since = self.clock.now()
        while pause := self.look_before(since, known):
            self.clock.wait(pause)
        since = self.clock.now()
        while not self.revive(since, body):
            self.clock.wait(random.uniform(1, 3))  # noqa: S311 - jitter
        since = self.clock.now()
        while pause := self.look_for_others(since, known):
            self.clock.wait(pause)

    def look_before(self, since: float, statuses: set[str | None]) -> float:
        """The first read of RESUME: 0 when the own claim may be edited, else the seconds to the next. Raises Lost."""
        snapshot = self._read()
        mine = self._mine(snapshot)
        if mine is None:
            return self._ask_again(since, "our claim comment is gone")
        if _short(snapshot):
            return self._ask_again(since, "the list of comments is shorter than its count")
        if mine.ended:
            raise Lost("our claim was released")
        if pause := self._unless_taken(snapshot, mine, since):
            return pause
        if snapshot.status not in statuses:
            raise moved(snapshot.status)
        self.sent = self.shown = None  # how silent it was matters no more: what comes next decides
        return 0.0

    def revive(self, since: float, body: str) -> bool:
        """Edit the own claim; False when nobody knows whether that landed, which for `settle` seconds is no error."""
        try:
            self.beat(body)
        except GitHubError as problem:
            if problem.landed is not None or self.clock.now() - since > self.settle:
                raise
            return False
        return True

    def look_for_others(self, since: float, statuses: set[str | None]) -> float:
        """The second read of RESUME: 0 when the run may go on, else the seconds until the next look. Raises Lost."""
        assert self.shown is not None
        snapshot = self._read()
        found = claims(snapshot.comments, self.ttl)
        mine = self._mine(snapshot)
        if mine is None or mine.beat < self.shown or _short(snapshot):
            return self._ask_again(since, "GitHub does not show our heartbeat")
        for claim in found[: found.index(mine)]:
            if not claim.dead(snapshot.now):
                raise Lost(f"worker {claim.worker} took the issue over (run {claim.run_id})")
        if mine.ended:
            raise Lost("our claim was released")
        if pause := self._unless_taken(snapshot, mine, since):
            return pause
        if snapshot.status not in statuses:
            raise moved(snapshot.status)
        if mine.dead(snapshot.now):
            raise self._unconfirmed(f"GitHub shows no edit of our claim for {snapshot.now - mine.beat:.0f} s")
        self._never_silent(mine.beat)
        self._accepted |= statuses
        return 0.0

    # --- what the steps share

    def _read(self) -> Snapshot:
        """The issue with all its comments, which come a hundred a page."""
        page = snapshot = self.forge.snapshot(self.issue)
        while page.more:
            page = self.forge.snapshot(self.issue, page.more)
            snapshot = replace(snapshot, comments=page.comments + snapshot.comments, more=page.more)
        return snapshot

    def _mine(self, snapshot: Snapshot) -> Claim | None:
        return own(claims(snapshot.comments, self.ttl), self.run_id, self.comment)

    def _unless_taken(self, snapshot: Snapshot, mine: Claim, since: float) -> float:
        """Raise Lost where another run has or had the issue since our claim, or a person closed it.

        A later bid withdraws by itself: for PATIENCE_SECS since `since` it is asked about again (> 0, seconds).
        """
        found = claims(snapshot.comments, self.ttl)
        before, later = found[: found.index(mine)], found[found.index(mine) + 1 :]
        for claim in later:
            if not claim.dead(snapshot.now):
                if self.clock.now() - since > PATIENCE_SECS:
                    raise Lost(f"worker {claim.worker} took the issue over (run {claim.run_id})")
                return random.uniform(1, 3)  # noqa: S311 - jitter
        if later:
            raise Lost(f"worker {later[-1].worker} held the issue meanwhile (run {later[-1].run_id})")
        known = {mine.run_id, *(claim.run_id for claim in before)}
        if told := [run for run in _told(snapshot.comments, mine.comment) if run not in known]:
            raise Lost(f"run {told[-1]} held the issue meanwhile")
        if not snapshot.open:
            raise Lost("somebody closed the issue")
        return 0.0

    def _obey(self, written: Written) -> None:
        """Raise Lost when a version of the own claim carries `released:`, which none of ours did so far."""
        for who, body in written.versions:
            if "released" in fields_of(body):
                self._kept = body
                raise Lost(f"{who} released our claim")

    def _ask_again(self, since: float, why: str) -> float:
        if self.clock.now() - since > self.settle:
            raise Lost(why)
        return random.uniform(0.3, 1)  # noqa: S311 - jitter

    def _never_silent(self, beat: float) -> None:
        """Raise Unconfirmed if the claim, last edited at `beat`, was silent beyond its TTL before or since."""
        if self.shown is not None and beat - self.shown > self.ttl:
            raise self._unconfirmed(f"our claim was silent for {beat - self.shown:.0f} s")
        self._awake()

    def _awake(self) -> None:
        """Raise Unconfirmed if nobody confirmed an edit for longer than the claim lives: a machine that slept, say."""
        if self.silence() > self.ttl:
            raise self._unconfirmed(f"no edit of our claim was confirmed for {self.silence():.0f} s")

    def _unconfirmed(self, why: str) -> Unconfirmed:
        words = f"{why}, and it lives for {self.ttl}: the issue may have been taken over"
        return Unconfirmed(words, self.clock.now() - self.silence())
