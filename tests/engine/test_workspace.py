"""The workspace: made for one user, isolated, and gone no matter what is left in it (§8.1)."""

import os
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from yt_fsm.bringup.isolation import environment, hub_environment
from yt_fsm.bringup.settings import Settings
from yt_fsm.bringup.workspace import Workspace
from yt_fsm.engine import errors, removal


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "ytfsm-run-x")
    made.make()
    return made


def test_a_workspace_is_its_users_alone(space: Workspace) -> None:
    assert stat.S_IMODE(space.folder.stat().st_mode) == 0o700
    assert space.codex.home.is_dir()
    assert space.codex.tmp.is_dir()
    space.make()


def test_a_deleted_workspace_is_gone_and_can_be_deleted_again(space: Workspace) -> None:
    (space.folder / "link").symlink_to("/etc")
    (space.folder / "broken").symlink_to("/nowhere")
    space.delete()
    space.delete()
    assert not space.folder.exists()
    assert Path("/etc").is_dir()


CLOSED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bare.removal import remove
folder = Path(sys.argv[2])
inner = folder / "a" / "b" / "c"
inner.mkdir(parents=True)
(inner / "file").write_text("x")
(folder / "a" / "link").symlink_to("/etc")
for path in (inner, inner.parent, inner.parent.parent, folder):
    path.chmod(0)
remove(folder)
sys.exit(folder.exists())
"""


def test_what_unreviewed_code_closed_is_opened_and_removed(tmp_path: Path) -> None:
    """Root may delete everything, so root looks as nobody, with the system's Python."""
    program, user = sys.executable, None
    if os.getuid() == 0:
        program = "/usr/bin/python3"
        if not Path(program).exists():
            pytest.skip("there is no Python that another user may run")
        user = "nobody"
    import tempfile

    with tempfile.TemporaryDirectory() as folder:  # tmp_path is closed to others
        Path(folder).chmod(0o777)
        copy = Path(folder) / "bare"
        copy.mkdir()
        for file in (removal.__file__, errors.__file__):
            shutil.copyfile(file, copy / Path(file).name)
        done = subprocess.run(
            [program, "-c", textwrap.dedent(CLOSED), folder, f"{folder}/work"], capture_output=True, text=True,
            check=False, cwd="/", user=user,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


# --- what code that nobody reviewed gets to see


@pytest.fixture
def seen(
    space: Workspace, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    def look(**variables: str) -> dict[str, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return environment(settings(hf_token="my-token"), space, space.codex)

    return look


@pytest.mark.parametrize(
    "name",
    [
        "GH_TOKEN", "GITHUB_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "SSH_AUTH_SOCK", "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY", "GH_CONFIG_DIR", "GIT_CONFIG_COUNT", "GIT_ASKPASS", "TT_SECRET", "XDG_CONFIG_HOME",
        "YTFSM_HOME", "DBUS_SESSION_BUS_ADDRESS", "CODEX_API_KEY",
    ],
)  # fmt: skip
def test_no_login_reaches_unreviewed_code(seen: Callable[..., dict[str, str]], name: str) -> None:
    env = seen(**{name: "secret-value"})
    assert name not in env
    assert "secret-value" not in env.values()
    assert "my-token" not in env.values()


def test_what_a_machine_needs_passes(seen: Callable[..., dict[str, str]]) -> None:
    env = seen(TT_METAL_HOME="/tt", ARCH_NAME="wormhole_b0", LD_LIBRARY_PATH="/lib", LC_ALL="C.UTF-8", PYTHONPATH="/p")
    assert env["TT_METAL_HOME"] == "/tt"
    assert env["ARCH_NAME"] == "wormhole_b0"
    assert env["LD_LIBRARY_PATH"] == "/lib"
    assert env["PATH"] == os.environ["PATH"]


def test_unreviewed_code_is_at_home_in_the_workspace_and_offline(
    seen: Callable[..., dict[str, str]], space: Workspace
) -> None:
    env = seen()
    assert (env["HOME"], env["TMPDIR"]) == (str(space.codex.home), str(space.codex.tmp))
    assert env["HF_HUB_CACHE"] == str(space.weights / "hub")
    assert (env["HF_HUB_OFFLINE"], env["TRANSFORMERS_OFFLINE"]) == ("1", "1")
    assert env["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert list(space.codex.home.iterdir()) == []


def test_weights_lie_where_the_machine_keeps_them(seen: Callable[..., dict[str, str]]) -> None:
    env = seen(HF_HOME="/models/huggingface")
    assert env["HF_HUB_CACHE"] == "/models/huggingface/hub"
    assert not env["HF_HOME"].startswith("/models"), "the operator's token lies there"
    assert seen(HF_HUB_CACHE="/models/hub")["HF_HUB_CACHE"] == "/models/hub"


@pytest.mark.parametrize(
    ("given", "hub"),
    [
        ({}, "work/huggingface/hub"),
        ({"HF_HOME": "~/hf"}, "home/hf/hub"),
        ({"HF_HUB_CACHE": "$HOME/cache"}, "home/cache"),
        ({"HF_HUB_CACHE": "rel", "HF_HOME": "/elsewhere"}, "home/rel"),
        ({"HUGGINGFACE_HUB_CACHE": "~/old", "HF_HOME": "/elsewhere"}, "home/old"),
    ],
)
def test_download_and_evaluation_agree_where_the_weights_are(
    seen: Callable[..., dict[str, str]], space: Workspace, tmp_path: Path, given: dict[str, str], hub: str
) -> None:
    """Faults W10: however the variable is written, as another program has another current folder."""
    env = seen(**given)
    assert env["HF_HUB_CACHE"] == hub_environment(space)["HF_HUB_CACHE"]
    assert env["HF_HUB_CACHE"] == str(tmp_path / hub if "work" not in hub else space.weights / "hub")


def test_only_the_download_has_the_hubs_token(
    space: Workspace, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "my-token")
    assert hub_environment(space)["HF_TOKEN"] == "my-token"
    assert "HF_TOKEN" not in environment(settings(hf_token="my-token"), space, space.codex)
