"""Systems: each one file, ours or a team's, read whole or refused with the field and the value named."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from yt_fsm.bringup.isolation import environment
from yt_fsm.bringup.workspace import Workspace
from yt_fsm.engine.errors import Usage
from yt_fsm.engine.settings import Settings
from yt_fsm.engine.shell import Shell
from yt_fsm.tools import systems
from yt_fsm.tools.board import board_of
from yt_fsm.tools.systems import System, known, read_system

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "yt_fsm" / "ttnn_models"
OURS = ["n150", "n300", "lb"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "systems"
    made.mkdir()
    return made


@pytest.fixture
def own(folder: Path) -> Callable[..., Path]:
    """Writes a team's file: that of our n300 under another name, with one part of its text replaced."""

    def write(name: str = "pair", old: str = "", new: str = "") -> Path:
        text = (systems.HERE / "n300.toml").read_text().replace('name = "n300"', f'name = "{name}"')
        assert old in text
        file = folder / f"{name}.toml"
        file.write_text(text.replace(old, new, 1) if old else text)
        return file

    return write


# --- ours


def test_ours_are_those_of_the_spec_small_ones_first() -> None:
    assert [(one.name, one.types, one.chips, one.mesh) for one in known()] == [
        ("n150", ["n150"], 1, (1, 1)),
        ("n300", ["n300"], 2, (1, 2)),
        ("lb", ["n300"] * 4, 8, (2, 4)),
    ]


@pytest.mark.parametrize(("word", "name"), [("n150", "n150"), ("N300", "n300"), ("lb", "lb"), ("T3000", "lb")])
def test_a_system_is_found_by_its_name_or_its_alias_in_any_case(word: str, name: str) -> None:
    assert known().find(word).name == name


@pytest.mark.parametrize("word", ["", "tpu", "n3000", "ｎ３００"])
def test_a_system_that_there_is_not_is_refused_with_those_there_are(word: str) -> None:
    with pytest.raises(ValueError, match=r"^must be one of n150, n300, lb$"):
        known().find(word)


@pytest.mark.parametrize("system", list(known()), ids=lambda system: system.name)
def test_every_chip_of_ours_is_in_the_mesh_and_has_its_memory(system: System) -> None:
    assert system.mesh[0] * system.mesh[1] == system.chips
    assert system.dram_gb == 12 * system.chips


@pytest.mark.parametrize("system", list(known()), ids=lambda system: system.name)
def test_only_the_chosen_board_is_reset_and_seen(system: System) -> None:
    (way,) = system.resets
    assert (way.argv(None), way.argv(1)) == (["tt-smi", "-r"], ["tt-smi", "-r", "1"])
    assert (system.variables(None), system.variables(1)) == ({}, {"TT_VISIBLE_DEVICES": "1"})


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("\x1b[91m No Tenstorrent driver detected! Please install driver using tt-kmd", "driver"),
        ("NO TENSTORRENT DEVICES DETECTED! Please check your hardware", "no chips"),
        ("TT_FATAL @ x.cpp:1: num_chips > 0\ninfo:\nNo chips detected in the cluster", "no chips"),
        ("TIMEOUT: device timeout, potential hang detected, the device is unrecoverable", "hang"),
        ("Device 15 init: failed to initialize FW! Try resetting the board.", "hang"),
        ("Timed out after waiting 300000 ms for ARC core to start", "hang"),
        ("Device 0: Timeout (10000 ms) waiting for physical cores to finish: (x=25,y=25)", "hang"),
        ("Waiting for lock 'CHIP_IN_USE_0_PCIe' which is currently held by thread TID: 7, PID: 7", "busy"),
        ("AssertionError: top1 0.41 is below 0.90", None),
    ],
)
def test_trouble_of_the_machine_is_known_by_its_words(output: str, kind: str | None) -> None:
    for system in known():
        found = system.trouble_in(output)
        assert (found.kind if found else None) == kind


