"""Files of the shape that public bringups have run as they are, untraced, on transformers 4 and 5."""

import os
import shutil
from pathlib import Path

import pytest

MODEL = Path(__file__).with_name("hf_style_model.py").read_text()


def test_a_model_called_as_hugging_face_s_are_runs_as_it_is(evaluate, bringup):
    bringup(text=MODEL)
    found = evaluate("--mode", "tt", "--trace", 0).metrics
    assert found["top1"] >= 0.90
    assert found["top5"] >= 0.97
    assert found["kl"] < 0.02


def test_it_has_no_traced_path_and_one_row_only(evaluate, bringup):
    bringup(text=MODEL)
    short = ("--prefill-len", 8, "--decode-len", 4)
    assert "the model has no traced path" in evaluate("--mode", "tt", "--trace", 1, *short).error
    assert "takes --batch 1 only" in evaluate("--mode", "tt", "--batch", 2, *short).error


@pytest.mark.skipif(
    "YT_PYTHON_TRANSFORMERS_4" not in os.environ, reason="needs a second environment, with transformers 4.57"
)
@pytest.mark.parametrize("mode", [("hf",), ("tt", "--trace", 0), ("tt", "--trace", 1)])
def test_transformers_4_does_as_well(evaluate, bringup, monkeypatch, mode):
    monkeypatch.setattr("subprocess.run", with_python(os.environ["YT_PYTHON_TRANSFORMERS_4"]))
    bringup() if 1 in mode else bringup(text=MODEL)
    assert evaluate("--mode", *mode).metrics["top1"] >= 0.90


def with_python(path):
    import subprocess

    real = subprocess.run
    assert shutil.which(path)
    return lambda command, **options: real([path, *command[1:]], **options)
