"""A worker's way with one issue, around the real lease: what it asks GitHub next, and what it makes of the answer.

The order of the steps is that of `states/bringup` (ready, claimed, released), `publishing.py` and `recovery.py`;
each step is one call of `yt_fsm.github.lease`, and one request at most.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from yt_fsm.engine.errors import Lost, Unconfirmed
from yt_fsm.github import lease as leases
from yt_fsm.github.client import Comment, Snapshot, Written
from yt_fsm.github.errors import GitHubError

from .issue import CAP, FINAL, MARKED, NOW, READY, SETTLE, TICK, TTL, Read, older

MINE = "C-me"
RELEASED = "[yt-claim]\nrun_id: me\nreleased: by hand\n"


LAG = 1  # ticks that a replica may lag behind
UNKNOWN, NO_COMMENT = "unknown", "no such comment"  # answers that are errors


class Wrote(NamedTuple):
    """An edit's answer: how old it is, and whether a version of the claim carries a person's `released:`."""

    age: int
    freed: bool = False


class Age(int):
    """A time of the lease's, as ticks ago."""


class Held(NamedTuple):
    """A request that was sent `age` ticks ago; its answer has come when it is not None."""

    age: int
    answer: Any = None


class Worker(NamedTuple):
    """What a worker is about to do and all that it remembers.

    `lease` is the lease's own memory. `won`, `silent` and `superseded` are what only the explorer knows: it owns the
    issue, it did not beat for longer than its TTL meanwhile, and another has won since.
    """

    at: str = "look"
    power: str = "on"  # on | asleep | off
    seen: str = ""  # the status at LOOK
    back: str = ""  # where RESUME leads to
    lease: tuple[tuple[str, Any], ...] = ()
    since: int = 0  # how long it has been asking the same
    beaten: bool = False  # the heartbeat of this tick is done
    rested: bool = False  # it has looked, and waits for a change
    held: Held | None = None
    held_beat: Held | None = None
    stale: Read | None = None  # a version that a lagging replica may still show it
    won: bool = False
    silent: bool = False
    superseded: bool = False


class Waiting(BaseException):
    """The step has come to its request."""


class Bug(Exception):
    """The lease's code breaks."""


class Far:
    """GitHub and the clock, for one step: `answer` to its one request, which was sent `sent` ticks ago."""

    def __init__(self, sent: int, answer: Any) -> None:
        self.sent, self.answer = sent, answer
        self.asked = ""

    def now(self) -> float:
        return NOW if self.asked else NOW - self.sent * TICK

    def wait(self, seconds: float) -> None:
        raise AssertionError("a step never waits")

    def _ask(self, what: str) -> Any:
        assert not self.asked, "a step is one request"
        self.asked = what
        if self.answer is None:
            raise Waiting
        if self.answer == UNKNOWN:
            raise GitHubError("no answer", "NETWORK", landed=None)
        if self.answer == NO_COMMENT:
            raise GitHubError("gone", "NOT_FOUND")
        return self.answer

    def snapshot(self, issue: str, before: str | None = None) -> Snapshot:
        return self._ask("read").snapshot()

    def comment(self, issue: str, body: str) -> Comment:
        posted = NOW - self._ask("post") * TICK
        return Comment(MINE, 0, body, "", "", posted, posted)

    def edit_comment(self, comment: str, body: str) -> Written:
        wrote = self._ask(f"{'release' if 'released:' in body else 'beat'} {_whose(comment)}")
        versions = (("bot", body), *((("anna", RELEASED),) if wrote.freed else ()))
        return Written(NOW - wrote.age * TICK, versions)

    def read_comment(self, comment: str) -> Written | None:
        raise AssertionError("what a heartbeat reads first may be of old, and nothing rests on it")

    def delete_comment(self, comment: str) -> None:
        if self.answer == NO_COMMENT:  # as good, says GitHub.delete_comment
            self.asked = "delete"
        else:
            self._ask(f"delete {_whose(comment)}")

    def delete_last(self) -> None:
        if self.answer == NO_COMMENT:
            self.asked = "delete last"
        else:
            self._ask("delete last")

    def tell(self) -> None:
        self._ask("tell")

    def move(self, status: str) -> None:
        self._ask(f"move {status}")


def _whose(comment: str) -> str:
    return "mine" if comment == MINE else f"another's ({comment})"


class Outcome(NamedTuple):
    """What a step led to: the request that it waits for, or the worker after it and what is to be noted."""

    asks: str = ""
    worker: Worker | None = None
    note: str = ""  # won | passed | over


Step = Callable[[leases.Lease, Far, Worker], tuple[str, str]]


