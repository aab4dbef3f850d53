"""The brief: what an issue asks for (§3.3), read from its body and labels."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import SetupError
from .settings import ALIASES, SYSTEMS

FIELDS = (
    "hf_model_id",
    "hf_revision",
    "architecture",
    "notes",
    "prefill_len",
    "decode_len",
    "batch",
    "system",
)

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
_PAIR = re.compile(r"^\s*[-*]?\s*[*_`]{0,3}(\w+)[*_`]{0,3}\s*:\s*(.*)$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_NOTHING = {"", "_no response_", "none", "n/a"}


class Brief(BaseModel):
    """A bringup's inputs; model and revision are safe in paths and on command lines."""

    model_config = ConfigDict(frozen=True)

    hf_model_id: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", max_length=200)
    hf_revision: str | None = Field(None, pattern=r"^[A-Za-z0-9][\w./-]*$", max_length=200)
    architecture: str | None = None
    notes: str | None = None
    prefill_len: int = Field(128, ge=1, le=1 << 20)
    decode_len: int = Field(32, ge=1, le=1 << 20)
    batch: int = Field(1, ge=1, le=1024)
    system: str | None = None

    @field_validator("hf_model_id", "hf_revision")
    @classmethod
    def _no_way_out(cls, value: str | None) -> str | None:
        if value and ".." in value:
            raise ValueError("must not contain `..`")
        return value

    @field_validator("system")
    @classmethod
    def _known_system(cls, value: str | None) -> str | None:
        value = ALIASES.get(value or "", value)
        if value is not None and value not in SYSTEMS:
            raise ValueError(f"must be one of {', '.join(SYSTEMS)}")
        return value


def fields(body: str) -> dict[str, str]:
    """The fields that a body names, as `key: value` lines or as an issue form's `### Label` headings.

    HTML comments are no text; a fence around the lines does not matter; the first value of a field counts.
    """
    found: dict[str, str] = {}
    heading: str | None = None
    text: list[str] = []
    fenced = False

    def close() -> None:
        if heading and heading not in found:
            value = "\n".join(text).strip()
            if value.lower() not in _NOTHING:
                found[heading] = value

    for line in _COMMENT.sub("", body.replace("\r\n", "\n").replace("\r", "\n")).split("\n"):
        title = _HEADING.match(line)
        # In a fence `# …` is a comment; a form's own heading ends even a fence that nobody closed.
        if title and (not fenced or (line.startswith("### ") and _field_named(title[1]))):
            fenced = False
            close()
            heading, text = _field_named(title[1]), []
            continue
        if _FENCE.match(line):
            fenced = not fenced
            continue
        pair = _PAIR.match(line)
        if pair and heading is None and pair[1].lower() in FIELDS:
            value = pair[2].strip().strip("`").strip()
            if value.lower() not in _NOTHING:
                found.setdefault(pair[1].lower(), value)
            continue
        text.append(line)
    close()
    return found


def _field_named(title: str) -> str | None:
    """The field that a form's label stands for: `HF model id` and `hf_model_id` are one."""
    key = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    key = key.removesuffix("_optional")
    return key if key in FIELDS else None


def parse(body: str, labels: Iterable[str] = ()) -> Brief:
    """The brief of an issue; its system is that of its label, else of its field.

    Raises SetupError naming every field that is missing or malformed and the value it has.
    """
    values: dict[str, Any] = fields(body)
    labelled = [ALIASES.get(label, label) for label in labels if ALIASES.get(label, label) in SYSTEMS]
    if labelled:
        values["system"] = labelled[0]
    try:
        return Brief(**values)
    except ValidationError as problem:
        raise SetupError("; ".join(_words(error) for error in problem.errors())) from None


def _words(error: Any) -> str:
    field = error["loc"][0]
    if error["type"] == "missing":
        return f"the issue names no `{field}`: add a line `{field}: …` to its text, then set it to ready again"
    return f"the issue's `{field}` is {str(error['input'])[:80]!r}: {error['msg'].removeprefix('Value error, ')}"
