"""The command line of run_eval (§10.1) and what follows from it."""

import argparse
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SYSTEMS = {"n150": (1, 1), "n300": (1, 2), "lb": (2, 4)}  # mesh rows and columns
ALIASES = {"t3000": "lb"}
USERS = 32  # the most rows: one tile of users


def refusals(trace, decode_len, batch):
    """What cannot be evaluated, option to reason. A worker asks too (it loads this file alone) before it begins."""
    found = {}
    if trace and decode_len < 2:
        found["decode_len"] = "--trace 1 needs --decode-len 2 or more: the first token comes from prefill"
    if batch > USERS:
        found["batch"] = f"--batch is {USERS} at most: one tile of users"
    return found


def parse(argv=None, reference_cache=None, metrics_file=None):
    """The options, with YT_REFERENCE_CACHE and YT_METRICS_FILE as they were given; usage errors end the process with code 2."""
    parser = argparse.ArgumentParser(
        prog="run_eval.py",
        description="Score a model against its Hugging Face reference; the last line printed is YT_METRICS=<json>.",
        epilog="example: run_eval.py --mode tt --trace 1 --hf-model meta-llama/Llama-3.2-1B --system n150",
    )
    add = parser.add_argument
    add("--hf-model", required=True, help="model id on Hugging Face, or a local folder")
    add("--revision", default=None, help="branch, tag or commit (default: main)")
    add("--mode", choices=("hf", "tt"), required=True, help="check the reference, or score the TTNN model")
    add("--trace", type=int, choices=(0, 1), default=None, help="replay decode from a captured trace (tt only)")
    add("--prefill-len", type=_positive, default=128, help="prompt tokens (default 128)")
    add("--decode-len", type=_positive, default=32, help="tokens scored per row (default 32)")
    add("--batch", type=_positive, default=1, help="rows, each its own window of the corpus (default 1)")
    add("--seed", type=_seed, default=0, help="chooses and mixes the windows (default 0); - reads it from stdin")
    add("--system", default=os.environ.get("YT_SYSTEM") or "n150", help="n150, n300 or lb (default: YT_SYSTEM)")
    add("--corpus", type=pathlib.Path, default=None, help="text file to take windows from")
    add("--reference-cache", default=None, help="folder or fsspec URL (default: YT_REFERENCE_CACHE, else HF_HOME)")
    add("--model-file", type=pathlib.Path, default=None, help="the TTNN model (default: by --hf-model and --system)")
    asked = parser.parse_args(argv)
    asked.system = ALIASES.get(asked.system, asked.system)
    asked.mesh = _mesh(asked.system)
    if asked.mesh is None:
        parser.error(f"--system {asked.system!r}: choose n150, n300 or lb")
    if asked.mode == "hf" and asked.trace is not None:
        parser.error("--trace is for --mode tt only")
    for reason in refusals(asked.trace, asked.decode_len, asked.batch).values():
        parser.error(reason)
    if asked.corpus is None:
        asked.corpus = ROOT / "corpus" / "corpus.txt"
    if asked.reference_cache is None:
        asked.reference_cache = reference_cache or str(_cache_home() / "ttnn-reference")
    asked.trace = bool(asked.trace)
    asked.metrics_file = metrics_file
    return asked


def _mesh(system):
    """Rows and columns of a system's mesh: YT_MESH (2x4) says those of YT_SYSTEM; None when nobody knows them."""
    told = re.fullmatch(r"([1-9]\d{0,2})x([1-9]\d{0,2})", os.environ.get("YT_MESH", ""))
    if told and system == os.environ.get("YT_SYSTEM"):
        return int(told[1]), int(told[2])
    return SYSTEMS.get(system)


def model_file(asked):
    """models/<org>/<name>/<system>/functional/model.py for the model asked for."""
    if asked.model_file is not None:
        return asked.model_file.resolve()
    system = asked.system
    name = asked.hf_model
    if pathlib.Path(name).is_dir():
        name = "/".join(pathlib.Path(name).resolve().parts[-2:])
    found = ROOT / "models" / name / system / "functional" / "model.py"
    if not found.exists():
        for alias, real in ALIASES.items():
            other = ROOT / "models" / name / alias / "functional" / "model.py"
            if real == system and other.exists():
                return other
    return found


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _seed(text):
    """A seed; from stdin where it is a secret, because every process may read another's command line."""
    return int(sys.stdin.readline() if text == "-" else text)


def _cache_home():
    if os.environ.get("HF_HOME"):
        return pathlib.Path(os.environ["HF_HOME"])
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "huggingface"
