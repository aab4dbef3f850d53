"""What can go wrong with a bringup.

SetupError
├── MalformedIssue          the issue's text does not say what is to be done
├── NotToEvaluate           what the issue asks for cannot be evaluated with this model, or cannot fit this system
├── BaseBroken              the models repo's own tests fail before anybody has worked
└── BranchExists            §8.4, somebody else's branch
Verdict
├── BringupError            give_up: the model's fault (§9.1 H 2)
│   └── AskedToStop         in codex's own words
└── BadReference            reject: the HF reference itself fails
"""

from yt_fsm.engine.errors import SetupError, Verdict


class MalformedIssue(SetupError):
    """The issue's text lacks a field or has a bad one; names each, and its value."""

    fault = "issue"
    final = True


class NotToEvaluate(SetupError):
    """The issue asks for what no evaluation of this model, or no machine of this system, can do (faults W10)."""

    fault = "issue"
    final = True


class BaseBroken(SetupError):
    """The models repo's own tests fail on the untouched base: no model could pass there (faults W9)."""


class BranchExists(SetupError):
    """§8.4: the branch is on the remote already and is not ours."""

    fault = "issue"


class BringupError(Verdict):
    """The model's fault: checks failed, or a budget is spent (§9.1 H 2)."""

    event = "give_up"
    fault = "model"


class AskedToStop(BringupError):
    """codex says that it cannot bring the model up."""


class BadReference(Verdict):
    """The HF reference itself fails, so no bringup could pass (§5, `reference error`)."""

    event = "reject"
    fault = "reference"
    final = True
