"""The fault matrix's table: every fault, how it is set, in which states it strikes, and how the run must end then.

A fault strikes in a state when it is set as the run enters it (worker.py). A state is in a fault's line when the state
asks what the fault is of, or when its heartbeat does: GitHub and persons are met everywhere; codex in `bringup`; the
Hub in `download`; the board where it is looked at, or where what it lost is missed later. `once`: the next request
meets it. `lasting`: every request does, until the run has said twice that it waits. `for good`: every request, to the
end. How runs end, and what must hold then, is told by matrix.py; it comes from design §3 and the faults W1 to W17.
"""

from .points import (
    FOR_GOOD,
    GOES_ON,
    HELD,
    LASTING,
    LOST,
    NOTHING,
    ONCE,
    PUSHED,
    REFERENCE,
    SETUP_ERROR,
    STATES,
    TAKEN_AWAY,
    TOLD,
    UNPUBLISHED,
    UNTAKEN,
    UNTOLD,
    WAITS,
    WORKING,
    WORLD,
    Fault,
    Point,
    Request,
    act,
    at,
    codex,
    counted,
    github,
    hub,
    machine,
    person,
)

# --- GitHub


BEHAVE: tuple[Request, ...] = (("DELETE", "/faults/github", None),)
PASSING = {
    ONCE: at(GOES_ON, *STATES, ready=UNTAKEN),
    LASTING: at(WAITS, *STATES, ready=NOTHING),
}
PASSES = [
    Fault(kind, github(kind, **more), PASSING, "GitHub", BEHAVE)
    for kind, more in {
        "unauthorized": {}, "forbidden": {}, "too-many-requests": {}, "rate-limited": {}, "secondary-limit": {},
        "bad-gateway": {}, "bad-gateway-after": {}, "server-error": {}, "went-wrong": {}, "unavailable": {},
        "internal": {}, "too-quickly": {}, "reset-before": {}, "reset-after": {}, "truncated": {},
        "hang": {"seconds": 30}, "hang-after": {"seconds": 30},
    }.items()
] + [
    Fault("unreadable", github("answer", status=200, body="<html>a proxy's page</html>"), PASSING, "GitHub", BEHAVE),
    Fault("teapot", github("answer", status=418, body='{"message":"I am a teapot"}'), PASSING, "GitHub", BEHAVE),
]  # fmt: skip


def silent(lasts: str) -> list[Request]:
    """GitHub is away, and has been for longer than a claim lives."""
    return [*github("bad-gateway")(lasts), ("POST", "leap", 4000)]


PASSES.append(Fault("away past the claim's life", silent, {LASTING: at(WAITS, *HELD)}, "GitHub", BEHAVE, heard=True))
MILD = [
    Fault("slow", github("slow", seconds=1), {ONCE: at(GOES_ON, *STATES)}, "", BEHAVE),
    Fault("lag", github("lag", seconds=0.03), {FOR_GOOD: at(GOES_ON, *STATES)}, "", BEHAVE),
    Fault("lands-late", github("lands-late", seconds=0.03), {ONCE: at(GOES_ON, *STATES, ready=UNTAKEN)}, "", BEHAVE),
    Fault("stale-option", github("stale-option"), {ONCE: at(GOES_ON, "claimed", *TOLD)}, "", BEHAVE),
    Fault(
        "workflow",
        github("workflow", match="updateProjectV2ItemFieldValue"),
        {ONCE: at(GOES_ON, *TOLD)},
        "",
        BEHAVE,
    ),
]
NOT_ALLOWED = '{"message":"Resource not accessible by personal access token"}'
REFUSALS = [
    Fault(
        "refuses all",
        github("answer", status=403, body=NOT_ALLOWED),
        {FOR_GOOD: at(UNTOLD, *HELD, *TOLD, ready=NOTHING)},
        "GitHub",
        BEHAVE,
    ),
    Fault(
        "refuses pull requests",
        github("answer", "createPullRequest", status=403, body=NOT_ALLOWED),
        {FOR_GOOD: at(UNPUBLISHED, "review")},
        "GitHub refuses the pull request",
        BEHAVE,
    ),
]

# --- git's far end

