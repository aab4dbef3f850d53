"""An issue as what a run is about: taken by a claim comment, kept by a heartbeat, acted on behind a fence (§6)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from yt_fsm.engine.clock import Clock
from yt_fsm.engine.errors import Lost, StopRequested, Unconfirmed, YtfsmError
from yt_fsm.engine.journal import Record
from yt_fsm.engine.run import Run, log
from yt_fsm.engine.subject import Subject

from .errors import ClaimsIgnored, GitHubError
from .heartbeat import Heartbeat
from .lease import CLAIM, STATUS, TRUSTED, Lease, claims, moved, overtaken, stamp
from .lease import text as claim_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Comment, GitHub, Issue, Written
    from .settings import GitHubSettings


class IssueSubject(Subject):
    """The claim, the heartbeat and the fence of one issue.

    `base` is the Project Status that the issue must have to be claimed, `mark` the one that the claim gives it (None:
    the claim alone owns the issue). `system` is the kind of machine that it is for, `serves` whether an issue with
    such labels still is.
    """

    kind = "issue"

    def __init__(self, issue: Issue, github: GitHub, base: str, mark: str | None, system: str, serves: Any) -> None:
        self.issue, self.github, self.base, self.mark = issue, github, base, mark
        self.system, self.serves = system, serves
        self.words = f"issue {issue.number}"
        self.tag = f"{system}-i{issue.number}"
        self.name = str(issue.number)

    def data(self) -> dict[str, Any]:
        """What names it."""
        return {"number": self.issue.number, "title": self.issue.title, "url": self.issue.url}

    def header(self) -> dict[str, Any]:
        """The kind of machine, and the issue as it was when the run began."""
        names = ("number", "id", "title", "body", "url", "item", "status")
        found = asdict(self.issue)
        issue = {**{name: found[name] for name in names}, "labels": list(self.issue.labels)}
        return {"system": self.system, "issue": issue}

    def join(self, run: Run) -> None:
        """Have a lease and a heartbeat, which the run holds; gh is ours, not codex's, so it has a role of its own."""
        self.run = run
        self.settings: GitHubSettings = run.settings  # type: ignore[assignment]
        self.github = self.github.through(run.shell_as("subject"))
        ttl, settle = self.settings.claim_ttl_secs, self.settings.settle_secs
        self.lease = Lease(self.github, Clock(run.stop), self.issue.id, run.run_id, ttl, settle)
        bid = run.effects.done("claim", CLAIM)
        self.lease.comment = bid["comment"] if bid else None
        self.heartbeat: Heartbeat | None = None
        self.association = ""  # how GitHub shows the author of our bid
        run.hold("heartbeat", lambda: self.leave(), waits=True)

    def claim(self, **more: str) -> str:
        """The run's claim comment (§6.1)."""
        worker = self.run.shell.redact(self.settings.worker_name)
        began, ttl = self.run.header["at"], self.settings.claim_ttl_secs
        return claim_text(worker, self.system, self.run.run_id, began, ttl, **more)

    # --- taking it

    def bid(self) -> None:
        """BID: post the claim comment, once; its id is kept, or looked for when the answer was lost."""

        def apply(_: Record) -> dict[str, Any]:
            posted = self.lease.bid(self.claim())
            self.association = posted.association
            return {"comment": posted.id}

        self.lease.comment = str(self.run.effects.once("claim", CLAIM, apply, self.found_bid)["comment"])

    def found_bid(self, _: Record) -> dict[str, Any] | None:
        """The run's bid as GitHub shows it: how the effect `claim` is observed."""
        comment = self.lease.find_bid()
        return {"comment": comment} if comment else None

    def take(self) -> None:
        """BID and VERIFY. Raises Lost when another worker was faster, ClaimsIgnored when no claim of ours counts."""
        self.bid()
        if self.association and self.association not in TRUSTED:
            raise ClaimsIgnored(self.association, self.github.repo)
        self.lease.verify(self.base, self.mark, self.issue.status or "")

    def withdraw(self) -> None:
        """WITHDRAW: delete the own bid by its id."""

        def apply(_: Record) -> dict[str, Any]:
            if self.run.effects.look("claim", CLAIM, self.found_bid):
                self.lease.withdraw()
            return {}

        self.run.effects.once("withdraw", CLAIM, apply, lambda _: None)

    def begin(self) -> None:
        """Start the heartbeat; the bid has won, or the run was taken up."""
        if not self.run.shell.dry and self.heartbeat is None:
            self.heartbeat = Heartbeat(
                self.run, self.lease, self.github, lambda: self.claim(heartbeat=stamp()), self.look_at
            )

    # --- keeping it

    def take_up(self) -> None:
        """RESUME: the claim must be alive and alone, and the card where this run left it.

        Raises Lost; the claim is released by who settles that, or on the way out. Raises StopRequested when GitHub
        does not answer: the run is no verdict's as long as nobody knows whose the issue is.
        """
        if self.run.state == self.run.definition.initial:
            raise Lost("the run had not won its claim when it ended")
        terminal = [move["status"] for move in self.run.journal.all("transition") if move["status"]]
        try:
            if self.told(terminal[-1] if terminal else ""):
                return  # the issue knows: the claim is dead by that, and rightly so
            self.lease.resume(self.claim(heartbeat=stamp()), (self.base, self.mark, *terminal))
        except (GitHubError, Unconfirmed) as problem:
            why = f"{self.run.run_id} waits, as GitHub did not confirm its claim: {problem}"
            raise StopRequested(why, 1) from None
        self.begin()

    def told(self, status: str) -> bool:
        """Whether the run needs its claim no more: it said its last word (looked for), or began to release it."""
        if any(r["effect"] == "release" for r in self.run.journal.all("effect.intent")):
            return True
        return self.run.effects.look("comment", status, lambda _: self.posted()) is not None

    def fence(self, *statuses: str | None) -> None:
        """Before an outward step: raises Lost unless the claim is ours, alive, and the card is where we left it.

        A claim that was silent for too long is confirmed by RESUME first. Raises Unconfirmed when GitHub does not
        answer that, and GitHubError when it does not answer at all.
        """
        allowed = statuses or (self.base, self.mark)
        try:
            self.lease.fence(allowed)
        except Unconfirmed as problem:
            log.warning("run_id=%s %s: it is claimed again", self.run.run_id, problem)
            self.leave()  # two may not edit the claim at a time
            self._forget(Unconfirmed)
            try:
                self.lease.resume(self.claim(heartbeat=stamp()), allowed)
            except GitHubError as away:  # whose `landed` is of the claim's edit, and of no step behind the fence
                raise Unconfirmed(f"{problem}; {away}", problem.since) from None
            self.begin()

    def look_at(self, now: Written) -> None:
        """Raise Lost when the issue was taken away: closed, moved, relabelled, or by another run (faults W3).

        What the run did itself is expected.
        """
        asked = list(self.run.journal.records)  # the run writes on meanwhile
        moves = {
            r["key"].rpartition(" by ")[0] or r["key"]  # without the transition (`publishing.status_key`)
            for r in asked
            if r["kind"] == "effect.intent" and r["effect"] == "status"
        }
        began = {self.base, self.mark}
        if not now.open and moves <= began:
            raise Lost(f"{now.closed_by or 'somebody'} closed the issue")
        if now.status not in moves | began:
            raise moved(now.status)
        if self.lease.comment:
            overtaken(now.comments, self.lease.comment, self.settings.claim_ttl_secs)
        if not self.serves(self.issue.labels, now.labels):
            raise Lost(f"somebody took the label {self.system!r} off the issue")

    # --- leaving it

    def let_go(self, work: str = "") -> None:
        """RELEASE: edit the own claim with `released:`, once; the heartbeat is over by then (faults T3).

        `work` says where what was done so far is, in a line.
        """
        self.leave()
        self._forget(Lost, Unconfirmed)

        more = {"work": self.run.shell.redact.publishable(work)} if work else {}

        def apply(_: Record) -> dict[str, Any]:
            self.lease.release(self.claim(released=stamp(), **more))
            return {}

        # Never looked for: an old read may show what a heartbeat has written over since, and twice is as good as once.
        self.run.effects.once("release", CLAIM, apply, lambda _: None)

    def leave(self) -> None:
        """Stop the heartbeat; the claim lives on for its TTL."""
        heartbeat, self.heartbeat = self.heartbeat, None
        if heartbeat:
            heartbeat.stop()

    def _forget(self, *known: type[Exception]) -> None:
        """Let go of what the heartbeat found, where it is no news."""
        stop = self.run.stop
        if stop and isinstance(stop.error, known):
            stop.clear()

    def lost(self) -> None:
        """Release the claim of a run that has lost; no error of this hides the loss (faults W15)."""
        try:
            self.leave()
            self.lease.release(self.claim(released=stamp()))
        except YtfsmError as problem:
            log.warning("run_id=%s its claim could not be released and dies by itself: %s", self.run.run_id, problem)

    def unpublished(self, why: str) -> None:
        """Publishing was refused for good: the claim says so, and lives until a person acts or `resume` publishes it.

        A comment tells where the work is (faults W14). Each happens once; raises Lost when the issue is another's by
        now, GitHubError when GitHub does not answer: it is said again then, by calling this again.
        """
        run, redact = self.run, self.run.shell.redact
        told = redact.publishable(why).strip()
        first = told.partition("\n")[0][:200]
        self.leave()
        moves = [move["status"] for move in run.journal.all("transition") if move["status"]]

        def keep(_: Record) -> dict[str, Any]:
            self.fence(self.base, self.mark, *moves)
            self.leave()
            self.lease.keep(self.claim(unpublished=first))
            return {}

        def tell(intent: Record) -> dict[str, Any]:
            body = (
                f"Run `{run.run_id}` is over, and what it made could not be published:\n\n{_quoted(told)}\n\n"
                f"The work is kept by worker {redact.publishable(self.settings.worker_name)}, in its folder "
                f"`{run.folder.name}/artifacts`. Nobody starts anew with this issue meanwhile. When that is mended, "
                f"`ytfsm resume {run.run_id}` on that machine publishes it; to have it done anew instead, add a line "
                "`released: yes` to the run's claim comment and set the issue to ready.\n\n"
                f"{marker(run.run_id, intent['seq'])}\n"
            )
            return {"comment": self.github.comment(self.issue.id, body).number}

        run.effects.once("unpublished", CLAIM, keep, lambda _: None)
        run.effects.once("comment", "unpublished", tell, lambda _: self._said(lambda c: c.first_line != STATUS))

    # --- what it shows

    def posted(self) -> dict[str, Any] | None:
        """The run's terminal comment as GitHub shows it."""
        return self._said(lambda comment: comment.first_line == STATUS)

    def _said(self, such: Callable[[Comment], bool]) -> dict[str, Any] | None:
        """A comment that this run posted; a stranger can write its marker too, so only a trusted author's counts."""
        mark = marker(self.run.run_id, "").removesuffix(" -->")
        page = self.github.snapshot(self.issue.id)
        while True:
            for found in page.comments:
                if mark in found.body and found.association in TRUSTED and such(found):
                    return {"comment": found.number}
            if not page.more:
                return None
            page = self.github.snapshot(self.issue.id, page.more)

    def is_dead(self, run_id: str) -> bool:
        """Whether another run of this issue has ended, or its claim has died."""
        page = self.github.snapshot(self.issue.id)
        comments, now = page.comments, page.now
        while page.more:
            page = self.github.snapshot(self.issue.id, page.more)
            comments = page.comments + comments
        found = [claim for claim in claims(comments, self.settings.claim_ttl_secs) if claim.run_id == run_id]
        return bool(found) and all(claim.dead(now) for claim in found)


class IssueRun(Run):
    """A run about an issue."""

    subject: IssueSubject

    @property
    def issue(self) -> Issue:
        """The issue as it was when the run began."""
        return self.subject.issue

    @property
    def github(self) -> GitHub:
        """The run's gh."""
        return self.subject.github

    def fence(self, *statuses: str | None) -> None:
        """Before an outward step: raises Lost unless the claim is ours, alive, and the card is where we left it."""
        self.subject.fence(*statuses)

    @property
    def url(self) -> str | None:
        """The issue's page."""
        return self.issue.url


def _quoted(text: str) -> str:
    """`text`, at most some thousand characters of it, as a block that it cannot get out of."""
    return "\n".join(f"> {line}" for line in text[:4000].replace("<!--", "<! --").splitlines())


def marker(run_id: str, seq: object) -> str:
    """The hidden mark by which a run finds its own comment again."""
    return f"<!-- ytfsm {run_id}/{seq} -->"
