"""What a lab may say went wrong."""

from yt_fsm.engine.errors import YtfsmError


class LabError(YtfsmError):
    """Something the lab needs is not there or cannot be had; the text says what, and what to do."""
