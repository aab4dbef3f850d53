"""The world is asked before the model is blamed: whose fault a failed check is (faults W2)."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from states.bringup import bringup, checking
from yt_fsm.bringup import preflight, world
from yt_fsm.bringup.errors import AskedToStop
from yt_fsm.bringup.evaluation import Report
from yt_fsm.bringup.run import BringupRun
from yt_fsm.engine.errors import CommandFailed, SetupError, Wait

WHOLE = ["n300 L", "n300 R"]
HANG = "TIMEOUT: device timeout, potential hang detected, the device is unrecoverable"
FULL = "OSError: [Errno 28] No space left on device: 'kernel.o'"


class Machine:
    """A machine whose board can be lost or closed, by itself or by each check; a reset mends it, or does not."""

    def __init__(self) -> None:
        self.chips, self.opens, self.mends = list(WHOLE), True, True
        self.calls: list[str] = []

    def answer(self, argv: str, options: dict[str, Any]) -> tuple[int, str]:
        if argv == "tt-smi -s":
            self.calls.append(options["name"])
            told = {"device_info": [{"board_info": {"board_type": kind}} for kind in self.chips]}
            return 0, json.dumps(told)
        if argv == "tt-smi -r":
            self.calls.append("reset")
            if self.mends:
                self.chips, self.opens = list(WHOLE), True
            return 0, ""
        assert "open_mesh_device" in argv, argv
        self.calls.append("open")
        return (0, "") if self.opens else (1, "failed to initialize FW! Try resetting the board.")

    def lost(self) -> None:
        self.chips = []

    def half(self) -> None:
        self.chips = WHOLE[:1]

    def closed(self) -> None:
        self.opens = False

    def whole(self) -> None:
        """Nothing happens to it."""


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def run(machine: Machine, new_run: Callable[..., Any]) -> BringupRun:
    made: BringupRun = new_run(machine.answer, python="python", min_free_gb=0)
    made.empty_workspace()
    made.facts.revision, made.facts.branch = "a" * 40, "bringup/issue-12"
    made.board.acquire()
    return made


def failed(code: int | None = 1, tail: str = "AssertionError", case: str = "tt0") -> Report:
    why = "was killed after its 3600 s were over" if code is None else ""
    ended = CommandFailed(["python", "scripts/run_eval.py"], code, tail, None, why)
    return Report(error=str(ended), failing="python scripts/run_eval.py", case=case, ended=ended)


LOW = Report(error="top1 is 0.5", failing="python scripts/run_eval.py", case="tt0")
PASS = Report()


@pytest.fixture
def checks(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Plans the checks: what each does to the machine, and what it finds. Returns their numbers as they are made."""

    def plan(*each: tuple[Callable[[], None], Report]) -> list[str]:
        made: list[str] = []
        left: Iterator[tuple[Callable[[], None], Report]] = iter(each)

        def check(run: BringupRun, attempt: str) -> Report:
            made.append(attempt)
            happens, report = next(left)
            happens()
            return report

        monkeypatch.setattr(checking, "checked_once", check)
        return made

    return plan


@pytest.mark.parametrize("report", [LOW, failed(), failed(2, "IndexError: list index out of range")])
def test_a_failure_on_a_whole_board_is_the_models_and_costs_one_listing(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]], report: Report
) -> None:
    made = checks((machine.whole, report))
    assert checking.checked(run, "01") is report
    assert (made, machine.calls) == (["01"], ["tt-smi-failure"])


@pytest.mark.parametrize("report", [PASS, Report(error="files outside were changed: README.md")])
def test_where_no_command_failed_nobody_is_asked(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]], report: Report
) -> None:
    checks((machine.lost, report))
    assert checking.checked(run, "01") is report
    assert machine.calls == []


@pytest.mark.parametrize("harm", ["lost", "half"])
@pytest.mark.parametrize("report", [failed(tail="RuntimeError: whatever"), LOW])
def test_a_board_that_went_away_is_reset_and_the_work_checked_again(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]], harm: str, report: Report
) -> None:
    made = checks((getattr(machine, harm), report), (machine.whole, PASS))
    assert checking.checked(run, "01") is PASS
    assert made == ["01", "01"]
    assert machine.calls == ["tt-smi-failure", "reset", "tt-smi", "open"]


