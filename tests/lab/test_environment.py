"""The evaluation environment and the small models: made once, whole or not at all, and found again."""

import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from yt_fsm.lab import environment, models
from yt_fsm.lab.environment import cache_folder, evaluation_python
from yt_fsm.lab.errors import LabError


def quiet(text: str) -> None:
    pass


def empty(folder: Path) -> None:
    """An environment with nothing in it but a Python."""
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin" / "python").unlink(missing_ok=True)
    (folder / "bin" / "python").symlink_to(sys.executable)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("YTFSM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("YT_PYTHON", raising=False)
    return tmp_path / "cache"


def test_a_chosen_python_wins(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YT_PYTHON", sys.executable)
    assert evaluation_python(quiet) == Path(sys.executable)
    assert not cache.exists()


def test_a_chosen_python_that_is_not_there_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YT_PYTHON", "/no/such/python")
    with pytest.raises(LabError, match="/no/such/python"):
        evaluation_python(quiet)


def test_an_environment_that_was_cut_short_is_made_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def make(folder: Path, torch_index: str, say: object) -> None:
        made.append(folder)
        if len(made) == 1:
            raise LabError("the network went away")
        empty(folder)

    monkeypatch.setattr(environment, "_make", make)
    with pytest.raises(LabError, match="went away"):
        evaluation_python(quiet)
    python = evaluation_python(quiet)
    assert python == evaluation_python(quiet)
    assert len(made) == 2


def test_an_environment_whose_python_was_removed_is_made_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_make", lambda folder, index, say: empty(folder))
    python = evaluation_python(quiet)
    python.unlink()
    python.symlink_to("/no/such/python")
    assert evaluation_python(quiet) == python
    assert python.resolve() == Path(sys.executable).resolve()


def test_an_environment_does_not_hang_on_the_virtual_environment_of_one_clone() -> None:
    said = subprocess.run(
        [environment._base_python(), "-c", "import sys; print(sys.prefix, sys.base_prefix)"],
        capture_output=True, text=True, check=True, env={},
    ).stdout.split()  # fmt: skip
    assert said == [sys.base_prefix, sys.base_prefix]


def test_two_labs_that_start_at_once_make_it_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    began = threading.Event()

    def make(folder: Path, torch_index: str, say: object) -> None:
        made.append(folder)
        empty(folder)
        began.wait(0.3)

    monkeypatch.setattr(environment, "_make", make)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(evaluation_python(quiet))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == 1
    assert len(set(found)) == 1
    assert len(found) == 3


def test_other_requirements_are_another_environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_make", lambda folder, index, say: empty(folder))
    first = evaluation_python(quiet)
    monkeypatch.setattr(environment, "TORCH", "torch==0")
    assert evaluation_python(quiet) != first
    monkeypatch.setenv("YTFSM_TORCH_INDEX", "https://wheels.example/cpu")
    assert evaluation_python(quiet) not in (first,)


def test_what_pip_cannot_install_is_said_with_its_own_words(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "TORCH", str(tmp_path / "no-such-wheel-1.0-py3-none-any.whl"))
    with pytest.raises(LabError, match="no-such-wheel") as failed:
        evaluation_python(quiet)
    assert "YT_PYTHON" in str(failed.value)


def hello_lab(folder: Path) -> Path:
    """A wheel of a package with one module."""
    wheel = folder / "hello_lab-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("hello_lab.py", "WORD = 'hello'\n")
        archive.writestr("hello_lab-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello-lab\nVersion: 1.0\n")
        archive.writestr(
            "hello_lab-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("hello_lab-1.0.dist-info/RECORD", "")
    return wheel


def test_pip_is_held_to_a_lock_in_any_folder(tmp_path: Path) -> None:
    lock = tmp_path / "a folder" / "lock.txt"
    lock.parent.mkdir()
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", str(hello_lab(tmp_path))]
    for version, code in (("1.0", 0), ("2.0", 1)):
        lock.write_text(f"hello-lab=={version}\n")
        environ = {**os.environ, **environment.held_to(lock)}
        assert subprocess.run(command, env=environ, capture_output=True, check=False).returncode == code


def test_a_checkout_has_a_lock_unless_the_newest_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YTFSM_NEWEST", raising=False)
    found = environment.lock("evaluation")
    assert found
    assert environment.TORCH in found.read_text().splitlines()
    monkeypatch.setenv("YTFSM_NEWEST", "1")
    assert environment.lock("evaluation") is None


def test_a_wheel_has_ranges_and_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "site-packages/yt_fsm/lab/environment.py"))
    assert environment.lock("evaluation") is None
    assert environment.held_to(None) == {}


def test_another_lock_is_another_environment(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_make", lambda folder, index, say: empty(folder))
    lock = tmp_path / "lock.txt"
    monkeypatch.setattr(environment, "lock", lambda name: lock if lock.exists() else None)
    found = {evaluation_python(quiet)}
    for text in ("rich==15.0.0\n", "rich==15.0.1\n"):
        lock.write_text(text)
        found.add(evaluation_python(quiet))
    assert len(found) == 3


def test_a_venv_without_ytfsm_s_path_is_what_pip_installs_into(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = hello_lab(tmp_path)
    monkeypatch.setattr(environment, "TORCH", str(wheel))
    monkeypatch.setattr(environment, "OTHERS", ())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said: list[str] = []
    python = evaluation_python(said.append)
    code = "import hello_lab; print(hello_lab.WORD)"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    assert subprocess.check_output([str(python), "-c", code], env=environ, text=True) == "hello\n"
    assert said
    assert evaluation_python(said.append) == python


def test_the_tiny_model_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = evaluation_python()  # the shared one: this test is about the model
    monkeypatch.setenv("YTFSM_CACHE", str(tmp_path))
    monkeypatch.setenv("YT_PYTHON", str(python))
    folder = models.model_folder("tiny", quiet)
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    assert (folder / "tokenizer.json").exists()
    monkeypatch.setenv("YT_PYTHON", sys.executable)  # has no torch: nothing may be made again
    assert models.model_folder("tiny", quiet) == folder
    assert models.serve("tiny", tmp_path / "served", quiet) == "lab/tiny-llama"
    assert (tmp_path / "served" / "lab" / "tiny-llama" / "model.safetensors").exists()


def test_a_model_that_could_not_be_made_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YT_PYTHON", sys.executable)
    with pytest.raises(LabError, match="torch"):
        models.model_folder("tiny", quiet)
    assert [path for path in (cache / "models").iterdir() if path.suffix != ".lock"] == []


def test_a_model_folder_of_one_s_own_is_served_as_it_is(cache: Path, tmp_path: Path) -> None:
    own = tmp_path / "served" / "lab" / "tiny-llama"
    own.mkdir(parents=True)
    assert models.serve("tiny", tmp_path / "served", quiet) == "lab/tiny-llama"
    assert list(own.iterdir()) == []
    assert not cache.exists()


def test_the_cache_is_the_user_s_unless_another_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YTFSM_CACHE", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"
    monkeypatch.delenv("YTFSM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ytfsm"
