"""The search: every state that can be reached, breadth first, and whether from each of them somebody wins in the end."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from .issue import MARKED, READY
from .world import Configuration, State, World
from .worker import OWNING, Program


@dataclass
class Found:
    """What a search came to: `broken` names the first property that did not hold, and `way` leads there."""

    configuration: Configuration
    states: int = 0
    moves: int = 0
    steps: int = 0  # distinct steps of the real lease
    wins: int = 0
    whole: bool = True  # all was explored
    broken: str = ""
    way: list[str] = field(default_factory=list)


def explore(
    configuration: Configuration, program: type[Program] = Program, limit: int | None = None, liveness: bool = True
) -> Found:
    """Explore a configuration until all is seen, something is broken, or `limit` states were found."""
    world = World(configuration, program)
    start = world.canonical(configuration.start())
    number: dict[State, int] = {start: 0}
    parents: list[tuple[int, str]] = [(-1, "")]
    states = [start]
    # Where fair moves lead from a state in which nobody is at work yet: (who, to); for the search for livelocks.
    onward: list[list[tuple[int, int]] | None] = []
    found = Found(configuration)
    place = 0
    while place < len(states):
        state = states[place]
        waiting: list[tuple[int, int]] | None = None if served(state) else []
        for move in world.moves(state):
            found.moves += 1
            if move.broken:
                found.broken, found.way = move.broken, [*_way(parents, place), _words(move.who, move.what)]
                break
            to = number.get(move.to)
            if to is None:
                to = number[move.to] = len(states)
                states.append(move.to)
                parents.append((place, _words(move.who, move.what)))
            if waiting is not None and move.fair:
                waiting.append((move.who, to))
        onward.append(waiting)
        if found.broken:
            break
        place += 1
        if limit and len(states) >= limit:
            found.whole = False
            break
    found.states = len(states)
    found.steps = sum(p.ran for p in set(world.programs))
    if not found.broken and found.whole and liveness:
        stuck = livelock(states, onward)
        if stuck is not None:
            found.broken, found.way = "nobody ever wins", _way(parents, stuck)
    return found


def served(state: State) -> bool:
    """Whether the issue needs nobody, has an owner at work, or has no worker that could take it."""
    if state.issue.status not in (READY, MARKED) or not state.issue.open:
        return True
    awake = [w for w in state.workers if w.power == "on"]
    return not awake or any(w.won and not w.silent and not w.superseded and w.at in OWNING for w in awake)


def livelock(states: list[State], onward: list[list[tuple[int, int]] | None]) -> int | None:
    """A state from which, all faults over and everybody getting his turn, nobody need ever win; None when none is.

    That is one on a cycle (a strongly connected set) in which each worker that is awake either moves or has, at some
    state of it, nothing to do.
    """
    for members in _components(onward):
        inside = set(members)
        moving = set()
        idle = set()
        cycle = False
        for place in members:
            able = {who for who, _ in onward[place] or ()}
            for who, to in onward[place] or ():
                if to in inside:
                    moving.add(who)
                    cycle = True
            idle |= set(range(len(states[place].workers))) - able
        if cycle and all(who in moving or who in idle for who in range(len(states[members[0]].workers))):
            return members[0]
        if len(members) == 1 and onward[members[0]] == []:
            return members[0]
    return None


def _components(onward: list[list[tuple[int, int]] | None]) -> Iterator[list[int]]:
    """The strongly connected sets of the states in which nobody is served (Tarjan's way, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    for root, edges in enumerate(onward):
        if edges is None or root in index:
            continue
        work = [(root, 0)]
        while work:
            place, turn = work.pop()
            if turn == 0:
                index[place] = low[place] = len(index)
                stack.append(place)
                on_stack.add(place)
            again = False
            targets = onward[place] or []
            for at in range(turn, len(targets)):
                to = targets[at][1]
                if to >= len(onward) or onward[to] is None:
                    continue
                if to not in index:
                    work.append((place, at + 1))
                    work.append((to, 0))
                    again = True
                    break
                if to in on_stack:
                    low[place] = min(low[place], index[to])
            if again:
                continue
            if low[place] == index[place]:
                members = []
                while True:
                    member = stack.pop()
                    on_stack.discard(member)
                    members.append(member)
                    if member == place:
                        break
                yield members
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[place])


def _way(parents: list[tuple[int, str]], place: int) -> list[str]:
    way = []
    while place > 0:
        place, what = parents[place]
        way.append(what)
    return way[::-1]


def _words(who: int, what: str) -> str:
    return what if who < 0 else f"worker {who}: {what}"