def harness() -> dict[str, Any]:
    """What the models repo's `options.py` defines."""
    file = TEMPLATE / "scripts" / "harness" / "options.py"
    names: dict[str, Any] = {"__file__": str(file)}
    exec(file.read_text(), names)
    return names


def test_the_models_repos_evaluation_opens_the_meshes_of_ours() -> None:
    """It runs without us, so it has them written down."""
    names = harness()
    assert names["SYSTEMS"] == {system.name: system.mesh for system in known()}
    assert names["ALIASES"] == {alias: system.name for system in known() for alias in system.aliases}


# --- a team's own


def test_a_file_of_a_teams_own_adds_a_system(folder: Path, own: Callable[..., Path]) -> None:
    own("pair", "count = 1", "count = 2")
    assert [system.name for system in known(folder)] == ["n150", "n300", "pair", "lb"]
    assert known(folder).find("pair").types == ["n300", "n300"]
    assert [system.name for system in known()] == OURS


def test_a_file_of_a_teams_own_stands_in_for_ours(folder: Path, own: Callable[..., Path]) -> None:
    own("n300", "rest_secs = 0", "rest_secs = 20")
    assert [system.name for system in known(folder)] == OURS
    assert known(folder).find("n300").resets[0].rest_secs == 20


def test_what_is_no_toml_file_is_left_alone(folder: Path) -> None:
    (folder / "README.md").write_text("ours")
    assert [system.name for system in known(folder)] == OURS


def test_settings_take_a_system_of_a_teams_own_and_name_all_there_are(
    folder: Path, own: Callable[..., Path], settings: Callable[..., Settings], shell: Shell
) -> None:
    own("pair", "aliases = []", 'aliases = ["two_cards"]')
    made = settings(system="Two_Cards", systems_dir=folder)
    assert made.system == "pair"
    assert board_of(made, shell).system == known(folder).find("pair")
    with pytest.raises(ValueError, match="must be one of n150, n300, pair, lb"):
        settings(system="tpu", systems_dir=folder)


