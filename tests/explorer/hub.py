"""GitHub's far end for one issue in a random history: what it holds, what it answers, and what it does too late.

`GitHub` is what a worker gets in the place of `yt_fsm.github.client.GitHub`.
"""

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from yt_fsm.engine.shell import Shell
from yt_fsm.github.client import Comment, Issue, Project, Snapshot, Written
from yt_fsm.github.errors import GitHubError
from yt_fsm.github.lease import CLAIM, STATUS, fields_of

from .clockwork import Clockwork, current

FINAL = ("in review", "failed", "setup error", "reference error", "done")


@dataclass(frozen=True)
class Version:
    """The issue at one time."""

    status: str | None = "ready"
    open: bool = True
    labels: tuple[str, ...] = ("n300",)
    comments: tuple[Comment, ...] = ()


@dataclass
class Weather:
    """How bad GitHub is in a history: the chance of each fault for one request, and the most that a read lags.

    What lands late and is then read late shows within the settle time, both together: more nobody promises.
    """

    lag: float = 0.0
    refused: float = 0.0  # a read or write fails, and did nothing
    limited: float = 0.0  # a write waits out a rate limit first
    lost: float = 0.0  # a write has no answer: it landed, lands later, or never

    @staticmethod
    def drawn(dice: random.Random, settle: float) -> "Weather":
        """Fair, foul, or anything between."""
        bad = dice.choice((0.0, 0.02, 0.1, 0.3))
        lag = dice.choice((0.0, 2.0, 0.45 * settle))
        return Weather(lag, bad * dice.random(), bad * dice.random() / 2, bad * dice.random())


