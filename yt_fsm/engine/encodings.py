"""Encodings: in which texts a secret can stand in data, and where it does.

Data is read as its letters and digits only, without case: so a wrap at any column, quotes, joiners and comment signs
change nothing. A secret is looked for as it is, as hex, decimal codes, base64 and base32 at every offset, as hex or
base64 of those, and each of them reversed; JSON's, Python's, HTML's and URL's escapes are undone first. Of a secret
that looks random any piece of 19 letters and digits counts as well. Out of reach is what brings other letters between
the pieces, and what takes a key or a program to undo: a cipher, a compression, words for letters.
"""

import base64
import json
import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

LEAST_CHARS = 12  # a shorter value would be found in ordinary text
_CHUNK, _OVERLAP = 4 << 20, 1 << 20
_LEAST = 10  # letters and digits that a text must have to be looked for: of 12 characters some may be others
_HEAD = 5  # every sixth place of the data is looked at, so one of a text's first six heads of five stands there
_STRIDE = _LEAST - _HEAD + 1
_DEEP = 160  # bytes of a secret up to which encodings of encodings are looked for
_PIECE, _STEP = 16, 4
_LONG, _LONG_PIECE = 256, 24  # a key's or a JWT's pieces: fewer and longer

# Prefixes that all tokens of a kind have in common.
_TOKEN = re.compile(
    r"gh[opsur]_\w|github_pat_|hf_\w|sk-|xox[a-z]-|xapp-|AKIA|ASIA|AIza|eyJ|glpat-|npm_|pypi-|dckr_pat_|-----BEGIN"
)
_RUN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----(.*?)-----END", re.DOTALL)


def _number(match: re.Match[bytes]) -> bytes:
    """The character that an escape's number names; what is not ASCII is no part of what is looked for."""
    kind, digits = next((name, digits) for name, digits in match.groupdict().items() if digits)
    code = int(digits, {"d": 10, "o": 8}.get(kind[0], 16))
    return bytes([code]).lower() if code < 128 else b""


def _but(kept: bytes) -> bytes:
    return bytes(code for code in range(256) if code not in kept)


@dataclass(frozen=True)
class _Step:
    """Replaces `pattern` in data that holds one of `signs` (none: any data).

    Where nobody asks from where characters came, one that only drops characters is a translation, which is quicker.
    """

    pattern: re.Pattern[bytes]
    word: bytes | Callable[[re.Match[bytes]], bytes] = b""
    signs: tuple[bytes, ...] = ()
    drop: bytes | None = None

    def __call__(self, lower: bytes) -> bytes:
        if self.drop is not None:
            return lower.translate(None, self.drop)
        if self.signs and not any(sign in lower for sign in self.signs):
            return lower
        return self.pattern.sub(self.word, lower)


_LETTERS = b"0123456789abcdefghijklmnopqrstuvwxyz"
_JUNK = _Step(re.compile(rb"[^0-9a-z]+"), drop=_but(_LETTERS))
_NO_ESCAPE = _Step(re.compile(rb"[^0-9a-z%\\]+"), drop=_but(_LETTERS + b"%\\"))
_ESCAPE = _Step(
    re.compile(
        rb"%(?P<x1>[0-9a-f]{2})|(?<!\\)\\+(?:u(?:0000)?00(?P<x2>[0-9a-f]{2})|x(?P<x3>[0-9a-f]{2})|(?P<o>[01][0-7]{2}))"
    ),
    _number,
    (b"%", b"\\u", b"\\x", b"\\0", b"\\1"),
)
_PLAIN = (_JUNK,)
_NO_ASCII = _Step(
    re.compile(rb"(?<!\\)\\+x[89a-f][0-9a-f]|%[89a-f][0-9a-f]"), signs=(b"\\x", b"%")
)  # of binary files, many
_UNESCAPED = (
    _Step(
        re.compile(rb"&#x0*(?P<x1>[0-9a-f]{1,6});|&#0*(?P<d>[0-9]{1,3});|(?<!\\)\\+u\{0*(?P<x2>[0-9a-f]{1,6})\}"),
        _number,
        (b"&#", b"u{"),
    ),
    _Step(re.compile(rb"[\"'][\s+,()\\]+[bfru]{1,2}(?=[\"'])"), signs=(b'"', b"'")),  # b"…" f"…"
    _NO_ESCAPE,
    _NO_ASCII,
)
_REST = (_Step(re.compile(rb"(?<!\\)\\+[nrtbfv]"), signs=(b"\\",)), _JUNK)
# An escape may be escaped; each round is looked at, because what it leaves may look like one by chance.
_DECODED = tuple((*_UNESCAPED, *([_ESCAPE] * rounds), *_REST) for rounds in (1, 2, 3))
_BACKWARDS = _Step(re.compile(rb"(?<=[\"'])[bfru]{1,2}[\s+,()\\]+[\"']"))  # b"…", where all is read backwards
_GOES_ON = _Step(re.compile(rb"\\[ \t]*\r?\n"))  # a line's end that is none; or the wrap cuts an escape
_ESCAPED = re.compile(rb"[\\%]|&#|[bfru][\"']")
_ESCAPED_BACKWARDS = re.compile(rb"[0-9a-f]{2}(?:%|(?:00u|x)\\)|[0-7]{3}\\|;[0-9a-f]{2,3}x?#&")


