"""Settings: read once, frozen, with every bad value named."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from yt_fsm.bringup.settings import Settings, load
from yt_fsm.engine import configuration
from yt_fsm.engine.errors import Usage
from yt_fsm.engine.settings import effective

pytestmark = pytest.mark.usefixtures("bare")

SPEC = {  # §4.2, and design's own
    "YT_SYSTEM", "YT_OWNER", "YT_REPO_MODELS", "YT_WORKER_NAME", "YT_PROJECT_NUMBER", "YT_PROJECT_TITLE", "HF_TOKEN",
    "CODEX_BIN", "CODEX_HOME", "YT_TOP1_MIN", "YT_TOP5_MIN", "YT_MAX_ATTEMPTS", "YT_SLEEP_SECS", "YT_TMP_ROOT",
    "YT_CLAIM_TTL_SECS", "YTFSM_HOME", "YT_PYTHON", "YT_DEVICE", "YT_REFERENCE_CACHE", "YT_KL_MAX", "YT_MAX_TOKENS",
}  # fmt: skip


def test_every_variable_of_the_contract_can_be_set() -> None:
    assert set(Settings.variables().values()) >= SPEC
    assert set(Settings.variables()) == set(Settings.model_fields)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_defaults_are_the_specs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YTFSM_HOME")
    found = load(system="n150")
    assert (found.owner, found.repo_models, found.repo) == ("yieldthought", "ttnn_models", "yieldthought/ttnn_models")
    assert (found.top1_min, found.top5_min, found.max_attempts, found.sleep_secs) == (0.90, 0.97, 10, 20)
    assert (found.claim_ttl_secs, found.codex_bin, found.python) == (3600, "codex", "python3")
    assert found.worker_name
    assert found.home.name == "ytfsm"
    assert found.runs == found.home / "runs"


def test_flags_win_over_the_environment_and_that_over_the_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "ytfsm.toml").write_text('system = "n150"\nowner = "from-file"\nmax_attempts = 3\n')
    monkeypatch.setenv("YT_SYSTEM", "n300")
    monkeypatch.setenv("YT_OWNER", "from-env")
    found = load(system="lb", owner=None)
    assert (found.system, found.owner, found.max_attempts) == ("lb", "from-env", 3)


def test_the_users_configuration_folder_has_a_file_too(bare: Path) -> None:
    folder = bare / ".config" / "ytfsm"
    folder.mkdir(parents=True)
    (folder / "ytfsm.toml").write_text('system = "n300"\n')
    assert load().system == "n300"
    (bare / "ytfsm.toml").write_text('system = "lb"\n')
    assert load().system == "lb"


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YT_PROJECT_NUMBER", "")
    assert load(system="n300").project_number is None


def test_settings_are_frozen() -> None:
    found = load(system="n300")
    with pytest.raises(ValidationError):
        found.system = "lb"


def test_lb_is_known_by_its_other_name() -> None:
    assert load(system="t3000").system == "lb"


def test_a_home_with_a_tilde_is_made_whole(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YTFSM_HOME", "~/state")
    monkeypatch.setenv("YT_TMP_ROOT", "work")
    found = load(system="n300")
    assert (found.home, found.tmp_root) == (bare / "state", bare / "work")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("YT_SYSTEM", "tpu", "YT_SYSTEM = 'tpu': must be one of n150, n300, lb"),
        ("YT_PROJECT_NUMBER", "seven", "YT_PROJECT_NUMBER = 'seven':"),
        ("YT_PROJECT_NUMBER", "0", "YT_PROJECT_NUMBER = '0':"),
        ("YT_TOP1_MIN", "95", "YT_TOP1_MIN = '95': Input should be less than or equal to 1"),
        ("YT_TOP5_MIN", "nan", "YT_TOP5_MIN = 'nan':"),
        ("YT_MAX_ATTEMPTS", "0", "YT_MAX_ATTEMPTS = '0':"),
        ("YT_MAX_ATTEMPTS", "2.5", "YT_MAX_ATTEMPTS = '2.5':"),
        ("YT_SLEEP_SECS", "0", "YT_SLEEP_SECS = '0':"),
        ("YT_SLEEP_SECS", "inf", "YT_SLEEP_SECS = 'inf':"),
        ("YT_CLAIM_TTL_SECS", "-1", "YT_CLAIM_TTL_SECS = '-1':"),
        ("YT_DEVICE", "all", "YT_DEVICE = 'all':"),
        ("YT_OWNER", "a/b", "YT_OWNER = 'a/b':"),
        ("YT_REPO_MODELS", "../x", "YT_REPO_MODELS = '../x':"),
        ("YT_WORKER_NAME", "two words", "YT_WORKER_NAME = 'two words':"),
        ("YT_WORKER_NAME", "x\nrun_id: y", r"YT_WORKER_NAME = 'x\nrun_id: y':"),
        ("YT_CODEX_SANDBOX", "none", "YT_CODEX_SANDBOX = 'none':"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv("YT_SYSTEM", "n300")
    monkeypatch.setenv(variable, value)
    with pytest.raises(Usage) as caught:
        load()
    assert str(caught.value).startswith(words)
    assert caught.value.exit_code == 2


def test_a_missing_system_says_how_to_give_it() -> None:
    with pytest.raises(Usage) as caught:
        load()
    assert str(caught.value) == ("YT_SYSTEM is not set: give --system, or set YT_SYSTEM or `system` in ytfsm.toml")


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YT_TOP1_MIN", "2")
    monkeypatch.setenv("YT_DEVICE", "x")
    with pytest.raises(Usage) as caught:
        load()
    assert len(str(caught.value).splitlines()) == 3


def test_an_unknown_setting_in_the_file_is_named(bare: Path) -> None:
    (bare / "ytfsm.toml").write_text('system = "n300"\nmax_atempts = 3\n')
    with pytest.raises(Usage, match=rf"^{bare}/ytfsm.toml:2: `max_atempts` is not a setting$"):
        load()
    (bare / "ytfsm.toml").write_text('# max_atempts = 1\n\n["max_atempts"]\nx = 3\n')
    with pytest.raises(Usage, match=r"ytfsm.toml:3: `max_atempts` is not a setting"):
        load(system="n300")


@pytest.mark.parametrize("content", [b"system = ", b"\xff\xfe", b"= 3"])
def test_a_broken_file_is_named(bare: Path, content: bytes) -> None:
    (bare / "ytfsm.toml").write_bytes(content)
    with pytest.raises(Usage, match=r"ytfsm\.toml: "):
        load()


def test_a_bad_token_is_not_repeated(bare: Path) -> None:
    (bare / "ytfsm.toml").write_text('system = "n300"\nhf_token = [ "hf-secret-value" ]\n')
    with pytest.raises(Usage) as caught:
        load()
    assert "hf-secret-value" not in str(caught.value)
    assert "HF_TOKEN = [redacted]" in str(caught.value)


def test_the_token_is_in_no_record(settings: Callable[..., Settings]) -> None:
    found = settings(hf_token="my-own-token-value")
    public = found.public()
    assert public["hf_token"] == "set"
    assert settings().public()["hf_token"] is None
    assert "my-own-token-value" not in json.dumps(public)
    assert "my-own-token-value" not in repr(found)
    assert found.redactor()("x my-own-token-value y") == "x [redacted] y"


def test_the_redactor_knows_the_environments_secrets_too(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_TOKEN", "environment-token")
    assert "environment-token" not in settings().redactor()("environment-token")


def test_public_settings_are_json(settings: Callable[..., Settings]) -> None:
    public: dict[str, Any] = json.loads(json.dumps(settings().public()))
    assert set(public) == set(Settings.model_fields)
    assert re.fullmatch(r"/.*", public["home"])


# --- absurd values and files


@pytest.mark.parametrize("variable", sorted(set(Settings.variables().values()) - {"HF_TOKEN"}))
@pytest.mark.parametrize(
    "value", ["x" * 5000, "a\x1b[31mb", "a\udcffb", "   "], ids=["long", "escape", "bytes", "blank"]
)
def test_an_absurd_value_is_refused_with_its_variable_and_not_quoted_at_length(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("YT_SYSTEM", "n300")
    monkeypatch.setenv(variable, value)
    with pytest.raises(Usage) as caught:
        load()
    told = str(caught.value)
    assert told.startswith(f"{variable} = ")
    assert len(told) < 400
    assert told.isprintable()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("YT_SLEEP_SECS", "1e300"), ("YT_SLEEP_SECS", "1e-300"), ("YT_ATTEMPT_SECS", "1e12"),
        ("YT_CLAIM_TTL_SECS", "59"), ("YT_CLAIM_TTL_SECS", "86401"), ("YT_MAX_ATTEMPTS", "9" * 5000),
        ("YT_DEVICE", "256"),
        ("YT_KL_MAX", "inf"), ("YT_PROJECT_NUMBER", str(2**31)), ("YT_REPO_MODELS", ".."), ("YT_OWNER", "-R"),
        ("YTFSM_HOME", "~nobody-here/x"), ("YT_TMP_ROOT", "a" * 256), ("YT_MAX_TOKENS", "1e3000"),
    ],
)  # fmt: skip
def test_a_number_or_name_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv("YT_SYSTEM", "n300")
    monkeypatch.setenv(variable, value)
    with pytest.raises(Usage, match=f"^{variable} = "):
        load()


def test_a_token_that_no_header_can_carry_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YT_SYSTEM", "n300")
    monkeypatch.setenv("HF_TOKEN", "hf_secret\nX: y")
    with pytest.raises(Usage) as caught:
        load()
    assert "secret" not in str(caught.value)


def test_in_a_lab_a_claim_may_live_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YTFSM_LAB", "lab.sock")
    assert load(system="n300", claim_ttl_secs=1).claim_ttl_secs == 1


def test_what_stands_in_the_files_place_is_named_and_never_waited_for(bare: Path) -> None:
    file = bare / "ytfsm.toml"
    makes = {
        "not a file": [file.mkdir, lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero")],
        "a link to nothing": [lambda: file.symlink_to("nothing")],
        "symbolic links": [lambda: file.symlink_to(file)],
        "longer than 16,384 bytes": [lambda: file.write_text("# x\n" * 5000)],
        "not UTF-8": [lambda: file.write_bytes("system".encode("utf-16"))],
        "too deeply": [lambda: file.write_text("a = " + "[" * 8000)],
        "deeper": [lambda: file.write_text("a." * 7000 + "a = 1")],
        "ytfsm.toml: ": [lambda: file.write_text("a = " + "9" * 5000), lambda: file.write_bytes(b"a = 1\0")],
    }  # fmt: skip
    for words, ways in makes.items():
        for make in ways:
            make()
            with pytest.raises(Usage, match=words):
                load()
            file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()


def test_a_file_that_may_not_be_read_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, *_: Any) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("yt_fsm.engine.outside.os.open", denied)  # root, who runs tests too, may read everything
    with pytest.raises(Usage, match=r"ytfsm.toml: it cannot be read: Permission denied"):
        load()


def test_a_file_that_an_editor_began_with_a_mark_is_read(bare: Path) -> None:
    (bare / "ytfsm.toml").write_bytes(b'\xef\xbb\xbfsystem = "n300"\n')
    assert load().system == "n300"


def test_a_link_to_a_settings_file_is_followed(bare: Path) -> None:
    (bare / "mine.toml").write_text('system = "n300"\n')
    (bare / "ytfsm.toml").symlink_to("mine.toml")
    assert load().system == "n300"


@pytest.mark.parametrize(
    "text", ["home = 5", 'home = ""', "home = {}", 'home = "~nobody-here/x"', 'home = "a\\u0000b"']
)
def test_a_home_that_is_no_path_is_refused(bare: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.delenv("YTFSM_HOME")
    (bare / "ytfsm.toml").write_text(text)
    with pytest.raises(Usage, match=r"^YTFSM_HOME = "):
        configuration.home()


def test_a_bad_value_in_the_file_is_named_with_its_line(bare: Path) -> None:
    (bare / "ytfsm.toml").write_text('system = "n300"\ntop1_min = 95\n')
    with pytest.raises(Usage, match=r"^YT_TOP1_MIN = 95: .*ytfsm\.toml:2\)$"):
        load()


# --- paths (faults E2)

PATHS = {"YT_PYTHON": "python", "CODEX_BIN": "codex_bin", "YT_REFERENCE_CACHE": "reference_cache", "YTFSM_HOME": "home",
         "YT_TMP_ROOT": "tmp_root", "CODEX_HOME": "codex_home", "YT_ISOLATION_BIND": "isolation_bind"}  # fmt: skip


@pytest.mark.parametrize(("variable", "field"), PATHS.items())
@pytest.mark.parametrize("text", ["sub/x", "~/sub/x", "$BARE_FOLDER/x", "${BARE_FOLDER}/x", "./sub/x"])
def test_every_path_is_made_absolute_once(
    bare: Path, monkeypatch: pytest.MonkeyPatch, variable: str, field: str, text: str
) -> None:
    monkeypatch.setenv("BARE_FOLDER", str(bare / "sub"))
    monkeypatch.setenv(variable, text)
    assert str(getattr(load(system="n300"), field)) == f"{bare}/sub/x"
    monkeypatch.delenv(variable)
    (bare / "ytfsm.toml").write_text(f'{field} = "{text}"\n')
    assert str(getattr(load(system="n300"), field)) == f"{bare}/sub/x"


def test_a_path_in_a_file_begins_at_the_files_folder(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YTFSM_HOME")
    folder = bare / "elsewhere"
    folder.mkdir()
    (folder / "mine.toml").write_text('home = "state"\npython = "bin/python"\ncodex_bin = "codex"\n')
    monkeypatch.setenv("YTFSM_SETTINGS", "elsewhere/mine.toml")
    found = load(system="n300", tmp_root="here")
    assert (found.home, found.python, found.codex_bin) == (folder / "state", f"{folder}/bin/python", "codex")
    assert found.tmp_root == bare / "here"
    assert configuration.home() == folder / "state"


def test_programs_without_a_folder_are_looked_for_on_path() -> None:
    assert (load(system="n300", python="python3.12").python) == "python3.12"


def test_every_path_of_a_list_is_made_absolute(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YT_ISOLATION_BIND", "~/a:+b::/c")
    assert load(system="n300").isolation_bind == f"{bare}/a:+{bare}/b:/c"


@pytest.mark.parametrize("variable", PATHS)
def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "$NO_SUCH_THING/x")
    with pytest.raises(Usage, match=rf"^{variable} = .*names the variable NO_SUCH_THING, which is not set"):
        load(system="n300")


# --- whose a setting is


def test_each_setting_is_told_with_who_set_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "ytfsm.toml").write_text('# mine\nowner = "from-file"\nmax_attempts = 3\nhf_token = "hf_secret"\n')
    monkeypatch.setenv("YT_OWNER", "from-env")
    found = {one.setting: one for one in effective(Settings, system="n300")}
    assert set(found) == set(Settings.model_fields)
    told = {name: (one.value, one.origin, one.where) for name, one in found.items()}
    assert told["owner"] == ("from-env", "environment", "YT_OWNER")
    assert told["max_attempts"] == (3, "file", f"{bare}/ytfsm.toml:3")
    assert told["system"] == ("n300", "flag", "--system")
    assert told["top1_min"] == (0.9, "default", None)
    assert told["hf_token"] == ("set", "file", f"{bare}/ytfsm.toml:4")


def test_a_setting_that_is_required_and_not_set_is_told_too() -> None:
    found = {one.setting: one for one in effective(Settings)}
    assert (found["system"].value, found["system"].origin) == (None, "missing")
    with pytest.raises(Usage, match="YT_SYSTEM = 'tpu'"):
        effective(Settings, system="tpu")


def test_a_secret_within_a_value_is_not_told(bare: Path) -> None:
    (bare / "ytfsm.toml").write_text('hf_token = "hf_secret_value"\nproject_title = "x hf_secret_value"\n')
    assert "hf_secret_value" not in str(effective(Settings))


@pytest.mark.parametrize("named", ["nothing.toml", "/nonexistent/x.toml"])
def test_a_settings_file_that_is_named_and_not_there_is_said(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("YTFSM_SETTINGS", named)
    with pytest.raises(Usage, match=r"there is no such settings file \(--settings, YTFSM_SETTINGS\)"):
        load(system="n300")


def test_a_named_settings_file_counts_instead_of_the_others(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "ytfsm.toml").write_text('owner = "usual"\nmax_attempts = 3\n')
    (bare / "other.toml").write_text('owner = "other"\n')
    monkeypatch.setenv("YTFSM_SETTINGS", str(bare / "other.toml"))
    found = load(system="n300")
    assert (found.owner, found.max_attempts) == ("other", 10)
