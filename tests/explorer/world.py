"""What can happen next: every worker's every step, time, the faults that are allowed; and what must hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from .issue import FINAL, MARKED, NOBODY, PARKED, READY, TICK, TTL, Claim, Issue, Read, seen_by
from .worker import NO_COMMENT, OWNING, RESUME, UNKNOWN, Held, Outcome, Program, Worker, Wrote, aged

TIME = "time passes"
CLOSE, PARK, END_A_BID, END_A_CLAIM = "close it", "park it", "end a bid", "end the owner's claim"
DELETE_A_CLAIM, RELEASE_A_CLAIM = "delete the owner's claim", "release the owner's claim"
CLOCKED = (
    "verify",
    "fence mark",
    "fence end",
    "fence tell",
    "before",
    "others",
    "revive",
    "bid",
)  # they look at the clock
ISSUED = ("bid", "revive")  # they look at it before they send, too


class Left(NamedTuple):
    """How many of each fault may still happen."""

    crashes: int = 0
    sleeps: int = 0
    hangs: int = 0  # a write without an answer: it landed, lands later, or never
    lags: int = 0  # a worker's replica stays behind at this version
    requeues: int = 0  # a person sets a finished issue to ready again
    persons: int = 0  # a person does one of the configuration's `deeds`


class State(NamedTuple):
    """The issue, the workers, and the faults that are left."""

    issue: Issue
    workers: tuple[Worker, ...]
    left: Left


class Move(NamedTuple):
    """One thing that happens: who does what; `fair` ones go on happening without faults. `broken` says what broke."""

    who: int  # NOBODY: time, a person, a late request
    what: str
    fair: bool
    to: State
    broken: str = ""
    order: tuple[int, ...] = ()  # which worker of before each of `to`'s workers is, where they changed places


NO_FAULTS = Left()


@dataclass(frozen=True)
class Configuration:
    """What is explored."""

    name: str
    workers: int
    left: Left = NO_FAULTS
    abandoned: bool = False  # the issue is in progress, its claim long dead
    shared_login: bool = True
    holes: bool = False  # lists may lack a comment that their count promises
    deeds: tuple[str, ...] = ()
    skews: tuple[int, ...] = ()  # ticks by which the workers' clocks are ahead of GitHub's
    ttls: tuple[int, ...] = ()  # how long the workers' claims live, where that is not TTL
    lively: bool = True  # whether somebody must win in whatever order turns are taken

    def start(self) -> State:
        """Before anything happened."""
        issue = Issue(MARKED, claims=(Claim(NOBODY, 5, 5),)) if self.abandoned else Issue()
        return State(issue.canonical(()), (Worker(),) * self.workers, self.left)


class Rules:
    """What can happen in one configuration; `programs` are the workers' ways, the real lease's by default."""

    def __init__(self, configuration: Configuration, program: type[Program] = Program) -> None:
        self.given = configuration
        skews = configuration.skews + (0,) * (configuration.workers - len(configuration.skews))
        ttls = configuration.ttls + (TTL,) * (configuration.workers - len(configuration.ttls))
        kinds = list(zip(skews, ttls, strict=True))
        made = {kind: program(*kind) for kind in kinds}
        self.programs = [made[kind] for kind in kinds]
        self._alike = len(made) == 1  # workers that only differ in their number are one
        self._numbers: dict[Worker, int] = {}

    # --- moves

    def moves(self, state: State) -> Iterator[Move]:
        """Everything that can happen next."""
        for move in self._raw(state):
            after = move.to
            changed = not move.what.endswith(TIME) and _seen_differs(state.issue, after.issue)
            if changed:
                after = _noticed(after)
            yield self._canonical(move, after)
            if changed and state.left.lags:
                for who, worker in enumerate(after.workers):
                    if worker.stale is None:
                        me = who if worker.at != "look" else NOBODY - 1  # the claim of a run that is over is not mine
                        stale = seen_by(state.issue, me, self.given.shared_login)
                        less = after._replace(left=_less(after.left, "lags"))
                        behind = _with(less, who, worker._replace(stale=stale))
                        words = f"{move.what}, which a replica does not show worker @{who}"
                        yield self._canonical(Move(move.who, words, False, behind, move.broken), behind)

    def _raw(self, state: State) -> Iterator[Move]:
        for who, worker in enumerate(state.workers):
            woken = worker if worker.power == "on" else worker._replace(power="on")
            fair = worker.power == "on"
            for move in self._steps(state, who, woken):
                yield move if fair else move._replace(fair=False)
            if state.left.crashes and worker.at != "look" and worker.power != "off":
                again = self.programs[who].crashed(worker)._replace(power="on")
                less = state._replace(left=state.left._replace(crashes=state.left.crashes - 1))
                for move in self._steps(_with(less, who, again), who, again):
                    yield move._replace(fair=False, what=f"dies in `{worker.at}` and is started again; {move.what}")
        yield from self._late(state)
        yield from self._persons(state)
        yield from self._ticks(state)

    def _steps(self, state: State, who: int, worker: Worker) -> Iterator[Move]:
        if worker.held is not None:
            yield from self._request(state, who, worker, worker.held)
        elif worker.at == "work":
            yield self._to(state, who, worker._replace(at="fence end", since=0), "has finished its work")
        else:
            if not worker.rested:
                yield from self._request(state, who, worker, None)
            yield from self._bad_reads(state, who, worker)
        if worker.held_beat is not None:
            yield from self._request(state, who, worker, worker.held_beat, beating=True)
        elif _beats(worker):
            yield from self._request(state, who, worker, None, beating=True)

    def _request(
        self, state: State, who: int, worker: Worker, held: Held | None, beating: bool = False
    ) -> Iterator[Move]:
        """Carry out a worker's next request and let it go on; or only the second, when the answer is there."""
        program, left = self.programs[who], state.left
        if held is not None and held.answer is not None:
            then = program.next(worker, held.age, held.answer, beating)
            yield self._after(state, who, then, "the answer of before", answer=held.answer)
            return
        asked = program.next(worker, beating=beating)
        if asked.worker is not None:
            yield self._after(state, who, asked, "goes on")
            return
        sent = held.age if held else 0
        issue, answer, broken = self._served(state, who, asked.asks)
        then = program.next(worker, sent, answer, beating)
        yield self._after(state._replace(issue=issue), who, then, asked.asks, broken=broken, answer=answer)
        if left.sleeps and (beating or worker.at in CLOCKED):
            slot = "held_beat" if beating else "held"
            fallen = worker._replace(power="asleep", **{slot: Held(sent, answer)})
            less = state._replace(issue=issue, left=left._replace(sleeps=left.sleeps - 1))
            yield self._to(less, who, fallen, f"{worker.at}: {asked.asks}, and falls asleep", fair=False)
        if asked.asks == "read":
            return
        if left.hangs:
            less = left._replace(hangs=left.hangs - 1)
            unanswered = program.next(worker, sent, UNKNOWN, beating)
            lost = state._replace(issue=issue, left=less)
            yield self._after(lost, who, unanswered, f"{asked.asks}, and gets no answer", fair=False, broken=broken)
            late = self._hung(state, who, asked.asks)
            if late is not None:
                late = late._replace(left=less)
                yield self._after(late, who, unanswered, f"{asked.asks} hangs", fair=False)
        if left.crashes:
            dead = program.crashed(worker)
            less = state._replace(issue=issue, left=left._replace(crashes=left.crashes - 1))
            yield self._to(less, who, dead, f"{worker.at}: {asked.asks}, and dies", fair=False)

    def _bad_reads(self, state: State, who: int, worker: Worker) -> Iterator[Move]:
        """Answers of a lagging replica, and of one that lost a comment."""
        program = self.programs[who]
        if (worker.stale is None and not self.given.holes) or program.next(worker).asks != "read":
            return
        now = seen_by(state.issue, who, self.given.shared_login)
        if worker.stale is not None and worker.stale != now:
            then = program.next(worker, 0, worker.stale)
            yield self._after(state, who, then, "read of old", fair=False, answer=worker.stale)
        if self.given.holes and any(not mine for mine, *_ in now.claims):
            hole = now._replace(hole=True)
            then = program.next(worker, 0, hole)
            yield self._after(state, who, then, "read with a hole", fair=False, answer=hole)

    def _served(self, state: State, who: int, what: str) -> tuple[Issue, Any, str]:
        """GitHub carries a request out: the issue after it, the answer, and what that breaks."""
        issue = state.issue
        if what == "read":
            return issue, seen_by(issue, who, self.given.shared_login), ""
        if "another's" in what:
            return issue, 0, f"a worker did `{what}` to another's claim"
        if what == "delete last":
            return self._last_deleted(issue, who)
        after, found = issue.carried_out(what.removesuffix(" mine"), who, self.programs[who].ttl)
        mine = issue.mine(who)
        answer = Wrote(0, bool(mine and mine.freed)) if what.startswith(("beat", "release")) else 0
        return after, answer if found else NO_COMMENT, ""

    def _last_deleted(self, issue: Issue, who: int) -> tuple[Issue, Any, str]:
        """`--delete-last`: the last comment of the worker's account goes, which with a shared one may be another's."""
        of_account = [c for c in issue.claims if self.given.shared_login or c.owner == who]
        if not of_account:
            return issue, NO_COMMENT, ""
        gone = of_account[-1]
        broken = "" if gone.owner == who else "a worker deleted another's claim"
        return issue._replace(claims=tuple(c for c in issue.claims if c is not gone)), 0, broken

    def _hung(self, state: State, who: int, what: str) -> State | None:
        """A write that is under way and may land later; None where that is as good as never."""
        issue = state.issue
        kind, _, detail = what.partition(" ")
        if kind in ("post", "move"):
            item = ("post", who) if kind == "post" else ("move", detail)
            return state._replace(issue=issue._replace(late=(*issue.late, item)))
        mine = issue.mine(who)
        if mine is None or "another's" in what:
            return None
        return state._replace(issue=issue.changed(who, late=(*mine.late, kind)))

    def _late(self, state: State) -> Iterator[Move]:
        issue = state.issue
        for place, (kind, what) in enumerate(issue.late):
            rest = issue._replace(late=issue.late[:place] + issue.late[place + 1 :])
            if kind == "post":
                ttl = self.programs[int(what)].ttl if int(what) >= 0 else TTL
                landed = rest._replace(claims=(*rest.claims, Claim(int(what), 0, 0, ttl=ttl)))
            else:
                landed = rest._replace(status=str(what))
            yield self._by_nobody(state._replace(issue=landed), f"a {kind} that hung lands")
        for place, claim in enumerate(issue.claims):
            for kind in claim.late:
                late = list(claim.late)
                late.remove(kind)
                alone = issue._replace(claims=(claim._replace(owner=99, late=tuple(late)),))
                after, _ = alone.carried_out(kind, 99, claim.ttl)
                claims = tuple(c._replace(owner=claim.owner) for c in after.claims)
                claims = issue.claims[:place] + claims + issue.claims[place + 1 :]
                yield self._by_nobody(state._replace(issue=issue._replace(claims=claims)), f"a {kind} that hung lands")

    # --- persons, time

    def _persons(self, state: State) -> Iterator[Move]:
        issue, left = state.issue, state.left
        if left.requeues and issue.status == FINAL:
            less = state._replace(left=left._replace(requeues=left.requeues - 1))
            yield self._by_nobody(less._replace(issue=issue._replace(status=READY)), "a person sets it to ready again")
        if not left.persons:
            return
        less = state._replace(left=left._replace(persons=left.persons - 1))
        for deed in self.given.deeds:
            for done in self._done(issue, deed, state.workers):
                yield self._by_nobody(less._replace(issue=done), f"a person decides to {deed}")

    @staticmethod
    def _done(issue: Issue, deed: str, workers: tuple[Worker, ...]) -> Iterator[Issue]:
        """The issue after a person's deed, where there is occasion for it."""
        if deed == CLOSE and issue.open:
            yield issue._replace(open=False)
        elif deed == PARK and issue.status in (READY, MARKED):
            yield issue._replace(status=PARKED)
        elif deed == END_A_BID:
            for claim in issue.claims:
                if claim.owner >= 0 and not claim.end and not workers[claim.owner].won:
                    yield issue.changed(claim.owner, end="status")
        elif deed == END_A_CLAIM and issue.status == MARKED:
            for claim in issue.claims:
                # Between a win and its MARK nobody looks again: that window is an instant's.
                if claim.owner >= 0 and not claim.end and workers[claim.owner].at in OWNING[2:]:
                    yield issue.changed(claim.owner, end="status")
        elif deed == RELEASE_A_CLAIM:
            for claim in issue.claims:
                if claim.owner >= 0 and not claim.end and workers[claim.owner].at in (*OWNING[2:], *RESUME):
                    yield issue.changed(claim.owner, end="released", freed=True)
        elif deed == DELETE_A_CLAIM and issue.status == MARKED:
            for claim in issue.claims:
                if claim.owner >= 0 and workers[claim.owner].won:
                    yield issue._replace(claims=tuple(c for c in issue.claims if c is not claim))

    def _ticks(self, state: State) -> Iterator[Move]:
        """A tick of the clock, through which those who still have something to do sleep, or are dead."""
        issue = state.issue.aged()
        ways: list[tuple[Left, tuple[Worker, ...], tuple[str, ...]]] = [(state.left, (), ())]
        for who, worker in enumerate(state.workers):
            if worker.power != "on" or _waits(worker):
                ways = [(left, (*before, worker), words) for left, before, words in ways]
                continue
            options = self._absences(who, worker)
            ways = [
                (_less(left, fault), (*before, absent), (*words, f"worker @{who} {how}"))
                for left, before, words in ways
                for fault, absent, how in options
                if getattr(left, fault)
            ]
        for left, workers, words in ways:
            after = []
            for who, worker in enumerate(workers):
                later, mine = aged(worker), issue.mine(who)
                if later.won and mine is not None and mine.beat * TICK > mine.ttl:
                    later = later._replace(silent=True)
                after.append(later)
            what = "; ".join([*words, TIME])
            yield Move(NOBODY, what, not words, State(issue, tuple(after), left))

    def _absences(self, who: int, worker: Worker) -> list[tuple[str, Worker, str]]:
        """How a worker that has something to do may miss a tick: (fault, the worker then, words)."""
        if worker.at == "look":
            return []
        asleep = worker._replace(power="asleep")
        found = [("crashes", self.programs[who].crashed(worker), "is dead"), ("sleeps", asleep, "sleeps")]
        if worker.at in ISSUED and worker.held is None:
            found.append(("sleeps", asleep._replace(held=Held(0)), "sleeps while it sends"))
        if _beats(worker) and worker.held_beat is None:
            found.append(("sleeps", asleep._replace(held_beat=Held(0)), "sleeps while it sends its heartbeat"))
        return found

    # --- what a move leads to, and what must hold

    def _after(
        self,
        state: State,
        who: int,
        outcome: Outcome,
        what: str,
        fair: bool = True,
        broken: str = "",
        answer: Any = None,
    ) -> Move:
        worker = outcome.worker
        assert worker is not None, what
        was = state.workers[who]
        if isinstance(answer, Wrote) and answer.freed and worker.won:
            broken = broken or "a worker writes over a person's `released:` and goes on"
        if outcome.note in ("won", "passed"):
            broken = broken or self._acts(state, who, was, outcome.note, answer)
            if was.at == "others":
                worker = worker._replace(silent=False)  # an owner again, after a look at all that happened
        workers = state.workers
        if outcome.note == "won":
            workers = tuple(w._replace(superseded=True) if w.won else w for w in workers)
        issue = state.issue.abandoned(who) if outcome.note == "over" else state.issue
        label = f"{was.at}: {what}" + (f" -> {worker.at}" if worker.at != was.at else "")
        return self._to(state._replace(issue=issue, workers=workers), who, worker, label, fair, broken)

    def _acts(self, state: State, who: int, was: Worker, note: str, answer: Any) -> str:
        """What is wrong with a worker's winning, or passing a fence, now."""
        others = [n for n, w in enumerate(state.workers) if n != who and w.won and not w.silent]
        others = [n for n in others if not (mine := state.issue.mine(n)) or not (mine.end or mine.freed)]
        if note == "won":
            if others:
                return "two owners at a time"
            return self._rightly_won(answer)
        if was.superseded:
            return "a worker acts on an issue that another has won since"
        if isinstance(answer, Read) and not _left_alone(answer):
            return "a worker acts on an issue that a person took away from it"
        return "two owners at a time" if others else ""

    def _rightly_won(self, read: Any) -> str:
        if not read.claims[-1][0]:
            return "a win without the latest [yt-claim] (§6.2)"
        if not read.open or read.status not in (READY, MARKED):
            return "a win of an issue that a person took out of the queue"
        mine = read.claims[-1]
        if mine[3]:
            return "a win with a bid that somebody ended"
        return ""

    def _to(self, state: State, who: int, worker: Worker, what: str, fair: bool = True, broken: str = "") -> Move:
        return Move(who, what, fair, _with(state, who, worker), broken)

    def _by_nobody(self, state: State, what: str) -> Move:
        return Move(NOBODY, what, False, state)

    def _canonical(self, move: Move, to: State) -> Move:
        after, order = self.canonical(to)
        return Move(move.who, move.what, move.fair, after, move.broken, order)

    def canonical(self, state: State) -> tuple[State, tuple[int, ...]]:
        """One of all states that differ only in what cannot matter; and who stands where, if they changed places."""
        bidding = tuple(w.at in ("bid", "seek bid", "verify") for w in state.workers)
        issue = state.issue.canonical(bidding)
        workers = state.workers
        if not self._alike or len(workers) == 1:
            return State(issue, workers, state.left), ()
        numbers = self._numbers
        places = {claim.owner: place for place, claim in enumerate(issue.claims)}
        posts = [who for kind, who in issue.late if kind == "post"]
        keys = [
            (numbers.setdefault(worker, len(numbers)), places.get(who, -1), posts.count(who))
            for who, worker in enumerate(workers)
        ]
        order = tuple(sorted(range(len(workers)), key=keys.__getitem__))
        if order == tuple(range(len(workers))):
            return State(issue, workers, state.left), ()
        new = {old: place for place, old in enumerate(order)}
        claims = tuple(c._replace(owner=new[c.owner]) if c.owner >= 0 else c for c in issue.claims)
        late = tuple(sorted(((k, new.get(who, who) if k == "post" else who) for k, who in issue.late), key=repr))
        issue = issue._replace(claims=claims, late=late)
        return State(issue, tuple(workers[old] for old in order), state.left), order