@dataclass(frozen=True)
class Found:
    """A secret in data: from where to where, whose value it is and how it was written; never the value."""

    start: int
    end: int
    secret: str
    how: str

    def __str__(self) -> str:
        return f"the value of {self.secret}" + (f" ({self.how})" if self.how else "")


@dataclass(frozen=True)
class _Text:
    core: bytes
    secret: str
    how: str


class Finder:
    """Finds secrets, given as `{value: whose it is}`, in data; values shorter than 12 characters are left out."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._heads: dict[bytes, list[tuple[int, _Text]]] = {}
        self._odd: list[tuple[bytes, str]] = []  # hardly a letter or digit in them: looked for as they stand
        self._known: set[bytes] = set()
        for value, name in secrets.items():
            if len(value) < LEAST_CHARS:
                continue
            raw = value.encode("utf-8", "surrogateescape")
            if len(_read(raw, _PLAIN)) < _LEAST:
                self._odd += [(odd, name) for odd in (_dense(raw), _dense(raw[::-1])) if len(odd) >= 6]
            for how, core in _texts_of(value, raw):
                if len(core) >= _LEAST and core not in self._known:
                    self._known.add(core)
                    text = _Text(core, name, how)
                    for shift in range(_STRIDE):
                        self._heads.setdefault(core[shift : shift + _HEAD], []).append((shift, text))

    def knows(self, value: str) -> bool:
        """Whether it finds a value that stands in data as it is."""
        return len(value) >= LEAST_CHARS and _read(value.lower().encode("utf-8", "replace"), _PLAIN) in self._known

    def __bool__(self) -> bool:
        return bool(self._heads or self._odd)

    def find(self, data: bytes) -> list[Found]:
        """Every place of a secret in `data`, in order; linear in its length."""
        if not self:
            return []
        if len(data) <= _CHUNK + _OVERLAP:
            return self._find(data)
        found: set[Found] = set()
        for start in range(0, len(data), _CHUNK):
            for one in self._find(data[start : start + _CHUNK + _OVERLAP]):
                found.add(Found(start + one.start, start + one.end, one.secret, one.how))
        return sorted(found, key=lambda one: one.start)

    def _find(self, data: bytes) -> list[Found]:
        lower = data.lower()
        found = self._in(lower, _PLAIN, _read(lower, _PLAIN))
        if _ESCAPED.search(lower):
            found += self._decoded(lower)
            if _GOES_ON.pattern.search(lower):
                found += self._decoded(lower, _GOES_ON)
            if _ESCAPED_BACKWARDS.search(_NO_ESCAPE(lower)):
                found += [
                    Found(len(data) - one.end, len(data) - one.start, one.secret, f"reversed {one.how}".strip())
                    for one in self._decoded(lower[::-1], _BACKWARDS)
                ]
        for odd, name in self._odd:
            found += _places(data, odd, name)
        return sorted(found, key=lambda one: one.start)

    def _decoded(self, lower: bytes, *before: _Step) -> list[Found]:
        found: list[Found] = []
        last = b""
        for steps in _DECODED:
            stream = _read(lower, (*before, *steps))
            if stream == last:
                break
            last = stream
            found += self._in(lower, (*before, *steps), stream)
        return found

    def _in(self, lower: bytes, steps: tuple[_Step, ...], stream: bytes) -> list[Found]:
        hits = list(self._hits(stream))
        if not hits:
            return []
        starts, ends = _trace(lower, steps)
        return [Found(starts[at], ends[at + len(text.core) - 1], text.secret, text.how) for at, text in hits]

    def _hits(self, stream: bytes) -> Iterator[tuple[int, _Text]]:
        heads = self._heads
        places = [at for at in range(0, len(stream) - _HEAD + 1, _STRIDE) if stream[at : at + _HEAD] in heads]
        for at in places:
            for shift, text in heads[stream[at : at + _HEAD]]:
                if at >= shift and stream.startswith(text.core, at - shift):
                    yield at - shift, text


def _read(lower: bytes, steps: tuple[_Step, ...]) -> bytes:
    for step in steps:
        lower = step(lower)
    return lower


def _trace(lower: bytes, steps: tuple[_Step, ...]) -> tuple["array[int]", "array[int]"]:
    """Where each byte of what `_read` returns begins and ends in `lower`."""
    starts = array("L", range(len(lower)))
    ends = array("L", range(1, len(lower) + 1))
    for step in steps:
        if step.drop is not None:
            kept = [at for at, code in enumerate(lower) if code not in step.drop]
            starts, ends = (array("L", map(places.__getitem__, kept)) for places in (starts, ends))
            lower = step(lower)
            continue
        new_starts, new_ends, last = array("L"), array("L"), 0
        out = bytearray()
        for match in step.pattern.finditer(lower):
            begin, end = match.span()
            put = step.word(match) if callable(step.word) else step.word
            out += lower[last:begin] + put
            new_starts += starts[last:begin] + array("L", [starts[begin]] * len(put))
            new_ends += ends[last:begin] + array("L", [ends[end - 1]] * len(put))
            last = end
        starts, ends = new_starts + starts[last:], new_ends + ends[last:]
        lower = bytes(out) + lower[last:]
    return starts, ends


_LOOSE = re.compile(rb"[\s\"'+,#]+")


def _dense(raw: bytes) -> bytes:
    return _LOOSE.sub(b"", raw)


def _places(data: bytes, odd: bytes, name: str) -> list[Found]:
    """Where a secret of hardly any letters stands, whatever white space, quotes and joiners part it."""
    if odd not in _dense(data):
        return []
    loose = rb"[\s\"'+,#]*".join(re.escape(odd[n : n + 1]) for n in range(len(odd)))
    return [Found(m.start(), m.end(), name, "") for m in re.finditer(loose, data)]


def _texts_of(value: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """How and as which letters and digits a secret, or a telling piece of it, can stand in data."""
    turned = value[::-1]  # of other than ASCII this is not its bytes backwards
    for one in dict.fromkeys((value, turned, json.dumps(value)[1:-1], json.dumps(turned)[1:-1])):
        yield from _written(one.encode("utf-8", "surrogateescape"), deep=len(raw) <= _DEEP)
    if len(raw) <= _DEEP:
        for how, text in _encoded(value.encode("utf-16-le", "surrogatepass")):
            yield f"{how} of UTF-16", _read(text.lower(), _PLAIN)
    yield from (
        ("", _read(raw.lower(), steps)) for steps in _DECODED
    )  # where data is decoded, a value that looks escaped is so too
    for piece in _pieces(value):
        for how, text in _written(piece.encode("utf-8", "surrogateescape"), deep=False):
            yield f"a part of it, {how}" if how else "a part of it", text


def _written(raw: bytes, deep: bool) -> Iterator[tuple[str, bytes]]:
    for turned, word in ((raw, ""), (raw[::-1], "reversed")):
        for how, text in (("", turned), *_encoded(turned)):
            yield from _both_ways(f"{word} {how}".strip(), text)
            if deep and how:
                for again, twice in _encoded(text, common=True):
                    yield from _both_ways(f"{again} of {word} {how}".replace("  ", " "), twice)


def _both_ways(how: str, text: bytes) -> Iterator[tuple[str, bytes]]:
    core = _read(text.lower(), _PLAIN)
    yield how, core
    yield how if how.startswith("reversed") else f"reversed {how}".strip(), core[::-1]


def _encoded(raw: bytes, common: bool = False) -> Iterator[tuple[str, bytes]]:
    """`raw` as hex, decimal codes, base64 and base32: those letters that it alone decides, wherever it stands."""
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    kinds = [("base64", 6, 3, base64.b64encode), ("base64", 6, 3, base64.urlsafe_b64encode)]
    if not common:
        yield "hex codes", b" ".join(b"0x%02x" % code for code in raw)
        yield "decimal codes", b" ".join(b"%d" % code for code in raw)
        kinds.append(("base32", 5, 5, base64.b32encode))
    for how, bits, block, encode in kinds:
        for offset in range(block):
            text = encode(bytes(offset) + raw)
            yield how, text[-(-8 * offset // bits) : 8 * (offset + len(raw)) // bits]


def _pieces(value: str) -> Iterator[str]:
    """Pieces of a secret that looks random, each enough to tell it; what all of its kind share is left out."""
    key = _KEY.search(value)
    if key:
        body = key[2].strip()
        shared = 0 if len(body) < 100 else 96 if "OPENSSH" in key[1] else 48
        value = body[shared:]
    elif value.startswith("eyJ") and value.count(".") == 2:
        value = value.partition(".")[2]
    elif not _looks_random(value):
        return
    length, step = (_PIECE, _STEP) if len(value) <= _LONG else (_LONG_PIECE, _LONG_PIECE)
    cuts = [*range(0, len(value) - length + 1, step), len(value) - length]
    pieces = [value[at : at + length] for at in cuts if at >= 0]
    pieces += [line for line in value.splitlines() if key and len(line) >= LEAST_CHARS]
    for piece in pieces:
        if len(set(re.sub(r"[\W_]", "", piece))) >= 8:
            yield piece


def _looks_random(value: str) -> bool:
    """A token, rather than words that a person chose: it begins like one, or its kinds of letters change often."""
    runs = _RUN.findall(value)
    return bool(_TOKEN.match(value)) or (len(value) >= 20 and 3 * len(runs) >= len(value))
