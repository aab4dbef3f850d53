"""A progress bar over tokens."""

import os
import sys


class Bar:
    """Drawn on stderr when that is a terminal; what is in YT_PROGRESS_FILE another program may draw."""

    def __init__(self, total):
        self.total = total
        self.shown = sys.stderr.isatty()
        self.file = os.environ.get("YT_PROGRESS_FILE")

    def show(self, done):
        """`done` of the tokens are done."""
        if self.shown:
            filled = 30 * done // self.total
            line = f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{self.total} tokens"
            print(line, end="", file=sys.stderr, flush=True)
        if self.file:
            try:
                with open(self.file, "w") as file:
                    file.write(f"{done}/{self.total}")
            except OSError:
                self.file = None  # progress is not worth a failure

    def end(self):
        """Leave the line."""
        if self.shown:
            print(file=sys.stderr)