@dataclass
class Hub:
    """The issue with all its versions, and what was broken; `told` is the history in words."""

    clockwork: Clockwork
    settle: float
    weather: Weather = field(default_factory=Weather)
    versions: list[tuple[float, Version]] = field(default_factory=list)
    edits: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    holder: str = ""  # the run that won last
    won_at: float = 0.0
    left: set[str] = field(default_factory=set)  # runs that have given the issue up as lost
    taken: set[str] = field(default_factory=set)  # runs from which a person took the issue
    told: list[str] = field(default_factory=list)
    broken: str = ""
    void: set[str] = field(default_factory=set)  # runs whose claim a person deleted
    round: set[str] = field(default_factory=set)  # runs that won since a person last set the issue to ready
    ended: list[str] = field(default_factory=list)  # by which of them

    counts: dict[str, int] = field(default_factory=dict)
    _number: int = 0

    def __post_init__(self) -> None:
        self.versions.append((self.clockwork.now, Version()))

    @property
    def now(self) -> Version:
        """The issue as it is."""
        return self.versions[-1][1]

    def say(self, words: str) -> None:
        """Tell what happens."""
        self.told.append(f"{self.clockwork.now - 1_790_000_000:9.1f} s  {words}")

    def count(self, what: str) -> None:
        """One more of it."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def wrong(self, words: str) -> None:
        """Something that must never happen; the first is kept."""
        if not self.broken:
            self.broken = words
            self.say(f"BROKEN: {words}")

    def change(self, **more: Any) -> None:
        """Another version."""
        self.versions.append((self.clockwork.now, replace(self.now, **more)))

    # --- what was won, and who acts

    def won(self, run: str) -> None:
        """A run believes that it owns the issue."""
        self.say(f"{run} wins")
        self.count("won")
        last = self.holder
        seen = self.as_of(self.clockwork.now - current().read)
        if last and last != run and last not in self.taken | self.left and self._alive(last, seen):
            self.wrong(f"{run} wins while {last} owns the issue")
        self.holder, self.won_at = run, self.clockwork.now
        self.round.add(run)

    def passed(self, run: str) -> None:
        """A run has passed a fence, and acts."""
        self.count("fences")
        # A winner whose claim a person deleted has left no trace, and holds nothing any more.
        if self.holder not in (run, *self.void) and (run not in self.taken or current().read >= self.won_at):
            self.wrong(f"fence broken: {run} acts on an issue that {self.holder} has won since")
        seen = self.as_of(self.clockwork.now - current().read)
        claims = [fields_of(c.body) for c in seen.comments if c.first_line == CLAIM]
        if not seen.open or any("released" in claim for claim in claims if claim["run_id"] == run):
            self.wrong(f"fence broken: {run} acts on an issue that a person took away from it")

    def _alive(self, run: str, seen: Version) -> bool:
        for comment in seen.comments:
            fields = fields_of(comment.body)
            if comment.first_line == STATUS and fields.get("run_id") == run:
                return False
        for comment in seen.comments:
            fields = fields_of(comment.body)
            if fields.get("run_id") == run and "released" not in fields:
                return int(self.clockwork.now) - comment.edited <= float(fields["ttl"])
        return False

    # --- writes that land

    def post(self, body: str, who: str) -> Comment:
        """A comment."""
        self._number += 1
        at = float(int(self.clockwork.now))
        made = Comment(f"C{self._number}", self._number, body, who, "MEMBER", at, at)
        self.change(comments=(*self.now.comments, made))
        fields = fields_of(body)
        if made.first_line == STATUS:
            run = fields["run_id"]
            self.ended += [run] if run in self.round else []
            self.count("ended")
            if len(self.ended) > 1:
                self.wrong(f"ended twice: by {' and by '.join(self.ended)}")
        return made

    def edit(self, comment: str, body: str, who: str) -> Written:
        """A comment's text. Raises GitHubError when it is gone."""
        found = next((c for c in self.now.comments if c.id == comment), None)
        if found is None:
            raise GitHubError("no such comment", "NOT_FOUND")
        texts = self.edits.setdefault(comment, [(found.author, found.body)])
        texts.insert(0, (who, body))
        edited = replace(found, body=body, edited=float(int(self.clockwork.now)))
        self.change(comments=tuple(edited if c.id == comment else c for c in self.now.comments))
        return self.written(self.now, comment)

    def written(self, version: Version, comment: str) -> Written:
        """The comment and its issue, as an edit's answer or a read has them."""
        found = next(c for c in version.comments if c.id == comment)
        texts = self.edits.get(comment, [(found.author, found.body)])
        place = next((n for n, (_, text) in enumerate(texts) if text == found.body), 0)
        stands = (version.open, version.status, version.labels, version.comments)
        return Written(found.edited, tuple(texts[place : place + 10]), *stands)

    def delete(self, comment: str) -> None:
        """A comment goes."""
        self.change(comments=tuple(c for c in self.now.comments if c.id != comment))

    def move(self, status: str) -> None:
        """The card."""
        self.change(status=status)

    def as_of(self, seconds_ago: float) -> Version:
        """The version that a replica shows which is so far behind."""
        then = self.clockwork.now - seconds_ago
        return next((version for at, version in reversed(self.versions) if at <= then), self.versions[0][1])


