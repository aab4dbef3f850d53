"""Encodings: a secret is found however it is written and wherever it is wrapped, and ordinary text holds none."""

import base64
import json
import random
import string
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yt_fsm.engine.encodings import Finder

TOKEN = "ghp_" + "".join(random.Random(36).choices(string.ascii_letters + string.digits, k=36))  # in no other file
PASSWORD = "correct horse battery"
# What a person or a service makes secrets of: at least ten letters and digits, and anything between.
SECRET = st.builds(
    lambda core, more: "".join(random.Random(core).sample(core + more, len(core + more))),
    st.text(alphabet=string.ascii_letters + string.digits, min_size=12, max_size=50),
    st.text(alphabet="-_./+=!$^&*(){}[]|;:~? \"'", max_size=6),
).filter(lambda text: text == text.strip())


def line_of(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1


@lru_cache
def finder_of(value: str) -> Finder:
    return Finder({value: "X_TOKEN"})


Encoding = Callable[[str], bytes]


def _url(value: str, every: int = 1, form: str = "%{:02X}") -> bytes:
    raw = value.encode()
    return b"".join(form.format(c).encode() if n % every == 0 else bytes([c]) for n, c in enumerate(raw))


def _json(value: str) -> bytes:
    return "".join(f"\\u{ord(c):04x}" for c in value).encode()


ONE_WAY: dict[str, Encoding] = {
    "plain": str.encode,
    "json": _json,
    "json as a library writes it": lambda value: json.dumps({"a": value}).encode(),
    "json, slashes escaped": lambda value: json.dumps(value).replace("/", "\\/").encode(),
    "json in json": lambda value: json.dumps(json.dumps(value)).encode(),
    "python's bytes": lambda value: "".join(f"\\x{c:02x}" for c in value.encode()).encode(),
    "octal": lambda value: "".join(f"\\{c:03o}" for c in value.encode("ascii", "ignore")).encode(),
    "html": lambda value: "".join(f"&#{ord(c)};" for c in value).encode(),
    "url": _url,
    "url, lower case": lambda value: _url(value, 1, "%{:02x}"),
    "url, in part": lambda value: _url(value, 3),
    "url, as a library writes it": lambda value: quote(value, safe="").encode(),
    "url twice": lambda value: quote(_url(value).decode()).encode(),
    **{f"base64 at {n}": lambda value, n=n: base64.b64encode(b"~" * n + value.encode() + b"~") for n in range(3)},
    **{f"base64url at {n}": lambda v, n=n: base64.urlsafe_b64encode(b"~" * n + v.encode() + b"~") for n in range(3)},
    "base64 of a JSON document": lambda value: base64.b64encode(json.dumps({"key": value}).encode()),
    "base64 twice": lambda value: base64.b64encode(b"x" + base64.b64encode(b"yz" + value.encode())),
    "base32": lambda value: base64.b32encode(b"abc" + value.encode()),
    "hex": lambda value: value.encode().hex().encode(),
    "hex, upper case": lambda value: value.encode().hex().upper().encode(),
    "hex of base64": lambda value: base64.b64encode(value.encode()).hex().encode(),
    "hex, byte by byte": lambda value: ", ".join(f"0x{c:02x}" for c in value.encode()).encode(),
    "decimal codes": lambda value: str(list(value.encode())).encode(),
    "UTF-16": lambda value: value.encode("utf-16"),
}
ENCODINGS: dict[str, Encoding] = {
    **ONE_WAY,
    **{f"{name}, reversed": lambda value, way=way: way(value)[::-1] for name, way in ONE_WAY.items()},
    **{f"{name} of the reversed": lambda value, way=way: way(value[::-1]) for name, way in ONE_WAY.items()},
}
JOINTS = [
    "\n",
    "\r\n",
    " ",
    '"\n"',
    "'\n  '",
    '" + "',
    '" \\\n    "',
    "\n# ",
    "\n// ",
    "\n+",
    '",\n"',
    '"\n b"',
    "\\\n",
]


def wrapped(data: bytes, column: int, joint: str) -> bytes:
    return joint.encode().join(data[at : at + column] for at in range(0, len(data), column))


VALUES = {"token": TOKEN, "words": PASSWORD, "signs": "Zx9/Qw+3=Er7_Ty1", "more": "Schlüssel-für-47"}


@pytest.mark.parametrize(
    ("name", "kind"),  # an entity of more than ASCII is read as none
    [(name, kind) for name in ENCODINGS for kind in VALUES if kind != "more" or not name.startswith("html")],
)
def test_a_secret_is_found_in_every_encoding(name: str, kind: str) -> None:
    value = VALUES[kind]
    data = b"a = 1\nhere: " + ENCODINGS[name](value) + b" and\nso on\n"
    found = finder_of(value).find(data)
    assert found, data
    assert found[0].secret == "X_TOKEN"
    assert line_of(data, found[0].start) == 2
    assert value not in str(found[0])


@given(
    value=SECRET,
    name=st.sampled_from(sorted(ENCODINGS)),
    column=st.integers(1, 90),
    joint=st.sampled_from(JOINTS),
    around=st.binary(max_size=30),
)
@settings(max_examples=60)
@example(value=TOKEN, name="url", column=2, joint='"\n"', around=b"")  # cut within an escape
@example(value=TOKEN, name="json", column=1, joint="\n# ", around=b"")
@example(value="n0123456789abcdef", name="plain", column=99, joint="\n", around=b"\\")  # after a backslash
@example(value="0123456789abcdefg", name="plain", column=99, joint="\n", around=b"%")
def test_a_secret_is_found_in_every_encoding_wrapped_at_any_column(
    value: str, name: str, column: int, joint: str, around: bytes
) -> None:
    if ("\\" in joint or 'b"' in joint) and ("reversed" in name or name.startswith(("octal", "html"))):
        joint = "\n"  # read backwards, a line that goes on ends no more, and a quote may be escaped
    data = wrapped(ENCODINGS[name](value), column, joint)
    finder = Finder({value: "X"})
    assert finder.find(data)
    assert finder.find(around + b"\n" + data + b"\n" + around)


@given(value=st.text(alphabet="-_./+=!$^&*(){}[]|;:~?éжя", min_size=12, max_size=30).filter(lambda t: t == t.strip()))
@settings(max_examples=50)
@example(value="!$^&*(){}[]|;:~")
@example(value="пароль-и-ещё-один")
@example(value="pa$$-w0rd-!!x")
def test_a_secret_of_hardly_any_letters_is_found_too(value: str) -> None:
    finder = Finder({value: "X"})
    for name in ("plain", "hex", "base64 at 0", "base64 at 1", "base64 at 2", "decimal codes"):
        assert finder.find(b"x = '" + ENCODINGS[name](value) + b"'"), name
    if not set(value) & set("+"):
        assert finder.find(wrapped(value.encode(), 5, "\n"))


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n"
_BODY = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW" + "".join(
    random.Random(7).choices(string.ascii_letters + string.digits + "+/", k=70 * 4 + 30)
)
LINES = [_BODY[at : at + 70] for at in range(0, len(_BODY), 70)]


