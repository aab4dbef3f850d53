"""Parts of tests/README.md that commands write."""

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
END = "<!-- end -->"


class Marks:
    """What stands between `<!-- WORDS -->` and the next `<!-- end -->`."""

    def __init__(self, words: str) -> None:
        self.begin = f"<!-- {words} -->\n"

    def written(self) -> str:
        """What is there now. Raises AssertionError when the marks are not there once."""
        found = re.findall(re.escape(self.begin) + "(.*?)" + re.escape(END), README.read_text(), re.DOTALL)
        assert len(found) == 1, f"{README} must have one part between {self.begin.strip()} and {END}"
        return str(found[0]).rstrip("\n")

    def write(self, text: str) -> None:
        """Put `text` there."""
        assert self.written() is not None
        before, rest = README.read_text().split(self.begin)
        README.write_text(before + self.begin + text + "\n" + END + rest.split(END, 1)[1])
