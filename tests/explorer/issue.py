"""The issue as GitHub keeps it: its status and its claims, in ticks of GitHub's clock.

Times are ages in ticks, so that a state never looks different only because it is later; beyond `CAP` all is alike.
"""

from typing import NamedTuple

from yt_fsm.github.client import Comment, Snapshot
from yt_fsm.github.lease import text

READY, MARKED, FINAL, PARKED = "ready", "in progress", "failed", "assessing"

TICK = 100  # seconds: more than the lease's patience, so within one tick nobody loses it
TTL = 200  # a claim is dead from its third silent tick on; half of it is over from the second on
SETTLE = 60.0
CAP = 5
NOW = 1_790_000_000.0

NOBODY = -1  # a claim whose run is over, or whose worker never knew


class Claim(NamedTuple):
    """A claim comment: whose current run's it is, how old, and how it ended ("" | released | status)."""

    owner: int
    created: int
    beat: int
    end: str = ""
    late: tuple[str, ...] = ()  # requests for it that were sent, are not answered, and may still land
    ttl: int = TTL
    freed: bool = False  # a person wrote `released:` into it, maybe written over since

    @property
    def dead(self) -> bool:
        """Whether it holds the issue no more, by GitHub's clock."""
        return bool(self.end) or self.beat * TICK > self.ttl


GONE = Claim(NOBODY, CAP, CAP, "status")


class Issue(NamedTuple):
    """One version of the issue; `late` are posts and card moves that may still land."""

    status: str = READY
    open: bool = True
    claims: tuple[Claim, ...] = ()
    late: tuple[tuple[str, object], ...] = ()

    def mine(self, worker: int) -> Claim | None:
        """The claim of a worker's current run."""
        return next((claim for claim in self.claims if claim.owner == worker), None)

    def changed(self, worker: int, **more: object) -> "Issue":
        """With another claim of this worker's."""
        return self._replace(claims=tuple(c._replace(**more) if c.owner == worker else c for c in self.claims))

    def carried_out(self, what: str, worker: int, ttl: int = TTL) -> tuple["Issue", bool]:
        """After a write of a worker's current run; whether it found what it writes to."""
        kind, _, detail = what.partition(" ")
        if kind == "move":
            return self._replace(status=detail), True
        if kind == "post":
            return self._replace(claims=(*self.claims, Claim(worker, 0, 0, ttl=ttl))), True
        if self.mine(worker) is None:
            return self, False
        if kind == "delete":
            return self._replace(claims=tuple(c for c in self.claims if c.owner != worker)), True
        if kind == "tell":  # [yt-status]
            return self.changed(worker, end="status"), True
        ended = "" if kind == "beat" else "released"
        if self.mine(worker).end == "status":  # type: ignore[union-attr] - looked for above
            ended = "status"
        return self.changed(worker, beat=0, end=ended, ttl=ttl), True

    def aged(self) -> "Issue":
        """A tick later. A card's move that did not land by now never does."""
        claims = tuple(c._replace(created=older(c.created), beat=older(c.beat)) for c in self.claims)
        return self._replace(claims=claims, late=tuple(item for item in self.late if item[0] == "post"))

    def abandoned(self, worker: int) -> "Issue":
        """After a worker's run is over: nobody knows its claim any more."""
        claims = tuple(c._replace(owner=NOBODY) if c.owner == worker else c for c in self.claims)
        late = tuple((kind, NOBODY if kind == "post" and who == worker else who) for kind, who in self.late)
        return self._replace(claims=claims, late=late)

    def canonical(self, bidding: tuple[bool, ...]) -> "Issue":
        """What is dead for good looks alike, and many such in a row like one; an age that nobody reads is no age."""
        kept: list[Claim] = []
        for claim in self.claims:
            if claim.owner == NOBODY and not claim.late and (claim.end or claim.beat == CAP):
                if kept and kept[-1] == GONE:
                    continue
                claim = GONE
            elif (claim.owner == NOBODY or not bidding[claim.owner]) and claim.created != claim.beat:
                claim = claim._replace(created=claim.beat)
            kept.append(claim)
        if len(self.late) > 1:
            return self._replace(claims=tuple(kept), late=tuple(sorted(self.late, key=repr)))
        return self._replace(claims=tuple(kept))


class Read(NamedTuple):
    """An answer to a query, as one worker sees it: each claim's (mine?, created, beat, end, ttl); ages at `age` ago."""

    status: str
    open: bool
    claims: tuple[tuple[bool, int, int, str, int], ...]
    age: int = 0  # how old the version is
    date: int = 0  # how long ago it was answered
    hole: bool = False  # the list lacks the first claim that is not ours, the count does not
    shared: bool = True  # all workers are one GitHub account

    def snapshot(self) -> Snapshot:
        """The same as the lease gets it."""
        comments: list[Comment] = []
        told: list[Comment] = []
        for number, (mine, created, beat, end, ttl) in enumerate(self.claims):
            run_id = "me" if mine else f"other-{number}"
            more = {"released": "now"} if end == "released" else {}
            body = text("w", "n300", run_id, "then", ttl, **more)
            author = "bot" if self.shared else "me" if mine else "another"
            comments.append(_comment(f"C-{run_id}", body, author, self.age + created, self.age + beat))
            if end == "status":
                words = f"[yt-status]\nstatus: failed\nrun_id: {run_id}\n"
                told.append(_comment(f"S-{run_id}", words, author, 0, 0))
        whole = [*comments, *told]
        total = len(whole)
        if self.hole:
            whole.remove(next(c for c in whole if c.id.startswith("C-other")))
        return Snapshot(self.open, "item", self.status, tuple(whole), total, NOW - self.date * TICK)


def _comment(id: str, body: str, author: str, created: int, edited: int) -> Comment:
    return Comment(id, 0, body, author, "MEMBER", NOW - created * TICK, NOW - edited * TICK)


def seen_by(issue: Issue, worker: int, shared: bool) -> Read:
    """The issue as it is now, as a worker reads it."""
    claims = tuple((claim.owner == worker, claim.created, claim.beat, claim.end, claim.ttl) for claim in issue.claims)
    return Read(issue.status, issue.open, claims, shared=shared)


def older(age: int) -> int:
    """An age one tick later."""
    return age + 1 if age < CAP else CAP
