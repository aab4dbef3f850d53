"""A machine as a table: states, transitions, what its runs are about, and the checks that follow from it."""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from .errors import Usage, Wait
from .facts import Facts

Enter = Callable[[Any], str | None]
"""A state's work: runs when the state is entered and returns the event it leaves behind, None in a final state."""

LOSE = "lose"  # the event of a run that has lost its subject; every machine whose subjects can be lost has it
ABORT = "abort"  # the event of SetupError, which the engine raises too
ENDS = ("give_up", "release", LOSE)


class Edge(NamedTuple):
    """One transition: `event` takes `source` to `dest`; the project's Status becomes `status` unless that is None."""

    event: str
    source: str
    dest: str
    status: str | None = None


def later(module: str, name: str) -> Callable[..., Any]:
    """`name` of a module that is loaded when it is called: drawing, replaying and listing load no state's work."""

    def call(*given: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*given)

    return call


def nothing(*_: Any) -> None:
    """For a part that a machine has no use for."""


def settings() -> Any:
    """Those of every run, for a machine that has none of its own; loads pydantic."""
    from .settings import Settings

    return Settings


_RUN = later("yt_fsm.engine.run", "Run")


@dataclass(frozen=True)
class Definition:
    """A machine: what `transitions` runs, what `ytfsm graph` draws and what replay checks a journal against.

    `states` maps each state to its work, in the order they are drawn. Nothing but the table (`name`, `initial`,
    `states`, `final`, `rows`) goes into the hash, so old journals still replay. The rest says how its runs live:

    - `run` is the class of its runs, `facts` declares what they learn, `settings()` loads the class of their settings.
    - `queue(settings, shell)` makes the queue that its subjects come from, `needs(queue)` looks at what a worker needs.
    - `hindered(queue)` is the Wait for which no new subject is taken for now, a limit that is used up, or None.
    - `restore(run, going_on)` makes what the current state's work needs after a crash or a stop; the flag says whether
      that work will go on. `keep(run)` saves unfinished work before the workspace of a run that will go on goes.
    - `good` are the final states of exit code 0; `ends` the events that `abandon` may fire, the best first.
    - `run_id` is the shape of its runs' ids, a regular expression: a journal with another is none of its.

    Raises ValueError for a table that names a state which it does not have, or leads out of a final one.
    """

    name: str
    initial: str
    states: dict[str, Enter]
    final: frozenset[str]
    rows: tuple[tuple[str, str | tuple[str, ...], str, str | None], ...]
    run: Callable[..., Any] = _RUN
    facts: type[Facts] = Facts
    settings: Callable[[], Any] = settings
    queue: Callable[[Any, Any], Any] = nothing
    needs: Callable[[Any], Any] = nothing
    hindered: Callable[[Any], Wait | None] = nothing
    restore: Callable[[Any, bool], None] = nothing
    keep: Callable[[Any], None] = nothing
    good: frozenset[str] = field(default_factory=frozenset)
    ends: tuple[str, ...] = ENDS
    run_id: str = r"\d{8}T\d{6}Z-[a-z0-9._-]+-[0-9a-f]{4}"

    def __post_init__(self) -> None:
        named = [("initial", self.initial), *(("final", state) for state in sorted(self.final))]
        for edge in self.edges:
            named += [(f"the row `{edge.event}`", edge.source), (f"the row `{edge.event}`", edge.dest)]
        for where, state in named:
            if state not in self.states:
                raise ValueError(f"machine {self.name!r}: {where} names `{state}`, which is none of its states")
        for edge in self.edges:
            if edge.source in self.final:
                raise ValueError(
                    f"machine {self.name!r}: the row `{edge.event}` leads out of `{edge.source}`, a final state"
                )

    def require_sound(self) -> None:
        """Raise Usage unless a worker can walk its runs: `good` and `ends` name what is in the table, and a run can end
        in every state, as a full disk is an `abort` anywhere (in the initial state nothing is taken: `lose` will do).
        """
        problems = [f"`good` names `{s}`, which is none of its final states" for s in sorted(self.good - self.final)]
        events = {*ENDS, *(edge.event for edge in self.edges)}
        problems += [f"`ends` names `{e}`, and none of its rows has that event" for e in self.ends if e not in events]
        for state in self.states:
            ways = (ABORT, LOSE) if state == self.initial else (ABORT,)
            if state not in self.final and not any(self.allows(event, state) for event in ways):
                problems.append(f"no row `{ABORT}` leads out of `{state}`, and every state needs one")
        if problems:
            raise Usage("\n".join(f"machine {self.name!r}: {problem}" for problem in problems))

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every transition, one for each source state."""
        found = []
        for event, sources, dest, status in self.rows:
            for source in (sources,) if isinstance(sources, str) else sources:
                found.append(Edge(event, source, dest, status))
        return tuple(found)

    def allows(self, event: str | None, source: str) -> bool:
        """Whether `event` leads anywhere from `source`."""
        return any(edge.event == event and edge.source == source for edge in self.edges)

    def status_of(self, event: str, source: str) -> str | None:
        """The project's Status that a transition sets, or None."""
        return next(e.status for e in self.edges if (e.event, e.source) == (event, source))

    def table(self) -> dict[str, Any]:
        """The whole machine as JSON, as a journal's header carries it."""
        return {
            "name": self.name,
            "initial": self.initial,
            "states": list(self.states),
            "final": sorted(self.final),
            "edges": [list(edge) for edge in self.edges],
        }

    def as_in(self, table: dict[str, Any]) -> "Definition":
        """The machine that a journal's header has, with today's work in the states that are still there."""
        return replace(
            self,
            initial=table["initial"],
            states={name: self.states.get(name, nothing) for name in table["states"]},
            final=frozenset(table["final"]),
            rows=tuple((event, source, dest, status) for event, source, dest, status in table["edges"]),
        )

    @property
    def hash(self) -> str:
        """Identifies the table: 16 hex digits."""
        return table_hash(self.table())


def table_hash(table: dict[str, Any]) -> str:
    """Identifies a table, today's or a journal's: 16 hex digits."""
    import hashlib

    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]


def reachable(table: dict[str, Any], state: str) -> set[tuple[str, str, str, str | None]]:
    """The edges that a run in `state` could still take."""
    edges = [tuple(edge) for edge in table["edges"]]
    seen = {state}
    found: set[Any] = set()
    while True:
        new = {edge for edge in edges if edge[1] in seen} - found
        if not new:
            return found
        found |= new
        seen |= {edge[2] for edge in new}
