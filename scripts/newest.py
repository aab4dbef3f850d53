"""`scripts/test --newest`: checks and tests with the newest releases within our ranges, and which of them breaks what.

The environments are fresh and apart (.venv-newest). When something fails there that does not fail with the locks, each
release that the failure names goes back to its locked version alone, and what failed runs once more.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-newest"
NEWEST = {"YTFSM_NEWEST": "1", "YTFSM_CACHE": str(VENV / "cache")}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
DETAILS = re.compile(r"^=+ (?:FAILURES|ERRORS) =+$", re.MULTILINE)  # where pytest's begin
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?(?:\[.*?\])?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """A package whose version is not the locked one (`old` is None when the lock does not have it)."""

    lock: str
    name: str
    old: str | None
    new: str


def versions(text: str) -> dict[str, str]:
    """Versions by name, from a lock or from what `pip list --format=freeze` prints."""
    pairs = (line.split("==") for line in text.splitlines() if "==" in line)
    # A local build (2.13.0+cpu) is the same release.
    return {re.sub(r"[-_.]+", "-", name).lower(): version.partition("+")[0] for name, version in pairs}


def differences(lock: str, locked: str, installed: str) -> list[Release]:
    """What is installed in another version than the lock says, by name; but for ytfsm and what a venv begins with."""
    old, new = versions(locked), versions(installed)
    changed = (name for name in sorted(new) if new[name] != old.get(name))
    bare = {"pip", "setuptools", "ytfsm"} - set(old)
    return [Release(lock, name, old.get(name), new[name]) for name in changed if name not in bare]


def failures(text: str) -> list[str]:
    """The ids of the tests that failed, from pytest's summary."""
    return sorted(set(FAILED.findall(COLOUR.sub("", text))))


def mentions(release: Release, text: str) -> int:
    """How often the text names the package, as it is installed or as it is imported."""
    words = {release.name, release.name.replace("-", "_"), release.name.removeprefix("python-")}
    return sum(len(re.findall(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE)) for word in words)


def table(found: Iterable[Release], named: Iterable[Release]) -> str:
    """The releases for a person, those that the failure names marked."""
    marked = set(named)
    return "\n".join(
        f"  {'*' if one in marked else ' '} {one.lock:<10}  {one.name:<28} {one.old or '(not locked)'} -> {one.new}"
        for one in found
    )


def run(argv: list[str], **more: str) -> tuple[int, str]:
    """A command's exit code and all that it said, which is also shown as it comes."""
    said = []
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
    return process.returncode, "".join(said)


def pythons() -> dict[str, Path]:
    """The Python of each fresh environment that could be made, by its lock's name."""
    made = {"ytfsm": VENV.glob("bin/python"), "evaluation": VENV.glob("cache/evaluation-*/bin/python")}
    return {lock: python for lock, found in made.items() for python in found}


def releases() -> list[Release]:
    """Every release in the fresh environments that is not the locked one."""
    found = []
    for lock, python in pythons().items():
        file = ROOT / "scripts" / "locks" / "{}-{}.{}.txt".format(lock, *sys.version_info)
        found += differences(lock, file.read_text() if file.exists() else "", pip(python, "list", "--format=freeze"))
    return found


def pip(python: Path, *argv: str) -> str:
    """What a pip command prints; what it complains of is shown, and where it fails nothing changes."""
    command = [python, "-I", "-m", "pip", "--disable-pip-version-check", *argv]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout


def fails_without(release: Release, tests: list[str]) -> list[str]:
    """Which of the tests (or "scripts/check") still fail while this one release is the locked one."""
    python = pythons()[release.lock]
    before = [line for line in pip(python, "list", "--format=freeze").splitlines() if not line.startswith("ytfsm==")]
    pip(python, "install", "--quiet", f"{release.name}=={release.old}")
    try:
        return again(tests, **NEWEST)
    finally:
        pip(python, "install", "--quiet", "--no-deps", *before)


def again(tests: list[str], **environment: str) -> list[str]:
    """Which of them fail now."""
    argv = ["scripts/check"] if tests == ["scripts/check"] else ["scripts/test", *tests]
    code, said = run(argv, **environment)
    return [] if code == 0 else failures(said) or tests


def main(argv: list[str]) -> int:
    """Run, and when that fails say why; the exit code is the tests'."""
    shutil.rmtree(VENV, ignore_errors=True)
    code, _ = run(["scripts/install"], **NEWEST)
    if code != 0:
        print("\nnewest: the newest releases cannot be installed together; what pip said stands above")
        return code
    code, said = run(["scripts/test", *argv], **NEWEST)
    found = releases()
    if code == 0:
        print(f"\nnewest: all passes, with {len(found)} releases that are not the locked ones\n{table(found, ())}")
        return 0
    tests = failures(said) or again(["scripts/check"], **NEWEST)
    print("\nnewest: the same once more, with the locks")
    old = again(tests, YTFSM_NEWEST="") if tests else []
    broken = [test for test in tests if test not in old]
    reasons = DETAILS.split(COLOUR.sub("", said), maxsplit=1)[-1]
    suspects = [one for one in found if one.old and mentions(one, reasons)]
    suspects.sort(key=lambda one: -mentions(one, reasons))
    breaks = {}
    for suspect in suspects if broken else ():
        print(f"\nnewest: the same with {suspect.name} {suspect.old}, as it is locked")
        still = fails_without(suspect, broken)
        breaks[suspect] = [test for test in broken if test not in still]
    report(found, suspects, old, broken, breaks)
    return code


def report(
    found: list[Release],
    suspects: list[Release],
    old: list[str],
    broken: list[str],
    breaks: dict[Release, list[str]],
) -> None:
    """Say what was found."""
    print(f"\nnewest: releases that are not the locked ones (* named in what failed):\n{table(found, suspects)}")
    if not old and not broken:
        print("newest: neither a check nor a test failed; what did stands above")
    for test in old:
        print(f"newest: no release broke {test}: it fails with the locks too")
    for test in broken:
        by = [f"{one.name} {one.old} -> {one.new} ({one.lock})" for one, tests in breaks.items() if test in tests]
        why = " or ".join(by) or "a release above, and going back with no single one that is named mends it"
        print(f"newest: {test} is broken by {why}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
