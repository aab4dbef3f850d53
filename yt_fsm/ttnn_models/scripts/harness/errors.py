"""What can go wrong in an evaluation.

EvalError            the evaluation could not be carried out; the text says what to do
    UsageError       what was asked for does not go together with this model or corpus
    BoardClosed      the board does not open: nothing of the model ran on it
    ReferenceUnfit   it could, and the reference model itself failed its check
"""


class EvalError(Exception):
    """The evaluation could not be carried out."""


class UsageError(EvalError):
    """What was asked for does not go together with this model or corpus."""


class BoardClosed(EvalError):
    """The board does not open: nothing of the model ran on it."""


class ReferenceUnfit(EvalError):
    """The reference disagrees with itself; `metrics` are those of hf mode."""

    def __init__(self, message, metrics):
        super().__init__(message)
        self.metrics = metrics
