"""The process that imports model.py: config, weights and tokens in, logits out. It knows no reference."""

import os
import pathlib
import sys

# This file is started as a script: its folder leads sys.path, and a model must not find the harness there.
sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from harness import device_run  # noqa: E402

if __name__ == "__main__":
    code = device_run.main(pathlib.Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the device is closed; a thread or an exit handler of the model's is not waited for
