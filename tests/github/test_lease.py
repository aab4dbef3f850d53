"""The lease: what counts as a claim, who may bid, who has won, and who has to stop (the claim protocol)."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yt_fsm.engine.errors import Lost, Unconfirmed
from yt_fsm.github import lease
from yt_fsm.github.client import Comment, Snapshot, Written
from yt_fsm.github.errors import GitHubError
from yt_fsm.github.lease import Lease, claims, eligible, text, verdict_of

TTL = 3600.0
T0 = 1_790_000_000.0


def comment(body: str, at: float = 0.0, edited: float | None = None, by: str = "MEMBER", number: int = 0) -> Comment:
    created = T0 + at
    last = created if edited is None else T0 + edited
    return Comment(f"C{number or body}", number, body, "bot", by, created, last)


def claim(run_id: str, at: float = 0.0, edited: float | None = None, by: str = "MEMBER", **more: str) -> Comment:
    body = text("w", "n300", run_id, "2026-11-22T03:41:07Z", 3600, **more)
    return dataclasses.replace(comment(body, at, edited, by), id=f"C-{run_id}")


def ended(run_id: str, at: float = 0.0, by: str = "MEMBER") -> Comment:
    return comment(f"[yt-status]\nstatus: failed\nrun_id: {run_id}\n\nIt did not work.\n", at, by=by)


def snapshot(*comments: Comment, status: str | None = "ready", is_open: bool = True, **more: Any) -> Snapshot:
    told = {"total": len(comments), "now": T0 + 100, "item": "I", **more}
    return Snapshot(open=is_open, status=status, comments=comments, **told)


# --- what a claim is


def test_a_claim_comment_has_the_specs_lines_and_then_ours() -> None:
    """§6.1."""
    assert text("bench-7", "n300", "run-1", "2026-11-22T03:41:07Z", 3600, heartbeat="later") == (
        "[yt-claim]\nworker: bench-7\nsystem: n300\nrun_id: run-1\ntimestamp: 2026-11-22T03:41:07Z\nttl: 3600\n"
        "heartbeat: later\n"
    )


def test_a_claim_is_read_back_as_it_was_written() -> None:
    (found,) = claims([claim("run-1", at=10, edited=40)], TTL)
    assert found == lease.Claim("C-run-1", "run-1", "w", 3600.0, T0 + 10, T0 + 40, ended=False)


WORKER = st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20)


@given(worker=WORKER, ttl=st.integers(60, 86_400), crlf=st.booleans())
def test_any_worker_name_survives_the_round_trip_through_crlf(worker: str, ttl: int, crlf: bool) -> None:
    body = text(worker, "lb", "run-1", "now", ttl)
    (found,) = claims([comment(body.replace("\n", "\r\n") if crlf else body)], 1.0)
    assert (found.worker, found.run_id, found.ttl) == (worker, "run-1", float(ttl))


@pytest.mark.parametrize(
    "body",
    [
        " [yt-claim]\nrun_id: a",
        "[yt-claim] \nrun_id: a",
        "> [yt-claim]\nrun_id: a",
        "I saw\n[yt-claim]\nrun_id: a",
        "[YT-CLAIM]\nrun_id: a",
        "[yt-claim]",
        "[yt-claim]\nrun_id:",
        "[yt-claim]\nrun_id:   \nworker: w",
        "",
    ],
)
def test_what_is_not_exactly_a_claim_is_none(body: str) -> None:
    assert claims([comment(body)], TTL) == []


@pytest.mark.parametrize("by", ["OWNER", "MEMBER", "COLLABORATOR"])
def test_those_who_may_claim(by: str) -> None:
    assert len(claims([claim("a", by=by)], TTL)) == 1
    assert claims([claim("a"), ended("a", by=by)], TTL)[0].ended


@pytest.mark.parametrize("by", ["CONTRIBUTOR", "FIRST_TIME_CONTRIBUTOR", "NONE", "MANNEQUIN", ""])
def test_a_strangers_claim_and_status_do_not_count(by: str) -> None:
    assert claims([claim("a", by=by)], TTL) == []
    assert not claims([claim("a"), ended("a", by=by)], TTL)[0].ended


def test_a_claim_without_a_ttl_has_the_default_one() -> None:
    (found,) = claims([comment("[yt-claim]\nworker: x\nsystem: n300\nrun_id: a\ntimestamp: now")], 77.0)
    assert found.ttl == 77.0
    (found,) = claims([comment("[yt-claim]\nrun_id: a\nttl: soon")], 77.0)
    assert found.ttl == 77.0


@pytest.mark.parametrize("ttl", ["0", "1", "59", "86401", "²", "٣٦٠٠", "9" * 5000, "1e3", "-60", "60.0", "0x60"])
def test_a_life_that_no_claim_may_have_counts_as_the_default(ttl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YTFSM_LAB", raising=False)
    (found,) = claims([comment(f"[yt-claim]\nrun_id: a\nttl: {ttl}")], 77.0)
    assert found.ttl == 77.0


def test_a_lab_is_in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YTFSM_LAB", "somewhere")
    (found,) = claims([comment("[yt-claim]\nrun_id: a\nttl: 1")], 77.0)
    assert found.ttl == 1.0


def test_a_claim_dies_by_silence_by_release_or_by_a_status() -> None:
    fresh, beaten, released = claims([claim("a"), claim("b", edited=3000), claim("c", released="now")], TTL)
    assert not fresh.dead(T0 + 3600)
    assert fresh.dead(T0 + 3600.1)
    assert not beaten.dead(T0 + 6600)
    assert beaten.dead(T0 + 6600.1)
    assert released.dead(T0)
    assert claims([claim("a"), ended("a")], TTL)[0].dead(T0)


def test_a_status_names_the_run_that_it_ends() -> None:
    found = claims([claim("a"), claim("b"), ended("b")], TTL)
    assert [c.ended for c in found] == [False, True]


def test_a_status_comment_needs_its_status() -> None:
    assert not claims([claim("a"), comment("[yt-status]\nrun_id: a\n")], TTL)[0].ended


def test_what_a_log_quoted_in_a_comment_says_is_not_the_comments_own_field() -> None:
    """A terminal comment carries the last lines of programs that nobody reviewed."""
    quoting = comment(
        "[yt-status]\nstatus: failed\nrun_id: a\n\n```\nrun_id: b\nstatus:\nreleased: now\n```\n\nworker: w · journal\n"
    )
    found = claims([claim("a"), claim("b"), quoting], TTL)
    assert [(c.run_id, c.ended) for c in found] == [("a", True), ("b", False)]


# --- LOOK


@pytest.mark.parametrize(
    ("status", "comments", "expected"),
    [
        ("ready", [], True),
        ("ready", [claim("a")], False),
        ("ready", [claim("a"), ended("a")], True),
        ("ready", [claim("a", released="now")], True),
        ("ready", [claim("a", at=-4000)], True),
        ("ready", [claim("a", at=-9000, edited=-100)], False),
        ("ready", [claim("a", at=-4000), claim("b")], False),
        ("in progress", [], False),
        ("in progress", [claim("a", at=-4000)], True),
        ("in progress", [claim("a")], False),
        ("in progress", [claim("a"), ended("a")], True),
        ("in progress", [comment("hello")], False),
        ("failed", [], False),
        ("done", [claim("a", at=-4000)], False),
        ("setup error", [], False),
        (None, [], False),
    ],
)
def test_who_may_bid(status: str | None, comments: list[Comment], expected: bool) -> None:
    assert eligible(status, comments, T0, "ready", "in progress", TTL) is expected


def test_without_a_mark_only_the_base_can_be_claimed() -> None:
    assert eligible("in review", [], T0, "in review", None, TTL)
    assert not eligible("in progress", [claim("a", at=-4000)], T0, "in review", None, TTL)


# --- VERIFY


def verdict(given: Snapshot, seen: str = "ready", mark: str | None = "in progress", base: str = "ready") -> str:
    return verdict_of(given, "me", base, mark, seen, TTL)[0]


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (snapshot(claim("me")), "won"),
        (snapshot(comment("hello"), claim("me"), comment("nice")), "won"),
        (snapshot(claim("old", at=-4000), claim("me")), "won"),
        (snapshot(claim("old"), ended("old"), claim("me")), "won"),
        (snapshot(), "again"),
        (snapshot(claim("other")), "again"),
        (snapshot(claim("me"), total=2), "again"),
        (snapshot(claim("other"), claim("me")), "withdraw"),
        (snapshot(claim("me"), claim("other")), "wait"),
        (snapshot(claim("me"), claim("other", released="now")), "withdraw"),
        (snapshot(claim("me"), claim("other"), ended("other")), "withdraw"),
        (snapshot(claim("me", released="now")), "withdraw"),
        (snapshot(claim("me"), ended("me")), "withdraw"),
        (snapshot(claim("me"), status="failed"), "withdraw"),
        (snapshot(claim("me"), status=None), "withdraw"),
        (snapshot(claim("me"), status="in progress"), "withdraw"),
        (snapshot(claim("me"), is_open=False), "withdraw"),
        (snapshot(claim("me"), claim("other", by="NONE")), "won"),
        (snapshot(claim("other", by="NONE"), claim("me")), "won"),
    ],
)
def test_one_read_decides_a_bid(given_: Snapshot, expected: str) -> None:
    assert verdict(given_) == expected


def test_an_issue_that_a_dead_worker_marked_can_be_won() -> None:
    taken = snapshot(claim("dead", at=-4000), claim("me"), status="in progress")
    assert verdict(taken, seen="in progress") == "won"
    assert verdict(taken, seen="ready") == "withdraw", "somebody marked it since we looked"


def test_the_specs_literal_rule_would_have_two_winners() -> None:
    """§6.2 alone: each of the two is the latest claim when it verifies. Here the second one is refused."""
    first = snapshot(claim("a", at=0))
    both = snapshot(claim("a", at=0), claim("b", at=1))
    assert verdict_of(first, "a", "ready", "in progress", "ready", TTL)[0] == "won"
    assert verdict_of(both, "b", "ready", "in progress", "ready", TTL)[0] == "withdraw"


def test_claims_are_dead_by_githubs_clock_not_ours() -> None:
    """The reference is when our own bid was created, so a wrong local clock changes nothing."""
    assert verdict(snapshot(claim("old", at=0), claim("me", at=3601))) == "won"
    assert verdict(snapshot(claim("old", at=0), claim("me", at=3599))) == "withdraw"


@given(
    ages=st.lists(st.tuples(st.integers(-8000, 0), st.booleans()), max_size=5),
    place=st.integers(0, 5),
    status=st.sampled_from(["ready", "in progress", "failed", None]),
)
def test_a_bid_wins_only_as_the_sole_live_claim_which_is_also_the_latest(
    ages: list[tuple[int, bool]], place: int, status: str | None
) -> None:
    others = [claim(f"o{n}", at, **({"released": "x"} if gone else {})) for n, (at, gone) in enumerate(ages)]  # type: ignore[arg-type]
    place = min(place, len(others))
    bids = [*others[:place], claim("me"), *others[place:]]
    if verdict(snapshot(*bids, status=status)) == "won":
        assert status == "ready"
        live = [c.run_id for c in claims(bids, TTL) if not c.dead(T0)]
        assert live == ["me"]
        assert claims(bids, TTL)[-1].run_id == "me"


# --- a lease at work


class Clock:
    """Waits by moving on."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


