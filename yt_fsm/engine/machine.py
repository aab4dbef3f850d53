"""A machine as a table: states, transitions, and the drawings and checks that follow from them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .run import Run

Enter = Callable[["Run"], str | None]
"""A state's work: runs when the state is entered and returns the event it leaves behind, None in a final state."""

Restore = Callable[["Run", bool], None]
"""Makes what the current state's work needs after a crash or a stop; the flag says whether that work will go on."""


class Edge(NamedTuple):
    """One transition: `event` takes `source` to `dest`; the board's Status becomes `status` unless that is None."""

    event: str
    source: str
    dest: str
    status: str | None = None


@dataclass(frozen=True)
class Definition:
    """A machine: what `transitions` runs, what `ytfsm graph` draws and what replay checks a journal against.

    `states` maps each state to its work, in the order they are drawn; `base` and `mark` are the Project Status an
    issue must have to be claimed and the one the claim gives it (None: the claim alone owns the issue). `restore`
    prepares a run that goes on in a state that is neither initial nor final. `run_id` is the shape of its runs' ids, a
    regular expression: a journal with another is none of its. Nothing but the table goes into the hash.
    """

    name: str
    initial: str
    states: dict[str, Enter]
    final: frozenset[str]
    rows: tuple[tuple[str, str | tuple[str, ...], str, str | None], ...]
    base: str
    mark: str | None
    restore: Restore
    run_id: str = r"\d{8}T\d{6}Z-[a-z0-9]+-i\d+-[0-9a-f]{4}"

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
        """The Project Status that a transition sets, or None."""
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
            states={name: self.states.get(name, _nothing) for name in table["states"]},
            final=frozenset(table["final"]),
            rows=tuple((event, source, dest, status) for event, source, dest, status in table["edges"]),
        )

    @property
    def hash(self) -> str:
        """Identifies the table: 16 hex digits."""
        return table_hash(self.table())

    def build(self, run: "Run") -> Any:
        """The `transitions.Machine` that moves `run`; its `run.trigger(event)` is called by the engine only.

        Before the state changes the journal has the transition on disk; entering a state does that state's work.
        """
        import transitions

        return transitions.Machine(
            model=run,
            states=[{"name": name, "on_enter": [run.on_enter]} for name in self.states],
            transitions=[{"trigger": e.event, "source": e.source, "dest": e.dest} for e in self.edges],
            initial=run.state,
            before_state_change=[run.persist],
            auto_transitions=False,  # no `to_*` jumps round the table
            send_event=True,
            queued=False,  # a queued trigger always says True and forgets its queue on an exception
        )


def _nothing(run: "Run") -> str | None:
    """The work of a state that is no more."""
    return None


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


@dataclass
class Path:
    """A run's way through its machine, for drawing: edges taken (with how often) and seconds in each state."""

    taken: dict[tuple[str, str, str], int]
    seconds: dict[str, float]
    state: str


def mermaid(table: dict[str, Any], path: Path | None = None) -> str:
    """The table as a Mermaid state diagram; with `path`, the way taken and the time in each state."""
    lines = ["stateDiagram-v2", f"    [*] --> {table['initial']}"]
    if path:
        lines += [
            f"    {name}: {name} ({duration(path.seconds[name])})" for name in table["states"] if name in path.seconds
        ]
    for event, source, dest, status in table["edges"]:
        times = path.taken.get((event, source, dest), 0) if path else 0
        label = _label(event, status, times)
        lines.append(f"    {source} --> {dest}: {label}")
    lines += [f"    {name} --> [*]" for name in table["states"] if name in table["final"]]
    if path:
        visited = [name for name in table["states"] if name in path.seconds and name != path.state]
        lines.append("    classDef visited fill:#dbeafe,stroke:#1d4ed8,color:#1e3a8a")
        lines.append("    classDef here fill:#1d4ed8,stroke:#1e3a8a,color:#ffffff")
        lines += [f"    class {name} visited" for name in visited] + [f"    class {path.state} here"]
    return "\n".join(lines) + "\n"


def dot(table: dict[str, Any], path: Path | None = None) -> str:
    """The table as a Graphviz digraph; with `path`, the way taken and the time in each state."""
    lines = [
        f'digraph "{table["name"]}" {{',
        '    rankdir="TB"; node [shape=box, style="rounded,filled", fillcolor=white, fontname="Helvetica"];',
        '    edge [fontname="Helvetica", fontsize=10];',
    ]
    for name in table["states"]:
        shape = ", peripheries=2" if name in table["final"] else ""
        if path and name in path.seconds:
            colour = "#93c5fd" if name == path.state else "#dbeafe"
            shape += f', fillcolor="{colour}", label="{name}\\n{duration(path.seconds[name])}"'
        lines.append(f'    "{name}" [id="{name}"{shape}];')
    for event, source, dest, status in table["edges"]:
        times = path.taken.get((event, source, dest), 0) if path else 0
        style = ", penwidth=2.5, color=blue" if times else (", color=gray70, fontcolor=gray50" if path else "")
        lines.append(f'    "{source}" -> "{dest}" [label="{_label(event, status, times)}"{style}];')
    return "\n".join([*lines, "}"]) + "\n"


def _label(event: str, status: str | None, times: int) -> str:
    label = f"{event} / {status}" if status else event
    return f"{label} ×{times}" if times > 1 else label


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `0.4s`, `12s`, `3m05s`, `2h04m`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