def test_after_the_reset_a_failure_on_a_whole_board_is_the_models(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]]
) -> None:
    checks((machine.lost, failed()), (machine.whole, LOW))
    assert checking.checked(run, "01") is LOW


def test_a_board_that_stays_away_is_the_worlds_fault_and_spends_no_attempt(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[BringupRun] = []
    monkeypatch.setattr(checking, "keep_unfinished", kept.append)
    monkeypatch.setattr("yt_fsm.engine.shell.StopFlag.wait", lambda self, seconds: None)
    machine.mends = False
    checks((machine.lost, failed()))
    with pytest.raises(
        SetupError, match="the reset did not bring the board back in 3 tries: tt-smi sees no board"
    ) as e:
        checking.judge(run)
    assert e.value.fault == "machine"
    assert (kept, run.attempts()) == ([run], [])


def test_a_board_that_is_lost_in_both_checks_is_the_worlds_fault(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]]
) -> None:
    checks((machine.lost, failed()), (machine.half, failed()))
    with pytest.raises(SetupError, match="whole before each of two checks, and not afterwards: this n300 is not whole"):
        checking.checked(run, "01")


@pytest.mark.parametrize(
    "report", [failed(tail=HANG), failed(tail=FULL), failed(4, "a mesh of 1x2 does not open"), failed(-9), failed(137)]
)
def test_words_and_kills_lead_to_a_closer_look_and_to_no_verdict(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]], report: Report
) -> None:
    """What looks like the machine's fault is checked once more, and is the model's when the machine is whole."""
    made = checks((machine.whole, report), (machine.whole, report))
    assert checking.checked(run, "01") is report
    assert made == ["01", "01"]
    assert machine.calls == ["tt-smi-failure", "open"] * 2
    checks((machine.whole, report), (machine.whole, PASS))
    assert checking.checked(run, "02") is PASS


def test_a_board_that_is_listed_and_does_not_open_is_reset_and_said_in_a_line(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    made = checks((machine.closed, failed(tail=HANG)), (machine.whole, PASS))
    assert checking.checked(run, "01") is PASS
    assert made == ["01", "01"]
    assert machine.calls == ["tt-smi-failure", "open", "reset", "tt-smi", "open"]
    (said,) = [record.getMessage() for record in caplog.records if "not whole" in record.getMessage()]
    assert "\n" not in said
    assert said.endswith("failed to initialize FW! Try resetting the board.")


def test_what_hangs_is_listed_before_the_reset_and_is_the_models_on_a_board_that_opens(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]]
) -> None:
    hung = failed(None)
    made = checks((machine.whole, hung))
    assert checking.checked(run, "01") is hung
    assert made == ["01"]
    assert machine.calls == ["tt-smi-hang", "open", "reset", "tt-smi", "open"]


def test_a_model_that_hangs_a_whole_board_twice_is_told_so(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]]
) -> None:
    checks((machine.closed, failed(None)), (machine.closed, failed(None)))
    error = checking.checked(run, "01").error
    assert error
    assert "The board was whole before this and hung afterwards, twice, so it is what the model runs" in error
    assert machine.opens, "it has been reset for codex"


def test_a_board_that_opens_for_no_check_is_the_worlds_fault(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]]
) -> None:
    """Nothing of the model ran on it."""
    checks((machine.closed, failed(4)), (machine.closed, failed(4)))
    with pytest.raises(SetupError, match=r"not afterwards: no mesh of 1x2 opens on it .*\n.*Try resetting the board"):
        checking.checked(run, "01")


@pytest.mark.parametrize("report", [failed(case="hf"), failed(3, case="hf"), Report("nan", "python", case="hf")])
def test_a_reference_that_fails_after_it_held_is_never_the_models(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]], report: Report
) -> None:
    checks((machine.whole, report), (machine.whole, report))
    with pytest.raises(SetupError, match="the HF reference held before codex began, and fails now, twice"):
        checking.checked(run, "01")
    checks((machine.whole, report), (machine.whole, PASS))
    assert checking.checked(run, "01") is PASS


