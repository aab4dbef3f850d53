"""Credentials: what operators keep secret is known, wherever they keep it, and ordinary settings are not."""

import base64
import json
import os
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from yt_fsm.bringup.settings import Settings
from yt_fsm.engine.credentials import of_environment, read, stamp, tells

LETTERS = string.ascii_letters + string.digits


def canary(kind: str, length: int = 36) -> str:
    """A secret that no other test has; random, and the same each time."""
    return "".join(random.Random(kind).choices(LETTERS, k=length))


def key(kind: str, lines: int = 5) -> str:
    """A private key as ssh-keygen writes it."""
    body = "".join(random.Random(kind).choices(LETTERS + "+/", k=70 * lines))
    rows = "\n".join(body[at : at + 70] for at in range(0, len(body), 70))
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{rows}\n-----END OPENSSH PRIVATE KEY-----\n"


def basic(password: str) -> str:
    return base64.b64encode(f"someone:{password}".encode()).decode()


# Where it is kept (the file below HOME, what stands in it), and the canary.
FILES: dict[str, tuple[str, str, str]] = {
    name: (path, text.replace("CANARY", value), value)
    for name, path, text, value in [
        ("gh", ".config/gh/hosts.yml", "github.com:\n    user: x\n    oauth_token: CANARY\n    git_protocol: ssh\n",
         "gho_" + canary("gh")),
        ("netrc", ".netrc", "machine github.com login ab password CANARY\n", canary("netrc", 20)),
        ("netrc in lines", ".netrc", "machine h\n  login me\n  password CANARY\n", canary("netrc2", 20)),
        ("git's store", ".git-credentials", "https://me:CANARY@github.com\n", canary("store")),
        ("git's store, XDG", ".config/git/credentials", "https://CANARY:x-oauth-basic@github.com\n", canary("xdg", 40)),
        ("git's extraheader", ".gitconfig", f"[http]\n\textraheader = AUTHORIZATION: basic {basic(canary('header'))}\n",
         canary("header")),
        ("git's url", ".gitconfig", '[url "https://x:CANARY@github.com/"]\n\tinsteadOf = git@h:\n', canary("url")),
        ("the Hub's token", ".cache/huggingface/token", "CANARY", "hf_" + canary("hub", 34)),
        ("the Hub's tokens", ".cache/huggingface/stored_tokens", "[mine]\nhf_token = CANARY\n",
         "hf_" + canary("hubs", 34)),
        ("codex's key", ".codex/auth.json", '{"OPENAI_API_KEY": "CANARY"}', "sk-proj-" + canary("openai", 60)),
        ("codex's login", ".codex/auth.json", '{"tokens": {"access_token": "a", "refresh_token": "CANARY"}}',
         canary("refresh", 50)),
        ("codex's settings", ".codex/config.toml", '[model_providers.x]\nexperimental_bearer_token = "CANARY"\n',
         canary("bearer")),
        ("codex's MCP server", ".codex/config.toml", '[mcp_servers.x]\nenv = { X_KEY = "CANARY" }\n', canary("mcp")),
        ("codex's .env", ".codex/.env", "AZURE_API_KEY='CANARY'\n", canary("azure")),
        ("ssh", ".ssh/id_ed25519", key("ssh"), key("ssh").splitlines()[3]),
        ("ssh, another name", ".ssh/deploy.pem", key("pem"), key("pem").splitlines()[4]),
        ("pushover", ".pushover", "u3r\nCANARY\n", canary("pushover", 30)),
        ("aws", ".aws/credentials", "[default]\naws_secret_access_key = CANARY\n", canary("aws", 40)),
        ("docker", ".docker/config.json", json.dumps({"auths": {"ghcr.io": {"auth": basic(canary("docker"))}}}),
         canary("docker")),
        ("kubernetes", ".kube/config", "users:\n- user:\n    token: CANARY\n", canary("kube")),
        ("npm", ".npmrc", "//registry.npmjs.org/:_authToken=CANARY\n", canary("npm")),
        ("pypi", ".pypirc", "[pypi]\nusername = __token__\npassword = CANARY\n", canary("pypi", 60)),
        ("pip", ".config/pip/pip.conf", "[global]\nindex-url = https://u:CANARY@a.example.com/simple\n", canary("pip")),
        ("postgres", ".pgpass", "host:5432:db:user:CANARY\n", canary("pg")),
        ("a shell's start", ".bashrc", "alias ll='ls -l'\nexport WANDB_API_KEY=CANARY  # mine\n", canary("wandb", 40)),
        ("a profile", ".profile", 'export MY_PASSWORD="CANARY and more"\n', canary("profile") + " and more"),
        ("systemd", ".config/environment.d/a.conf", "X_TOKEN=CANARY\n", canary("systemd")),
        ("our own settings", ".config/ytfsm/ytfsm.toml", 'hf_token = "CANARY"\n', canary("toml")),
        ("google", ".config/gcloud/application_default_credentials.json",
         json.dumps({"client_secret": "CANARY", "type": "authorized_user"}), canary("google")),
    ]
}  # fmt: skip


