"""Scoring model files against a reference in this process, as run_eval does it in two."""

import importlib.util
import os
import pathlib
import sys

import torch

TEMPLATE = pathlib.Path(os.environ["TEMPLATE"])
TINY = pathlib.Path(os.environ["TINY"])
EXAMPLE = (TEMPLATE / "models" / "example" / "llama" / "functional" / "model.py").read_text()
sys.path.insert(0, str(TEMPLATE / "scripts"))

from harness import accounts, device_process, device_run, limits, options, reference, tt_mode, watch  # noqa: E402


class Bench:
    """A reference, and the task of scoring a model file against it."""

    def __init__(self, folder, *more, model=TINY):
        command = ["--mode", "tt", "--hf-model", str(model), "--reference-cache", str(folder), *map(str, more)]
        self.asked = options.parse(command)
        self.found = reference.get(self.asked)
        self.row_seconds = tt_mode._row_seconds(self.found, self.asked)

    def run(self, text, file):
        """Metrics and the run's facts for a model of this text."""
        file.write_text(text)
        task = device_process.task(self.asked, file, self.found)
        for name in [name for name in sys.modules if name == "ttnn" or name.startswith("ttnn.")]:
            del sys.modules[name]
        import ttnn

        guard = watch.Guard(torch, ttnn, task)
        spec = importlib.util.spec_from_file_location("bringup_model", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        arrays, facts, timing = device_run.play(torch, ttnn, module, device_run.Weights(task), task, guard)
        facts, timing = accounts.believed({"facts": facts, "timing": timing}, self.asked, self.row_seconds)
        prefilled = arrays.get("prefilled")
        kind = limits.weights_format(facts["formats"], self.found.meta["parameters"])
        scored = tt_mode.judge(self.found, arrays["logits"], prefilled, kind)
        return {**scored, **facts, "timing": timing}


def changed(*changes, text=EXAMPLE):
    """The example, or another text, with each `(old, new)` replaced."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text
