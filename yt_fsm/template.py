"""The template of the models repo (§2.2, §15.2), written into a folder by `ytfsm init-models`."""

import shutil
from pathlib import Path

SOURCE = Path(__file__).parent / "ttnn_models"


def write(folder: Path) -> list[Path]:
    """Write the template into `folder`; returns the files. Raises FileExistsError when it is there and not empty."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} exists and is not empty: name a new folder")
    written = []
    for source in sorted(SOURCE.rglob("*")):
        if source.is_dir() or source.suffix == ".pyc":
            continue
        parts = [part.replace("dot-", ".", 1) if part.startswith("dot-") else part for part in source.relative_to(SOURCE).parts]
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        written.append(target)
    return written
