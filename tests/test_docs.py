"""The documents say what the code does: commands, options, settings, diagram, exit codes and paths."""

import ast
import inspect
import itertools
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from typer.main import get_command

from machines import MACHINES
from tests.parts.command import YTFSM
from yt_fsm.bringup.settings import Settings
from yt_fsm.cli.main import app
from yt_fsm.engine import errors
from yt_fsm.tools.systems import read_system

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()

# What one process of ours tells another; no setting.
INTERNAL = {"YTFSM_MIN_FREE", "YTFSM_MOST_WEIGHTS", "YTFSM_UNTIL"}

# Programs in the README's examples that are not ours.
FOREIGN = {"bash", "export", "gh"}


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def shell_lines() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


def prose() -> str:
    """The README without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE)


def command_of(argv: list[str]) -> tuple[click.Command, list[str]]:
    """The command of ours that `argv` (after `ytfsm`) names, and the arguments that are left."""
    command: click.Command = get_command(app)
    rest = argv[2:] if argv[:1] == ["--settings"] else list(argv)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found, f"ytfsm has no command {name!r}; it has {', '.join(command.commands)}"
        command = found
    return command, rest


def parse(argv: list[str]) -> None:
    """Parse a whole command line as ytfsm would, without running it; raises what click raises."""
    command, rest = command_of(argv)
    context = command.make_context(command.name, rest)
    if context.args[:1] == ["ytfsm"]:  # `lab run -- ytfsm …`
        parse(context.args[1:])


def leaves(command: click.Command | None = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command of ours by its whole name."""
    command = command or get_command(app)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield " ".join(path), command


@pytest.mark.parametrize("line", shell_lines())
def test_every_command_line_in_the_readme_is_one_that_we_take(line: str) -> None:
    words = shlex.split(line, comments=True)
    while words[:1] == ["python"] or words[:1] == [".venv/bin/python"]:
        words = words[1:]
    if words[0] == "ytfsm":
        parse(words[1:])
    elif words[0].startswith("scripts/"):
        assert (ROOT / words[0]).is_file()
    else:
        assert words[0] in FOREIGN


@pytest.mark.parametrize("told", sorted(set(re.findall(r"`ytfsm ([^`]+)`", prose()))))
def test_every_command_named_in_the_readmes_text_exists_with_its_options(told: str) -> None:
    if not re.match(r"[a-z-]+( |$)", told):
        return
    command, rest = command_of(shlex.split(told))
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("-")} <= known


@pytest.mark.parametrize(("name", "command"), list(leaves()), ids=lambda value: str(getattr(value, "name", value)))
def test_every_command_is_in_the_readme(name: str, command: click.Command) -> None:
    assert re.search(rf"\bytfsm {name}\b", README), f"README.md says nothing of `ytfsm {name}`"


@pytest.mark.parametrize(("name", "command"), list(leaves()), ids=lambda value: str(getattr(value, "name", value)))
def test_every_command_helps_with_an_example_that_parses(name: str, command: click.Command) -> None:
    text = f"{command.help or ''}\n{command.epilog or ''}"
    found = re.search(r"Examples?: (.*)", text, re.DOTALL)
    assert found, f"`ytfsm {name} --help` has no example"
    examples = [example for example in found[1].replace("\n", " ").split("·") if example.strip()]
    assert examples
    for example in examples:
        words = shlex.split(example.split(" | ")[0])
        assert words[0] == "ytfsm"
        assert " ".join(words[1:]).startswith(name)
        parse([word for word in words[1:] if word != "…"])


def test_an_option_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse(["run", "--no-such-option"])
    with pytest.raises(AssertionError):
        parse(["no-such-command"])
    with pytest.raises(click.UsageError):
        parse(["lab", "run", "--dir", "lab", "--", "ytfsm", "runs", "--no-such-option"])


def test_the_diagram_is_what_ytfsm_graph_prints() -> None:
    drawn = subprocess.run([YTFSM, "graph"], capture_output=True, text=True, check=True).stdout
    assert blocks("mermaid") == [drawn]


def test_the_diagram_and_the_settings_are_those_of_the_code() -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "readme.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("now", "stale"),
    [("| `YT_MAX_ATTEMPTS` | `10` |", "| `YT_MAX_ATTEMPTS` | `11` |"), ("ready --> claimed:", "ready --> checking:")],
)
def test_a_table_or_diagram_that_is_out_of_date_is_noticed_and_written_anew(
    tmp_path: Path, now: str, stale: str
) -> None:
    assert now in README
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(ROOT / "scripts" / "readme.py", tmp_path / "scripts" / "readme.py")
    shutil.copy(ROOT / "scripts" / "example_machine.py", tmp_path / "scripts")
    (tmp_path / "README.md").write_text(README.replace(now, stale))

    def readme(*argv: str) -> int:
        return subprocess.run([sys.executable, script, *argv], capture_output=True, check=False).returncode

    assert readme("--check") == 1
    assert readme() == 0
    assert (tmp_path / "README.md").read_text() == README
    assert readme("--check") == 0