@pytest.mark.parametrize("line", range(2, len(LINES)))
@pytest.mark.parametrize("name", ["plain", "base64 at 1", "hex", "plain, reversed"])
def test_each_line_of_a_private_key_is_the_key(line: int, name: str) -> None:
    finder = Finder({KEY.format("\n".join(LINES)): "~/.ssh/id"})
    assert finder.find(b"k = " + ENCODINGS[name](LINES[line]))


def test_what_all_keys_and_tokens_of_a_kind_share_is_no_secret() -> None:
    parts = (b'{"alg":"RS256","typ":"JWT"}', b'{"iss":"https://auth.example.com","sub":"q7RkZ2vT9x"}', b"x" * 40)
    jwt = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    finder = Finder({KEY.format("\n".join(LINES)): "k", jwt: "j"})
    assert finder.find(jwt.encode())
    assert finder.find(jwt.partition(".")[2].encode())
    for shared in (LINES[0], "-----BEGIN OPENSSH PRIVATE KEY-----", jwt.partition(".")[0]):
        assert not finder.find(shared.encode())


def test_the_halves_of_a_token_are_found_each() -> None:
    half = len(TOKEN) // 2
    data = f'FIRST = "{TOKEN[:half]}"\nother = 1\nLAST = "{TOKEN[half:]}"\n'.encode()
    found = Finder({TOKEN: "T"}).find(data)
    assert {line_of(data, one.start) for one in found} == {1, 3}
    assert str(found[0]) == "the value of T (a part of it)"


def test_a_part_of_words_that_a_person_chose_is_an_ordinary_word() -> None:
    finder = Finder({"yieldthought-models-2024": "X_PASSWORD", "MyGitHubPassword2024": "Y"})
    assert not finder.find(b"git clone git@github.com:yieldthought/models # my GitHub password")


HERE = Path(__file__)
ORDINARY = "".join(path.read_text() for path in sorted(HERE.parents[1].glob("*/test_*.py")) if path != HERE)
SECRETS = {
    TOKEN: "a",
    PASSWORD: "b",
    KEY.format("\n".join(LINES)): "c",
    "hf_lab000000000000000000000000000000": "d",
    **{"".join(random.Random(n).choices(string.ascii_letters + string.digits, k=12 + n)): f"r{n}" for n in range(40)},
}


FINDER = Finder(SECRETS)


@given(data=st.binary(max_size=3000) | st.text(max_size=2000).map(str.encode))
@settings(max_examples=60)
def test_any_other_data_holds_none(data: bytes) -> None:
    assert FINDER.find(data) == []


def test_ordinary_files_hold_none() -> None:
    noise = random.Random(1).randbytes(200_000)
    for data in (
        ORDINARY.encode(),
        noise,
        base64.b64encode(noise),
        noise.hex().encode(),
        bytes(200_000),
        b"0" * 200_000,
    ):
        assert FINDER.find(data) == []


def test_a_value_of_eleven_characters_is_too_short_and_one_of_twelve_is_not() -> None:
    assert not Finder({"abcdefghijk": "X"}).find(b"abcdefghijk")
    assert Finder({"abcdefghijkl": "X"}).find(b"abcdefghijkl")


def test_a_secret_is_found_in_a_large_file_and_where_its_pieces_of_reading_meet() -> None:
    size = (4 << 20) + 10
    data = bytearray(b"\n" * (6 << 20))
    data[size - 20 : size - 20 + len(TOKEN)] = TOKEN.encode()
    data[-60 : -60 + len(TOKEN)] = TOKEN.encode()
    found = Finder({TOKEN: "T"}).find(bytes(data))
    whole = [one.start for one in found if not one.how]
    assert whole == [size - 20, len(data) - 60]


def test_where_it_stands_is_told_in_bytes_of_the_data() -> None:
    data = "é✓ = ".encode() + b'"' + TOKEN[:9].encode() + b'"\n  "' + TOKEN[9:].encode() + b'" tail'
    found = [one for one in Finder({TOKEN: "T"}).find(data) if not one.how]
    assert [data[one.start : one.end] for one in found] == [data[data.index(b"ghp_") : data.index(b'" tail')]]
