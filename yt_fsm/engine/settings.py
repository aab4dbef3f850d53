"""Settings: read once from flags, environment and `ytfsm.toml` (in that order of precedence), then frozen.

Here are those of every run; each room adds its own in a subclass, and a machine's settings are the classes of the rooms
that it uses. Each field names its environment variable; its description is the README's row for it.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, create_model, field_validator

from . import configuration, credentials
from .errors import Usage
from .outside import shown
from .redaction import Redactor

YEAR = 365 * 86_400.0  # seconds: whoever asks for more has mistyped, and no clock of ours can wait for ever

S = TypeVar("S", bound="Settings")


Whole = Callable[[str, Path | None], str]
"""Makes what a text names absolute, a relative path from a folder: configuration.whole_program, whole_paths …"""


def setting(variable: str, default: Any = ..., secret: bool = False, whole: Whole | None = None, **more: Any) -> Any:
    """A field that the environment sets by `variable`; a `secret` one is never shown or written down.

    A text that names a path is made absolute by `whole`; a Path is by itself.
    """
    extra: Any = {"variable": variable, "secret": secret, "whole": whole}
    return Field(default, json_schema_extra=extra, repr=not secret, **more)


class Settings(BaseModel):
    """What can be set for any machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    worker_name: str = setting(
        "YT_WORKER_NAME",
        default_factory=socket.gethostname,
        pattern=r"^\S+$",
        max_length=100,
        description="who this worker is (default: host name)",
    )
    home: Path = setting(
        "YTFSM_HOME",
        default_factory=lambda: Path(platformdirs.user_state_dir("ytfsm")),
        description="where runs are kept (journals, logs, artifacts)",
    )
    tmp_root: Path = setting(
        "YT_TMP_ROOT",
        default_factory=lambda: Path(tempfile.gettempdir()),
        description="where workspaces are made and deleted",
    )
    sleep_secs: float = setting(
        "YT_SLEEP_SECS",
        20,
        ge=0.01,
        le=86_400,
        description="seconds between two polls; grows to three times that when idle",
    )
    min_free_gb: float = setting(
        "YT_MIN_FREE_GB", 1, ge=0, le=10**9, description="gigabytes that must stay free beside the weights"
    )
    probe_secs: float = setting(
        "YT_PROBE_SECS",
        60,
        ge=0.01,
        le=1800,
        description="seconds until what a run waits for is tried again; doubled each time, up to half an hour",
    )
    wait_secs: float = setting(
        "YT_WAIT_SECS",
        2 * 86_400,
        ge=0,
        le=YEAR,
        description="seconds that a run waits for what nobody knows the end of; then it is a setup error",
    )
    wait_keep_secs: float = setting(
        "YT_WAIT_KEEP_SECS",
        3600,
        ge=0,
        le=YEAR,
        description="seconds: a run that waits for longer keeps its work, and not its workspace",
    )
    settle_secs: float = setting(
        "YT_SETTLE_SECS",
        60,
        ge=0,
        le=86_400,
        description="seconds until a write that GitHub does not show has not happened",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _sound(cls, value: Any) -> Any:
        if isinstance(value, str):
            configuration.require_text(value)
            if len(value) > configuration.LONGEST_PATH:
                raise ValueError(f"is {len(value):,} characters long")
        return value

    @field_validator("*")
    @classmethod
    def _whole(cls, value: Any, info: ValidationInfo) -> Any:
        base = (info.context or {}).get(info.field_name)
        if isinstance(value, Path):
            return configuration.whole_path(str(value), base)
        whole = _extra(cls.model_fields[str(info.field_name)])["whole"]
        return whole(value, base) if whole and isinstance(value, str) else value

    @classmethod
    def variables(cls) -> dict[str, str]:
        """The environment variable of each field."""
        return {name: _extra(field)["variable"] for name, field in cls.model_fields.items()}

    @property
    def runs(self) -> Path:
        """The folder of all runs of this machine."""
        return self.home / "runs"

    def _secrets(self) -> dict[str, str]:
        """The values of secret fields, with their variables."""
        fields = type(self).model_fields
        found = {
            getattr(self, name): _extra(field)["variable"] for name, field in fields.items() if _extra(field)["secret"]
        }
        return {value: variable for value, variable in found.items() if value}

    def public(self) -> dict[str, Any]:
        """The settings without secrets, as the journal's header and config.json carry them."""
        secret = {name for name, field in type(self).model_fields.items() if _extra(field)["secret"]}
        shown = self.model_dump(mode="json", exclude=secret)
        return {**shown, **{name: "set" if getattr(self, name) else None for name in secret}}

    def redactor(self) -> Redactor:
        """Knows every secret that this process can know; those in files are read again when the files change."""
        stamp: tuple[object, ...] | None = None
        places = {
            name: variable for name, variable in self.variables().items() if isinstance(getattr(self, name), Path)
        }

        def reread() -> dict[str, str] | None:
            nonlocal stamp
            environment = {**os.environ, **{variable: str(getattr(self, name)) for name, variable in places.items()}}
            if stamp == credentials.stamp(environment, Path.cwd()):
                return None
            known = credentials.read(environment, Path.cwd())
            stamp = known.stamp
            for value, variable in self._secrets().items():
                known.add(value, variable)
            return known.values

        return Redactor(reread() or {}, reread)


@dataclass(frozen=True)
class Effective:
    """A setting as it counts: `origin` is flag, environment, file, default or missing, `where` its flag, variable or
    `file:line`; a secret's value is `set`."""

    setting: str
    variable: str
    value: Any
    origin: str
    where: str | None

    def as_json(self) -> dict[str, Any]:
        """As `ytfsm config --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class _Given:
    """What was set, each by whom: field to value, origin and where."""

    values: dict[str, Any]
    origins: dict[str, tuple[str, str | None]]
    written: configuration.Written

    def made(self, kind: type[S]) -> S:
        """The settings. Raises Usage naming each field and value that is wrong."""
        folder = self.written.path.parent if self.written.path else None
        bases = {name: folder for name, (origin, _) in self.origins.items() if origin == "file"}
        try:
            return kind.model_validate(self.values, context=bases)
        except ValidationError as problem:
            raise Usage("\n".join(self._words(kind, error) for error in problem.errors())) from None

    def _words(self, kind: type[Settings], error: Any) -> str:
        field = str(error["loc"][0]) if error["loc"] else "settings"
        variable = kind.variables().get(field, field)
        if error["type"] == "missing":
            flag = field.replace("_", "-")
            return f"{variable} is not set: give --{flag}, or set {variable} or `{field}` in ytfsm.toml"
        if error["type"] == "extra_forbidden":
            return f"{self.written.place(field)}: `{shown(field, 60)}` is not a setting"
        redact = Redactor(credentials.of_environment(os.environ))
        secret = field in kind.model_fields and _extra(kind.model_fields[field])["secret"]
        value = "[redacted]" if secret else shown(redact(repr(error["input"])), 100)
        origin, where = self.origins.get(field, ("", None))
        told = f" ({where})" if origin == "file" else ""
        return f"{variable} = {value}: {error['msg'].removeprefix('Value error, ')}{told}"


def load(kind: type[S], others: Iterable[type[Settings]] = (), **flags: Any) -> S:
    """Settings of a `kind`; `flags` that are None count as not given, and what only `others` know is passed over.

    Raises Usage naming the field and the value.
    """
    return _given(kind, others, flags).made(kind)


def effective(kind: type[Settings], others: Iterable[type[Settings]] = (), **flags: Any) -> list[Effective]:
    """Each setting of a `kind` as it counts, with who set it; one that is required and not set is said so.

    Raises Usage naming a field and value that is wrong.
    """
    given = _given(kind, others, flags)
    fields = kind.model_fields
    missing = {name for name, field in fields.items() if field.is_required() and name not in given.values}
    optional: dict[str, Any] = {name: (str | None, setting(_extra(fields[name])["variable"], None)) for name in missing}
    made = given.made(create_model(kind.__name__, __base__=kind, **optional))
    redact, public = made.redactor(), made.public()
    found = []
    for name, variable in kind.variables().items():
        value = redact(public[name]) if isinstance(public[name], str) else public[name]
        origin, where = given.origins.get(name, ("missing" if name in missing else "default", None))
        found.append(Effective(name, variable, value, origin, where))
    return found


def _given(kind: type[Settings], others: Iterable[type[Settings]], flags: dict[str, Any]) -> _Given:
    written = configuration.read()
    strangers = {name for other in others for name in other.model_fields} - set(kind.model_fields)
    values = {name: value for name, value in written.values.items() if name not in strangers}
    origins: dict[str, tuple[str, str | None]] = {name: ("file", written.place(name)) for name in values}
    for field, variable in kind.variables().items():
        if os.environ.get(variable, "") != "":
            values[field], origins[field] = os.environ[variable], ("environment", variable)
    for field, value in flags.items():
        if value is not None:
            values[field], origins[field] = value, ("flag", f"--{field.replace('_', '-')}")
    return _Given(values, origins, written)


def _extra(field: Any) -> dict[str, Any]:
    found: dict[str, Any] = field.json_schema_extra
    return found
