"""The table in the README is what the clients do, column by column; those that are not here are not judged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.conformance import table
from tests.lab.conformance.clients import NotHere
from tests.lab.conformance.rows import SECTIONS
from yt_fsm.lab.serving import Running, running_lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_lab(tmp_path_factory.mktemp("lab") / "lab", model="tiny") as running:
        yield running


@pytest.fixture(scope="module")
def readme() -> dict[str, dict[str, str]]:
    return table.read(table.in_readme())


@pytest.mark.parametrize("name", table.COLUMNS)
def test_a_client_does_what_the_readme_says(
    lab: Running, tmp_path: Path, readme: dict[str, dict[str, str]], name: str
) -> None:
    try:
        seen = table.outcomes(lab, name, tmp_path)
    except NotHere as reason:
        pytest.skip(f"not run: {reason}")
    assert table.wrong(seen) == []
    assert table.cells(name, seen) == readme[name]


def test_the_readme_has_every_row_with_its_outcome_and_every_client() -> None:
    text = table.in_readme()
    rows = [row for rows in SECTIONS.values() for row in rows]
    assert [
        line.split(" | ")[:2] for line in text.splitlines() if line.startswith("| ") and " outcome " not in line
    ] == [[f"| {row.operation}", row.outcome] for row in rows]
    assert set(table.read(text)) == {"outcome", *table.COLUMNS}
    assert table.NO not in {cell for name, cells in table.read(text).items() for cell in cells.values()}


def test_a_client_that_is_not_here_never_passes() -> None:
    assert set(table.cells("octokit", None).values()) == {"not run"}
    assert set(table.cells("octokit", {}).values()) == {"–"}
    assert "NO" in table.cells("octokit", {"login": "somebody else"}).values()


def test_what_is_written_is_what_is_read() -> None:
    columns = {name: table.cells(name, None) for name in table.COLUMNS}
    read = table.read(table.written(columns))
    assert {name: read[name] for name in columns} == columns
