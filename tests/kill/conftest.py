"""One world for all kill tests of a pytest process; each test has its own issue and machine in it."""

from collections.abc import Iterator

import pytest

from .matrix import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("kill"))
    try:
        made.trace()  # before any case: it would take an older issue
        yield made
    finally:
        made.close()