def test_the_house_and_the_engines_sizes_are_those_of_the_code() -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "house.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_arrow_that_is_added_to_the_house_is_noticed_and_a_circle_refused(tmp_path: Path) -> None:
    for name in ("scripts", "machines", "states", "yt_fsm"):
        for file in (file for ending in ("py", "md") for file in (ROOT / name).rglob(f"*.{ending}")):
            copy = tmp_path / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)

    def house(*argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / "scripts" / "house.py"), *argv]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    page = tmp_path / "yt_fsm" / "README.md"
    assert not re.search(r"tools -->.* github", page.read_text())
    module = tmp_path / "yt_fsm" / "tools" / "gate.py"
    before = module.read_text()
    module.write_text(f"{before}\n\ndef late() -> None:\n    from yt_fsm.github import lease, queue\n")
    stale = house("--check")
    assert stale.returncode == 1
    assert "yt_fsm/README.md is out of date" in stale.stderr
    assert house().returncode == 0
    assert "    tools -->|2| github\n" in page.read_text()
    module.write_text(f"{before}\n\nif TYPE_CHECKING:\n    from states.bringup.ready import enter\n")
    assert "in a circle: bringup, states, tools\n" in house("--check").stderr


PAGES = [ROOT / "yt_fsm" / "README.md", ROOT / "yt_fsm" / "engine" / "README.md"]


def nowhere(text: str) -> list[str]:
    """Each `file.py: function` in a text that is not in our code; a method's name has its class before it."""
    found = []
    for file, name in re.findall(r"`([\w/]+\.py):\s+([\w.]+)`", text):
        within: list[ast.stmt] = ast.parse((ROOT / file).read_text()).body if (ROOT / file).is_file() else []
        for part in name.split("."):
            named = [node for node in within if getattr(node, "name", None) == part]
            within = getattr(named[0], "body", []) if named else []
            if not named:
                found.append(f"{file}: {name}")
                break
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_function_named_on_a_page_of_the_house_exists(page: Path) -> None:
    text = page.read_text()
    assert len(re.findall(r"\.py:\s", text)) == len(re.findall(r"`[\w/]+\.py:\s+[\w.]+`", text)) > 20
    assert nowhere(text) == []


def test_a_function_that_does_not_exist_would_be_noticed() -> None:
    assert nowhere("`yt_fsm/engine/walk.py: step` and `yt_fsm/engine/run.py: Run.persist`") == []
    lost = ["yt_fsm/engine/walk.py: stride", "yt_fsm/engine/run.py: Run.step", "yt_fsm/engine/gone.py: step"]
    assert nowhere(" ".join(f"`{one}`" for one in lost)) == lost


def test_the_pages_of_the_house_name_no_address_no_machine_and_no_line() -> None:
    for page in PAGES:
        text = page.read_text()
        assert "://" not in text
        assert not re.search(r"(?<![\w.~>*`])/\w+/|\.py:\d|\bline \d", text)


def test_the_faults_and_events_told_of_the_engine_are_those_of_its_errors() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", PAGES[1].read_text(), re.MULTILINE)
    told = {name: (fault, event) for name, fault, event in rows}
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.Verdict)]
    assert told == {kind.__name__: (kind.fault, kind.event) for kind in kinds if vars(kind).keys() & {"fault", "event"}}


def test_every_variable_that_the_code_reads_is_in_the_readme() -> None:
    pattern = re.compile(r"environ(?:\.get\(|\[)\"((?:YT|YTFSM|HF)_\w+)\"")
    rooms = [ROOT / "yt_fsm" / name for name in ("engine", "github", "tools", "bringup", "cli")]
    sources = [file for folder in (*rooms, ROOT / "states") for file in folder.rglob("*.py")]
    sources.append(ROOT / "yt_fsm/lab/environment.py")
    read = {name for source in sources for name in pattern.findall(source.read_text())}
    assert read
    settings = (read - INTERNAL) | set(Settings.variables().values())
    unknown = {name for name in settings if f"`{name}`" not in README}
    assert not unknown


def test_a_setting_in_the_file_is_its_variable_in_lower_case_without_our_prefix() -> None:
    for field, variable in Settings.variables().items():
        assert field == variable.removeprefix("YTFSM_").removeprefix("YT_").lower()


def test_the_run_shown_in_the_readme_is_one_that_the_machine_can_take() -> None:
    line = re.compile(r"^\S+ \S+  (\w+) +(\w+) → (\w+) +(?:\[([\w ]+)\])? +\S+$", re.MULTILINE)
    (shown,) = blocks("text")
    steps = [(event, source, dest, status or None) for event, source, dest, status in line.findall(shown)]
    machine = MACHINES["bringup"]
    assert len(steps) == 9
    assert steps[0][1] == machine.initial
    assert steps[-1][2] in machine.final
    assert set(steps) <= {tuple(edge) for edge in machine.edges}
    assert all(before[2] == after[1] for before, after in itertools.pairwise(steps))


def test_the_system_shown_in_the_readme_is_one_that_is_read(tmp_path: Path) -> None:
    (shown,) = blocks("toml")
    file = tmp_path / "n300x2.toml"
    file.write_text(shown)
    assert read_system(file).types == ["n300", "n300"]


def test_the_exit_codes_are_those_of_our_errors() -> None:
    raised = {
        kind.exit_code
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.YtfsmError) and isinstance(kind.exit_code, int)
    }
    stopped = {0, errors.StopRequested("").exit_code}
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert told == raised | stopped


def test_every_file_that_the_readme_names_is_there() -> None:
    named = set(re.findall(r"`((?:machines|states|yt_fsm|scripts|tests)/[\w./-]*)", README))
    named |= {
        word for line in shell_lines() for word in shlex.split(line, comments=True) if word.startswith("scripts/")
    }
    assert len(named) > 15
    missing = {name for name in named if "NAME" not in name and not (ROOT / name).exists()}
    assert not missing


def test_the_readme_names_no_address_and_no_folder_of_one_machine() -> None:
    assert "://" not in README
    assert set(re.findall(r"(?<![\w.~>*`])/(\w+)/", README)) == {"tmp", "opt"}