class Forge:
    """Answers reads from a list; the last one for ever."""

    def __init__(self, *reads: Snapshot) -> None:
        self.reads = list(reads)
        self.deleted: list[str] = []
        self.edits: list[tuple[str, str]] = []
        self.fault: Exception | None = None
        self.versions: list[tuple[str, str]] = []

    def snapshot(self, issue: str, before: str | None = None) -> Snapshot:
        return self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]

    def comment(self, issue: str, body: str) -> Comment:
        raise AssertionError

    def edit_comment(self, comment: str, body: str) -> Written:
        if self.fault:
            raise self.fault
        self.edits.append((comment, body))
        self.versions.insert(0, ("bot", body))
        return Written(T0 + 50, tuple(self.versions))

    def read_comment(self, comment: str) -> Written | None:
        return Written(T0, tuple(self.versions)) if self.versions else None

    def delete_comment(self, comment: str) -> None:
        self.deleted.append(comment)


@pytest.fixture
def held() -> Callable[..., Lease]:
    def make(*reads: Snapshot, ttl: int = 3600) -> Lease:
        made = Lease(Forge(*reads), Clock(), "issue", "me", ttl)
        made.bid_at = made.clock.now()
        return made

    return make


def test_a_stale_read_is_asked_again(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(), snapshot(), snapshot(claim("me")))
    lease_.verify("ready", "in progress", "ready")
    assert len(lease_.clock.waits) == 2  # type: ignore[attr-defined]


