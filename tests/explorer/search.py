"""The search: every state that can be reached, nearest first, and whether from each somebody wins in the end."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from .issue import MARKED, NOBODY, READY
from .worker import OWNING, Bug, Program
from .world import DELETE_A_CLAIM, Configuration, Move, Rules, State


@dataclass
class Found:
    """What a search came to: `broken` names the first property that did not hold, and `way` leads there."""

    configuration: Configuration
    states: int = 0
    moves: int = 0
    steps: int = 0  # distinct steps of the real lease, with what it remembered and what it was answered
    broken: str = ""
    way: list[str] = field(default_factory=list)


Step = tuple[int, int, str, tuple[int, ...]]  # from which state, whose, what, and who changed places then


class TooManyStates(Exception):
    """The configuration is larger than the limit."""


def explore(configuration: Configuration, program: type[Program] = Program, limit: int = 5_000_000) -> Found:
    """Explore a configuration until all is seen or something is broken. Raises TooManyStates."""
    rules = Rules(configuration, program)
    start, _ = rules.canonical(configuration.start())
    numbers: dict[State, int] = {start: 0}
    states = [start]
    parents: list[Step] = [(-1, -1, "", ())]
    onward: list[list[int] | None] = []  # where fair moves lead from a state that waits for a winner
    found = Found(configuration)
    for place, state in enumerate(states):
        ahead: list[int] | None = None if served(configuration, state) else []
        for move in _moves(rules, state):
            found.moves += 1
            if move.broken:
                last = (place, move.who, move.what, ())
                found.broken, found.way = move.broken, _way(parents, last, configuration.workers)
                break
            to = numbers.get(move.to)
            if to is None:
                to = numbers[move.to] = len(states)
                states.append(move.to)
                parents.append((place, move.who, move.what, move.order))
            if ahead is not None and move.fair:
                ahead.append(to)
        if found.broken:
            break
        onward.append(ahead)
        if len(states) > limit:
            raise TooManyStates(f"{configuration.name}: more than {limit} states")
    found.states = len(states)
    found.steps = sum(made.ran for made in set(rules.programs))
    if not found.broken and configuration.lively:
        never = endless(onward)
        if never is not None:
            found.broken, found.way = "nobody ever wins", _way(parents, parents[never], configuration.workers)
    return found


def _moves(rules: Rules, state: State) -> Iterator[Move]:
    try:
        yield from rules.moves(state)
    except Bug as bug:
        yield Move(NOBODY, str(bug), False, state, str(bug))


def served(configuration: Configuration, state: State) -> bool:
    """Whether the issue needs nobody, has an owner at work, or has no worker that could take it.

    An issue in progress without any claim, because a person deleted it, is that person's to mend.
    """
    issue = state.issue
    if issue.status not in (READY, MARKED) or not issue.open:
        return True
    if DELETE_A_CLAIM in configuration.deeds and issue.status == MARKED and not issue.claims:
        return True
    awake = [worker for worker in state.workers if worker.power == "on"]
    owned = any(w.won and not w.silent and not w.superseded and w.at in OWNING for w in awake)
    # Work ends some day, also that of a worker which has lost its claim and does not know it yet.
    return not awake or owned or any(w.at == "work" for w in awake)


def endless(onward: list[list[int] | None]) -> int | None:
    """A state from which, without further faults, nobody need ever win, in whatever order turns are taken; else None.

    All states are taken away whose every next one is served, or taken away before; a cycle or a dead end stays.
    """
    missing = [len(ahead) if ahead is not None else 0 for ahead in onward]
    before: list[list[int]] = [[] for _ in onward]
    for place, ahead in enumerate(onward):
        for to in ahead or ():
            before[to].append(place)
    done = [place for place, ahead in enumerate(onward) if ahead is None]
    left = set(range(len(onward))).difference(done)
    while done:
        for place in before[done.pop()]:
            missing[place] -= 1
            if missing[place] == 0:
                left.discard(place)
                done.append(place)
    return min(left, default=None)


def _way(parents: list[Step], last: Step, workers: int) -> list[str]:
    """The steps up to `last` in words, each worker with the number that it began with."""
    steps = [last]
    while steps[-1][0] > 0:
        steps.append(parents[steps[-1][0]])
    names, way = list(range(workers)), []
    for _, who, what, order in reversed(steps):
        told = what
        for place, name in enumerate(names):
            told = told.replace(f"@{place}", str(name))
        way.append(f"worker {names[who]}: {told}" if who >= 0 else told)
        names = [names[old] for old in order] if order else names
    return way