@pytest.mark.parametrize("place", FILES)
def test_a_secret_is_known_where_an_operator_keeps_it(
    place: str, bare: Path, settings: Callable[..., Settings]
) -> None:
    path, text, value = FILES[place]
    file = bare / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    redact = settings().redactor()
    assert redact.leaks(f"x = '{value}'".encode())
    assert value not in redact(f"x = '{value}'")


@pytest.mark.parametrize(
    ("variable", "path", "text"),
    [
        ("GH_CONFIG_DIR", "gh/hosts.yml", "github.com:\n    oauth_token: CANARY\n"),
        ("XDG_CONFIG_HOME", "xdg/gh/hosts.yml", "github.com:\n    oauth_token: CANARY\n"),
        ("HF_HOME", "hf/token", "CANARY"),
        ("HF_TOKEN_PATH", "elsewhere", "CANARY"),
        ("CODEX_HOME", "codex/auth.json", '{"tokens": {"refresh_token": "CANARY"}}'),
        ("NETRC", "my-netrc", "machine h login u password CANARY"),
        ("DOCKER_CONFIG", "docker/config.json", '{"auths": {"x": {"identitytoken": "CANARY"}}}'),
        ("GOOGLE_APPLICATION_CREDENTIALS", "key.json", '{"private_key_id": "1", "client_secret": "CANARY"}'),
        ("GITHUB_TOKEN_FILE", "token.txt", "CANARY\n"),
        ("CREDENTIALS_DIRECTORY", "systemd/any", "CANARY"),
    ],
)
def test_a_variable_that_names_the_place_is_followed(
    variable: str, path: str, text: str, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    value = canary(variable)
    file.write_text(text.replace("CANARY", value))
    folder = variable.endswith(("HOME", "DIR", "CONFIG", "DIRECTORY"))
    monkeypatch.setenv(variable, str(tmp_path / path.split("/")[0] if folder else file))
    assert value in read(os.environ).values


VARIABLES = {
    **{name: canary(name) for name in (
        "GH_TOKEN", "GITHUB_TOKEN", "HF_TOKEN", "hf_token", "OPENAI_API_KEY", "APIKEY", "MY_SECRET", "DB_PASSWORD",
        "PGPASSWORD", "SSHPASS", "MYSQL_PWD", "AZURE_PAT", "AWS_SECRET_ACCESS_KEY", "ENCRYPTION_KEY", "SESSION_COOKIE",
        "X_PASSPHRASE", "OPENAI_KEY_2", "NPM_CONFIG__AUTH", "accessToken", "CODEX_API_KEY", "AWS_CREDENTIALS",
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_says_by_its_name_that_it_is_secret(name: str) -> None:
    assert of_environment({name: VARIABLES[name]}) == {VARIABLES[name]: name}


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DATABASE_URL", "postgres://me:s3cr3t-of-mine@db/x", "s3cr3t-of-mine"),
        ("HTTPS_PROXY", "http://me:pr0xy%21pass-word@proxy:3128", "pr0xy!pass-word"),
        ("https_proxy", "me:pr0xypassword@proxy:3128", "pr0xypassword"),
        ("SENTRY_DSN", "https://0123456789abcdef0123@sentry.example.com/1", "0123456789abcdef0123"),
        ("ANY", "https://example.com/x?a=1&access_token=abcdef123456", "abcdef123456"),
        ("SLACK_WEBHOOK", "https://hooks.slack.com/services/T000/B000/" + canary("hook", 24), canary("hook", 24)),
        ("CI_HOOK_URL", "https://ci.example.com/hooks/abcdefgh1234", "/hooks/abcdefgh1234"),
        ("ANY", "ghp_" + canary("any"), "ghp_" + canary("any")),
        ("ANY", "see hf_" + canary("hf", 34) + ", ok", "hf_" + canary("hf", 34)),
        ("ANY", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("ANY", "xoxb-123456789012-abcdefghij", "xoxb-123456789012-abcdefghij"),
        ("ANY", "AIza" + canary("aiza", 35), "AIza" + canary("aiza", 35)),
        ("GIT_CONFIG_VALUE_0", "AUTHORIZATION: basic " + basic("of-an-extraheader"), "of-an-extraheader"),
        ("DEPLOY", key("deploy"), key("deploy").strip()),
    ],
)  # fmt: skip
def test_a_value_is_secret_by_its_looks_and_by_its_place_in_a_url(name: str, value: str, secret: str) -> None:
    known = of_environment({name: value})
    assert secret in known
    assert known[secret] == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("YT_MAX_TOKENS", "1000000"), ("TOKENIZERS_PARALLELISM", "false"), ("HF_TOKEN_PATH", "/nowhere/at/all"),
        ("PATH", "/usr/bin:/bin"), ("PATTERN", "abcdefghijkl"), ("HOME", "/root"), ("KEYBOARD", "us-international"),
        ("PWD", "/home/someone/work"), ("SSH_AUTH_SOCK", "/run/user/1000/keyring/ssh"), ("COMPASS", "north-northwest"),
        ("GIT_ASKPASS", "/usr/bin/askpass"), ("API_KEY", "none"), ("API_TOKEN", "$OTHER_TOKEN"), ("X_TOKEN", "<it>"),
        ("HTTPS_PROXY", "http://proxy.example.com:3128"), ("REMOTE", "ssh://git@github.com/o/r.git"),
        ("TOKEN_TYPE", "bearer-and-more"), ("GH_TOKEN", "short"), ("auth_mode", "chatgpt"), ("X_KEY_ID", "ABCDEFGHIJK"),
        ("PUBLIC_KEY", "ABCDEFGHIJKLMNOP"), ("token_endpoint", "https://auth.example.com/token"),
    ],
)  # fmt: skip
def test_what_only_sounds_secret_is_none(name: str, value: str) -> None:
    assert of_environment({name: value}) == {}


def test_ordinary_files_of_a_home_hold_none(bare: Path) -> None:
    for path, text in {
        ".bashrc": "alias token='gh auth token'\nexport EDITOR=vim KEYTIMEOUT=1\n# see the token page\nPS1='$ '\n",
        ".gitconfig": "[user]\n\tname = Some One\n\tsigningkey = 0123456789ABCDEF\n[credential]\n\thelper = store\n",
        ".codex/config.toml": 'model = "gpt-5"\nenv_key = "OPENAI_API_KEY"\ncli_auth_credentials_store = "file"\n',
        ".codex/auth.json": '{"auth_mode": "chatgpt", "tokens": {"account_id": "abcdefgh"}, "last_refresh": "2026"}',
        ".ssh/known_hosts": "github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9\n",
        ".ssh/id.pub": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9 me@here\n",
        ".docker/config.json": '{"credsStore": "desktop", "auths": {"ghcr.io": {}}}',
        ".config/gh/hosts.yml": "github.com:\n    user: someone\n    git_protocol: ssh\n",
    }.items():
        (bare / path).parent.mkdir(parents=True, exist_ok=True)
        (bare / path).write_text(text)
    assert read({"HOME": str(bare)}).values == {}


def test_what_cannot_be_read_is_counted(bare: Path) -> None:
    (bare / ".netrc").symlink_to(".netrc")  # not even root reads that
    (bare / ".pypirc").write_text("password = abcdefghijkl\n")
    known = read({"HOME": str(bare)})
    assert known.unread == 1
    assert "abcdefghijkl" in known.values


def test_odd_files_stop_nothing(bare: Path) -> None:
    (bare / ".netrc").mkdir()
    (bare / ".ssh").write_text("a file where a folder belongs")
    os.mkfifo(bare / ".pushover")
    (bare / ".npmrc").write_bytes(random.Random(1).randbytes(300_000))
    (bare / ".codex").mkdir()
    (bare / ".codex" / "auth.json").write_text("[" * 100_000)
    (bare / ".env").symlink_to(bare / "nowhere")
    (bare / ".pypirc").write_text("password = abcdefghijkl\n")
    assert "abcdefghijkl" in read({"HOME": str(bare)}).values


def test_a_login_that_codex_renews_is_known_at_the_next_look(bare: Path, settings: Callable[..., Settings]) -> None:
    file = bare / ".codex" / "auth.json"
    file.parent.mkdir()
    before, after = canary("before"), canary("after")
    file.write_text(json.dumps({"tokens": {"refresh_token": before}}))
    redact = settings().redactor()
    known = stamp(os.environ, Path.cwd())
    assert not redact.leaks(after.encode())
    file.write_text(json.dumps({"tokens": {"refresh_token": after}, "more": 1}))
    assert stamp(os.environ, Path.cwd()) != known
    redact.refresh()
    assert redact.leaks(after.encode())
    assert redact.leaks(before.encode())  # what was secret once stays so


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "x-api-key", "client_secret", "_authToken", "Password"])
def test_names_tell_in_every_style(name: str) -> None:
    assert tells(name)