DENIED_LATE = at(UNPUBLISHED, "download", "reset", *WORKING, *PUSHED)
DENIALS = [
    Fault(
        f"pushes denied: {how}",
        act({"do": "deny_pushes", "how": how}),
        {FOR_GOOD: {**at(SETUP_ERROR, "claimed", "setup"), **DENIED_LATE}},
        "push|permission|read.only|refuse",
        (("POST", "/act", {"do": "allow_pushes"}),),
    )
    for how in ("key", "permission", "https", "archived")
] + [
    Fault(
        "branch ruled out",
        act({"do": "rule_branch", "branch": "bringup/*"}),
        {FOR_GOOD: DENIED_LATE},
        "GH013|refuses the branch",
        (("POST", "/act", {"do": "rule_branch", "branch": ""}),),
    ),
    Fault(
        "branch protected",
        act({"do": "protect_branch", "branch": "bringup/*"}),
        {FOR_GOOD: DENIED_LATE},
        "GH006|refuses the branch",
        (("POST", "/act", {"do": "unprotect_branch", "branch": "bringup/*"}),),
    ),
]


GIT = [
    Fault(
        "git away",
        counted("lose_git", 10**6),
        {ONCE: at(GOES_ON, "setup", *PUSHED), LASTING: at(WAITS, "setup", *PUSHED)},
        "github.com|GitHub|git ",
        (("POST", "/act", {"do": "lose_git", "count": 0}),),
    ),
    Fault(
        "a hook declines",
        counted("refuse_pushes", 10**6),
        {FOR_GOOD: at(UNPUBLISHED, *PUSHED)},
        "declined|refuses the branch",
        (("POST", "/act", {"do": "refuse_pushes", "count": 0}),),
    ),
    Fault(
        "push's answer lost",
        counted("drop_pushes", 1),
        {ONCE: at(GOES_ON, *PUSHED)},
        "",
        (("POST", "/act", {"do": "drop_pushes", "count": 0}),),
    ),
]

# --- persons


CLAIM = {"containing": "[yt-claim]"}
FORGED = "[yt-claim]\nworker: mallory\nsystem: n300\nrun_id: 20261126T000000Z-n300-i1-0000\nttl: 3600\n"
MOVED = {**at(LOST, *HELD), **at(TAKEN_AWAY, *PUSHED)}
PERSONS = [
    person("closes the issue", at(LOST, *HELD, ready=NOTHING), {"do": "close_issue"}, said="closed the issue"),
    person("moves the card", {**MOVED, "ready": NOTHING}, {"do": "move_card", "status": "done"}, said="moved|status"),
    person("removes the card", MOVED, {"do": "remove_card"}, said="off the board|card"),
    person("archives the card", MOVED, {"do": "archive_card"}, said="off the board|archived|card"),
    person("takes the label off", at(LOST, *HELD), {"do": "remove_label", "label": "n300"}, said="label"),
    person(
        "releases the claim",
        at(LOST, *HELD),
        {"do": "edit_comment", **CLAIM, "append": "released: yes"},
        said="released",
    ),
    person("deletes the claim", at(LOST, *HELD), {"do": "delete_comment", **CLAIM}, said="claim"),
    person("edits the issue", at(GOES_ON, *STATES), {"do": "edit_issue", "title": "Another title"}),
    person("comments", at(GOES_ON, *STATES), {"do": "comment", "body": "How is it going?"}),
    person(
        "a stranger's claim",
        at(GOES_ON, *STATES),
        {"do": "comment", "body": FORGED, "by": "mallory"},
    ),
    person("closes and reopens", at(GOES_ON, *HELD), {"do": "close_issue"}, {"do": "reopen_issue"}),
    person("renews the options", at(GOES_ON, *STATES), {"do": "renew_options"}),
    Fault(
        "GitHub's clock 2 h ahead",
        lambda lasts: [("POST", "/clock", {"offset": 7200})],
        {FOR_GOOD: at(GOES_ON, *STATES)},
        "",
        (("POST", "/clock", {"offset": 0}),),
    ),
    Fault(
        "GitHub's clock 2 h behind",
        lambda lasts: [("POST", "/clock", {"offset": -7200})],
        {FOR_GOOD: at(GOES_ON, "ready")},
        "",
        (("POST", "/clock", {"offset": 0}),),
    ),
]

