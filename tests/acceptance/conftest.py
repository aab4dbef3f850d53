"""Driving the installed `ytfsm` inside a lab, as an operator would."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parts.workplace import Workplace, warm_python, workplace
from yt_fsm.lab.models import model_folder


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One whole real run is enough: the tests that look at it share a worker process."""
    for item in items:
        if "finished" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("finished"))


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation Python that answers at once: torch and transformers are loaded in `test_bringup` only."""
    model_folder("tiny")  # made by the real one
    return warm_python(tmp_path_factory.mktemp("warm"))


@pytest.fixture
def enter(tmp_path: Path, warm: Path) -> Iterator[Callable[..., Workplace]]:
    """Opens labs, and closes them after the test; their evaluation is warm."""
    with ExitStack() as stack:
        yield lambda **choices: stack.enter_context(workplace(tmp_path / "lab", warm, **choices))


@pytest.fixture
def world(enter: Callable[..., Workplace]) -> Workplace:
    return enter(script="bringup")


def field(body: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", body, re.MULTILINE)
    assert found, f"no {name!r} in:\n{body}"
    return found[1]