def _with(state: State, who: int, worker: Worker) -> State:
    """With another worker in one's place."""
    return state._replace(workers=(*state.workers[:who], worker, *state.workers[who + 1 :]))


def _less(left: Left, fault: str) -> Left:
    return left._replace(**{fault: getattr(left, fault) - 1})


def _beats(worker: Worker) -> bool:
    """Whether a heartbeat is due."""
    return worker.at in OWNING and worker.at != "fence mark" and not worker.beaten


def _left_alone(read: Read) -> bool:
    """Whether an owner may think so: open, and its claim there and not ended."""
    mine = [end for mine, _, _, end, _ in read.claims if mine]
    return read.open and read.status != PARKED and mine == [""]


def _seen_differs(was: Issue, now: Issue) -> bool:
    """Whether a reader could tell."""
    if now is was:
        return False
    told = [(issue.status, issue.open, [claim[:4] for claim in issue.claims]) for issue in (was, now)]
    return told[0] != told[1]


def _noticed(state: State) -> State:
    """When the issue has changed, everybody looks again before long."""
    return state._replace(workers=tuple(w._replace(rested=False) if w.rested else w for w in state.workers))


def _waits(worker: Worker) -> bool:
    """Whether time may pass for this worker: it is off, or has nothing to do before the next tick."""
    if worker.power != "on":
        return True
    if worker.at == "work":
        return worker.beaten and worker.held_beat is None
    return worker.rested and worker.held is None
