"""One lab for all trials; each has its own issue and machine in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .matrix import Faults


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The lab is made once: these tests share a worker process."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group("faults"))


@pytest.fixture(scope="session")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    made = Faults(tmp_path_factory.mktemp("faults"))
    try:
        yield made
    finally:
        made.close()
