"""The bringup machine (§9.1): one issue, from `ready` to a pull request or a reason why not."""

from states.bringup import (
    bringup,
    checking,
    claimed,
    download,
    failed,
    ready,
    reference_error,
    released,
    reset,
    review,
    setup,
    setup_error,
)
from yt_fsm.bringup import surroundings, work
from yt_fsm.bringup.run import BringupRun
from yt_fsm.engine.machine import Definition

WORKING = ("claimed", "setup", "download", "reset", "bringup", "checking")

MACHINE = Definition(
    name="bringup",
    initial="ready",
    states={
        "ready": ready.enter,
        "claimed": claimed.enter,
        "setup": setup.enter,
        "download": download.enter,
        "reset": reset.enter,
        "bringup": bringup.enter,
        "checking": checking.enter,
        "review": review.enter,
        "failed": failed.enter,
        "setup_error": setup_error.enter,
        "reference_error": reference_error.enter,
        "released": released.enter,
    },
    final=frozenset({"review", "failed", "setup_error", "reference_error", "released"}),
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
    run=BringupRun,
    settings=surroundings.settings,
    queue=surroundings.queue,
    needs=surroundings.needs,
    restore=setup.restore,
    keep=work.keep_unfinished,
    good=frozenset({"review", "released"}),
    run_id=r"\d{8}T\d{6}Z-[a-z0-9]+-i\d+-[0-9a-f]{4}",
)
