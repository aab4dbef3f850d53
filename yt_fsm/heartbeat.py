"""The heartbeat: one daemon thread a run that keeps its claim alive and never writes the journal."""

import threading
from typing import TYPE_CHECKING

from .errors import Lost, YtfsmError
from .lease import stamp
from .shell import StopFlag

if TYPE_CHECKING:
    from .run import Run


class Heartbeat:
    """Edits the run's claim comment every TTL/3 and touches the run's `heartbeat` file.

    When the claim is gone, or no edit succeeded for TTL/2, it sets the run's stop flag to Lost: the shell then kills
    the child and the engine fires `lose`.
    """

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        # Its own gh, which writes neither the journal nor the run's logs.
        self._forge = run.github.through(run.github.shell.quiet(run.mark.as_role("heartbeat"), StopFlag()))

    def start(self) -> None:
        """Begin; the bid has won, or the run was resumed."""
        if self._thread or self._run.shell.dry:
            return
        self._thread = threading.Thread(target=self._beat_on, name=f"heartbeat {self._run.run_id}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; harmless when it never began."""
        self._over.set()
        if self._thread:
            self._thread.join(timeout=90)

    def _beat_on(self) -> None:
        run, lease, ttl = self._run, self._run.lease, self._run.settings.claim_ttl_secs
        pause = ttl / 3 - lease.silence()  # the claim was posted a while ago when the bid had to wait
        while not self._over.wait(max(0.0, pause)):
            try:
                lease.beat(run.claim_text(heartbeat=stamp()), self._forge)
                (run.folder / "heartbeat").touch()
                pause = ttl / 3
            except Lost as lost:
                run.stop.set(lost)
                return
            except (YtfsmError, OSError) as problem:
                if lease.silence() > ttl / 2:
                    run.stop.set(Lost(f"no heartbeat for {lease.silence():.0f} s: {problem}"))
                    return
                pause = ttl / 30