# --- codex, the Hub, the board, the evaluation


MIND = {ONCE: WAITS, LASTING: WAITS}
TRIED = {ONCE: GOES_ON, LASTING: WAITS}
LIMIT = "ERROR: You’ve hit your usage limit. Upgrade to Pro or try again later."
CODEX = [
    codex("usage limit with a time", "usage-limit", MIND, "limit", resets_in_seconds=600),
    codex("usage limit in the stream", "usage-limit", TRIED, "limit", stream=True),
    codex("usage limit without a time", "usage-limit", MIND, "limit"),
    codex("rate limit", "rate-limit", TRIED),
    codex("quota", "quota", MIND, "quota|limit"),
    codex("overloaded", "overloaded", TRIED),
    codex("login expired", "status", TRIED, "log", status=401),
    codex("codex's service fails", "status", TRIED, status=500),
    codex("codex's service is away", "status", TRIED, status=503),
    codex("odd events", "odd", {ONCE: GOES_ON, FOR_GOOD: GOES_ON}),
    codex("no message", "no-message", {ONCE: GOES_ON}, step=1),
    codex("silence", "hang", {LASTING: WAITS}),
    codex("silence after the end", "hang-after", {FOR_GOOD: GOES_ON}, step=1),
    codex("no answer", "no-answer", {LASTING: WAITS}),
    codex("stream cut", "cut", TRIED),
    codex("stream cut in the middle", "cut", TRIED, middle=True),
    codex("slow codex", "slow", {ONCE: GOES_ON}, seconds=1),
]
BROKEN = {ONCE: at(GOES_ON, "bringup"), FOR_GOOD: at(SETUP_ERROR, "bringup")}
PROGRAM = [
    machine("codex", "codex says limit", "exit", {ONCE: at(WAITS, "bringup"), LASTING: at(WAITS, "bringup")}, "limit",
            operation="exec", text=LIMIT),
    machine("codex", "codex exits", "exit", BROKEN, "codex", operation="exec"),
    machine("codex", "codex killed", "killed", BROKEN, "codex", operation="exec"),
    machine("codex", "codex mute", "mute", {LASTING: at(WAITS, "bringup")}, "codex", operation="exec"),
    machine("codex", "codex lingers", "lingers", {FOR_GOOD: at(GOES_ON, "bringup")}, "", operation="exec"),
    machine("codex", "codex exits after", "exit-after", {FOR_GOOD: at(GOES_ON, "bringup")}, "", operation="exec"),
    machine("codex", "codex babbles", "babbles", {FOR_GOOD: at(GOES_ON, "bringup")}, "", operation="exec"),
]  # fmt: skip


NEVER = {FOR_GOOD: SETUP_ERROR}
HUB = [
    hub("Hub fails", "status", TRIED, status=503),
    hub("Hub limits", "status", TRIED, status=429),
    hub("Hub away", "away", {LASTING: WAITS}),
    hub("Hub silent", "hang", {LASTING: WAITS}),
    hub("Hub slow", "slow", {ONCE: GOES_ON}, seconds=1),
    hub("download breaks", "reset", TRIED),
    hub("file ends early", "truncated", {ONCE: GOES_ON}),
    hub("file corrupt", "corrupt", {ONCE: GOES_ON, **NEVER}, "sha256|is not the"),
    hub("gated", "gated", NEVER, "licen|gated|access"),
    hub("no such revision", "revision", NEVER, "revision"),
    hub("no such model", "vanished", NEVER, "has no model"),
    hub("no such file", "missing", NEVER, "file|Hub"),
    hub("file huge", "huge", NEVER, "disk|free|room|GB", bytes=10**18),
]
BOARD_SAID = "tt-smi|board|chip|driver"
TT_SMI = [
    machine("tt-smi", name, kind, {
        ONCE: {**at(WORLD, "setup"), **at(GOES_ON, "reset")}, FOR_GOOD: at(SETUP_ERROR, "setup", "reset")
    }, BOARD_SAID)
    for name, kind in {
        "tt-smi hangs": "hang", "tt-smi fails": "fails", "board absent": "absent", "driver absent": "driver",
    }.items()
] + [
    machine("tt-smi", "board vanishes", "vanishes", {
        ONCE: at(GOES_ON, "reset"), FOR_GOOD: at(SETUP_ERROR, "reset")
    }, BOARD_SAID, operation="reset"),
    machine("tt-smi", "tt-smi warns", "warns", {FOR_GOOD: at(GOES_ON, "setup", "reset")}, ""),
]  # fmt: skip
# A board that a reset mends: whoever meets it resets it, and nothing was the model's.
MENDED = {ONCE: {**at(WORLD, "setup"), **at(GOES_ON, "download", "reset", *WORKING)}}
WOUNDS = [
    *(machine("board", f"{chips} of the chips lost", "lost", MENDED, BOARD_SAID, chips=chips) for chips in (1, "all")),
    *(
        machine("board", f"mesh does not open: {what}", "open", {
            ONCE: at(GOES_ON, "setup", "download", "reset", *WORKING)
        }, "", what=what)
        for what in ("timeout", "no-chips", "busy", "full", "killed")
    ),
]  # fmt: skip


