"""The process that imports model.py: config, weights and tokens in, logits out. It knows no reference."""

import pathlib
import sys

# This file is started as a script: its folder leads sys.path, and a model must not find the harness there.
sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from harness import device_run  # noqa: E402

if __name__ == "__main__":
    sys.exit(device_run.main(pathlib.Path(sys.argv[1])))
