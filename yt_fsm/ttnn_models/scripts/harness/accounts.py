"""What the process that ran the model says of its run, believed only where it adds up (§10.3)."""

import math

from .errors import EvalError
from .watch import HOST_SHARE

HOST_STEP = 0.5  # of the reference's time for a step of as many users may go by on the host, preparing one
LEAST_STEP = 0.02  # seconds of processor time that are always allowed
FORMATS = ("float32", "bfloat16", "bfloat8_b", "bfloat4_b")
WORDS = ("device", "walls")
NUMBERS = ("captures", "executes", "host_share", "uploads", "host_seconds_per_step")


def believed(report, asked, row_seconds):
    """(facts, timing) of a report, nothing in it but what is known; EvalError when they do not add up.

    `row_seconds` is how long the reference took for one row's step, 0 where that is not known.
    """
    facts, timing = report.get("facts"), report.get("timing")
    if not isinstance(facts, dict) or not isinstance(timing, dict):
        raise EvalError("the process that ran the model left no account of its run")
    found = {name: str(facts.get(name))[:100] for name in WORDS}
    for name in NUMBERS:
        found[name] = facts.get(name)
        if not _number(found[name]):
            raise EvalError(f"the process that ran the model gives {found[name]!r} as its {name}")
    if asked.trace and (found["captures"] < 1 or found["executes"] < asked.decode_len - 1):
        raise EvalError(
            f"--trace 1 made {found['captures']} captures and {found['executes']} replays; "
            f"1 and {asked.decode_len - 1} were needed"
        )
    if found["host_share"] > HOST_SHARE:
        raise EvalError(f"{found['host_share']:.0%} of the model's arithmetic ran on the host, not on the device")
    most = max(LEAST_STEP, HOST_STEP * row_seconds * asked.batch)
    if row_seconds > 0 and found["host_seconds_per_step"] > most:
        raise EvalError(
            f"prepare_decode takes {found['host_seconds_per_step']:.3f} s of processor time a step, and may take "
            f"{most:.3f}: the reference computes the whole step in {row_seconds * asked.batch:.3f} s"
        )
    formats = facts.get("formats")
    formats = formats if isinstance(formats, dict) else {}
    found["formats"] = {name: formats[name] for name in FORMATS if _number(formats.get(name))}
    return found, {str(name)[:40]: value for name, value in timing.items() if _number(value)}


def _number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
