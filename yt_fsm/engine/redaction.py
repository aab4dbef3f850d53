"""Redaction: secrets are blacked out of everything before it is written down, shown or posted."""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .credentials import KEYS, SHAPES, SHORTEST
from .encodings import LEAST_CHARS, Finder, Found
from .errors import Leaked

BLACK = "[redacted]"

Reread = Callable[[], Mapping[str, str] | None]


class Redactor:
    """Knows secrets, replaces them in text however they are encoded, and finds them in data.

    `secrets` are values, or `{value: where it stands}`. `reread` returns all of them when they may have changed, else
    None; what was secret once stays so.
    """

    def __init__(self, secrets: Iterable[str] | Mapping[str, str] = (), reread: Reread | None = None) -> None:
        self._reread = reread
        self._secrets: dict[str, str] = {}
        self.learn(secrets if isinstance(secrets, Mapping) else dict.fromkeys(secrets, "a secret"))

    def learn(self, secrets: Mapping[str, str]) -> None:
        """Know these too, `{value: where it stands}`."""
        self._secrets = {**secrets, **self._secrets}
        # Logs are written line by line, so a secret of several lines is looked for by line too.
        parts = {line: name for value, name in self._secrets.items() for line in (value, *value.splitlines())}
        finder = Finder(self._secrets)
        # What the finder knows as letters and digits needs no second search; short and odd values do.
        words = sorted((part for part in parts if len(part) >= SHORTEST and not finder.knows(part)), key=len)
        self._words = re.compile("|".join(re.escape(word) for word in reversed(words))) if words else None
        self._finder = finder

    def refresh(self) -> None:
        """Learn what has changed since: codex renews its login while it works."""
        found = self._reread() if self._reread else None
        if found and not found.keys() <= self._secrets.keys():
            self.learn(found)

    def __call__(self, text: str) -> str:
        """`text` without its secrets."""
        if len(text) < SHORTEST:
            return text
        if self._words:
            text = self._words.sub(BLACK, text)
        if len(text) < LEAST_CHARS:
            return text
        text = SHAPES.sub(BLACK, text)
        if "PRIVATE KEY-----" in text:
            text = KEYS.sub(BLACK, text)
        if self._finder:
            data = text.encode("utf-8", "surrogatepass")
            found = self._finder.find(data)
            if found:
                text = _without(data, found).decode("utf-8", "surrogatepass")
        return text

    def leaks(self, data: bytes) -> list[Found]:
        """The secrets of at least 12 characters in `data`, in any encoding; what only looks like one counts too."""
        found = self._finder.find(data)
        text = data.decode("latin-1")
        for pattern in (SHAPES, KEYS):
            found += [
                Found(match.start(), match.end(), "a credential", "by its looks")
                for match in pattern.finditer(text)
                if _is_one(match[0])
            ]
        return sorted(found, key=lambda one: one.start)

    def check(self, text: str) -> None:
        """Raises Leaked when a text that is to be posted holds a secret."""
        leaks = self.leaks(text.encode("utf-8", "replace"))
        if leaks:
            told = f"the text holds {leaks[0]}: see where the issue or a setting holds it"
            raise Leaked(f"nothing is posted, because {told}")

    def publishable(self, text: str) -> str:
        """`text` without its secrets; nothing of it when one would still stand there."""
        self.refresh()
        clean = self(text)
        leaks = self.leaks(clean.encode("utf-8", "replace"))
        return f"[withheld: it holds {leaks[0]}]" if leaks else clean

    def file(self, path: Path, most: int = 16 << 20) -> None:
        """Black out of a file what its lines, written one by one, did not show: a secret wrapped over several."""
        if path.stat().st_size <= most:
            text = path.read_text(errors="backslashreplace")
            clean = self(text)
            if clean != text:
                path.write_text(clean)


def _is_one(looks: str) -> bool:
    """Whether it is a credential, rather than a name (`sk-estimator-container`) or a text that shows how one looks."""
    body = looks[4:]
    mixed = body.lower() != body and (body.upper() != body or any(code.isdigit() for code in body))
    return len(set(looks)) >= 14 and (mixed or any(code.isdigit() for code in body))


def _without(data: bytes, found: list[Found]) -> bytes:
    out, last = bytearray(), 0
    for one in found:
        if one.start >= last:
            out += data[last : one.start] + BLACK.encode()
        last = max(last, one.end)
    return bytes(out + data[last:])


class _Shown:
    """A terminal's stream that shows no secret."""

    def __init__(self, stream: Any, redact: Redactor) -> None:
        self._stream, self._redact = stream, redact

    def write(self, text: str) -> int:
        self._stream.write(self._redact(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_terminal(redact: Redactor) -> None:
    """Have stdout, stderr and the log's lines there, tracebacks too, go through `redact` from now on."""
    for name in ("stdout", "stderr"):
        before = getattr(sys, name)
        shown = _Shown(before, redact)
        setattr(sys, name, shown)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                handler.setStream(shown)
