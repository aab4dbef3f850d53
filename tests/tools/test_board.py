"""The board: told by a real tt-smi process, reset and verified, and held by one worker at a time."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from yt_fsm.engine.errors import CommandFailed, SetupError, Wait
from yt_fsm.engine.redaction import Redactor
from yt_fsm.engine.shell import Shell
from yt_fsm.tools import systems
from yt_fsm.tools.board import Board
from yt_fsm.tools.systems import Reset, System

SMI = """
import json, os, sys
folder = os.path.dirname(os.path.abspath(__file__)) + "/.."
plan = json.load(open(folder + "/smi.json"))
with open(folder + "/smi.calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
code = 0
if sys.argv[1] == "-r":
    code = plan["resets"].pop(0) if plan["resets"] else 0
else:
    boards = plan["boards"] if plan["away"] <= 0 else []
    plan["away"] -= 1
    print(plan["noise"], end="")
    rows = [kind.partition(" #") for kind in boards]
    rows = [{"board_type": kind, **({"board_id": "#" + number} if number else {})} for kind, _, number in rows]
    print(json.dumps({"device_info": [{"board_info": row} for row in rows]}))
    print(plan["after"], end="")
with open(folder + "/smi.json", "w") as file:
    json.dump(plan, file)
sys.exit(code)
"""


@pytest.fixture
def plan(program: Callable[[str, str], Path], tmp_path: Path) -> Callable[..., None]:
    """Says what tt-smi sees: chips, exit codes of the next resets, snapshots with the boards away, words before."""
    program("tt-smi", SMI)

    def make(*boards: str, resets: tuple[int, ...] = (), away: int = 0, noise: str = "", after: str = "") -> None:
        told = {"boards": boards, "resets": resets, "away": away, "noise": noise, "after": after}
        (tmp_path / "smi.json").write_text(json.dumps(told))

    make("n300 L", "n300 R")
    return make


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yt_fsm.engine.shell.StopFlag.wait", lambda self, seconds: None)


@pytest.fixture
def board(shell: Shell, plan: object, tmp_path: Path) -> Callable[..., Board]:
    def make(system: str | System = "n300", device: int | None = None) -> Board:
        of = systems.known().find(system) if isinstance(system, str) else system
        return Board(shell, of, device, tmp_path / "locks")

    return make


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "smi.calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("chips", "boards"),
    [
        (["n150 L"], ["n150"]),
        (["n300 L", "n300 R"], ["n300"]),
        (["n300 L"] * 4 + ["n300 R"] * 4, ["n300"] * 4),
        (["N150"], ["n150"]),
    ],
)
def test_boards_are_counted_by_their_first_chips(
    board: Callable[..., Board], plan: Callable[..., None], chips: list[str], boards: list[str]
) -> None:
    plan(*chips)
    assert board().boards() == boards


@pytest.mark.parametrize(
    "words", ["Detected 1 device(s)\n", "WARNING: {UMD} is new\n", "{odd}\n", '{"time": 3}\n', "}\n"]
)
def test_words_before_and_after_the_snapshot_do_not_matter(
    board: Callable[..., Board], plan: Callable[..., None], words: str
) -> None:
    plan("n300 L", noise=words)
    assert board().boards() == ["n300"]
    plan("n300 L", after=words)
    assert board().boards() == ["n300"]


@pytest.mark.parametrize(("system", "chips"), [("n300", ["n300 L"]), ("lb", ["n300 L"] * 4 + ["n300 R"] * 3)])
def test_a_board_that_lost_a_chip_is_not_whole(
    board: Callable[..., Board], plan: Callable[..., None], system: str, chips: list[str]
) -> None:
    plan(*chips)
    with pytest.raises(SetupError, match=rf"not whole: tt-smi lists {len(chips)} chip\(s\) of {len(chips) + 1}"):
        board(system).verify()


@pytest.mark.parametrize("device", [1, 7])
def test_a_device_that_is_not_there_is_named(
    board: Callable[..., Board], plan: Callable[..., None], device: int
) -> None:
    plan("n300 L", "n300 R")
    with pytest.raises(SetupError, match=rf"YT_DEVICE = {device}: tt-smi lists 1 board\(s\), which count from 0"):
        board(device=device).verify()


def test_of_a_mixed_host_the_chosen_device_is_looked_at(board: Callable[..., Board], plan: Callable[..., None]) -> None:
    plan("p150", "n300 L", "n300 R")
    board(device=1).verify()
    with pytest.raises(SetupError, match="lists p150, and n300 was expected"):
        board(device=0).verify()
    with pytest.raises(SetupError, match="lists n300, p150, and n300 was expected"):
        board().verify()


@pytest.mark.parametrize(
    ("system", "chips"),
    [("n150", ["n150 L"]), ("n300", ["n300 L", "n300 R"]), ("lb", ["n300 L", "n300 R"] * 4)],
)
def test_each_system_knows_its_boards(
    board: Callable[..., Board], plan: Callable[..., None], system: str, chips: list[str]
) -> None:
    plan(*chips)
    board(system).verify()


@pytest.mark.parametrize(
    ("system", "chips"),
    [("n150", ["n300 L", "n300 R"]), ("n300", ["n150 L"]), ("lb", ["p150"] * 4), ("n300", ["n300 L"] * 4)],
)
def test_another_system_is_named(
    board: Callable[..., Board], plan: Callable[..., None], system: str, chips: list[str]
) -> None:
    plan(*chips)
    with pytest.raises(SetupError, match=f"this is no {system}: tt-smi lists .* Set YT_SYSTEM to what the machine is"):
        board(system).verify()


def test_half_a_mesh_is_named_with_what_is_missing(board: Callable[..., Board], plan: Callable[..., None]) -> None:
    """It was called another system."""
    plan(*["n300 L", "n300 R"] * 3)
    with pytest.raises(SetupError, match=r"this lb is not whole: tt-smi lists 3 board\(s\) of 4, 1 n300 missing\. Re"):
        board("lb").verify()
    plan(*["n300 L", "n300 R"] * 2, "p150", "n150 L")
    with pytest.raises(SetupError, match=r"lists 2 board\(s\) of 4, 2 n300 missing, and n150, p150 beside\. Reset"):
        board("lb").verify()


def test_a_host_with_boards_beside_the_systems_is_told_how_to_choose(
    board: Callable[..., Board], plan: Callable[..., None]
) -> None:
    """Without YT_DEVICE they would be reset with it."""
    plan("n300 L", "n300 R", "p150", "n300 L", "n300 R")
    with pytest.raises(
        SetupError, match=r"so 1 n300, 1 p150 would be opened and reset too.* YT_DEVICE to the one board"
    ):
        board().verify()
    board(device=2).verify()


def test_no_board_is_a_setup_error(board: Callable[..., Board], plan: Callable[..., None]) -> None:
    plan()
    with pytest.raises(SetupError, match="tt-smi sees no board"):
        board().verify()


def test_a_tt_smi_that_prints_no_snapshot_is_quoted(
    board: Callable[..., Board], program: Callable[[str, str], Path]
) -> None:
    program("tt-smi", "print('No Tenstorrent driver detected')")
    with pytest.raises(SetupError, match=r"printed no snapshot \(there is no JSON in it\):\nNo Tenstorrent driver"):
        board().boards()


@pytest.mark.parametrize("text", ["{", "[]", '{"device_info": 3}', '{"device_info": [{}]}', "{}"])
def test_a_snapshot_of_another_shape_is_none(
    board: Callable[..., Board], program: Callable[[str, str], Path], text: str
) -> None:
    program("tt-smi", f"print({text!r})")
    with pytest.raises(SetupError, match="printed no snapshot"):
        board().boards()


def test_a_machine_without_tt_smi_says_so(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="`tt-smi` cannot be started"):
        Board(shell, systems.known().find("n300"), None, tmp_path / "locks").verify()


# --- reset (§9.1 D)


def test_a_reset_is_looked_at_afterwards(board: Callable[..., Board], tmp_path: Path) -> None:
    board().reset()
    assert calls(tmp_path) == ["-r", "-s"]


def test_only_the_own_board_is_reset(board: Callable[..., Board], tmp_path: Path) -> None:
    mine = board(device=0)
    mine.reset()
    assert calls(tmp_path) == ["-r 0", "-s"]
    assert mine.environment == {"TT_VISIBLE_DEVICES": "0"}
    assert board().environment == {}


def test_a_reset_that_says_0_and_failed_is_found_and_tried_again(
    board: Callable[..., Board], plan: Callable[..., None], tmp_path: Path
) -> None:
    plan("n300 L", "n300 R", away=1)
    board().reset()
    assert calls(tmp_path) == ["-r", "-s", "-r", "-s"]


def test_a_reset_that_fails_now_and_then_is_tried_again(
    board: Callable[..., Board], plan: Callable[..., None], tmp_path: Path
) -> None:
    plan("n300 L", "n300 R", resets=(1, 1))
    board().reset()
    assert calls(tmp_path).count("-r") == 3


def test_a_reset_that_keeps_failing_is_the_worlds_fault(
    board: Callable[..., Board], plan: Callable[..., None], tmp_path: Path
) -> None:
    plan("n300 L", "n300 R", resets=(1, 1, 1, 1))
    with pytest.raises(CommandFailed, match="`tt-smi -r` exited 1"):
        board().reset()
    assert calls(tmp_path).count("-r") == 3


def test_a_board_that_stays_away_is_the_worlds_fault(board: Callable[..., Board], plan: Callable[..., None]) -> None:
    plan("n300 L", "n300 R", away=9)
    with pytest.raises(SetupError, match="did not bring the board back in 3 tries: tt-smi sees no board"):
        board().reset()


def test_a_reset_that_hangs_is_ended(board: Callable[..., Board], program: Callable[[str, str], Path]) -> None:
    program("tt-smi", "import time; time.sleep(60)")
    with pytest.raises(CommandFailed, match="was killed after its"):
        board(reset_by(reset("tt-smi", "-r", timeout_secs=0.3))).reset()


def test_a_neighbours_board_is_not_reset_when_ours_fell_off_the_bus(
    board: Callable[..., Board], plan: Callable[..., None], tmp_path: Path
) -> None:
    """What is listed after it moves up, and would have been reset in its place."""
    plan("n300 L #ours", "n300 R #ours", "n300 L #theirs", "n300 R #theirs")
    mine = board(device=0)
    mine.verify()
    mine.reset()
    plan("n300 L #theirs", "n300 R #theirs")
    for look in (mine.verify, mine.reset):
        with pytest.raises(SetupError, match="YT_DEVICE = 0 is the board #theirs now, and was #ours"):
            look()
    assert calls(tmp_path).count("-r 0") == 1
    plan("n300 L #ours", "n300 R #ours", away=1)
    mine.reset()
    assert calls(tmp_path).count("-r 0") == 2, "where nothing is listed nothing is a neighbour's"


def reset(*command: str, timeout_secs: float = 300, pauses_secs: tuple[float, ...] = (), settle: float = 0) -> Reset:
    return Reset(command, timeout_secs, pauses_secs, settle)


def reset_by(*resets: Reset) -> System:
    """An n300 that is reset in these ways."""
    return replace(systems.known().find("n300"), resets=resets)


def test_the_next_way_to_reset_is_tried_when_one_has_failed(
    board: Callable[..., Board], plan: Callable[..., None], tmp_path: Path
) -> None:
    plan("n300 L", "n300 R", resets=(1, 1, 0))
    board(reset_by(reset("tt-smi", "-r", pauses_secs=(1,)), reset("tt-smi", "-r", "--use_luwen"))).reset()
    assert calls(tmp_path) == ["-r", "-r", "-r --use_luwen", "-s"]


def test_the_board_is_given_time_before_each_look_and_each_further_try(
    board: Callable[..., Board], plan: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("yt_fsm.engine.shell.StopFlag.wait", lambda self, seconds: waited.append(seconds))
    plan("n300 L", "n300 R", resets=(1,), away=1)
    board(reset_by(reset("tt-smi", "-r", pauses_secs=(3, 5), settle=20))).reset()
    assert [seconds for seconds in waited if seconds in (3, 5, 20)] == [3, 20, 5, 20]


# --- one owner


def holder(tmp_path: Path, device: int | None) -> "subprocess.Popen[str]":
    """Another worker that holds a board until its input ends."""
    script = textwrap.dedent(f"""
        from pathlib import Path
        from yt_fsm.tools import systems
        from yt_fsm.tools.board import Board
        from yt_fsm.engine.processes import Mark
        from yt_fsm.engine.redaction import Redactor
        from yt_fsm.engine.shell import Shell
        n300 = systems.known().find("n300")
        mark = Mark(Path({str(tmp_path)!r}), "other-1", 0.0)
        Board(Shell(mark, Redactor()), n300, {device!r}, Path({str(tmp_path / "locks")!r})).acquire()
        print("held", flush=True)
        input()
    """)
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert child.stdout
    assert child.stdout.readline() == "held\n"
    return child


@pytest.mark.parametrize(
    ("theirs", "ours", "free"),
    [(None, None, False), (None, 0, False), (0, None, False), (0, 0, False), (0, 1, True), (1, 0, True)],
)
def test_a_board_has_one_owner_and_neighbours_do_not_mind(
    board: Callable[..., Board], tmp_path: Path, theirs: int | None, ours: int | None, free: bool,
) -> None:  # fmt: skip
    mine = board(device=ours)
    with holder(tmp_path, theirs) as other:
        if free:
            mine.acquire()
        else:
            with pytest.raises(Wait, match=f"the board is held by run other-1, pid {other.pid} "):
                mine.acquire()
            assert not mine.held, "nor a part of it, which would keep others away"
        other.communicate("\n")
    mine.release()
    mine.acquire()  # the other is gone, and its lock with it
    mine.acquire()
    mine.release()
    mine.release()


def test_a_dry_run_takes_no_lock(tmp_path: Path) -> None:
    from yt_fsm.bringup.dry import DryShell

    Board(DryShell("dry", Redactor()), systems.known().find("n300"), None, tmp_path / "locks").acquire()
    assert not (tmp_path / "locks").exists()