def test_a_bid_that_stays_invisible_is_lost_after_a_minute(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot())
    with pytest.raises(Lost, match="our bid is not visible yet, for 6"):
        lease_.verify("ready", "in progress", "ready")


def test_a_later_bid_is_waited_for_with_patience(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("me"), claim("other")), snapshot(claim("me")))
    lease_.verify("ready", "in progress", "ready")
    (waited,) = lease_.clock.waits  # type: ignore[attr-defined]
    assert 1 <= waited <= 3


def test_patience_ends(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("me"), claim("other")))
    with pytest.raises(Lost, match="a later bid is live, for 9"):
        lease_.verify("ready", "in progress", "ready")


def test_a_win_is_not_acted_upon_when_it_comes_too_late(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("me")), ttl=100)
    lease_.bid_at = lease_.clock.now() - 51
    with pytest.raises(Lost, match="too long ago"):
        lease_.verify("ready", "in progress", "ready")


def test_a_bid_whose_answer_was_lost_is_found_by_its_run_id(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("other", released="x"), claim("me")))
    lease_.verify("ready", "in progress", "ready")
    assert lease_.comment == "C-me"


def test_withdrawing_deletes_the_own_claim_by_its_id(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("me"), claim("other")), snapshot(claim("other")))
    lease_.withdraw()
    lease_.withdraw()
    assert lease_.forge.deleted == ["C-me"]  # type: ignore[attr-defined]


