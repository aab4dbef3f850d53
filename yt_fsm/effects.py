"""Effects: changes to the outside world, each with an intent before it and a done after it in the journal.

GitHub has no idempotency key, so every effect brings an `observe` beside its `apply`: an intent without a done is
looked for first and applied again only when it is surely not there. Nothing is ever repeated blindly.
"""

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from .errors import GitHubError
from .journal import Journal, Record
from .shell import StopFlag

LOOK_SECS = 3.0

Observe = Callable[[Record], dict[str, Any] | None]
Apply = Callable[[Record], dict[str, Any]]


class Effects:
    """The effects of one run; what was done is known from the journal alone.

    Reads lag, so absence counts only `settle` seconds after the intent.
    """

    def __init__(self, journal: Journal, stop: StopFlag, settle: float) -> None:
        self._journal = journal
        self._stop = stop
        self._settle = settle

    def done(self, effect: str, key: str) -> dict[str, Any] | None:
        """The result of an effect that is done, or None."""
        record = self._last("effect.done", effect, key)
        return record["result"] if record else None

    def pending(self) -> list[Record]:
        """Intents without a done, oldest first."""
        intents = [r for r in self._journal.records if r["kind"] == "effect.intent"]
        return [r for r in intents if self.done(r["effect"], r["key"]) is None]

    def once(self, effect: str, key: str, apply: Apply, observe: Observe) -> dict[str, Any]:
        """Do `effect` unless it is done; returns its result, {} when it has none.

        `apply` gets the intent record, so that what it writes can carry the record's seq and hash. `observe` gets it
        too and returns the result when the outside world shows the effect. Raises what `apply` raises; an outcome
        that nobody knows is looked for until it settles.
        """
        result = self.done(effect, key)
        if result is not None:
            return result
        intent = self._last("effect.intent", effect, key)
        if intent is not None:
            found = self._observe(intent, observe)
            if found is not None:
                return self._finish(intent, found)
        intent = self._journal.append("effect.intent", effect=effect, key=key)
        try:
            return self._finish(intent, apply(intent))
        except GitHubError as problem:
            if problem.landed is not None:
                raise
            self._journal.append("effect.unknown", effect=effect, key=key, error=str(problem))
        found = self._observe(intent, observe)
        if found is None:
            found = apply(intent)
        return self._finish(intent, found)

    def look(self, effect: str, key: str, observe: Observe) -> dict[str, Any] | None:
        """The result of an effect that may have happened, looked for until its absence counts; applies nothing."""
        intent = self._last("effect.intent", effect, key)
        return self.done(effect, key) or (self._observe(intent, observe) if intent else None)

    def _observe(self, intent: Record, observe: Observe) -> dict[str, Any] | None:
        """Look until the effect shows or its absence counts."""
        while True:
            found = observe(intent)
            if found is not None or age(intent) > self._settle:
                return found
            self._stop.wait(min(LOOK_SECS, self._settle))

    def _finish(self, intent: Record, result: dict[str, Any]) -> dict[str, Any]:
        self._journal.append("effect.done", effect=intent["effect"], key=intent["key"], result=result)
        return result

    def _last(self, kind: str, effect: str, key: str) -> Record | None:
        for record in reversed(self._journal.records):
            if record["kind"] == kind and record["effect"] == effect and record["key"] == key:
                return record
        return None


def age(record: Record) -> float:
    """Seconds since a record was written, by this machine's clock."""
    at = datetime.fromisoformat(record["at"].replace("Z", "+00:00")).astimezone(timezone.utc)
    return time.time() - at.timestamp()
