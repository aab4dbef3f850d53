"""The models repository's template: written out by `ytfsm init-models` (design §8, spec §15.2)."""

from pathlib import Path

SOURCE = Path(__file__).parents[1] / "ttnn_models"
DOT = "dot-"  # build backends drop names that begin with a dot
SKIPPED = ("__pycache__", ".pytest_cache")


def write(folder: Path) -> list[Path]:
    """Write the template into `folder`, which is made if needed; the files written, sorted.

    Raises FileExistsError when `folder` holds anything but a `.git` folder, and NotADirectoryError when it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; name a new folder for the models repository")
    if folder.is_dir() and any(entry.name != ".git" for entry in folder.iterdir()):
        raise FileExistsError(
            f"{folder} is not empty, and nothing in it was changed; name a new folder, or empty this one first"
        )
    written = []
    for source, target in files():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read_bytes())
        path.chmod(0o755 if source.read_bytes().startswith(b"#!") else 0o644)
        written.append(path)
    return written


def files() -> list[tuple[Path, Path]]:
    """Each template file and its path in the models repository, sorted by the latter."""
    found = []
    for source in SOURCE.rglob("*"):
        inside = source.relative_to(SOURCE)
        if source.is_file() and not any(part in SKIPPED for part in inside.parts):
            parts = ["." + part[len(DOT) :] if part.startswith(DOT) else part for part in inside.parts]
            found.append((source, Path(*parts)))
    return sorted(found, key=lambda pair: pair[1])
