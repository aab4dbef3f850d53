"""Progress that a person sees while a run works: bars on a terminal, nothing elsewhere."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from yt_fsm.engine.outside import discard, read


@contextmanager
def bytes_of(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes; the callable takes (done, total)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


@contextmanager
def tokens_of(title: str, file: Path) -> Iterator[dict[str, str]]:
    """A bar of the tokens that an evaluation is through with; the environment by which it tells them in `file`."""
    if not sys.stderr.isatty():
        yield {}
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("tokens"))
    over = threading.Event()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def watch() -> None:
            while not over.wait(0.2):
                try:
                    done, total = (int(number) for number in read(file, 100).split("/"))
                except (OSError, ValueError):
                    continue  # not there yet, or half written
                bar.update(task, completed=done, total=total)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield {"YT_PROGRESS_FILE": str(file)}
        finally:
            over.set()
            watcher.join()
            discard(file)
