"""Errors worded like the device's, with the model's own file and line."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def caller():
    """`file:line` of the innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame is not None and os.path.dirname(os.path.abspath(frame.f_code.co_filename)) == HERE:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "unknown"


def refuse(message):
    """Raise RuntimeError, as TT_FATAL does, naming the line that asked for it."""
    raise RuntimeError(f"TT_FATAL: {message} (called at {caller()})")


def require(holds, message):
    """Refuse unless `holds`."""
    if not holds:
        refuse(message)


def unknown(name):
    """AttributeError for an operation that the stand-in does not have."""
    return AttributeError(
        f"the CPU stand-in for ttnn has no {name} (used at {caller()}); "
        "run this model on a card, or use one of the operations it does have"
    )
