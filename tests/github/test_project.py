"""The board's bootstrap: what is missing is made, what is there is left, and nothing is ever cleared (§3.1, §3.2)."""

from collections.abc import Callable
from typing import Any

import pytest

from yt_fsm.engine.errors import PreflightFailed, SetupError
from yt_fsm.github import project
from yt_fsm.github.client import STATUSES, GitHub
from yt_fsm.github.project import Label, Part

LABELS = [Label("n150", "1d76db", "bring up on n150"), Label("n300", "0e8a16", "two"), Label("lb", "5319e7", "eight")]

LAST = {"hasNextPage": False, "endCursor": None}


class Owner:
    """An owner with a models repo and perhaps a Project."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.project: dict[str, Any] | None = None
        self.writes: list[str] = []
        self.sticks = True

    def has(self, *statuses: str, items: int = 0, field: bool = True) -> None:
        options = [{"id": status, "name": status} for status in statuses]
        self.project = {
            "id": "P", "number": 7, "title": project.TITLE, "url": "https://x/7", "items": {"totalCount": items},
            "field": {"id": "F", "options": options} if field else None,
        }  # fmt: skip

    def __call__(self, name: str, variables: dict[str, Any]) -> Any:
        if name == "labels":
            return {
                "repository": {
                    "id": "R",
                    "labels": {"pageInfo": LAST, "nodes": [{"name": label} for label in self.labels]},
                }
            }
        if name == "project":
            return {"repositoryOwner": {"id": "O", "projectV2": self.project}}
        if name == "projects":
            found = [self.project] if self.project else []
            return {"repositoryOwner": {"id": "O", "projectsV2": {"pageInfo": LAST, "nodes": found}}}
        self.writes.append(name)
        if name.startswith("gh label create"):
            self.labels.append(name.split()[3])
            return 0, ""
        if name == "create_project":
            self.has("Todo", "Done")
            return {"createProjectV2": {"projectV2": self.project}}
        if name in ("set_options", "create_field") and self.sticks:
            self.has(*[option["name"] for option in variables["options"]])
        return {"x": {}}


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def github(owner: Owner, wired: Callable[..., GitHub]) -> GitHub:
    return wired(owner, number=None)


def states(parts: list[Part]) -> dict[str, str]:
    return {part.part: part.state for part in parts}


def test_everything_is_made_where_there_is_nothing(github: GitHub, owner: Owner) -> None:
    made = states(project.ensure(github, LABELS, check=False))
    assert made == {
        "label n150": "made", "label n300": "made", "label lb": "made", "project": "made", "status options": "made",
    }  # fmt: skip
    assert owner.labels == ["n150", "n300", "lb"]
    assert "link_project" in owner.writes
    assert owner.project
    assert [option["name"] for option in owner.project["field"]["options"]] == list(STATUSES)


def test_a_label_has_the_colour_and_the_description_that_are_asked_for(github: GitHub, owner: Owner) -> None:
    project.ensure(github, LABELS, check=False)
    made = next(write for write in owner.writes if write.startswith("gh label create n300"))
    assert made.endswith("--color 0e8a16 --description two")


def test_a_label_in_another_case_is_the_same_label(github: GitHub, owner: Owner) -> None:
    """GitHub refuses to make `n300` where there is `N300`, and lists its issues under either."""
    owner.labels = ["n150", "N300", "lb"]
    assert states(project.ensure(github, LABELS, check=True))["label n300"] == "ok"


def test_a_second_time_makes_nothing(github: GitHub, owner: Owner) -> None:
    project.ensure(github, LABELS, check=False)
    owner.writes.clear()
    assert set(states(project.ensure(github, LABELS, check=False)).values()) == {"ok"}
    assert owner.writes == []


def test_looking_makes_nothing(github: GitHub, owner: Owner) -> None:
    assert set(states(project.ensure(github, LABELS, check=True)).values()) == {"missing"}
    owner.has("ready")
    assert states(project.ensure(github, LABELS, check=True))["status options"] == "missing"
    assert owner.writes == []


def test_a_project_without_the_field_gets_it(github: GitHub, owner: Owner) -> None:
    owner.has(field=False)
    project.ensure(github, LABELS, check=False)
    assert "create_field" in owner.writes
    assert "set_options" not in owner.writes


def test_options_are_never_overwritten_under_cards(github: GitHub, owner: Owner) -> None:
    """The API can only replace them as a whole, and every card would lose its Status."""
    owner.has("ready", items=3)
    with pytest.raises(PreflightFailed, match=r"has 3 card\(s\) and lacks .* add them by hand"):
        project.ensure(github, LABELS, check=False)
    assert "set_options" not in owner.writes


def test_a_number_that_does_not_exist_is_not_made(owner: Owner, wired: Callable[..., GitHub]) -> None:
    with pytest.raises(PreflightFailed, match="has no Project with number 9"):
        project.ensure(wired(owner, number=9), LABELS, check=False)
    assert "create_project" not in owner.writes


def test_options_that_do_not_stay_are_said_not_to(github: GitHub, owner: Owner) -> None:
    owner.has("ready")
    owner.sticks = False
    with pytest.raises(SetupError, match="did not stay as they were set"):
        project.ensure(github, LABELS, check=False)


def test_every_status_has_a_colour_that_github_knows() -> None:
    assert set(project.COLOURS) == set(STATUSES)
    known = {"GRAY", "BLUE", "GREEN", "YELLOW", "ORANGE", "RED", "PINK", "PURPLE"}
    assert set(project.COLOURS.values()) <= known


def test_a_part_is_json_as_the_command_prints_it() -> None:
    assert Part("project", "ok", "u").as_json() == {"part": "project", "state": "ok", "detail": "u"}
