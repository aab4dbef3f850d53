"""One request and its answer, as the rest of the lab's GitHub sees them: no HTTP library in sight."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from yt_fsm.lab.github.nodes import Owner


@dataclass
class Request:
    """What came in: who, with which client, and what it asks.

    `operation` is a GraphQL operation's name (or its root fields), or a REST route such as `GET /user`; `names` are all
    the names by which a fault may mean it, `writes` the number of mutations in it.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    viewer: Owner | None = None
    scopes: tuple[str, ...] = ()
    kind: str = "rest"
    operation: str = ""
    names: tuple[str, ...] = ()
    variables: Any = None
    writes: int = 0

    @property
    def client(self) -> str:
        """The User-Agent."""
        return self.headers.get("user-agent", "")

    @property
    def login(self) -> str:
        """Who asks, or nothing."""
        return self.viewer.login if self.viewer else ""

    def json(self) -> Any:
        """The body as JSON; an empty body is an empty object."""
        return json.loads(self.body or b"{}")


@dataclass
class Answer:
    """What goes out: `content` is sent as JSON, unless it is text (sent as HTML) or None (no body).

    `not_implemented` is what the lab could not do of it, in words for the record.
    """

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cost: int = 0
    not_implemented: list[str] = field(default_factory=list)
    _body: bytes | None = field(default=None, repr=False)

    def body(self) -> bytes:
        """The bytes to send: made once, so `content` must not change after the first look."""
        if self._body is None:
            if self.content is None:
                self._body = b""
            elif isinstance(self.content, str):
                self._body = self.content.encode()
            else:
                self._body = json.dumps(self.content, separators=(",", ":")).encode()
        return self._body


def refusal(status: int, message: str, **more: Any) -> Answer:
    """A REST error as GitHub words it."""
    content = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status), **more}
    return Answer(status, content)
