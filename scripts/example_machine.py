"""A machine of its own, on the engine alone: it counts to ten, and killed at any instant it goes on where it was.

.venv/bin/python scripts/example_machine.py          # walk it; kill it as you like, and say the same again
.venv/bin/python scripts/example_machine.py replay   # what happened
.venv/bin/python scripts/example_machine.py graph    # the machine as a diagram
"""

import json
import sys

from yt_fsm.engine import store
from yt_fsm.engine.diagram import mermaid
from yt_fsm.engine.facts import Facts
from yt_fsm.engine.machine import Definition
from yt_fsm.engine.queue import Queue
from yt_fsm.engine.replay import replay
from yt_fsm.engine.run import Run
from yt_fsm.engine.settings import Settings, load
from yt_fsm.engine.shell import Shell
from yt_fsm.engine.subject import Plain
from yt_fsm.engine.worker import Worker


class Counted(Facts):
    """What no crash may forget."""

    number: int = 0


def count(run: Run) -> str:
    """On entry some numbers may be counted already. Leaves `finish`; a program that fails is the world's: `abort`."""
    while run.facts.number < 10:
        run.shell.run(["sleep", "0.1"], timeout=5)
        run.facts.number += 1
    return "finish"


MACHINE = Definition(
    name="count",
    initial="ready",
    states={"ready": lambda run: "begin", "counting": count, "done": lambda run: None, "failed": lambda run: None},
    final=frozenset({"done", "failed"}),
    rows=(
        ("begin", "ready", "counting", None),
        ("finish", "counting", "done", None),
        ("abort", ("ready", "counting"), "failed", None),
    ),
    facts=Counted,
    good=frozenset({"done"}),
    ends=("abort",),
    queue=lambda settings, shell: Queue([Plain("to ten")], settings.runs),
)

if __name__ == "__main__":
    settings = load(Settings)
    if sys.argv[1:] == ["graph"]:
        print(mermaid(MACHINE.table()))
    elif sys.argv[1:] == ["replay"]:
        for folder in store.everyone(settings.runs):
            print(json.dumps(replay(store.reading_of(folder), MACHINE), indent=2))
    else:
        worker = Worker(MACHINE, settings, Shell("count", settings.redactor()))
        worker.listen()
        print(worker.work(once=True).as_json())
