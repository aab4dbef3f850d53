"""The real `ytfsm` with a machine whose runs end in `claimed`: what is left is the race for the issues.

Each start of a run is a line `ISSUE RUN WORKER` in the file RACE_STARTS.
"""

import os
import sys

import machines
from machines.__main__ import main
from machines.bringup import MACHINE as BRINGUP
from states.bringup import ready, released
from yt_fsm.bringup import surroundings
from yt_fsm.bringup.run import BringupRun
from yt_fsm.engine.machine import Definition
from yt_fsm.github import publishing


def claimed(run: BringupRun) -> None:
    """On entry the bid has won; the card is moved, and the start noted. Final."""
    publishing.set_status(run, run.subject.mark, run.subject.base, read_back=False)
    line = f"{run.issue.number} {run.run_id} {run.settings.worker_name}\n"
    descriptor = os.open(os.environ["RACE_STARTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())  # one write: lines of several processes never mix
    os.close(descriptor)


RACE = Definition(
    name="bringup",
    initial="ready",
    states={"ready": ready.enter, "claimed": claimed, "released": released.enter},
    final=frozenset({"claimed", "released"}),
    rows=(("claim", "ready", "claimed", "in progress"), ("lose", "ready", "released", None)),
    run=BringupRun,
    facts=BRINGUP.facts,
    settings=surroundings.settings,
    queue=surroundings.queue,
    needs=surroundings.needs,
    run_id=BRINGUP.run_id,
)

if __name__ == "__main__":
    machines.MACHINES["bringup"] = RACE
    sys.argv[0] = "ytfsm"
    main()
