"""The scripts around the project: the locks, what .ci/run installs, and the newest releases."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "scripts" / "locks").iterdir())


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # where dataclasses look
    spec.loader.exec_module(made)
    return made


newest = module("newest")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "lab" / "conformance"))
    found: dict[str, tuple[str, ...]] = module("lock").requirements()
    return found


def script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


# --- the locks


def test_every_environment_is_locked_for_every_python(asked: dict[str, tuple[str, ...]]) -> None:
    pythons = ("3.10", "3.11", "3.12", "3.13")
    assert {file.name for file in LOCKS} == {f"{name}-{python}.txt" for name in asked for python in pythons}


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_a_lock_holds_what_is_asked_for(file: Path, asked: dict[str, tuple[str, ...]]) -> None:
    name, _, python = file.stem.rpartition("-")
    locked = newest.versions(file.read_text())
    for requirement in map(Requirement, asked[name]):
        where = {"python_version": python, "python_full_version": f"{python}.0"}
        if requirement.marker is None or requirement.marker.evaluate(where):
            key = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert requirement.specifier.contains(locked[key]), f"{requirement}: run scripts/lock"


@pytest.mark.parametrize("file", LOCKS, ids=lambda file: file.stem)
def test_a_lock_says_names_and_versions_and_nothing_of_where_they_are_from(file: Path) -> None:
    first, *lines = file.read_text().splitlines()
    assert first == f"# Python {file.stem.rpartition('-')[2]}: written by scripts/lock"
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.!]+", line)] == []


@pytest.mark.parametrize(
    ("version", "setting", "held", "says"),
    [
        ("3.11", "", "scripts/locks/ytfsm-3.11.txt", ""),
        ("3.99", "", "", "ytfsm has no lock for Python 3.99"),
        ("3.11", "1", "", ""),
    ],
)
def test_pip_is_held_to_the_lock_of_its_python(
    tmp_path: Path, version: str, setting: str, held: str, says: str
) -> None:
    python = tmp_path / "python"
    script(python, f'[ "$1" = -c ] && echo {version} && exit; echo "$PIP_CONSTRAINT|$PIP_BUILD_CONSTRAINT|$*"')
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        [ROOT / "scripts" / "pip", "ytfsm", python, "-e", "."],
        env={**clean, "YTFSM_NEWEST": setting, "PIP_CONSTRAINT": "", "PIP_BUILD_CONSTRAINT": ""},
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{held}|{held}|-I -m pip install --quiet --disable-pip-version-check -e .\n"
    assert says in done.stderr


def test_another_lock_is_another_stamp(tmp_path: Path) -> None:
    lock = tmp_path / "scripts" / "locks" / "ytfsm-{}.{}.txt".format(*sys.version_info)
    lock.parent.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    stamps = set()
    for text in ("", "rich==15.0.0\n", "rich==15.0.1\n"):
        lock.write_text(text)
        stamps.add(subprocess.check_output([sys.executable, ROOT / "scripts" / "stamp.py"], cwd=tmp_path))
    assert len(stamps) == 3


# --- packages of the system


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout with .ci/run, on a machine whose programs are those in its folder bin."""
    for name in (".ci/run", "scripts/apt-packages.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    script(tmp_path / "scripts" / "test", 'echo "tests: CI=$CI, $(command -v bwrap)"; exit 7')
    script(tmp_path / "bin" / "apt-get", f'echo "apt-get $*"; [ "$1" = update ] || cp "$0" {tmp_path}/bin/bwrap')
    for name in ("bash", "sh", "dirname", "cp"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def ci(machine: Path, user: int) -> list[str]:
    script(machine / "bin" / "id", f"echo {user}")
    env = {"PATH": str(machine / "bin")}
    done = subprocess.run([machine / ".ci" / "run"], env=env, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 7, "the tests' exit code is its own"
    return done.stdout.splitlines()


def test_ci_installs_for_root_what_is_missing_and_only_that(machine: Path) -> None:
    there = f"tests: CI=true, {machine}/bin/bwrap"
    install = "apt-get install -y -qq --no-install-recommends bubblewrap"
    assert ci(machine, user=0) == ["apt-get update -qq", install, there]
    assert ci(machine, user=0) == [there]


def test_ci_leaves_the_packages_to_root(machine: Path) -> None:
    assert ci(machine, user=1000) == ["tests: CI=true, "]


@pytest.mark.parametrize("where", ["", "true"])
def test_a_test_without_its_package_is_counted_and_fails_in_ci(tmp_path: Path, where: str) -> None:
    test = tmp_path / "test_package.py"
    ask = "(needs_package): needs_package('bubblewrap')"
    test.write_text(f"def test_one{ask}\ndef test_two{ask}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT]
    command += ["-p", "conftest", "-p", "no:cacheprovider", test]
    env = {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT / "tests"), "CI": where}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    counted = "2 skipped, system package missing: bubblewrap (apt-get install bubblewrap)" in done.stdout
    assert (done.returncode, counted) == ((1, False) if where else (0, True)), done.stdout + done.stderr
    assert "system package missing: bubblewrap" in done.stdout


# --- the newest releases


def test_releases_are_compared_by_their_normal_names_and_without_their_builds() -> None:
    locked = "# Python 3.11: written by scripts/lock\ntorch==2.13.0\ntyping-extensions==4.16.0\nrich==15.0.0\nuv==1\n"
    installed = (
        "torch==2.13.0+cpu\ntyping_extensions==4.17.0\nRich==15.0.0\npip==23.2.1\nsetuptools==65.5.0\nbrand.new==1\n"
    )
    found = newest.differences("evaluation", locked, installed)
    assert [(one.name, one.old, one.new) for one in found] == [
        ("brand-new", None, "1"),
        ("typing-extensions", "4.16.0", "4.17.0"),
    ]


def test_failures_are_read_from_pytest_s_summary() -> None:
    said = (
        "E         ERROR ::inner - AssertionError\nERROR: pip says\n"
        "\x1b[31mFAILED\x1b[0m tests/test_a.py::\x1b[1mtest_b[x - y]\x1b[0m - assert [1]\nERROR tests/test_c.py\n"
    )
    assert newest.failures(said) == ["tests/test_a.py::test_b[x - y]", "tests/test_c.py"]


# A checkout whose fresh environment gets sprocket 2.0, which breaks a test, and cog 2.0, which does not.
INSTALL = """
mkdir -p .venv-newest/bin
printf 'sprocket==2.0\\ncog==2.0\\npip==1\\n' >.venv-newest/installed
cat >.venv-newest/bin/python <<'END'
#!/bin/sh
# python -I -m pip --disable-pip-version-check COMMAND …, with a list for an environment
shift 4
case $1 in
list) cat .venv-newest/installed ;;
install)
    for one; do case $one in
        *==*) grep -v "^${one%%==*}==" .venv-newest/installed >.venv-newest/others
              { cat .venv-newest/others; echo "$one"; } >.venv-newest/installed ;;
    esac; done ;;
esac
END
chmod +x .venv-newest/bin/python
"""
TEST = """
echo "= FAILURES ="
echo "sprocket/core.py:3: the cog does not turn"
[ -z "$YTFSM_NEWEST" ] || ! grep -qx "sprocket==2.0" .venv-newest/installed ||
    echo "FAILED tests/test_wheel.py::test_it_turns[1] - RuntimeError"
echo "FAILED tests/test_old.py::test_it_never_worked - assert 0"
exit 1
"""


def test_a_failure_is_traced_to_the_release_that_broke_it(tmp_path: Path) -> None:
    script(tmp_path / "scripts" / "install", INSTALL)
    script(tmp_path / "scripts" / "test", TEST)
    shutil.copy(ROOT / "scripts" / "newest.py", tmp_path / "scripts")
    lock = tmp_path / "scripts" / "locks" / "ytfsm-{}.{}.txt".format(*sys.version_info)
    lock.parent.mkdir()
    lock.write_text("sprocket==1.0\ncog==1.0\n")
    done = subprocess.run(
        [sys.executable, tmp_path / "scripts" / "newest.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[-5:] == [
        "newest: releases that are not the locked ones (* named in what failed):",
        f"  * ytfsm       {'cog':<28} 1.0 -> 2.0",
        f"  * ytfsm       {'sprocket':<28} 1.0 -> 2.0",
        "newest: no release broke tests/test_old.py::test_it_never_worked: it fails with the locks too",
        "newest: tests/test_wheel.py::test_it_turns[1] is broken by sprocket 1.0 -> 2.0 (ytfsm)",
    ]
    assert sorted((tmp_path / ".venv-newest" / "installed").read_text().split()) == [
        "cog==2.0",
        "pip==1",
        "sprocket==2.0",
    ]
