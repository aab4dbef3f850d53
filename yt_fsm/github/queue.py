"""The queue of a machine whose runs are about issues: which one may be claimed next (§9.1 A)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from yt_fsm.engine import queue
from yt_fsm.engine.clock import boot_secs
from yt_fsm.engine.errors import JournalDamaged, NotFound, Usage
from yt_fsm.engine.journal import Record
from yt_fsm.engine.run import Run
from yt_fsm.engine.shell import Shell

from .client import Comment, GitHub, Issue
from .errors import ClaimsIgnored, GitHubError
from .issue import IssueSubject
from .lease import Claim, claims, eligible

if TYPE_CHECKING:
    from .settings import GitHubSettings

log = logging.getLogger("ytfsm")

SWEEP_SECS = 300.0  # how often issues without a system's label are looked through
SWEEP_READS = 20  # how many of them are read in one look; the others' turn comes at the next
ALONE_SECS = (60.0, 1800.0)  # how long an issue is left alone after a bid for it failed; doubles each time


def github_of(settings: GitHubSettings, shell: Shell) -> GitHub:
    """The models repo and its project, as the settings name them."""
    number, title = settings.project_number, settings.project_title
    return GitHub(shell, settings.owner, settings.repo_models, number, title, settings.write_gap_secs)


class Issues(queue.Queue):
    """The issues of the models repo that stand on `base`, or on `mark` with a dead claim, oldest first.

    `system` is the kind of machine that they must be for, `named` says for which kinds an issue's labels (or, where
    they name none, its text) are.
    """

    def __init__(
        self,
        settings: GitHubSettings,
        shell: Shell,
        base: str,
        mark: str | None,
        system: str,
        named: Callable[[tuple[str, ...], str], set[str]],
    ) -> None:
        self.settings, self.shell = settings, shell
        self.base, self.mark, self.system, self.named = base, mark, system, named
        self.github = github_of(settings, shell)
        self._alone: dict[int, tuple[float, float]] = {}  # issues whose bid failed: until when, after how long a pause
        self._ignored: tuple[ClaimsIgnored, float] | None = None  # no claim of ours counts; until when that is believed
        self._swept = float("-inf")
        self._read: set[int] = set()  # issues without a system's label whose text was read since all of them were

    def next(self) -> IssueSubject | None:
        """The oldest issue that may be claimed, or None.

        Raises GitHubError when the poll failed, ClaimsIgnored for a while after a bid that does not count.
        """
        if self._ignored and boot_secs() < self._ignored[1]:
            raise self._ignored[0]
        found = self._oldest(self.system)
        if found is None and boot_secs() - self._swept > SWEEP_SECS:
            # An issue form cannot set a label by its dropdown: the system may stand in a field only.
            found = self._oldest(None)
            self._swept = boot_secs()
        return self.subject(found) if found else None

    def asked_for(self, name: str) -> IssueSubject:
        """The issue of that number. Raises NotFound or Usage saying why it cannot be claimed."""
        issue = self.github.issue(int(name))
        where = f"{self.github.repo}#{name}"
        if not issue.open:
            raise NotFound(f"{where} is closed")
        if issue.archived:
            raise NotFound(
                f"{where} has an archived card on {self.github.project.url}, which nobody can move: restore it"
            )
        if issue.item is None:
            raise NotFound(f"{where} is not on the board {self.github.project.url}: add it there and set it to ready")
        if not self._mine(issue):
            raise Usage(f"{where} is not for {self.system}: it needs the label {self.system!r}")
        if not self._eligible(issue):
            live = [c for c in claims(issue.comments, self.settings.claim_ttl_secs) if not c.dead(issue.seen)]
            why = _held(live[0]) if live else f"its status is {issue.status!r}"
            raise NotFound(f"{where} cannot be claimed: {why}; it must be {self.base!r} and unclaimed")
        return self.subject(issue)

    def of(self, header: Record) -> IssueSubject:
        """The issue that a journal's header names. Raises Usage when it is another kind of machine's."""
        data = header.get("issue") or {}
        names = ("id", "number", "title", "body", "url", "item", "status")
        lacking = [name for name in (*names, "labels") if name not in data]
        if lacking or not isinstance(header.get("system"), str):
            raise JournalDamaged(
                f"the journal of {header['run_id']} is damaged at line 1: its subject has no "
                f"`{(lacking or ['system'])[0]}`; it is left as it is"
            )
        if header["system"] != self.system:
            raise Usage(f"{header['run_id']} is of {header['system']} and this worker is {self.system}")
        return self.subject(Issue(labels=tuple(data["labels"]), **{name: data[name] for name in names}))

    def owns(self, header: Record) -> bool:
        """Whether a run is about an issue for this kind of machine."""
        return bool(header.get("system") == self.system)

    def walked(self, run: Run) -> None:
        """Leave an issue alone whose bid failed: for a minute, then two, four … thirty.

        A bid that GitHub refused, or that does not count, has its error as the cause (`__cause__`) of the loss.
        """
        refusal = run.problem.__cause__ if run.problem else None
        if isinstance(refusal, ClaimsIgnored):
            self._ignored = (refusal, boot_secs() + ALONE_SECS[1])
        number = run.subject.data()["number"]
        if run.arrived_by != "lose" or run.taken:
            self._alone.pop(number, None)
            return
        _, before = self._alone.get(number, (0.0, 0.0))
        pause = min(max(2 * before, ALONE_SECS[0]), ALONE_SECS[1])
        self._alone[number] = (boot_secs() + pause, pause)

    def subject(self, issue: Issue) -> IssueSubject:
        """What a run about an issue gets."""
        return IssueSubject(issue, self.github, self.base, self.mark, self.system, self._still_serves)

    def _still_serves(self, before: tuple[str, ...], after: tuple[str, ...]) -> bool:
        """Whether labels, which were others before, still leave the issue to this kind of machine."""
        then, now = self.named(before, ""), self.named(after, "")
        return self.system in now or not (now or self.system in then)

    def _oldest(self, label: str | None) -> Issue | None:
        reads = 0
        for issues in self.github.candidates(label):
            for issue in issues:
                named = self.named(issue.labels, "")
                if (named and self.system not in named) or not self._eligible(issue) or self._left_alone(issue):
                    continue
                if not named:
                    if issue.number in self._read or reads == SWEEP_READS:
                        continue
                    self._read.add(issue.number)
                    reads += 1
                if whole := self._whole(issue.number):
                    return whole
        if label is None and reads < SWEEP_READS:
            self._read.clear()
        return None

    def _whole(self, number: int) -> Issue | None:
        """The issue that a poll showed as ours to take, with its text, if it still is when asked for by its number."""
        try:
            issue = self.github.issue(number)
        except NotFound:
            return None
        except GitHubError as problem:
            if problem.kind not in ("MALFORMED", "TOO_LARGE"):
                raise
            log.warning("issue %s of %s is passed over: %s", number, self.github.repo, problem)
            return None
        return issue if issue.open and self._mine(issue) and self._eligible(issue) else None

    def _mine(self, issue: Issue) -> bool:
        """Whether the issue, read by its number, is for this system: by label, else by its text's field."""
        return self.system in self.named(issue.labels, issue.body)

    def _left_alone(self, issue: Issue) -> bool:
        """Whether a bid for it failed a short while ago: whoever was faster, or forbids it, is not asked every poll."""
        return issue.number in self._alone and boot_secs() < self._alone[issue.number][0]

    def _eligible(self, issue: Issue) -> bool:
        """LOOK (claim protocol); a window that shows no claim of a marked issue is paged back."""
        ttl = self.settings.claim_ttl_secs
        if issue.item is None or issue.status not in (self.base, self.mark):
            return False
        comments = issue.comments
        if issue.comments_total > len(comments) and not claims(comments, ttl):
            comments = self._all_comments(issue.id)
        return eligible(issue.status, comments, issue.seen, self.base, self.mark, ttl)

    def _all_comments(self, issue: str) -> tuple[Comment, ...]:
        snapshot = self.github.snapshot(issue)
        comments = snapshot.comments
        while snapshot.more and not claims(comments, self.settings.claim_ttl_secs):
            snapshot = self.github.snapshot(issue, snapshot.more)
            comments = snapshot.comments + comments
        return comments


def _held(claim: Claim) -> str:
    if not claim.unpublished:
        return f"worker {claim.worker} holds it"
    return (
        f"worker {claim.worker} did it and could not publish it: `ytfsm resume {claim.run_id}` there does, and a line "
        "`released: yes` in its claim comment gives the issue away"
    )
