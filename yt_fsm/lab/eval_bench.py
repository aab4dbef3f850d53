"""How long a check of codex's work takes: a first one, a later one, and the straightforward way beside them.

The straightforward way is what a harness without a stored reference does: each of the three evaluations loads the
Hugging Face model and lets it generate the tokens to compare with, and the two `tt` ones then run the device model.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from yt_fsm.bringup import template
from yt_fsm.lab.environment import evaluation_python
from yt_fsm.lab.models import model_folder, model_named

MODEL, PREFILL, DECODE = "smollm2", 128, 32
STANDIN = Path(__file__).parent / "standin"
COMMANDS = {
    "pytest": ["-m", "pytest", "-q"],
    "hf": ["scripts/run_eval.py", "--mode", "hf"],
    "tt0": ["scripts/run_eval.py", "--mode", "tt", "--trace", "0"],
    "tt1": ["scripts/run_eval.py", "--mode", "tt", "--trace", "1"],
}
GENERATE = f"""
import pathlib, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
text = pathlib.Path("corpus/corpus.txt").read_text()
prompt = torch.tensor([tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:{PREFILL}]])
with torch.no_grad():
    model.generate(prompt, min_new_tokens={DECODE}, max_new_tokens={DECODE}, do_sample=False)
"""


class Checks:
    """A models repository, whose example bringup is what is checked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repo"
        template.write(self.folder)
        self.weights = folder / model_named(MODEL).repo
        self.weights.parent.mkdir(parents=True)
        self.weights.symlink_to(model_folder(MODEL))
        self.model = self.folder / "models" / "example" / "llama" / "functional" / "model.py"
        self.python = str(evaluation_python())
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(STANDIN),
            "YT_SYSTEM": "n150",
        }

    def check(self, references: Path) -> dict[str, float]:
        """Seconds by command and by the command's phases (`tt1: decode`), and of it all (`total`)."""
        found: dict[str, float] = {}
        for name, argv in COMMANDS.items():
            found |= self.command(name, argv, references)
        return found | {"total": sum(found[name] for name in COMMANDS)}

    def command(self, name: str, argv: list[str], references: Path) -> dict[str, float]:
        """Seconds of one command, and of its phases."""
        if name != "pytest":
            argv = [*argv, "--hf-model", str(self.weights), "--reference-cache", str(references)]
            if name != "hf":
                argv += ["--model-file", str(self.model)]
            argv += ["--prefill-len", str(PREFILL), "--decode-len", str(DECODE)]
        seconds, out = self.run(argv)
        if name == "pytest":
            return {name: seconds}
        metrics = json.loads(out.splitlines()[-1].removeprefix("YT_METRICS="))
        if name != "hf" and metrics["top1"] < 0.9:
            raise SystemExit(f"the example is no longer right: {metrics}")
        return {name: seconds} | {f"{name}: {phase}": value for phase, value in phases(metrics["timing"]).items()}

    def generate(self) -> float:
        """Seconds of a process that loads the Hugging Face model and generates."""
        return self.run(["-c", GENERATE, str(self.weights)])[0]

    def run(self, argv: list[str]) -> tuple[float, str]:
        """Seconds and output of a command of the evaluation Python."""
        started = time.perf_counter()
        done = subprocess.run(
            [self.python, *argv], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - started
        if done.returncode != 0:
            raise SystemExit(f"{argv[:4]} went wrong:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return seconds, done.stdout


def phases(timing: Mapping[str, object]) -> dict[str, float]:
    """The seconds among an evaluation's `timing`, but not their sum."""
    seconds = {name: float(value) for name, value in timing.items() if isinstance(value, int | float)}
    return {name: value for name, value in seconds.items() if name not in ("total", "tokens_per_second")}


def measure() -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Seconds of a first check, of a later one, and of the straightforward way, which shares their device runs."""
    with tempfile.TemporaryDirectory(prefix="ytfsm-bench-") as scratch:
        checks = Checks(Path(scratch))
        references = Path(scratch) / "references"
        first = checks.check(references)
        generated = [checks.generate() for _ in range(3)]
        later = checks.check(references)
    plain = {"pytest": later["pytest"], "three times the HF model": sum(generated), "tt0": later["tt0"]}
    plain["tt1"] = later["tt1"]
    return first, later, plain | {"total": sum(plain.values())}
