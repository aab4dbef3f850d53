"""Whose fault it is, and what follows: the one table of what an error does to a run, a worker and an exit code.

Errors say what they are (`fault`, `final`, their kind: errors.py) and nothing else in the engine asks. `rule_of` finds
an error's row; the walk does what it says. `scripts/readme.py` prints the table.
"""

from collections.abc import Callable
from typing import NamedTuple

from .errors import Lost, PreflightFailed, Refused, SetupError, StopRequested, Unconfirmed, Verdict, Wait
from .machine import ABORT, LOSE

STOP = "stop"  # no event: `stopped`, and the run goes on later
CRASH = "crash"  # no event: `crashed`, and a person looks
PARK = "park"  # no event: `stopped`, its work kept; it begins again with its subject
WAIT = "wait"  # no event: `waiting`, and the state's work is entered again; a final state's is the outbox's to try
END = "end"  # the error's own event: `abort`, `reject`, `give_up`
REFUSE = "refuse"  # in a final state: it ends `unpublished`, and says so


class Rule(NamedTuple):
    """What follows from one kind of error.

    `such` knows it. `working` is what it does to a run in a state that is not final, `publishing` to one in a final
    state; in the initial state nothing was taken, so whatever would end or hold up a run is `lose` there. `counts`:
    equal ones in a row open the worker's breaker. `means` and `exit_code` are for people: the codes are the errors'.
    """

    name: str
    such: Callable[[BaseException], bool]
    working: str
    publishing: str
    counts: bool
    means: str
    exit_code: str


def _setup(fault: str, final: bool | None = None) -> Callable[[BaseException], bool]:
    return lambda e: isinstance(e, SetupError) and e.fault == fault and (final is None or e.final is final)


RULES = (
    Rule("StopRequested", lambda e: isinstance(e, StopRequested), STOP, STOP, False,
         "a person, or the system, stopped this process", "130 by Ctrl-C, 0 by SIGTERM"),
    Rule("Wait", lambda e: isinstance(e, Wait), WAIT, WAIT, False,
         "a limit, an overload, a logout, a board that another run holds", "0 with `--no-wait`"),
    Rule("Lost", lambda e: isinstance(e, Lost), LOSE, REFUSE, False,
         "another worker has the subject, or a person acted", "0"),
    Rule("Unconfirmed", lambda e: isinstance(e, Unconfirmed), PARK, WAIT, False,
         "nobody says whose the subject is: the work is kept, and it is taken up again", "1"),
    Rule("Refused", lambda e: isinstance(e, Refused), CRASH, REFUSE, False,
         "what would be published must not be, or is refused", "1"),
    Rule("fault `service`, passing", _setup("service", final=False), WAIT, WAIT, False,
         "a service is away, overloaded or fails", "0 once it is back"),
    Rule("fault `service`, final", _setup("service", final=True), END, REFUSE, True,
         "a service says no, and will go on saying no", "1"),
    Rule("fault `machine`", _setup("machine"), END, WAIT, True,
         "this machine or the models repo: a tool, a login, a disk, a board, the repo's own tests", "1"),
    Rule("fault `issue`", _setup("issue"), END, WAIT, False,
         "what was asked for: a field, a model that is not there, a branch that is taken", "1"),
    Rule("fault `reference`", lambda e: isinstance(e, Verdict) and e.fault == "reference", END, WAIT, False,
         "the HF reference itself does not hold", "1"),
    Rule("fault `model`", lambda e: isinstance(e, Verdict) and e.fault == "model", END, WAIT, False,
         "the checks failed as often as they may, or a budget is spent", "1"),
    Rule("PreflightFailed", lambda e: isinstance(e, PreflightFailed), WAIT, WAIT, False,
         "something that a start of the worker looks for is gone since, such as a Status option", "5 at the start"),
    Rule("anything else", lambda _: True, CRASH, CRASH, False,
         "a bug of ours", "1"),
)  # fmt: skip


_ENDS = {"fault `reference`": "reject", "fault `model`": "give_up"}  # for people: the errors know their events


def rule_of(problem: BaseException) -> Rule:
    """An error's row: the first that knows it."""
    return next(rule for rule in RULES if rule.such(problem))


def counts(problem: BaseException | None) -> str | None:
    """The cause that a breaker counts this error by; None for one that says nothing of the machine or its services.

    A refused bid has lost, and what refused it stands behind that (faults Q3).
    """
    while isinstance(problem, Lost) and problem.__cause__ is not None:
        problem = problem.__cause__
    if problem is None or not rule_of(problem).counts:
        return None
    assert isinstance(problem, SetupError)
    return problem.cause


def says_nothing(problem: BaseException | None) -> bool:
    """Whether an end by it says nothing of the machine, neither good nor bad: the issue was at fault."""
    return isinstance(problem, SetupError) and problem.fault == "issue"


def table() -> str:
    """The rules as Markdown, as README.md has them."""
    lines = [
        "| error | means | a run that works | one that publishes | breaker | exit code |",
        "|---|---|---|---|---|---|",
    ]
    words = {
        STOP: "stopped, resumable", CRASH: "crashed, resumable", PARK: "stopped, taken up again", WAIT: "waits",
        LOSE: "`lose`", REFUSE: "`unpublished`",
    }  # fmt: skip
    for rule in RULES:
        working = words.get(rule.working) or f"`{_ENDS.get(rule.name, ABORT)}`"
        counted = "counts" if rule.counts else ""
        cells = [rule.name, rule.means, working, words[rule.publishing], counted, rule.exit_code]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