def test_there_is_nothing_to_withdraw_where_no_bid_arrived(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("other")))
    lease_.withdraw()
    assert lease_.forge.deleted == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        (snapshot(claim("other"), status="in progress"), "our claim comment is gone"),
        (snapshot(claim("me", released="x"), status="in progress"), "no longer alive"),
        (snapshot(claim("me"), ended("me"), status="in progress"), "no longer alive"),
        (snapshot(claim("me"), status="in progress", is_open=False), "somebody closed the issue"),
        (snapshot(claim("me"), status="done"), "somebody moved the issue to 'done'"),
        (snapshot(claim("me"), claim("other"), status="in progress"), "took the issue over .run other"),
        (snapshot(claim("me"), claim("other", released="x"), status="in progress"), "held the issue meanwhile"),
        (snapshot(claim("me"), ended("other"), status="in progress"), "run other held the issue meanwhile"),
        (snapshot(claim("me"), status="in progress", total=2), "shorter than its count"),
    ],
)
def test_the_fence_stops_who_no_longer_owns_the_issue(held: Callable[..., Lease], given_: Snapshot, words: str) -> None:
    with pytest.raises(Lost, match=words):
        held(given_).fence(["in progress"])


def test_silence_is_no_loss_to_the_fence_and_evidence_is(held: Callable[..., Lease]) -> None:
    """Faults W6: not confirmed, and somebody else has it, are two things."""
    silent = claim("me", at=-4000)
    with pytest.raises(Unconfirmed, match="GitHub shows no edit of our claim for 4100 s, and it lives for 3600"):
        held(snapshot(silent, status="in progress")).fence(["in progress"])
    for taken in (snapshot(silent, claim("other"), ended("other")), snapshot(silent, status="done")):
        with pytest.raises(Lost):
            held(taken).fence(["in progress"])


