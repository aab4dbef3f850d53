"""The lab's tt-smi: what the real one's users see of it, and how it fails."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.lab.machine import Machine
from yt_fsm.tools import systems

PROGRAM = Path(__file__).parents[2] / "yt_fsm" / "lab" / "bin" / "tt-smi"


class Smi:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "tt-smi.json"
        self.board(system="n300")

    def board(self, system: str, **state: Any) -> None:
        boards = [[one.type, one.count, one.chips] for one in systems.known().find(system).boards]
        self.file.write_text(json.dumps({"boards": boards, "present": True, "faults": [], **state}))

    def fault(self, kind: str, count: int | None = 1, command: str = "any", system: str = "n300") -> None:
        self.board(system=system, faults=[{"kind": kind, "count": count, "command": command}])

    def __call__(self, *argv: str, timeout: float = 20, **more: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": os.environ["PATH"], "YTFSM_LAB_TTSMI": str(self.file), "PYTHONUTF8": "1", **more}
        argv = (sys.executable, "-I", "-S", str(PROGRAM), *argv)
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=timeout, check=False)

    def types(self) -> list[str]:
        return [device["board_info"]["board_type"] for device in json.loads(self("-s").stdout)["device_info"]]

    @property
    def calls(self) -> list[Any]:
        return [json.loads(line) for line in self.file.with_name("tt-smi.json.log").read_text().splitlines()]


@pytest.fixture
def smi(tmp_path: Path) -> Smi:
    return Smi(tmp_path)


@pytest.mark.parametrize(
    ("system", "types"),
    [("n150", ["n150 L"]), ("n300", ["n300 L", "n300 R"]), ("lb", ["n300 L"] * 4 + ["n300 R"] * 4)],
)
def test_the_snapshot_lists_every_chip_of_the_system(smi: Smi, system: str, types: list[str]) -> None:
    smi.board(system=system)
    assert smi.types() == types
    remote = [d for d in json.loads(smi("-s").stdout)["device_info"] if d["board_info"]["board_type"].endswith(" R")]
    assert all(device["board_info"]["bus_id"] == "N/A" for device in remote)


def test_a_machine_of_a_lab_has_the_boards_of_its_systems_file(smi: Smi, tmp_path: Path) -> None:
    mixed = (systems.BoardType("n150", 1, 1), systems.BoardType("p300", 2, 2))
    lab = Machine(tmp_path / "lab")
    lab.make(replace(systems.known().find("n150"), boards=mixed), Path(sys.executable), "")
    smi.file = lab.board
    assert smi.types() == ["n150 L", "p300 L", "p300 L", "p300 R", "p300 R"]


def test_the_snapshot_has_the_parts_of_the_real_one(smi: Smi) -> None:
    document = json.loads(smi("-s").stdout)
    assert set(document) == {"time", "host_info", "host_sw_vers", "device_info", "processes"}
    parts = {"smbus_telem", "board_info", "telemetry", "gddr_telemetry", "firmwares", "limits"}
    assert all(set(device) == parts for device in document["device_info"])


def test_the_list_is_cut_to_the_terminal(smi: Smi) -> None:
    narrow = smi("-ls").stdout.splitlines()
    assert {len(line) for line in narrow if line[0] in "┏┃┡│└"} == {80}
    assert "│ 0          │ 0000:01:0… │ /dev/tens… │ Wormhole   │ n300 L      │" in smi("-ls").stdout
    assert "│ /dev/tenstorrent/N/A │" in smi("-ls", COLUMNS="120").stdout
    local = smi("-ls", COLUMNS="120").stdout.partition("Boards that can be reset")[2]
    assert "n300 L" in local
    assert "n300 R" not in local


def test_a_reset_resets_and_says_so(smi: Smi) -> None:
    done = smi("-r")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "Resetting all PCI devices: [0]"
    assert "Re-initializing boards after reset" in done.stdout
    assert smi("-r", "0").stdout.startswith("Resetting UMD logical IDs: [0]")
    assert smi("-r", "/dev/tenstorrent/0").returncode == 0
    assert json.loads(smi.file.read_text())["resets"] == 3


@pytest.mark.parametrize("target", ["7", "/dev/tenstorrent/9", "0000:09:00.0", "bogus", "0,0000:01:00.0"])
def test_a_board_that_is_not_there_is_not_reset(smi: Smi, target: str) -> None:
    assert smi("-r", target).returncode == 1


def test_there_is_no_reset_command(smi: Smi) -> None:
    done = smi("reset")
    assert done.returncode == 2
    assert "unrecognized arguments: reset" in done.stderr


def test_version_and_help_need_no_board(smi: Smi) -> None:
    assert smi("--version", YTFSM_LAB_TTSMI="").stdout == "6.8.0\n"
    assert smi("--help", YTFSM_LAB_TTSMI="").returncode == 0


def test_without_a_driver_nothing_works(smi: Smi) -> None:
    done = smi("-s", YTFSM_LAB_TTSMI="")
    assert done.returncode == 1
    assert "No Tenstorrent driver detected!" in done.stdout


def test_a_reset_fails_twice_then_works(smi: Smi) -> None:
    smi.fault("fails", 2, "reset")
    assert [smi("-r").returncode for _ in range(3)] == [1, 1, 0]
    assert smi.types()


def test_a_reset_exits_well_and_the_board_is_gone_until_the_next(smi: Smi) -> None:
    smi.fault("vanishes")
    assert smi("-r").returncode == 0
    assert smi("-s").returncode == 1
    assert "No Tenstorrent devices detected!" in smi("-ls").stdout
    assert smi("-r").returncode == 0
    assert smi.types()


def test_an_absent_board_is_absent_until_the_fault_goes(smi: Smi) -> None:
    smi.fault("absent", None)
    assert [smi(flag).returncode for flag in ("-s", "-ls", "-s")] == [1, 1, 1]


def test_a_hanging_reset_ends_only_when_killed(smi: Smi) -> None:
    smi.fault("hang", 1, "reset")
    with pytest.raises(subprocess.TimeoutExpired):
        smi("-r", timeout=1)
    assert smi("-r").returncode == 0


def test_every_call_is_recorded(smi: Smi) -> None:
    smi("-s")
    smi("-r", "7")
    assert [(call["argv"], call["exit"]) for call in smi.calls] == [(["-s"], 0), (["-r", "7"], 1)]


def test_chips_that_are_lost_stay_lost_until_a_reset_mends_them(smi: Smi, tmp_path: Path) -> None:
    (tmp_path / "faulty").mkdir()
    smi.board(system="lb", faults=[
        {"kind": "lost", "chips": "half", "command": "list", "after": 1},
        {"kind": "idle", "command": "reset"},
    ])  # fmt: skip
    smi("-ls")
    assert len(smi.types()) == 8
    smi("-ls")
    assert smi.types() == ["n300 L"] * 4
    assert smi("-r").returncode == 0
    assert smi.types() == ["n300 L"] * 4, "this reset mended nothing"
    assert smi("-r").returncode == 0
    assert len(smi.types()) == 8


@pytest.mark.parametrize(("chips", "left"), [(1, ["n300 L"]), ("half", ["n300 L"]), ("all", [])])
def test_a_reset_can_lose_chips(smi: Smi, tmp_path: Path, chips: Any, left: list[str]) -> None:
    (tmp_path / "faulty").mkdir()
    smi.board(system="n300", faults=[{"kind": "lost", "chips": chips, "command": "reset"}])
    assert smi("-r").returncode == 0
    assert (smi.types() if left else smi("-s").returncode) == (left or 1)


def test_a_board_of_another_type_may_be_beside(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.make(systems.known().find("n300"), Path(sys.executable), "")
    machine.add_fault("board", {"kind": "beside", "type": "p150"})
    machine.add_fault("board", {"kind": "lost", "chips": 1})
    smi = Smi.__new__(Smi)
    smi.file = machine.board
    assert smi.types() == ["n300 L", "p150 L"]
    assert machine.faults("board") == [{"kind": "lost", "chips": 1}, {"kind": "beside", "type": "p150", "chips": 1}]
    smi("-r")
    assert smi.types() == ["n300 L", "p150 L", "n300 R"]
    machine.clear_faults("board")
    assert smi.types() == ["n300 L", "n300 R"]


def test_a_snapshot_may_have_lines_around_it(smi: Smi) -> None:
    smi.fault("warns")
    said = smi("-s").stdout
    assert said.startswith("WARNING: {UMD}")
    assert said.endswith("available: {6.9.0}\n")
