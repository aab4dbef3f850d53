#!/usr/bin/env python3
"""Score a model against its Hugging Face reference and print one line `YT_METRICS=<json>` (§10).

`--mode hf` checks the reference itself; `--mode tt` runs models/<org>/<name>/<system>/functional/model.py in a
process of its own and scores the logits that it leaves behind. README.md has the definitions.

Exit codes: 0 scored, 1 error, 2 usage, 3 the reference itself is unfit (reference error), 4 the board does not open.
"""

import os
import signal
import sys

from harness import private

CHANNEL = private.take()  # before anything else is imported or started: nobody after us sees it

# Threads that spin while they wait make a busy machine ten times slower, and ones that sleep at once make an idle one a
# quarter slower: so they spin for some microseconds. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

from harness import metrics, options, seal  # noqa: E402
from harness.errors import BoardClosed, EvalError, ReferenceUnfit, UsageError  # noqa: E402


def main(argv=None):
    """Run one evaluation; returns the exit code."""
    asked = options.parse(argv, CHANNEL[2], CHANNEL[0])
    asked.harness = seal.digest()  # of what is judged by: before a line of the model runs
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that the device is closed
    try:
        if asked.mode == "hf":
            from harness import hf_mode as mode
        else:
            from harness import tt_mode as mode
        found = mode.evaluate(asked)
    except ReferenceUnfit as error:
        metrics.publish(error.metrics, asked, CHANNEL)
        print(f"reference error: {error}", file=sys.stderr)
        return 3
    except EvalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 4 if isinstance(error, BoardClosed) else 1
    metrics.publish(found, asked, CHANNEL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
