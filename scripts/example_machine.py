"""A machine of its own, on the engine alone: it counts to ten, and killed at any instant it goes on where it was.

.venv/bin/python scripts/example_machine.py          # walk it; kill it as you like, and say the same again
.venv/bin/python scripts/example_machine.py replay   # what happened
.venv/bin/python scripts/example_machine.py graph    # the machine as a diagram
"""

import json
import sys

from yt_fsm.engine import store
from yt_fsm.engine.diagram import mermaid
from yt_fsm.engine.errors import YtfsmError
from yt_fsm.engine.facts import Facts
from yt_fsm.engine.journal import Record
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
    while run.facts.number < run.subject.inputs["last"]:
        run.shell.run(["sleep", "0.1"], timeout=5)
        run.facts.number += 1
    return "finish"


def tell(run: Run) -> None:
    """What others see, here a line in a file, happens once over all crashes. Final."""
    file, line = run.settings.home / "told.txt", f"{run.run_id} has counted\n"

    def write(intent: Record) -> None:
        with file.open("a") as told:
            told.write(line)

    def look(record: Record) -> dict[str, str] | None:
        return {"line": line} if file.exists() and line in file.read_text() else None

    run.effects.once("line", "counted", write, look)


MACHINE = Definition(
    name="count",
    initial="ready",
    states={"ready": lambda run: "begin", "counting": count, "done": tell, "failed": lambda run: None},
    final=frozenset({"done", "failed"}),
    rows=(
        ("begin", "ready", "counting", None),
        ("finish", "counting", "done", None),
        ("abort", ("ready", "counting"), "failed", None),
    ),
    facts=Counted,
    good=frozenset({"done"}),
    ends=("abort",),
    queue=lambda settings, shell: Queue([Plain("to ten", last=10)], settings.runs),
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
        try:
            found = worker.work(once=True)
        except YtfsmError as problem:  # a stop (it can go on), a crash, or a machine that cannot work
            sys.exit(f"{problem}")
        found = worker.last or found  # of a run that was gone on with, or of a new one
        print(found.as_json())
        sys.exit(found.code)
