"""A progress bar over tokens."""

import sys


class Bar:
    """Drawn on stderr when that is a terminal, and nowhere else."""

    def __init__(self, total):
        self.total = total
        self.shown = sys.stderr.isatty()

    def show(self, done):
        """`done` of the tokens are done."""
        if self.shown:
            filled = 30 * done // self.total
            line = f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{self.total} tokens"
            print(line, end="", file=sys.stderr, flush=True)

    def end(self):
        """Leave the line."""
        if self.shown:
            print(file=sys.stderr)
