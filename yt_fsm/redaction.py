"""Secrets: found by value and by shape, and blacked out before anything is written down."""

import re
from collections.abc import Iterable

BLACK = "[redacted]"

# Shapes of tokens that GitHub, Hugging Face and OpenAI hand out, whoever put them there.
_SHAPES = re.compile(r"\b(?:gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|hf_[A-Za-z0-9]{16,}|sk-[\w-]{20,})")
_SECRET_NAME = re.compile(r"(?<!MAX_)TOKEN(?!IZERS)|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL|_PAT$", re.IGNORECASE)
_SHORTEST = 6  # a shorter value would black out ordinary words


class Redactor:
    """Replaces known secret values, and anything shaped like a token, in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Logs are written line by line, so a secret of several lines is looked for by line too.
        parts = {part for secret in secrets for part in (secret, *secret.splitlines())}
        values = sorted((part for part in parts if len(part) >= _SHORTEST), key=len, reverse=True)
        escaped = [re.escape(s) for s in values]
        self._known = re.compile("|".join(escaped)) if escaped else None

    def __call__(self, text: str) -> str:
        """`text` without its secrets."""
        if self._known:
            text = self._known.sub(BLACK, text)
        return _SHAPES.sub(BLACK, text)


def secrets_in(environment: dict[str, str]) -> list[str]:
    """The values of `environment` whose names say that they are secret."""
    return [value for name, value in environment.items() if _SECRET_NAME.search(name) and value]