def test_a_claim_that_looks_alive_again_after_a_silence_is_not_believed(held: Callable[..., Lease]) -> None:
    """A machine that slept for a day: its claim may have been taken over meanwhile."""
    lease_ = held(snapshot(claim("me", at=-9000, edited=90), status="in progress"))
    lease_.comment, lease_.shown = "C-me", T0 - 9000
    with pytest.raises(Unconfirmed, match="our claim was silent for 9090 s"):
        lease_.fence(["in progress"])


def test_a_silent_claim_is_taken_up_again_by_looking_editing_and_looking(held: Callable[..., Lease]) -> None:
    alive = snapshot(claim("me", edited=50), status="in progress")
    lease_ = held(snapshot(claim("me", at=-9000), status="in progress"), alive)
    lease_.comment, lease_.sent, lease_.shown = "C-me", lease_.clock.now() - 9000, T0 - 9000
    lease_.resume("body", ["in progress"])
    lease_.fence(["in progress"])
    assert lease_.forge.edits == [("C-me", "body")]  # type: ignore[attr-defined]


# --- another's claim, as a heartbeat's own answer shows it


@pytest.mark.parametrize(
    ("comments", "taken"),
    [
        ([claim("old", edited=90), claim("me")], False),
        ([claim("me"), comment("hello")], False),
        ([claim("me"), claim("other")], False),
        ([claim("me"), claim("other", edited=60)], True),
        ([claim("me"), claim("other", edited=60, released="x")], True),
        ([claim("me"), claim("other", edited=60, by="NONE")], False),
        ([comment("hello"), claim("other", edited=60)], True),
    ],
)
def test_a_later_claim_that_its_run_kept_is_evidence_and_a_late_bid_is_not(
    comments: list[Comment], taken: bool
) -> None:
    """Faults W3. In the last case our claim is further back than the answer shows."""
    if taken:
        with pytest.raises(Lost, match=r"worker w took the issue over .run other"):
            lease.overtaken(comments, "C-me", TTL)
    else:
        lease.overtaken(comments, "C-me", TTL)


# --- work that could not be published


def test_a_claim_whose_work_is_unpublished_lives_until_a_person_or_its_end(held: Callable[..., Lease]) -> None:
    """Faults W14: six whole paid bringups of one issue in 110 s."""
    stuck = claim("a", at=-90_000, unpublished="the branch is protected")
    freed = claim("a", at=-90_000, unpublished="the branch is protected", released="yes")
    for status in ("ready", "in progress"):
        assert not eligible(status, [stuck], T0, "ready", "in progress", TTL)
        assert eligible(status, [freed], T0, "ready", "in progress", TTL)
        assert eligible(status, [stuck, ended("a")], T0, "ready", "in progress", TTL)
    assert verdict(snapshot(stuck, claim("me"))) == "withdraw"


def test_an_unpublished_claim_is_edited_after_every_edit_that_may_still_land(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot())
    lease_.comment, lease_.doubt = "C-me", lease_.clock.now()
    lease_.keep("body")
    assert sum(lease_.clock.waits) == 60  # type: ignore[attr-defined]
    assert lease_.forge.edits == [("C-me", "body")]  # type: ignore[attr-defined]
    lease_.forge.versions.insert(1, RELEASED)  # type: ignore[attr-defined]
    with pytest.raises(Lost, match="anna released our claim"):
        lease_.keep("body")


