"""The brief: what an issue asks for (§3.3), read from its body and labels."""

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from yt_fsm.tools import systems

from . import template
from .errors import MalformedIssue

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

BODY_CHARS = 65_536  # GitHub takes no longer ones; more is not read
_FENCES = ("```", "~~~")
_NOTHING = {"", "_no response_", "none", "n/a"}


_TEXTS = ("architecture", "notes")  # in which quotes and backticks are the writer's own
_UNSEEN = str.maketrans("", "", "\ufeff\u200b")  # what editors and browsers leave behind
# A part of a Hub id: ASCII, as the Hub has no others; a letter of another alphabet that looks like one is none.
_PART = "[A-Za-z0-9]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"


class Brief(BaseModel):
    """A bringup's inputs; model and revision are safe in paths and on command lines.

    The context of its validation is the folder of a team's own systems.
    """

    model_config = ConfigDict(frozen=True)

    hf_model_id: str = Field(pattern=f"^{_PART}/{_PART}$", max_length=193)
    hf_revision: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$", max_length=200)
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

    @field_validator("hf_model_id")
    @classmethod
    def _as_the_hub_has_it(cls, value: str) -> str:
        if "--" in value or value.lower().endswith(".git"):
            raise ValueError("the Hub has no name with `--`, and none that ends in `.git`")
        return value

    @field_validator("system")
    @classmethod
    def _known_system(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else systems.known(info.context).find(value).name


def fields(body: str) -> dict[str, str]:
    """The fields that a body names, as `key: value` lines or as an issue form's `### Label` headings.

    HTML comments are no text; a fence around the lines does not matter; the first value of a field counts. Strangers
    write issues, so the time that this takes grows as the text does, whatever is in it: no pattern is matched here that
    could be tried at many places of a line.
    """
    found: dict[str, str] = {}
    heading: str | None = None
    text: list[str] = []
    fenced = False

    def close() -> None:
        if heading and heading not in found:
            value = _bare(heading, "\n".join(text))
            if value.lower() not in _NOTHING:
                found[heading] = value

    for line in _without_comments(body[:BODY_CHARS].translate(_UNSEEN).replace("\r\n", "\n").replace("\r", "\n")).split(
        "\n"
    ):
        title = _heading(line)
        # In a fence `# …` is a comment; a form's own heading ends even a fence that nobody closed.
        if title is not None and (not fenced or (line.startswith("### ") and _field_named(title))):
            fenced = False
            close()
            heading, text = _field_named(title), []
            continue
        if line.lstrip().startswith(_FENCES):
            fenced = not fenced
            continue
        key, value = _pair(line)
        if heading is None and key in FIELDS:
            if value.lower() not in _NOTHING:
                found.setdefault(key, value)
            continue
        text.append(line)
    close()
    return found


def _without_comments(text: str) -> str:
    """`text` without its HTML comments; one that nobody ends is text."""
    kept = []
    place = 0
    while (start := text.find("<!--", place)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[place:start])
        place = end + 3
    return "".join(kept) + text[place:]


def _heading(line: str) -> str | None:
    """The title of a line that is a heading: `## Title ##`."""
    after = line.lstrip("#")
    level = len(line) - len(after)
    if not 1 <= level <= 6 or not after[:1].isspace():
        return None
    return after.strip().rstrip("#").rstrip()


def _pair(line: str) -> tuple[str, str]:
    """The key, in lower case, and the value of a line `- **key**: value`; the key is "" where there is no colon.

    The colon may be within the marks: `**key:** value`, `**key: value**`.
    """
    key, colon, value = line.partition(":")
    if not colon:
        return "", ""
    key, value = key.strip(), value.strip()
    if key[:1] in ("-", "+") or key[:2] == "* ":
        key = key[1:].lstrip()
    mark = key[: len(key) - len(key.lstrip("*_"))]
    if mark and not key.endswith(mark):
        value = value.removeprefix(mark).removesuffix(mark).strip()
    key = key.strip("*_`").rstrip().lower()
    return key, _bare(key, value.strip("`"))


def _bare(field: str, value: str) -> str:
    """A field's value without what people put around it: backticks, and quotes, as in YAML."""
    value = value.strip()
    if field in _TEXTS:
        return value
    value = value.strip("`").strip()
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip() if quoted else value


def _field_named(title: str) -> str | None:
    """The field that a form's label stands for: `HF model id` and `hf_model_id` are one."""
    key = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    key = key.removesuffix("_optional")
    return key if key in FIELDS else None


def parse(body: str, labels: Iterable[str] = (), systems_dir: Path | None = None) -> Brief:
    """The brief of an issue; its system is that of its label, else of its field.

    Raises MalformedIssue naming every field that is missing or malformed and the value it has.
    """
    values: dict[str, Any] = fields(body)
    known = systems.known(systems_dir).named
    labelled = [known[label.lower()] for label in labels if label.lower() in known]
    if labelled:
        values["system"] = labelled[0]
    try:
        brief = Brief.model_validate(values, context=systems_dir)
    except ValidationError as problem:
        raise MalformedIssue("; ".join(_words(error) for error in problem.errors())) from None
    refused = _refusals()(True, brief.decode_len, brief.batch)
    if refused:
        told = (f"the issue's `{field}` is {getattr(brief, field)}: {why}" for field, why in refused.items())
        raise MalformedIssue("; ".join(told))
    return brief


@functools.cache
def _refusals() -> Callable[[bool, int, int], dict[str, str]]:
    """The harness's own check of what it can evaluate, which is written down there alone (faults W10)."""
    import runpy

    found: Callable[[bool, int, int], dict[str, str]]
    found = runpy.run_path(str(template.SOURCE / "scripts" / "harness" / "options.py"))["refusals"]
    return found


def _words(error: Any) -> str:
    field = error["loc"][0]
    if error["type"] == "missing":
        return f"the issue names no `{field}`: add a line `{field}: …` to its text, then set it to ready again"
    if field == "hf_model_id" and error["type"] == "string_pattern_mismatch":
        error = {**error, "msg": "it must be `ORG/NAME` as the Hub writes it, of ASCII letters, digits, `-`, `_`, `.`"}
    return f"the issue's `{field}` is {str(error['input'])[:80]!r}: {error['msg'].removeprefix('Value error, ')}"
