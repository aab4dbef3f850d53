"""The bringup machine (§9.1): one issue, from `ready` to a pull request or a reason why not."""

from yt_fsm.bringup import surroundings
from yt_fsm.bringup.facts import BringupFacts
from yt_fsm.engine.machine import Definition, later

WORKING = ("claimed", "setup", "download", "reset", "bringup", "checking")
FINAL = ("review", "failed", "setup_error", "reference_error", "released")

MACHINE = Definition(
    name="bringup",
    initial="ready",
    states={name: later(f"states.bringup.{name}", "enter") for name in ("ready", *WORKING, *FINAL)},
    final=frozenset(FINAL),
    # event, from, to, Project Status
    rows=(
        ("claim", "ready", "claimed", "in progress"),
        ("prepare", "claimed", "setup", None),
        ("fetch", "setup", "download", None),
        ("clear", "download", "reset", None),
        ("begin", "reset", "bringup", None),
        ("submit", "bringup", "checking", None),
        ("retry", "checking", "bringup", None),
        ("accept", "checking", "review", "in review"),
        ("give_up", ("bringup", "checking"), "failed", "failed"),
        ("abort", WORKING, "setup_error", "setup error"),
        ("reject", "download", "reference_error", "reference error"),
        ("release", WORKING, "released", "ready"),
        ("lose", ("ready", *WORKING), "released", None),
    ),
    run=later("yt_fsm.bringup.run", "BringupRun"),
    facts=BringupFacts,
    settings=surroundings.settings,
    queue=surroundings.queue,
    needs=surroundings.needs,
    hindered=surroundings.hindered,
    restore=later("states.bringup.setup", "restore"),
    keep=later("yt_fsm.bringup.unfinished", "keep"),
    good=frozenset({"review", "released"}),
    run_id=r"\d{8}T\d{6}Z-[a-z0-9]+-i\d+-[0-9a-f]{4}",
)