def test_the_fence_waits_for_a_later_bid_to_withdraw(held: Callable[..., Lease]) -> None:
    late = snapshot(claim("me"), claim("other"), status="in progress")
    lease_ = held(late, late, snapshot(claim("me"), status="in progress"))
    lease_.fence(["ready", "in progress"])
    assert len(lease_.clock.waits) == 2  # type: ignore[attr-defined]


def test_the_last_word_of_an_earlier_run_is_no_reason_to_stop(held: Callable[..., Lease]) -> None:
    held(snapshot(claim("old"), claim("me"), ended("old"), status="in progress")).fence(["in progress"])


def test_a_stranger_cannot_end_a_run_by_a_status(held: Callable[..., Lease]) -> None:
    held(snapshot(claim("me"), ended("other", by="NONE"), status="in progress")).fence(["in progress"])


def test_the_fence_pages_back_to_a_claim_under_a_hundred_comments(held: Callable[..., Lease]) -> None:
    newest = snapshot(comment("x"), status="in progress", more="cursor")
    oldest = snapshot(claim("me"), status="in progress")
    lease_ = held(newest, oldest)
    lease_.fence(["in progress"])
    assert lease_.forge.reads == [oldest]  # type: ignore[attr-defined]


def test_a_heartbeat_edits_the_own_claim(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot())
    lease_.comment = "C-me"
    lease_.beat("body")
    assert lease_.forge.edits == [("C-me", "body")]  # type: ignore[attr-defined]


def test_no_second_bid_is_sent(held: Callable[..., Lease]) -> None:
    """The first may still land, and two claims of one run would never be alone."""
    with pytest.raises(Lost, match="our bid did not arrive"):
        held(snapshot()).bid("body")


def test_a_claim_is_not_kept_alive_by_a_worker_that_slept(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("me")), ttl=100)
    lease_.verify("ready", "in progress", "ready")
    lease_.clock.time += 101  # type: ignore[attr-defined]
    with pytest.raises(Unconfirmed, match="no edit of our claim was confirmed for 101 s") as caught:
        lease_.beat("body")
    assert caught.value.since == 1000.0
    assert lease_.forge.edits == []  # type: ignore[attr-defined]


# --- going on after a crash


def resumed(held: Callable[..., Lease], *reads: Snapshot) -> Lease:
    lease_ = held(*reads)
    lease_.comment = "C-me"
    lease_.resume("body", ["ready", "in progress"])
    return lease_


def test_a_run_goes_on_as_the_sole_live_claim_which_is_also_the_latest(held: Callable[..., Lease]) -> None:
    old = claim("old", at=-9000)
    mine = claim("me", edited=50)
    assert resumed(held, snapshot(old, mine, status="in progress")).forge.edits == [("C-me", "body")]  # type: ignore[attr-defined]


def test_a_read_that_does_not_show_the_heartbeat_is_asked_again(held: Callable[..., Lease]) -> None:
    stale, fresh = (snapshot(claim("me", edited=at), status="in progress") for at in (0, 50))
    assert len(resumed(held, stale, stale, fresh).clock.waits) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "first",
    [
        snapshot(claim("me"), claim("other", released="x"), status="in progress"),
        snapshot(claim("me"), ended("other"), status="in progress"),
        snapshot(claim("me", released="x"), status="in progress"),
        snapshot(claim("me"), status="in progress", is_open=False),
        snapshot(claim("me"), status="done"),
    ],
)
def test_a_claim_that_has_lost_is_not_made_to_look_alive_again(held: Callable[..., Lease], first: Snapshot) -> None:
    """Faults W15: RESUME looks before it edits."""
    lease_ = held(first, snapshot(claim("me", edited=50), status="in progress"))
    lease_.comment = "C-me"
    with pytest.raises(Lost):
        lease_.resume("body", ["ready", "in progress"])
    assert lease_.forge.edits == []  # type: ignore[attr-defined]


def test_a_bid_that_comes_while_a_run_goes_on_is_waited_for(held: Callable[..., Lease]) -> None:
    late = snapshot(claim("me", edited=50), claim("other"), status="in progress")
    alone = snapshot(claim("me", edited=50), status="in progress")
    assert len(resumed(held, late, alone, late, alone).clock.waits) == 2  # type: ignore[attr-defined]