def gone(lasts: str) -> list[Request]:
    """The board is lost, and no reset brings it back."""
    lost = {"kind": "lost", "chips": "all", "machine": "$machine"}
    idle = {"kind": "idle", "operation": "reset", "count": None, "machine": "$machine"}
    return [("POST", "/faults/board", lost), ("POST", "/faults/tt-smi", idle)]


GONE = Fault(
    "board gone",
    gone,
    {FOR_GOOD: at(SETUP_ERROR, "claimed", "setup", "download", "reset", *WORKING)},
    BOARD_SAID,
    (("DELETE", "/faults/board", None), ("DELETE", "/faults/tt-smi", None)),
)
HELD_BOARD = Fault(
    "board held",
    lambda lasts: [("POST", "hold", "board")],
    {LASTING: at(WAITS, "reset")},
    "board is held|board",
)
FIRMWARE = "Device 0 init: failed to initialize FW! Try resetting the board."
EVALUATION = [
    machine("evaluation", "reference killed", "killed", {ONCE: at(WORLD, "download")}, "killed|memory", operation="hf"),
    machine("evaluation", "reference exits 2", "exit", {FOR_GOOD: at(SETUP_ERROR, "download")}, "run_eval|exited",
            operation="hf", code=2, text="usage: run_eval.py"),
    machine("evaluation", "reference exits 3", "exit", {FOR_GOOD: at(REFERENCE, "download")}, "reference|HF",
            operation="hf", code=3, text="the reference is not finite"),
    machine("evaluation", "reference says nothing", "silent", {FOR_GOOD: at(SETUP_ERROR, "download")}, "metrics",
            operation="hf"),
    machine("evaluation", "ttnn does not import", "exit", {FOR_GOOD: at(SETUP_ERROR, "setup")}, "ttnn|import",
            operation="import", text="ImportError: libtt_metal.so"),
    machine("evaluation", "base's tests fail", "exit", {FOR_GOOD: at(SETUP_ERROR, "claimed", "setup")}, "own tests",
            operation="pytest", text="1 failed"),
    machine("evaluation", "tests killed", "killed", {ONCE: at(GOES_ON, "checking")}, "", operation="pytest"),
    machine("evaluation", "evaluation killed", "killed", {ONCE: at(GOES_ON, "checking")}, "", operation="tt0"),
    machine("evaluation", "evaluation's board hangs", "exit", {ONCE: at(GOES_ON, "checking")}, "", operation="tt0",
            text=FIRMWARE),
    machine("evaluation", "evaluation loses a chip", "lost", {ONCE: at(GOES_ON, "checking")}, "", operation="tt0"),
    machine("evaluation", "traced evaluation's board hangs", "exit", {ONCE: at(GOES_ON, "checking")}, "",
            operation="tt1", text=FIRMWARE),
]  # fmt: skip

FAULTS = [
    *PASSES, *MILD, *REFUSALS, *DENIALS, *GIT, *PERSONS, *CODEX, *PROGRAM, *HUB, *TT_SMI, *WOUNDS, GONE, HELD_BOARD,
    *EVALUATION,
]  # fmt: skip
POINTS = [Point(fault, state, lasts) for fault in FAULTS for lasts, state in fault.points()]
