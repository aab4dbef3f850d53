"""One lab for all kill tests; each has its own issue and machine in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .matrix import Trials


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The lab and its undisturbed run are made once: these tests share a worker process."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group("kill"))


@pytest.fixture(scope="session")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    made = Trials(tmp_path_factory.mktemp("kill"))
    try:
        made.trace()  # before any case: it would take an older issue
        yield made
    finally:
        made.close()