# --- a person's `released:`


RELEASED = ("anna", "[yt-claim]\nrun_id: me\nreleased: it is mine now\n")


def test_a_heartbeat_reads_what_it_writes_over(held: Callable[..., Lease]) -> None:
    """Faults W17."""
    lease_ = held(snapshot())
    lease_.comment = "C-me"
    lease_.heed()
    lease_.forge.versions = [RELEASED, ("bot", "body")]  # type: ignore[attr-defined]
    with pytest.raises(Lost, match="anna released our claim"):
        lease_.heed()
    lease_.release("body\nreleased: now")
    assert lease_.forge.edits == [("C-me", RELEASED[1])], "the person's own words"  # type: ignore[attr-defined]


@pytest.mark.parametrize("ours", [0, 1, 3])
def test_a_release_that_a_heartbeat_wrote_over_is_obeyed_and_put_back(held: Callable[..., Lease], ours: int) -> None:
    """Between its read and its edit, also under edits of ours that landed without an answer."""
    lease_ = held(snapshot())
    lease_.comment = "C-me"
    lease_.forge.versions = [("bot", "body")] * ours + [RELEASED, ("bot", "body")]  # type: ignore[attr-defined]
    with pytest.raises(Lost, match="anna released our claim"):
        lease_.beat("body")
    lease_.release("body\nreleased: now")
    assert lease_.forge.edits[-1] == ("C-me", RELEASED[1])  # type: ignore[attr-defined]


@pytest.mark.parametrize("landed", [None, False])
def test_a_claim_is_released_after_every_edit_that_may_still_land(
    held: Callable[..., Lease], landed: bool | None
) -> None:
    """Faults T3."""
    lease_ = held(snapshot())
    lease_.comment = "C-me"
    lease_.forge.fault = GitHubError("no answer", "NETWORK", landed=landed)  # type: ignore[attr-defined]
    with pytest.raises(GitHubError):
        lease_.beat("body")
    lease_.forge.fault = None  # type: ignore[attr-defined]
    lease_.beat("body")
    lease_.release("released")
    assert sum(lease_.clock.waits) == (60 if landed is None else 0)  # type: ignore[attr-defined]


def test_a_win_is_not_acted_upon_long_after_its_bid(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("me")), ttl=100)
    lease_.verify("ready", "in progress", "ready")
    lease_.clock.time += 51  # type: ignore[attr-defined]
    with pytest.raises(Lost, match=r"too long ago .51 s"):
        lease_.fence(["ready"])


@pytest.mark.parametrize(
    ("comments", "status", "words"),
    [
        ([claim("other"), claim("me", edited=50)], "in progress", "worker w took the issue over .run other"),
        ([claim("me", edited=50), claim("other")], "in progress", "worker w took the issue over .run other"),
        ([claim("me", edited=50), ended("other")], "in progress", "run other held the issue meanwhile"),
        ([claim("me", edited=50), claim("other", released="x")], "in progress", "held the issue meanwhile"),
        ([claim("me", edited=50, released="x")], "in progress", "our claim was released"),
        ([claim("me", edited=50), ended("me")], "in progress", "our claim was released"),
        ([claim("me", edited=50)], "done", "somebody moved the issue to 'done'"),
        ([], "in progress", "our claim comment is gone"),
    ],
)
def test_a_run_that_lost_its_issue_does_not_go_on(
    held: Callable[..., Lease], comments: list[Comment], status: str, words: str
) -> None:
    with pytest.raises(Lost, match=words):
        resumed(held, snapshot(*comments, status=status))