class Program:
    """The steps of a worker. Every outcome is computed once, by the real code, and then remembered."""

    def __init__(self, skew: int = 0, ttl: int = TTL) -> None:
        self.skew = skew  # ticks by which the poll's clock is ahead of GitHub's
        self.ttl = ttl
        self.body = leases.text("w", "n300", "me", "then", ttl)
        self._known: dict[Any, Outcome] = {}
        self.ran = 0

    def next(self, worker: Worker, sent: int = 0, answer: Any = None, beating: bool = False) -> Outcome:
        """What the worker's next step asks for (no `answer` yet), or where it leads."""
        key = (worker, sent, answer, beating)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._run(worker, sent, answer, beating)
            self.ran += 1
        return known

    def _run(self, worker: Worker, sent: int, answer: Any, beating: bool) -> Outcome:
        far = Far(sent, answer)
        lease = remembered(far, worker.lease, self.ttl)
        note, beaten = "", worker.beaten
        try:
            if beating:
                at, beaten = worker.at, self._beat(lease)
            else:
                at, note = getattr(self, "_" + worker.at.replace(" ", "_"))(lease, far, worker)
        except Waiting:
            return Outcome(asks=far.asked)
        except Lost:
            at = self.lost(worker)
        except Unconfirmed:
            at, worker = "before", worker if worker.at in RESUME else worker._replace(back=RESUMED[worker.at])
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as bug:
            raise Bug(f"a worker dies of {bug!r} in `{worker.at}`") from bug
        except GitHubError:
            at = worker.at if beating else self.unanswered(worker)
        if at == "over":
            return Outcome(worker=Worker(power=worker.power), note="over")
        if worker.at in ENDING and at == "release":
            worker = worker._replace(back=worker.at)  # its verdict stands: the release is tried once
        after = worker._replace(
            at=at,
            seen=far.answer.status if worker.at == "look" and at == "bid" else worker.seen,
            lease=memory_of(lease, at),
            since=worker.since if at == worker.at else 0,
            beaten=beaten,
            rested=worker.rested if beating else at == worker.at,
            held=None if not beating or at != worker.at else worker.held,
            held_beat=None if beating or at in ("release", "withdraw") else worker.held_beat,
            won=(worker.won or note == "won") and at not in LEAVING,
        )
        return Outcome(worker=after, note=note)

    def lost(self, worker: Worker) -> str:
        """Where Lost leads: a bid is withdrawn, a claim is released, a verdict that stands is not published."""
        if worker.at in ("bid", "seek bid", "verify"):
            return "withdraw" if self.knows(worker) else "seek withdraw"
        if worker.at in ("withdraw", "seek withdraw"):
            return "over"
        return "release"

    def unanswered(self, worker: Worker) -> str:
        """Where a write leads of which nobody knows whether it landed."""
        if worker.at == "release" and worker.back in ENDING:
            return "over"  # the loss is on record, and the claim dies by itself
        return {"bid": "seek bid", "mark": "seek mark", "end": "seek end", "tell": "seek tell"}.get(
            worker.at, worker.at
        )

    @staticmethod
    def knows(worker: Worker) -> bool:
        """Whether the worker knows its claim's id."""
        return dict(worker.lease).get("comment") is not None

    def crashed(self, worker: Worker) -> Worker:
        """After `kill -9`: what its journal remembers."""
        at, back = worker.at, worker.back
        comment = dict(worker.lease).get("comment")
        if at in ("bid", "seek bid", "verify", "withdraw", "seek withdraw"):
            at = "withdraw" if comment and at != "seek withdraw" else "seek withdraw"
        elif at in RESUMED:
            at, back = "before", RESUMED[at]
        elif at in RESUME:
            at = "before"
        lease = (("comment", comment),) if comment else ()
        return Worker(at, "off", back=back, lease=lease, won=worker.won, silent=worker.silent, stale=worker.stale,
                      superseded=worker.superseded)  # fmt: skip

    # --- LOOK, BID, VERIFY, WITHDRAW

    def _look(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        found = far.snapshot("issue")
        now = far.now() + self.skew * TICK
        can = leases.eligible(found.status, found.comments, now, READY, MARKED, self.ttl) and found.open
        return ("bid" if can else "look"), ""

    def _bid(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        lease.bid(self.body)
        return "verify", ""

    def _seek_bid(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        if lease.find_bid():
            return "verify", ""
        if settled(worker):
            lease.bid(self.body)  # raises Lost
        return worker.at, ""

    def _verify(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        if lease.look_at_bid(READY, MARKED, worker.seen):
            return worker.at, ""
        return "fence mark", "won"

    def _withdraw(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        lease.withdraw()
        return "over", ""

    def _seek_withdraw(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        if lease.find_bid():
            return "withdraw", ""
        return ("over" if settled(worker) else worker.at), ""

    # --- MARK, HEARTBEAT, END, RELEASE

    def _fence_mark(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        return self._fence(lease, far, worker, "mark", READY, MARKED)

    def _mark(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        far.move(MARKED)
        return "work", ""

    def _seek_mark(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        return self._seek(far.snapshot("issue").status == MARKED, worker, "work", "fence mark")

    def _fence_end(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        return self._fence(lease, far, worker, "end", MARKED, READY, FINAL)

    def _end(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        far.move(FINAL)
        return "fence tell", ""

    def _seek_end(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        return self._seek(far.snapshot("issue").status == FINAL, worker, "fence tell", "fence end")

    def _fence_tell(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        return self._fence(lease, far, worker, "tell", FINAL)

    def _tell(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        far.tell()
        return "over", ""

    def _seek_tell(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        told = any(c.first_line == leases.STATUS and "run_id: me\n" in c.body for c in far.snapshot("issue").comments)
        return self._seek(told, worker, "over", "fence tell")

    def _release(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        if lease.settling():
            return worker.at, ""
        lease.release(self.body + "released: now\n")
        return "over", ""

    def _fence(self, lease: leases.Lease, far: Far, worker: Worker, then: str, *allowed: str) -> tuple[str, str]:
        if lease.look_at_claim(NOW - worker.since * TICK, allowed):
            return worker.at, ""
        return then, "passed"

    @staticmethod
    def _seek(found: bool, worker: Worker, then: str, again: str) -> tuple[str, str]:
        """How `effects` goes on: looked for until it shows, or its absence counts."""
        return (then if found else again if settled(worker) else worker.at), ""

    def _beat(self, lease: leases.Lease) -> bool:
        lease.beat(self.body)
        return True

    # --- RESUME

    def _before(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        return (worker.at if lease.look_before(NOW - worker.since * TICK, self._left_at(worker)) else "revive"), ""

    def _revive(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        try:
            return ("others" if lease.revive(NOW - worker.since * TICK, self.body) else worker.at), ""
        except GitHubError:
            return worker.at, ""  # the run waits, and is resumed later

    def _others(self, lease: leases.Lease, far: Far, worker: Worker) -> tuple[str, str]:
        if lease.look_for_others(NOW - worker.since * TICK, self._left_at(worker)):
            return worker.at, ""
        return worker.back, "passed"

    @staticmethod
    def _left_at(worker: Worker) -> set[str | None]:
        """The statuses that the card may have by what the run did."""
        return {READY, MARKED} | ({FINAL} if worker.back in ENDING else set())


OWNING = ("fence mark", "mark", "seek mark", "work", "fence end", "end", "seek end", "fence tell", "tell", "seek tell")
ENDING = OWNING[4:]
RESUME = ("before", "revive", "others")
LEAVING = ("withdraw", "seek withdraw", "release")
# Where a run goes on after RESUME: an effect that was begun is looked for first.
RESUMED = {at: at for at in OWNING} | {at: f"seek {at}" for at in ("mark", "end", "tell")}


def settled(worker: Worker) -> bool:
    """Whether what was not seen since is not there."""
    return worker.since * TICK > SETTLE


_GIVEN = ("forge", "clock", "issue", "run_id", "ttl", "settle")


def remembered(far: Far, memory: tuple[tuple[str, Any], ...], ttl: int) -> leases.Lease:
    """A lease that remembers this."""
    lease = leases.Lease(far, far, "issue", "me", ttl, SETTLE)
    for name, value in memory:
        if isinstance(value, Age):
            value = NOW - value * TICK
        elif isinstance(value, frozenset):
            value = set(value)
        setattr(lease, name, value)
    return lease


def memory_of(lease: leases.Lease, at: str) -> tuple[tuple[str, Any], ...]:
    """All that a lease remembers, whatever that is, with its times as ages."""
    kept = []
    for name, value in vars(lease).items():
        if name in _GIVEN:
            continue
        if name == "doubt" and value is not None and NOW - value > SETTLE:
            continue
        if name == "bid_at" and at in OWNING and at != "fence mark":
            continue  # nobody asks for it any more
        if isinstance(value, float):
            value = Age(min(CAP, round((NOW - value) / TICK)))
        elif isinstance(value, set):
            value = frozenset(value)
        if value not in (None, False, frozenset()) or isinstance(value, Age):
            kept.append((name, value))
    return tuple(kept)


def aged(worker: Worker) -> Worker:
    """A tick later. What was remembered when a request was sent stays older than the request."""
    cap = 2 * CAP if worker.held or worker.held_beat else CAP
    lease = tuple((name, Age(min(cap, value + 1)) if isinstance(value, Age) else value) for name, value in worker.lease)
    return worker._replace(
        lease=lease,
        since=older(worker.since) if worker.at != "look" else 0,
        beaten=False,
        rested=False,
        held=_held_aged(worker.held),
        held_beat=_held_aged(worker.held_beat),
        stale=worker.stale._replace(age=1) if worker.stale and worker.stale.age < LAG else None,
    )


def _held_aged(held: Held | None) -> Held | None:
    if held is None:
        return None
    answer = held.answer
    if isinstance(answer, Read):
        answer = answer._replace(age=older(answer.age), date=older(answer.date))
    elif isinstance(answer, Wrote):
        answer = answer._replace(age=older(answer.age))
    elif isinstance(answer, int) and not isinstance(answer, bool):
        answer = older(answer)
    return Held(older(held.age), answer)