class GitHub:
    """One worker's `gh`."""

    owner, name, repo = "yieldthought", "ttnn_models", "yieldthought/ttnn_models"
    project = Project("P", 1, "T", "https://x/board", 1, "F", {})

    def __init__(self, hub: Hub, shell: Shell) -> None:
        self.hub, self.shell = hub, shell

    def through(self, shell: Shell) -> "GitHub":
        """The same through another shell."""
        return GitHub(self.hub, shell)

    # --- reads

    def candidates(self, label: str | None) -> Iterator[list[Issue]]:
        """The issue, where a poll shows it."""
        version = self._read()
        if version.open and (label is None or label in version.labels):
            yield [self._issue(version)]

    def issue(self, number: int) -> Issue:
        """The issue by its number."""
        return self._issue(self._read())

    def _issue(self, version: Version) -> Issue:
        return Issue(
            "I1", 1, "Bring up a/b", "hf_model_id: a/b\nsystem: n300\n", "https://x/1", version.labels, version.open,
            "ITEM" if version.status else None, version.status, version.comments[-10:], len(version.comments),
            float(int(self.hub.clockwork.now)),
        )  # fmt: skip

    def snapshot(self, issue: str, before: str | None = None) -> Snapshot:
        """The lease's query."""
        version = self._read()
        item = "ITEM" if version.status else None
        comments, now = version.comments, float(int(self.hub.clockwork.now))
        return Snapshot(version.open, item, version.status, comments, len(comments), now)

    def read_comment(self, comment: str) -> Written | None:
        """What a heartbeat reads first."""
        version = self._read()
        return self.hub.written(version, comment) if any(c.id == comment for c in version.comments) else None

    def _read(self) -> Version:
        hub, dice = self.hub, self.hub.clockwork.dice
        self._on_the_way()
        behind = dice.random() * hub.weather.lag if dice.random() < 0.5 else 0.0
        version, at = hub.as_of(behind), hub.clockwork.now - behind
        hub.count("reads")
        self._on_the_way()
        if dice.random() < hub.weather.refused:
            raise GitHubError("GitHub answers 502 to a read", "5xx", landed=False)
        current().read = at
        return version

    # --- writes

    def comment(self, issue: str, body: str, fence: Any = lambda: None) -> Comment:
        """Post."""
        return self._write("posts " + body.split("\n", 1)[0], lambda: self.hub.post(body, "bot"), fence)

    def edit_comment(self, comment: str, body: str) -> Written:
        """Edit by id."""
        kind = "releases" if "released" in fields_of(body) else "beats"
        return self._write(f"{kind} {comment}", lambda: self.hub.edit(comment, body, "bot"))

    def delete_comment(self, comment: str) -> None:
        """Delete by id."""
        self._write(f"deletes {comment}", lambda: self.hub.delete(comment))

    def set_status(self, item: str, status: str, fence: Any = lambda: None) -> None:
        """Move the card."""
        self._write(f"moves the card to {status}", lambda: self.hub.move(status), fence)

    def _write(self, words: str, deed: Any, fence: Any = lambda: None) -> Any:
        hub, dice = self.hub, self.hub.clockwork.dice
        who = current().name
        hub.count("writes")
        fence()
        if dice.random() < hub.weather.limited:
            hub.say(f"{who} waits out a rate limit before it {words}")
            self.shell.stop.wait(dice.choice((60.0, 600.0)))
            fence()
        if dice.random() < hub.weather.refused:
            raise GitHubError("GitHub answers 403 to a write", "SECONDARY", landed=False)
        self._on_the_way()
        current().host.owed = 0
        if dice.random() >= hub.weather.lost:
            hub.say(f"{who} {words}")
            answer = deed()
            self._on_the_way()
            return answer
        hub.count("lost")
        fate = dice.choice(("lands", "lands late", "never lands"))
        hub.say(f"{who} {words}, gets no answer, and that {fate}")
        if fate == "lands":
            self._quietly(deed)
        elif fate == "lands late":
            hub.clockwork.plan(dice.random() * 0.45 * hub.settle, lambda: self._late(words, deed))
        hub.clockwork.sleep(dice.random() * 3, lambda: bool(self.shell.stop))
        raise GitHubError("no answer", "NETWORK", landed=None)

    def _late(self, words: str, deed: Any) -> None:
        self.hub.say(f"what was sent lands: {words}")
        self._quietly(deed)

    @staticmethod
    def _quietly(deed: Any) -> None:
        with contextlib.suppress(GitHubError):
            deed()

    def _on_the_way(self) -> None:
        """A request, or its answer, under way: a stop ends the wait for it."""
        self.shell.stop.obey()
        self.hub.clockwork.sleep(0.05 + self.hub.clockwork.dice.random(), lambda: bool(self.shell.stop))
        self.shell.stop.obey()