def test_an_edit_whose_answer_was_lost_is_sent_again_before_anything_is_read(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("me", edited=50), status="in progress"))
    lease_.comment = "C-me"
    answers = iter([GitHubError("no answer", "NETWORK", landed=None), None])
    edit = lease_.forge.edit_comment

    def edit_comment(comment: str, body: str) -> Written:
        if problem := next(answers):
            raise problem
        return edit(comment, body)

    lease_.forge.edit_comment = edit_comment  # type: ignore[method-assign]
    lease_.resume("body", ["in progress"])
    assert lease_.forge.edits == [("C-me", "body")]  # type: ignore[attr-defined]


def test_a_run_does_not_go_on_while_github_does_not_confirm_its_claim(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot(claim("me", edited=50), status="in progress"))
    lease_.comment = "C-me"
    lease_.forge.fault = GitHubError("no answer", "NETWORK", landed=None)  # type: ignore[attr-defined]
    with pytest.raises(GitHubError, match="no answer"):
        lease_.resume("body", ["in progress"])
    assert sum(lease_.clock.waits) > lease_.settle  # type: ignore[attr-defined]


def test_two_machines_that_drew_one_run_id_do_not_take_each_others_claim_for_their_own() -> None:
    first, second = claim("me"), dataclasses.replace(claim("me", at=5), id="C-other")
    given = snapshot(first, second)
    assert verdict_of(given, "me", "ready", "in progress", "ready", 3600, "C-me")[0] == "wait"
    assert verdict_of(given, "me", "ready", "in progress", "ready", 3600, "C-other")[0] == "withdraw"


def test_a_run_whose_claim_is_unknown_does_not_go_on(held: Callable[..., Lease]) -> None:
    with pytest.raises(Lost, match="claim comment is unknown"):
        held(snapshot()).resume("body", ["ready"])


def test_releasing_edits_the_claim_and_never_deletes_it(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot())
    lease_.release("body")
    lease_.comment = "C-me"
    lease_.release("body")
    lease_.forge.fault = GitHubError("gone", "NOT_FOUND")  # type: ignore[attr-defined]
    lease_.release("body")
    assert lease_.forge.edits == [("C-me", "body")]  # type: ignore[attr-defined]
    assert lease_.forge.deleted == []  # type: ignore[attr-defined]


def test_a_deleted_claim_is_lost_and_any_other_trouble_is_githubs(held: Callable[..., Lease]) -> None:
    lease_ = held(snapshot())
    lease_.comment = "C-me"
    lease_.forge.fault = GitHubError("gone", "NOT_FOUND")  # type: ignore[attr-defined]
    with pytest.raises(Lost, match="deleted"):
        lease_.beat("body")
    lease_.forge.fault = GitHubError("busy", "5xx")  # type: ignore[attr-defined]
    with pytest.raises(GitHubError, match="busy"):
        lease_.beat("body")


# --- numbers that people and programs write


@pytest.mark.parametrize(
    ("written", "counts"),
    [
        ("3600", 3600.0), ("60", 60.0), ("86400", 86_400.0), ("59", 1800.0), ("86401", 1800.0),
        ("0", 1800.0), ("²", 1800.0), ("٣٦٠٠", 1800.0), ("-60", 1800.0), ("3600.5", 1800.0), ("9" * 5000, 1800.0),
        ("1e3", 1800.0), ("", 1800.0),
    ],
)  # fmt: skip
def test_a_ttl_that_is_no_number_in_range_counts_as_the_default(written: str, counts: float) -> None:
    """Faults Q8: a trusted `ttl: ²` raised."""
    (found,) = claims([comment(f"[yt-claim]\nrun_id: r\nttl: {written}\n")], 1800.0)
    assert found.ttl == counts


def test_in_a_lab_a_claim_may_live_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YTFSM_LAB", "lab.sock")
    (found,) = claims([comment("[yt-claim]\nrun_id: r\nttl: 1\n")], 1800.0)
    assert found.ttl == 1.0


def test_blanks_around_a_claims_values_do_not_count() -> None:
    (found,) = claims([comment("[yt-claim]\nrun_id: \t r \t\nworker:  a b  \n")], 1800.0)
    assert (found.run_id, found.worker) == ("r", "a b")
