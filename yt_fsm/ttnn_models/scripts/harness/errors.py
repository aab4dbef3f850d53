"""What can go wrong in an evaluation.

EvalError            the evaluation could not be carried out; the text says what to do
    ReferenceUnfit   it could, and the reference model itself failed its check
"""


class EvalError(Exception):
    """The evaluation could not be carried out."""


class ReferenceUnfit(EvalError):
    """The reference disagrees with itself; `metrics` are those of hf mode."""

    def __init__(self, message, metrics):
        super().__init__(message)
        self.metrics = metrics