def test_a_full_disk_and_memory_are_the_worlds_fault(
    run: BringupRun, machine: Machine, checks: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "settings", run.settings.model_copy(update={"min_free_gb": 10**8}))
    checks((machine.whole, failed(tail=FULL)))
    with pytest.raises(SetupError, match=r"GB free and needs 100000000\.0"):
        checking.checked(run, "01")
    checks((machine.whole, LOW))
    assert checking.checked(run, "01") is LOW, "some room is left, and nothing speaks of the disk"
    monkeypatch.setattr(world, "FULL_GB", 10**8)
    checks((machine.whole, LOW))
    with pytest.raises(SetupError, match="GB free"):
        checking.checked(run, "01")
    with pytest.raises(SetupError, match="GB of memory are free, and the weights alone have"):
        preflight.require_memory(1 << 60)
    preflight.require_memory(0)


# --- the board before codex begins, and after a restart


def test_a_board_on_which_no_mesh_opens_is_reset_twice_before_it_is_given_up(run: BringupRun, machine: Machine) -> None:
    machine.closed()
    machine.mends = False
    with pytest.raises(SetupError, match="listed whole after its reset, and no mesh of 1x2 opens on it"):
        world.renew(run)
    assert machine.calls == ["reset", "tt-smi", "open"] * 2


def test_a_board_is_made_whole_where_it_is_not_held_yet(run: BringupRun, machine: Machine) -> None:
    world.have_board(run)
    assert machine.calls == []
    run.board.release()
    world.have_board(run)
    assert machine.calls == ["reset", "tt-smi", "open"]
    assert run.board.held


def test_a_run_waits_for_a_board_that_another_run_holds(
    run: BringupRun, machine: Machine, new_run: Callable[..., Any]
) -> None:
    """It was a setup error after ten minutes; the engine takes a Wait up again by probes."""
    other: BringupRun = new_run(machine.answer, python="python")
    with pytest.raises(Wait, match=r"the board is held by .*pid "):
        world.have_board(other)
    assert machine.calls == []
    run.board.release()
    other.empty_workspace()
    world.have_board(other)


# --- codex asks to stop


@pytest.fixture
def codex(run: BringupRun, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Plans what comes of codex's turns, each an error or an event; returns its prompts as they come."""

    def plan(*each: tuple[Callable[[], None], Exception | str]) -> list[str]:
        prompts: list[str] = []
        left = iter(each)

        def go_on(run: BringupRun, first: str) -> None:
            prompts.append(first)
            happens, came = next(left)
            happens()
            if isinstance(came, Exception):
                raise came
            run.next_event = came

        monkeypatch.setattr(bringup, "go_on", go_on)
        monkeypatch.setattr(bringup, "first_prompt", lambda run: "bring it up")
        return prompts

    return plan


STOP = AskedToStop("codex asked to stop: there is no board")


def test_codex_that_asks_to_stop_on_a_board_that_is_gone_goes_on_with_one_that_is_whole(
    run: BringupRun, machine: Machine, codex: Callable[..., list[str]]
) -> None:
    """Its wish was the model's failure, whatever it had seen."""
    prompts = codex((machine.lost, STOP), (machine.whole, "accept"))
    assert bringup.enter(run) == "accept"
    assert machine.calls == ["tt-smi-stopped", "reset", "tt-smi", "open"]
    assert prompts[0] == "bring it up"
    assert prompts[1].startswith("bring it up\n\nWhen you asked to stop, the board was not whole. It has been reset")


def test_codex_may_ask_to_stop_on_a_whole_board(
    run: BringupRun, machine: Machine, codex: Callable[..., list[str]]
) -> None:
    codex((machine.whole, STOP))
    with pytest.raises(AskedToStop):
        bringup.enter(run)
    assert machine.calls == ["tt-smi-stopped", "open"]


def test_codex_that_asks_to_stop_on_a_board_that_stays_away_is_not_the_models_failure(
    run: BringupRun, machine: Machine, codex: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yt_fsm.engine.shell.StopFlag.wait", lambda self, seconds: None)
    codex((machine.lost, STOP), (machine.half, STOP))
    with pytest.raises(SetupError, match="the board was not whole, twice, when codex asked to stop: there is no board"):
        bringup.enter(run)
    machine.mends = False
    codex((machine.lost, STOP))
    with pytest.raises(SetupError, match="did not bring the board back"):
        bringup.enter(run)
