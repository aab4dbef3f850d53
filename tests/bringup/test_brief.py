"""The brief: what an issue asks for, however GitHub renders it, and what is said of a bad field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yt_fsm.bringup import brief
from yt_fsm.bringup.brief import FIELDS, Brief, fields, parse
from yt_fsm.engine.errors import SetupError

NAME = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,20}[A-Za-z0-9_])?", fullmatch=True).filter(
    lambda name: not any(wrong in name.lower() for wrong in ("..", "--", ".git"))
)
MODEL = st.builds("{}/{}".format, NAME, NAME).filter(lambda name: name.lower() != "n/a")
REVISION = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,20}", fullmatch=True).filter(
    lambda name: ".." not in name and name.lower() not in ("none", "n/a")
)
WORDS = st.text(alphabet="abcdefghij KLMNO.,;()é'", min_size=1, max_size=40).map(str.strip).filter(
    lambda text: text and text.lower() not in ("none", "n/a")
)  # fmt: skip
VALUES = st.fixed_dictionaries(
    {"hf_model_id": MODEL},
    optional={
        "hf_revision": REVISION,
        "architecture": WORDS,
        "notes": WORDS,
        "prefill_len": st.integers(1, 1 << 20),
        "decode_len": st.integers(2, 1 << 20),
        "batch": st.integers(1, 32),
        "system": st.sampled_from(["n150", "n300", "lb"]),
    },
)
NOISE = st.lists(
    st.sampled_from(
        [
            "",
            "Please bring this model up.",
            "<!-- hf_model_id: comment/ed-out -->",
            "<!-- several\nlines\nbatch: 999\n-->",
            "See https://example.com: it is good",
            "## About",
            "unknown_key: 12",
            "batched: 4",
        ]
    ),
    max_size=4,
)
ENDS = st.sampled_from(["\n", "\r\n"])


def lines(values: dict[str, Any], noise: list[str], mark: str, fence: bool) -> list[str]:
    """A body of `key: value` lines, as people write them."""
    pairs = [mark.format(key, value) for key, value in values.items()]
    return [*noise, *(["```yaml"] if fence else []), *pairs, *(["```"] if fence else []), *noise]


def form(values: dict[str, Any], labels: dict[str, str]) -> list[str]:
    """A body as GitHub renders an issue form: every field, the empty ones as `_No response_`."""
    out: list[str] = []
    for field in FIELDS:
        out += [f"### {labels.get(field, field)}", "", str(values.get(field, "_No response_")), ""]
    return out


@given(
    values=VALUES,
    noise=NOISE,
    mark=st.sampled_from(
        [
            "{}: {}",
            "{} : {}",
            "- {}: {}",
            "* `{}`: `{}`",
            "**{}**: {}",
            "  {}:{}",
            "**{}:** {}",
            "- **{}:** {}",
            "* **{}**: `{}`",
            "_{}:_ {}",
            "**{}: {}**",
            "\ufeff{}: {}",
            "{}:\u00a0{}",
        ]
    ),
    fence=st.booleans(),
    end=ENDS,
)
def test_lines_are_read_as_they_were_written(
    values: dict[str, Any], noise: list[str], mark: str, fence: bool, end: str
) -> None:
    body = end.join(lines(values, noise, mark, fence))
    assert fields(body) == {key: str(value) for key, value in values.items()}
    assert parse(body) == Brief(**values)


@given(
    values=VALUES,
    end=ENDS,
    labels=st.sampled_from([{}, {"hf_model_id": "HF model id", "prefill_len": "Prefill len (optional)"}]),
)
def test_a_form_is_read_as_github_renders_it(values: dict[str, Any], end: str, labels: dict[str, str]) -> None:
    body = end.join(form(values, labels))
    assert fields(body) == {key: str(value) for key, value in values.items()}
    assert parse(body) == Brief(**values)


@given(values=VALUES, end=ENDS)
def test_html_comments_say_nothing(values: dict[str, Any], end: str) -> None:
    hidden = "<!-- hf_model_id: not/this\n### batch\n\n7\n-->"
    body = end.join([hidden, *form(values, {}), hidden])
    assert parse(body) == Brief(**values)


@given(st.text(max_size=400))
def test_no_text_at_all_makes_the_reader_raise(body: str) -> None:
    found = fields(f"batch: {body}\n### notes\n{body}\nprefill_len: 3\n{body}")
    assert set(found) <= set(FIELDS)
    assert all(isinstance(value, str) and value for value in found.values())


@given(st.text(max_size=200), st.lists(st.text(max_size=8)))
def test_a_body_is_a_brief_or_a_setup_error_in_words(body: str, labels: list[str]) -> None:
    said = ""
    try:
        brief = parse(body, labels)
    except SetupError as problem:
        said = str(problem)
    assert said or "/" in brief.hf_model_id


def test_the_first_value_of_a_field_counts() -> None:
    assert fields("batch: 2\nbatch: 3\n### batch\n4\n")["batch"] == "2"


def test_a_fields_text_goes_on_until_the_next_heading() -> None:
    notes = "It has two parts.\nbatch: 9 is what the paper used."
    body = f"### hf_model_id\n\norg/name\n\n### notes\n\n{notes}\n\n### batch\n\n2"
    assert fields(body) == {
        "hf_model_id": "org/name",
        "notes": notes,
        "batch": "2",
    }


def test_what_stands_in_a_fence_is_no_heading() -> None:
    body = "### notes\n\n```bash\n# batch\n512\n# install it\nprefill_len: 4\n```\n\n### hf_model_id\n\norg/name\n"
    assert fields(body) == {
        "notes": "# batch\n512\n# install it\nprefill_len: 4",
        "hf_model_id": "org/name",
    }


def test_a_fence_that_nobody_closed_ends_at_the_forms_next_field() -> None:
    assert fields("### notes\n\n```\nhalf a log\n\n### batch\n\n4\n") == {"notes": "half a log", "batch": "4"}


def test_a_comment_behind_a_value_is_no_part_of_it() -> None:
    assert fields("hf_model_id: org/name <!-- from the Hub -->\n") == {"hf_model_id": "org/name"}


@pytest.mark.parametrize(
    "body",
    [
        "**hf_model_id:** org/name", "**hf_model_id**: `org/name`", "\ufeffhf_model_id: org/name",
        "- **hf_model_id:** `org/name`", 'hf_model_id: "org/name"', "hf_model_id: 'org/name'",
        "### HF model id\n\n`org/name`\n", "\ufeff### HF model id\r\n\r\norg/name", "hf_model_id:\u200b org/name",
        "```yaml\nhf_model_id: 'org/name'\n```", "__hf_model_id:__ org/name", "+ hf_model_id: org/name",
    ],
)  # fmt: skip
def test_what_people_write_is_read(body: str) -> None:
    """Faults Q9."""
    assert parse(body).hf_model_id == "org/name"


def test_a_texts_own_marks_stay_in_it() -> None:
    assert fields('### notes\n\n`a` and "b"\n\n### hf_model_id\n\norg/name_\n') == {
        "notes": '`a` and "b"', "hf_model_id": "org/name_",
    }  # fmt: skip


def test_defaults_are_the_specs() -> None:
    """§10.1."""
    brief = parse("hf_model_id: org/name")
    assert (brief.prefill_len, brief.decode_len, brief.batch) == (128, 32, 1)
    assert (brief.hf_revision, brief.architecture, brief.notes, brief.system) == (None, None, None, None)


@pytest.mark.parametrize("empty", ["", "_No response_", "none", "N/A", "None"])
def test_an_empty_answer_is_no_answer(empty: str) -> None:
    assert parse(f"hf_model_id: org/name\n\n### batch\n\n{empty}\n").batch == 1


@pytest.mark.parametrize(
    ("labels", "body", "system"),
    [
        (["bug", "n150"], "", "n150"),
        (["n150"], "system: lb", "n150"),
        ([], "system: lb", "lb"),
        ([], "### System\n\nn300\n", "n300"),
        ([], "system: t3000", "lb"),
        (["t3000"], "", "lb"),
        (["N300"], "system: lb", "n300"),
        ([], "system: T3000", "lb"),
        (["bug"], "", None),
    ],
)
def test_the_system_is_the_labels_else_the_fields(labels: list[str], body: str, system: str | None) -> None:
    assert parse(f"hf_model_id: org/name\n{body}", labels).system == system


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "the issue names no `hf_model_id`: add a line `hf_model_id: …`"),
        ("hf_model_id:", "the issue names no `hf_model_id`"),
        ("hf_model_id: llama", "the issue's `hf_model_id` is 'llama': it must be `ORG/NAME` as the Hub writes it"),
        ("hf_model_id: a/b/c", "the issue's `hf_model_id` is 'a/b/c'"),
        ("hf_model_id: https://huggingface.co/a/b", "the issue's `hf_model_id` is 'https://huggingface.co/a/b'"),
        ("hf_model_id: -x/y", "the issue's `hf_model_id` is '-x/y'"),
        ("hf_model_id: a/--force", "the issue's `hf_model_id` is 'a/--force'"),
        ("hf_model_id: ../b", "the issue's `hf_model_id` is '../b'"),
        ("hf_model_id: meta-llаma/Llama-3", "the issue's `hf_model_id` is 'meta-ll"),
        ("hf_model_id: орг/model", "the issue's `hf_model_id` is"),
        ("hf_model_id: org/model２", "the issue's `hf_model_id` is"),
        ("hf_model_id: a/b-", "the issue's `hf_model_id` is 'a/b-'"),
        ("hf_model_id: a./b", "the issue's `hf_model_id` is 'a./b'"),
        ("hf_model_id: a/b--c", "the Hub has no name with `--`"),
        ("hf_model_id: a/b.git", "none that ends in `.git`"),
        ("hf_model_id: a/" + "b" * 97, "the issue's `hf_model_id` is 'a/bbb"),
        ("hf_revision: mаin", "the issue's `hf_revision` is"),
        ("hf_model_id: a/b..c", "must not contain `..`"),
        ("hf_model_id: a/b; rm -rf ~", "the issue's `hf_model_id` is"),
        ("hf_model_id: a/" + "b" * 300, "the issue's `hf_model_id` is 'a/bbb"),
        ("hf_revision: --upload-pack", "the issue's `hf_revision` is '--upload-pack'"),
        ("hf_revision: a..b", "must not contain `..`"),
        ("prefill_len: many", "the issue's `prefill_len` is 'many'"),
        ("prefill_len: 12.5", "the issue's `prefill_len` is '12.5'"),
        ("prefill_len: 0", "the issue's `prefill_len` is '0'"),
        ("prefill_len: -8", "the issue's `prefill_len` is '-8'"),
        ("decode_len: 1e3", "the issue's `decode_len` is '1e3'"),
        ("decode_len: 99999999", "the issue's `decode_len` is '99999999'"),
        ("batch: true", "the issue's `batch` is 'true'"),
        ("batch: 4 users", "the issue's `batch` is '4 users'"),
        ("batch: 64", "the issue's `batch` is 64: --batch is 32 at most: one tile of users"),
        ("decode_len: 1", "the issue's `decode_len` is 1: --trace 1 needs --decode-len 2 or more"),
        ("system: tpu", "the issue's `system` is 'tpu': must be one of n150, n300, lb"),
    ],
)
def test_a_bad_field_is_named_with_its_value(body: str, words: str) -> None:
    good = "" if body.startswith("hf_model_id") or not body else "hf_model_id: org/name\n"
    with pytest.raises(SetupError) as caught:
        parse(good + body)
    assert words in str(caught.value)


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(SetupError) as caught:
        parse("hf_model_id: x\nbatch: y\nprefill_len: z")
    assert all(f"`{field}`" in str(caught.value) for field in ("hf_model_id", "batch", "prefill_len"))


# --- texts that strangers write


def test_a_body_of_blanks_after_a_hash_is_read_at_once() -> None:
    """Faults Q8: it cost eight seconds."""
    assert fields("#" + " " * 24_000 + "\nhf_model_id: a/b") == {"hf_model_id": "a/b"}
    assert fields("hf_model_id: a/b\n#" + " " * 60_000) == {"hf_model_id": "a/b"}


def test_what_github_would_not_take_is_not_read() -> None:
    assert fields("x\n" * 32_768 + "hf_model_id: a/b") == {}
    assert fields("x\n" * 32_700 + "hf_model_id: a/b") == {"hf_model_id": "a/b"}


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# a", "a"), ("###### a ##", "a"), ("### a#b #", "a#b"), ("##\ta", "a"), ("# ", ""), ("#   ", ""),
        ("## ##", ""), ("#a", None), ("####### a", None), ("", None), (" # a", None), ("a # b", None), ("#", None),
    ],
)  # fmt: skip
def test_a_heading_is_what_markdown_calls_one(text: str, title: str | None) -> None:
    assert brief._heading(text) == title


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a<!-- b -->c", "ac"), ("<!---->", ""), ("a<!-- b", "a<!-- b"), ("<!-- a --><!-- b --> c", " c"),
        ("<!-- a\n\nb -->c", "c"), ("a --> b", "a --> b"), ("<!-->x-->y", "y"), ("<!--<!-- a -->b", "b"),
    ],
)  # fmt: skip
def test_comments_are_no_text_and_one_without_an_end_is(text: str, kept: str) -> None:
    assert brief._without_comments(text) == kept
