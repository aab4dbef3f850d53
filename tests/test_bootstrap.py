"""`scripts/bootstrap_machine.sh` (§11): what it installs, what it says is left to do, and that it can be run again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.command import YTFSM
from yt_fsm.lab.serving import Running, running_lab

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "bootstrap_machine.sh"
NEEDED = ("bash", "sh", "cat", "chmod", "cp", "dirname", "env", "ln", "mkdir")

# A Python that notes what it is asked to install, and puts only programs there. The network's far end, so to say.
PYTHON = f"""#!/bin/sh
case "$*" in
*"-m venv "*)
    for folder; do :; done
    echo "venv $folder" >>"$NOTES"
    mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python" ;;
*"-m pip install"*)
    echo "pip $*" >>"$NOTES"
    echo "$PIP_CONSTRAINT $PIP_BUILD_CONSTRAINT" >>"$NOTES.held"
    case "$*" in
    *tt-smi) name=tt-smi does='exit 1' ;;
    *) name=ytfsm does='exec {YTFSM} "$@"' ;;
    esac
    printf '#!/bin/sh\\n%s\\n' "$does" >"$(dirname "$0")/$name" && chmod +x "$(dirname "$0")/$name" ;;
*) exec {sys.executable} "$@" ;;
esac
"""


@dataclass
class Machine:
    """A machine to make ready: its environment, its PATH's own folder, and what was installed on it."""

    folder: Path
    env: dict[str, str]

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    @property
    def notes(self) -> list[str]:
        """What installed things, in order."""
        notes = self.folder / "notes"
        return notes.read_text().splitlines() if notes.exists() else []

    def program(self, name: str, text: str = "echo 1.0") -> None:
        self.bin.mkdir(exist_ok=True)
        file = self.bin / name
        file.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def bootstrap(self, *argv: str, **env: str | None) -> "subprocess.CompletedProcess[str]":
        """Run the script; stdout has all that it said. A variable that is None is not set."""
        whole = {name: value for name, value in {**self.env, **env}.items() if value is not None}
        return subprocess.run(
            [str(SCRIPT), "--venv", str(self.venv), *argv],
            env=whole,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A machine with nothing but a shell and a Python: no git, gh, codex, tt-smi, no package manager, no login."""
    machine = Machine(tmp_path, {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin"), "YT_SYSTEM": "n300"})
    (tmp_path / "home").mkdir()
    machine.program("python3", PYTHON)
    machine.program("id", "echo 1000")
    for name in NEEDED:
        found = shutil.which(name)
        assert found
        (machine.bin / name).symlink_to(found)
    machine.env["NOTES"] = str(tmp_path / "notes")
    machine.env["YTFSM_HOME"] = str(tmp_path / "state")
    return machine


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab(tmp_path_factory.mktemp("bootstrap") / "lab", model="tiny") as running:
        yield running


@pytest.fixture
def equipped(lab: Running, tmp_path: Path, needs_package: Callable[[str], None]) -> Machine:
    """A machine that has everything, inside the lab."""
    needs_package("bubblewrap")
    machine = Machine(tmp_path, {**lab.env, "NOTES": str(tmp_path / "notes"), "PYTHON": str(tmp_path / "bin/python3")})
    machine.program("python3", PYTHON)
    machine.program("evaluation", "echo ttnn 1.0")  # the lab's own loads torch, which takes its time
    machine.env["YT_PYTHON"] = str(machine.bin / "evaluation")
    return machine


def todo(said: str) -> dict[str, str]:
    """The list of what is left to do, by what it is about."""
    listed = said.partition("To do, then run this script again:\n")[2]
    return dict(line.removeprefix("  - ").split(": ", 1) for line in listed.splitlines() if ": " in line)


def test_a_machine_that_has_everything_is_ready_and_stays_so(equipped: Machine, lab: Running) -> None:
    first = equipped.bootstrap(YT_PYTHON=lab.env["YT_PYTHON"])
    assert first.returncode == 0, first.stdout
    assert first.stdout.endswith("this machine is ready\n")
    assert "ok      evaluation python" in first.stdout
    assert [note.split()[0] for note in equipped.notes] == ["venv", "pip"]
    again = equipped.bootstrap()
    assert again.returncode == 0, again.stdout
    assert "$ " not in again.stdout
    assert len(equipped.notes) == 2
    assert equipped.bootstrap("--check").returncode == 0


def test_a_changed_project_is_installed_again(equipped: Machine) -> None:
    equipped.bootstrap()
    (equipped.venv / "bootstrapped").write_text("another Python and another pyproject.toml\n")
    assert equipped.bootstrap("--check").returncode == 5
    assert len(equipped.notes) == 2
    assert equipped.bootstrap().returncode == 0
    assert len(equipped.notes) == 3


def test_what_scripts_install_made_is_good_enough(equipped: Machine) -> None:
    equipped.bootstrap()
    (equipped.venv / "bootstrapped").rename(equipped.venv / "complete")
    assert equipped.bootstrap().returncode == 0
    assert len(equipped.notes) == 2


def test_a_missing_hf_token_is_a_warning_only(equipped: Machine) -> None:
    done = equipped.bootstrap(HF_TOKEN=None)
    assert done.returncode == 0, done.stdout
    assert "warning: HF_TOKEN is not set" in done.stdout
    assert "HF_TOKEN" not in equipped.bootstrap().stdout


def test_a_login_that_the_hub_knows_is_as_good_as_a_token(equipped: Machine) -> None:
    token = equipped.folder / "huggingface" / "token"
    token.parent.mkdir()
    token.write_text("hf_something\n")
    assert "HF_TOKEN" not in equipped.bootstrap(HF_TOKEN=None, HF_HOME=str(token.parent)).stdout


def test_a_login_without_the_project_scope_is_told_the_command_that_adds_it(equipped: Machine, lab: Running) -> None:
    token = "ghp_scopeless0000000000000000000000000000"
    lab.act("add_user", login="scopeless", token=token, scopes=["repo"], org="yieldthought", role="WRITE")
    done = equipped.bootstrap(GH_TOKEN=token)
    assert done.returncode == 5
    assert "gh auth refresh -s project" in done.stdout
    assert "lacks the scope `project`" in done.stdout


def test_no_login_at_all_is_told_how_to_log_in(equipped: Machine) -> None:
    done = equipped.bootstrap(GH_TOKEN=None)
    assert done.returncode == 5
    assert "gh auth login -s project" in done.stdout


def test_a_models_repo_that_git_cannot_read_is_a_warning(equipped: Machine) -> None:
    done = equipped.bootstrap(YT_REPO_MODELS="no-such-repo")
    assert "warning: git cannot read git@github.com:yieldthought/no-such-repo.git" in done.stdout
    assert "git cannot read" not in equipped.bootstrap().stdout


def test_a_python_without_ttnn_is_named(equipped: Machine) -> None:
    done = equipped.bootstrap(YT_PYTHON=sys.executable, PYTHONPATH=None)
    assert done.returncode == 5
    assert f"{sys.executable} cannot `import ttnn`" in done.stdout
    assert "YT_PYTHON" in done.stdout


def test_a_system_that_is_not_set_is_asked_for(equipped: Machine) -> None:
    done = equipped.bootstrap(YT_SYSTEM=None)
    assert done.returncode == 5
    assert "YT_SYSTEM is not set" in done.stdout
    assert equipped.bootstrap("--system", "n300", YT_SYSTEM=None).returncode == 0


def test_a_board_of_another_system_is_not_ready(equipped: Machine) -> None:
    done = equipped.bootstrap("--system", "n150")
    assert done.returncode == 5
    assert "this is no n150" in done.stdout


def test_a_bare_machine_gets_a_list_of_what_to_do(bare: Machine) -> None:
    done = bare.bootstrap(PIP_CONSTRAINT="mine.txt")
    assert done.returncode == 5
    left = todo(done.stdout)
    assert {"git", "bubblewrap", "gh", "codex", "PATH"} <= set(left)
    assert "apt-get install bubblewrap" in left["bubblewrap"]
    assert "gh auth login -s project" in left["gh"]
    assert "codex login" in left["codex"]
    # What needs only Python was installed all the same, and doctor has looked at the rest.
    assert (bare.folder / "home/.local/bin/ytfsm").resolve() == bare.venv / "bin/ytfsm"
    assert (bare.folder / "home/.local/bin/tt-smi").exists()
    assert "missing evaluation python" in done.stdout
    # It was held to the locks, and to what the operator holds pip to.
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    locks = [f"scripts/locks/{name}-{version}.txt" for name in ("tt-smi", "ytfsm")]
    assert (bare.folder / "notes.held").read_text().splitlines() == [f"{lock} mine.txt {lock}" for lock in locks]


def test_only_looking_installs_nothing(bare: Machine) -> None:
    bare.program("apt-get", 'echo "apt-get $*" >>"$NOTES"')
    bare.program("npm", 'echo "npm $*" >>"$NOTES"')
    bare.program("id", "echo 0")
    done = bare.bootstrap("--check")
    assert done.returncode == 5
    assert {"git", "bubblewrap", "gh", "codex", "tt-smi", "ytfsm"} <= set(todo(done.stdout))
    assert bare.notes == []
    assert not bare.venv.exists()
    assert not (bare.folder / "home/.local").exists()


def test_root_gets_packages_and_only_the_first_time(bare: Machine) -> None:
    bare.program("id", "echo 0")
    # Both put a program named by their last argument on PATH; Debian's bubblewrap is bwrap.
    put = 'for name; do :; done; name=${name##*/}; [ "$name" = bubblewrap ] && name=bwrap'
    put += '; printf "#!/bin/sh\\necho 1.0\\n" >"$HOME/../bin/$name"'
    put += '; chmod +x "$HOME/../bin/$name"'
    bare.program("apt-get", f'echo "apt-get $*" >>"$NOTES"; [ "$1" = update ] && exit; {put}')
    bare.program("npm", f'echo "npm $*" >>"$NOTES"; {put}')
    first = bare.bootstrap()
    assert {"git", "bubblewrap", "gh", "codex"}.isdisjoint(todo(first.stdout)), first.stdout
    packages = [note for note in bare.notes if note.startswith(("apt-get", "npm"))]
    assert packages == [
        "apt-get update -qq",
        "apt-get install -y -qq git",
        "apt-get install -y -qq bubblewrap",
        "apt-get install -y -qq gh",
        "npm install --global --silent @openai/codex",
    ]
    noted = len(bare.notes)
    bare.env["PATH"] += os.pathsep + str(bare.folder / "home/.local/bin")
    assert "PATH" not in todo(bare.bootstrap().stdout)
    assert len(bare.notes) == noted


def test_who_is_not_root_is_told_instead_of_asked_for_a_password(bare: Machine) -> None:
    bare.program("apt-get", 'echo "apt-get $*" >>"$NOTES"')
    bare.program("sudo", '[ "$1" = -n ] || echo "sudo asked for a password" >>"$NOTES"; exit 1')
    done = bare.bootstrap()
    assert "git" in todo(done.stdout)
    assert not [note for note in bare.notes if note.startswith(("apt-get", "sudo"))]


def test_a_sudo_that_needs_no_password_is_used(bare: Machine) -> None:
    bare.program("apt-get", 'echo "apt-get $*" >>"$NOTES"')
    bare.program("sudo", '[ "$1" = -n ] || echo "sudo asked for a password" >>"$NOTES"; shift; "$@"')
    bare.bootstrap()
    assert "apt-get install -y -qq git" in bare.notes
    assert "sudo asked for a password" not in bare.notes


def test_a_package_that_cannot_be_had_stops_nothing(bare: Machine) -> None:
    bare.program("id", "echo 0")
    bare.program("apt-get", "echo 'E: Unable to locate package'; exit 100")
    done = bare.bootstrap()
    assert done.returncode == 5
    assert {"git", "bubblewrap", "gh"} <= set(todo(done.stdout))
    assert (bare.venv / "bin/ytfsm").exists()


def test_an_old_python_is_said_to_be_old(bare: Machine) -> None:
    bare.program("python3", "exit 1")
    done = bare.bootstrap()
    assert done.returncode == 5
    assert "3.10" in todo(done.stdout)["python"]
    assert "ytfsm" not in todo(done.stdout)


def test_an_install_that_fails_is_said_and_tried_again_the_next_time(bare: Machine) -> None:
    bare.program("python3", PYTHON.replace('echo "pip $*" >>"$NOTES"', "echo no matching distribution; exit 1"))
    done = bare.bootstrap()
    assert done.returncode == 5
    assert "no matching distribution" in done.stdout
    assert "could not be installed" in todo(done.stdout)["ytfsm"]
    shutil.rmtree(bare.venv)
    bare.program("python3", PYTHON)
    assert "ytfsm" not in todo(bare.bootstrap().stdout)


@pytest.mark.parametrize("argv", [["--no-such-option"], ["--system"], ["--venv", ""]])
def test_wrong_usage_is_exit_code_2(bare: Machine, argv: list[str]) -> None:
    done = bare.bootstrap(*argv)
    assert done.returncode == 2
    assert "--help" in done.stdout
    assert bare.notes == []


def test_help_is_the_scripts_own_comment() -> None:
    done = subprocess.run([str(SCRIPT), "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Makes a machine ready")
    assert "--check" in done.stdout


@pytest.mark.parametrize("there", [True, False])
def test_codex_that_is_named_is_looked_for_and_never_installed(bare: Machine, there: bool) -> None:
    if there:
        bare.program("my-codex")
    bare.program("npm", 'echo "npm $*" >>"$NOTES"')
    done = bare.bootstrap(CODEX_BIN=str(bare.bin / "my-codex"))
    assert ("codex" in todo(done.stdout)) is not there
    assert not [note for note in bare.notes if note.startswith("npm")]