def test_the_evaluation_is_told_the_mesh_of_a_teams_own(
    folder: Path, own: Callable[..., Path], settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    own("pair", "mesh = [1, 2]", "mesh = [2, 1]")
    space = Workspace(tmp_path / "space")
    env = environment(settings(system="pair", systems_dir=folder), space, space.evaluation)
    monkeypatch.setenv("YT_SYSTEM", env["YT_SYSTEM"])
    monkeypatch.setenv("YT_MESH", env["YT_MESH"])
    ask = ["--mode", "tt", "--hf-model", "a/b"]
    assert harness()["parse"](ask).mesh == (2, 1)
    assert harness()["parse"]([*ask, "--system", "lb"]).mesh == (2, 4)


def test_optional_parts_may_be_left_out(own: Callable[..., Path]) -> None:
    file = own()
    text = re.sub(r"\[environment\].*?(?=\[label\])", "", file.read_text(), flags=re.DOTALL)
    file.write_text(text.partition("[[troubles]]")[0].replace("aliases = []", ""))
    found = read_system(file)
    assert (found.aliases, found.environment, found.troubles) == ((), {}, ())


# --- files that are refused


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "pair"', "", "`name` is missing"),
        ('name = "pair"', "name = 7", "`name` = 7: must be lower-case letters"),
        ('name = "pair"', 'name = "my_pair"', "`name` = 'my_pair': must be lower-case letters and digits, at most"),
        ('name = "pair"', 'name = "../x"', "`name` = '../x': must be lower-case letters"),
        ('name = "pair"', 'name = "other"', "`name` = 'other': must be the file's own name, 'pair'"),
        ("aliases = []", 'aliases = "x"', "`aliases` = 'x': must be a list"),
        ("aliases = []", 'aliases = ["A B"]', "`aliases` = ['A B']: must be lower-case letters"),
        ("mesh = [1, 2]", "mesh = [2]", "`mesh` = [2]: must be two whole numbers"),
        ("mesh = [1, 2]", "mesh = [1, 0]", "`mesh` = [1, 0]: must be a whole number, 1 or more"),
        ("dram_gb = 24", "dram_gb = true", "`dram_gb` = True: must be a whole number"),
        ("dram_gb = 24", "dram_gb = 24\ncolor = 'red'", "`color` = 'red': there is no such field, but"),
        ("[[boards]]", "[boards]", "`boards` = {'type': 'n300', 'count': 1, 'chips': 2}: must be a list"),
        ("count = 1", "count = 'one'", "`boards[0].count` = 'one': must be a whole number"),
        ("chips = 2", "", "`boards[0].chips` is missing"),
        ("chips = 2", "chips = 2\nchip = 3", "`boards[0].chip` = 3: there is no such field, but type, count, chips"),
        ("[listing]", "[list]", "`listing` is missing"),
        ('command = ["tt-smi", "-s"]', "command = []", "`listing.command` = []: is empty"),
        ("timeout_secs = 60", "timeout_secs = 0", "`listing.timeout_secs` = 0: must be more than 0 seconds"),
        ("timeout_secs = 60", "timeout_secs = nan", "`listing.timeout_secs` = nan: must be seconds"),
        ('second_chip = "R"', "second_chip = 1", "`listing.second_chip` = 1: must be text, on one line"),
        ('"-r", "{device}"]', '"-r", 0]', "`resets[0].command` = ['tt-smi', '-r', 0]: must be text"),
        (
            '["tt-smi", "-r", "{device}"]',
            '["{device}"]',
            "`resets[0].command` = ['{device}']: must begin with a program",
        ),
        ("pauses_secs = [1, 2]", "pauses_secs = 2", "`resets[0].pauses_secs` = 2: must be a list"),
        ("pauses_secs = [1, 2]", "pauses_secs = [-1]", "`resets[0].pauses_secs` = [-1]: must be seconds"),
        ("rest_secs = 0", "rest_secs = 1e9", "`resets[0].rest_secs` = 1000000000.0: must be seconds"),
        ('colour = "0e8a16"', 'colour = "green"', "`label.colour` = 'green': must be six hexadecimal digits"),
        ("[environment]", "[[environment]]", "{device}'}]: must be a table"),
        ("[environment]", '[environment]\n"A B" = "1"', "'A B' is no variable's name"),
        ("[environment]", "[environment]\nA = 1", "must be text, on one line"),
        ('texts = ["No Tenstorrent driver detected"]', 'texts = [""]', "`troubles[0].texts` = ['']: is empty"),
        ('kind = "driver"', "", "`troubles[0].kind` is missing"),
        ('name = "pair"', "name = ", "Invalid value"),
        ('name = "pair"', "x" * 70_000, "it cannot be read: it is longer than"),
    ],
)
def test_a_bad_file_is_refused_with_its_field_and_its_value(
    folder: Path, own: Callable[..., Path], old: str, new: str, words: str
) -> None:
    file = own("pair", old, new)
    with pytest.raises(Usage) as caught:
        known(folder)
    assert str(caught.value).startswith(f"{file}: ")
    assert words in str(caught.value)


def test_a_name_belongs_to_one_system(folder: Path, own: Callable[..., Path]) -> None:
    own("pair", "aliases = []", 'aliases = ["lb"]')
    with pytest.raises(Usage, match="system pair: `aliases` = 'lb': lb has that name already"):
        known(folder)


def test_a_folder_that_there_is_not_is_named(folder: Path, settings: Callable[..., Settings]) -> None:
    with pytest.raises(Usage, match=f"YT_SYSTEMS_DIR = {folder / 'none'}: there is no such folder"):
        settings(systems_dir=folder / "none")


def test_the_reader_is_loaded_without_what_is_heavy() -> None:
    """Commands that start quickly may name a system."""
    import subprocess

    code = "import sys, yt_fsm.tools.systems; print([m for m in ('pydantic', 'tomllib', 'tomli') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
