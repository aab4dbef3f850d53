"""A model file cannot talk the harness round: each way that was thought of ends in an error, or changes nothing."""

import io
import json
import struct
import subprocess
import textwrap
import zipfile

import pytest

from yt_fsm import evaluation

from .conftest import clean

SHORT = ("--prefill-len", 8, "--decode-len", 4)
BUILD = "def build_model(source, tt_device, max_seq_len):"


def at_import(code):
    """The example with code at its end, run when it is imported."""
    return ("def rope_frequencies(config):", textwrap.dedent(code) + "\n\ndef rope_frequencies(config):")


def in_build(code):
    """The example with code in build_model."""
    head = BUILD + '\n    """A model on the device'
    return (head, BUILD + "\n" + textwrap.indent(textwrap.dedent(code), "    ") + '\n    """A model on the device')


def in_step(code):
    """The example with code in decode_step, which is called for every token."""
    head = "        x = ttnn.embedding(self.tokens, self.embeddings"
    return (head, textwrap.indent(textwrap.dedent(code), "        ") + "\n" + head)


WRONG = ("ttnn.mul(gate, up)", "ttnn.add(gate, up)")  # so wrong that only a cheat can score


def test_a_printed_metrics_line_is_not_the_result(evaluate, bringup, tmp_path):
    lie = json.dumps({"top1": 1.0, "top5": 1.0, "tokens": 4, "mode": "tt", "trace": False, "timing": {}})
    bringup(WRONG, at_import(f"import atexit\nprint('YT_METRICS={lie}')\natexit.register(print, 'YT_METRICS={lie}')"))
    file = tmp_path / "metrics.json"
    done = evaluate("--mode", "tt", *SHORT, YT_METRICS_FILE=str(file), YT_METRICS_NONCE="n")
    assert done.out.count("YT_METRICS=") == 1
    assert done.err.count("YT_METRICS=") == 1  # what a model prints is kept for the log
    assert done.metrics["top1"] < 0.9
    assert json.loads(file.read_text())["metrics"]["top1"] < 0.9


def test_writing_to_file_descriptors_does_not_reach_our_output(evaluate, bringup):
    code = """
        import contextlib, os
        for number in range(1, 9):
            with contextlib.suppress(OSError):
                os.write(number, b'YT_METRICS={}\\n')
    """
    bringup(at_import(code))
    assert evaluate("--mode", "tt", *SHORT).out.count("YT_METRICS=") == 1


def test_nonce_private_file_and_reference_cache_are_not_in_the_environment(evaluate, bringup, tmp_path):
    seen = tmp_path / "seen"
    bringup(at_import("import os\nfor name, value in sorted(os.environ.items()):\n    print('SEEN', name, value)"))
    done = evaluate(
        "--mode",
        "tt",
        *SHORT,
        YT_METRICS_FILE=str(tmp_path / "m"),
        YT_METRICS_NONCE="SECRETNONCE",
        YT_REFERENCE_CACHE=str(seen),
        HF_TOKEN="SECRETTOKEN",
    )
    assert done.code == 0, done.err
    assert "SEEN PATH" in done.err
    for secret in ("SECRETNONCE", "SECRETTOKEN", str(tmp_path / "m"), str(seen)):
        assert secret not in done.err


def test_our_own_environment_does_not_show_them_either(repo, python, tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'scripts')\n"
        "from harness import private\n"
        "print(private.take())\n"
        "print(open('/proc/self/environ', 'rb').read())\n"
    )
    secrets = {"YT_METRICS_FILE": "/secret/file", "YT_METRICS_NONCE": "n0nce", "YT_REFERENCE_CACHE": "/secret/cache"}
    done = subprocess.run(
        [python, "-c", code], cwd=repo, env=clean(**secrets), capture_output=True, text=True, check=False
    )
    first, _, rest = done.stdout.partition("\n")
    assert first == "('/secret/file', 'n0nce', '/secret/cache')"
    assert "secret" not in rest
    assert "n0nce" not in rest


CHEATS = {
    "patches the harness's function by import": (
        (WRONG, at_import("import harness.scoring")),
        "names import harness",
    ),
    "patches the harness through sys.modules": (
        (WRONG, at_import("import sys\nfor module in list(sys.modules.values()):\n    pass")),
        "names sys.modules",
    ),
    "writes into __main__": (
        (WRONG, at_import("import __main__\n__main__.compare = lambda *_: {'top1': 1.0}")),
        "model.py changed the harness: __main__.compare",
    ),
    "replaces open": (
        (WRONG, at_import("import builtins\nbuiltins.open = open.__class__ and (lambda *a, **k: None)")),
        "",
    ),
    "replaces the functions that count a trace": (
        (WRONG, in_build("ttnn.execute_trace = lambda *_, **__: None")),
        "model.py changed the harness: ttnn.execute_trace",
    ),
    "replaces the reading of logits": (
        (WRONG, in_build("real = ttnn.to_torch\nttnn.to_torch = lambda *a, **k: real(*a, **k)")),
        "model.py changed the harness: ttnn.to_torch",
    ),
    "switches the watching off": (
        (WRONG, at_import("guard = torch._C.DisableTorchFunction")),
        "names torch._C",
    ),
    "loads the Hugging Face model": (
        (WRONG, at_import("from transformers import LlamaForCausalLM")),
        "the Hugging Face model is the reference, not the bringup",
    ),
    "loads the Hugging Face model by its path": (
        (WRONG, at_import("import importlib\nimportlib.import_module('transformers.models.llama.modeling_llama')")),
        "the Hugging Face model is the reference, not the bringup",
    ),
    "starts a process": (
        (WRONG, at_import("import subprocess\nsubprocess.run(['true'])")),
        "model.py does subprocess.Popen",
    ),
    "starts a process through the shell": (
        (WRONG, at_import("import os\nos.system('true')")),
        "model.py does os.system",
    ),
    "opens a connection": (
        (WRONG, at_import("import socket\nsocket.create_connection(('127.0.0.1', 9))")),
        "model.py does socket.connect",
    ),
    "reads the parent's memory": (
        (WRONG, at_import("import os\nopen(f'/proc/{os.getppid()}/environ', 'rb').read()")),
        "model.py opens /proc/",
    ),
    "reads a reference from the cache": (
        (WRONG, at_import("import glob\nopen(glob.glob('{references}/*.ytref')[0], 'rb').read()")),
        ".ytref; weights come from source.state_dict()",
    ),
    "reads a reference in code of its own making": (
        (WRONG, at_import("exec(compile(\"open('{references}/x.ytref')\", 'nowhere', 'exec'))")),
        "x.ytref; weights come from source.state_dict()",
    ),
    "reads logits that were kept beside it": (
        (WRONG, at_import("import numpy, os\nnumpy.load(os.path.join(os.path.dirname(__file__), 'logits.npy'))")),
        "logits.npy; weights come from source.state_dict()",
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_ends_in_an_error(evaluate, bringup, references, name):
    changes, says = CHEATS[name]
    changes = [(old, new.replace("{references}", str(references))) for old, new in changes]
    bringup(*changes)
    done = evaluate("--mode", "tt", "--trace", 1, *SHORT)
    assert done.code == 1, done.out
    assert "YT_METRICS=" not in done.out
    assert says in done.error


TORCH_MODEL = '''
import torch
import ttnn
import math


def build_model(source, tt_device, max_seq_len):
    return Model(source, tt_device)


class Model:
    """Computes everything in torch on the host; the device only carries the result."""

    def __init__(self, source, device):
        self.config, self.device = source.config, device
        self.weights = {name: source.state_dict()[name].float() for name in source.state_dict()}
        self.ids = []

    def prefill(self, tokens, user):
        self.ids = tokens.tolist()[:8]
        return self.send(self.forward(tokens.tolist()))

    def prepare_decode(self, tokens, positions):
        self.ids = self.ids[: int(positions[0])] + tokens.tolist()

    def decode_step(self):
        return self.send(self.forward(self.ids)[-1:])

    def send(self, logits):
        return ttnn.from_torch(logits[None, None], dtype=ttnn.float32, layout=ttnn.TILE_LAYOUT, device=self.device)

    def norm(self, x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config.rms_norm_eps) * self.weights[name]

    def forward(self, ids):
        c, w = self.config, self.weights
        n, d = len(ids), c.head_dim
        x = w["model.embed_tokens.weight"][torch.tensor(ids)]
        inv = 1.0 / 10000.0 ** (torch.arange(0, d, 2) / d)
        angle = torch.outer(torch.arange(n).float(), inv)
        angle = torch.cat((angle, angle), -1)
        turn = lambda t: t * angle.cos() + torch.cat((-t[..., d // 2 :], t[..., : d // 2]), -1) * angle.sin()
        for index in range(c.num_hidden_layers):
            p = f"model.layers.{index}."
            h = self.norm(x, p + "input_layernorm.weight")
            q, k, v = (h @ w[f"{p}self_attn.{one}_proj.weight"].T for one in "qkv")
            q = turn(q.view(n, -1, d).transpose(0, 1))
            k = turn(k.view(n, -1, d).transpose(0, 1)).repeat_interleave(2, 0)
            v = v.view(n, -1, d).transpose(0, 1).repeat_interleave(2, 0)
            s = q @ k.transpose(1, 2) / math.sqrt(d) + torch.full((n, n), float("-inf")).triu(1)
            x = x + (torch.softmax(s, -1) @ v).transpose(0, 1).reshape(n, -1) @ w[p + "self_attn.o_proj.weight"].T
            h = self.norm(x, p + "post_attention_layernorm.weight")
            gate = torch.nn.functional.silu(h @ w[p + "mlp.gate_proj.weight"].T)
            x = x + (gate * (h @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
        return self.norm(x, "model.norm.weight") @ w["model.embed_tokens.weight"].T
'''


def test_computing_the_layers_on_the_host_is_an_error(evaluate, bringup):
    bringup(text=TORCH_MODEL)
    error = evaluate("--mode", "tt", *SHORT).error
    assert "the model computes on the host: " in error
    assert "in prefill (model.py:" in error


def test_computing_on_the_host_is_an_error_for_models_called_as_hugging_face_s_are_too(evaluate, bringup):
    text = TORCH_MODEL.replace("def prefill(", "def first(").replace("def prepare_decode(", "def second(")
    text += """
    def __call__(self, input_ids, past_key_values=None, use_cache=True):
        import types

        self.ids = self.ids + input_ids[0].tolist() if past_key_values else input_ids[0].tolist()
        return types.SimpleNamespace(logits=self.forward(self.ids)[None], past_key_values=self)
"""
    bringup(text=text)
    assert "the model computes on the host: " in evaluate("--mode", "tt", *SHORT).error


def test_sending_logits_to_the_device_is_an_error(evaluate, bringup):
    bringup(in_step("return ttnn.from_torch(torch.randn(1, 1, 1, 288), device=self.device, layout=ttnn.TILE_LAYOUT)"))
    assert "ttnn.from_torch in decode_step (model.py:" in evaluate("--mode", "tt", *SHORT).error


def test_sending_logits_along_with_the_inputs_is_an_error(evaluate, bringup):
    head = "        self.mesh.write(tokens.reshape(1, 1, 1, -1), ttnn.uint32, self.tokens)"
    bringup((head, head + "\n        ttnn.from_torch(torch.randn(1, 1, 1, 288), dtype=ttnn.bfloat16)"))
    error = evaluate("--mode", "tt", *SHORT).error
    assert "only token ids and positions may come from the host" in error


def test_logits_in_disguise_are_an_error(evaluate, bringup):
    head = "        self.mesh.write(tokens.reshape(1, 1, 1, -1), ttnn.uint32, self.tokens)"
    bringup((head, head + "\n        ttnn.from_torch(torch.zeros(1, 1, 1, 288, dtype=torch.int32), dtype=ttnn.int32)"))
    assert "writes 288 values in prepare_decode" in evaluate("--mode", "tt", *SHORT).error


def test_returning_torch_logits_is_an_error(evaluate, bringup):
    bringup(in_step("return torch.zeros(1, 1, 1, 288)"))
    assert "decode_step returned a Tensor; logits must come from the device" in evaluate("--mode", "tt", *SHORT).error


HEAD = "self.head, memory_config=DRAM)"
PREFILL = (
    f"        return ttnn.linear(self.norm(x), {HEAD}\n\n    def prepare_decode",
    f"        return self.told(ttnn.linear(self.norm(x), {HEAD}, self.first)\n\n    def prepare_decode",
)
DECODE = (
    f"        return ttnn.linear(self.norm(x), {HEAD}\n\n\nclass Layer",
    "        answers = ttnn.embedding(self.rope_rows, self.answers, layout=ttnn.TILE_LAYOUT)\n"
    f"        return self.told(ttnn.linear(self.norm(x), {HEAD}, answers)\n\n\nclass Layer",
)
TABLE = (
    "        self.rope_rows = ",
    "        hot = torch.eye(288)[torch.tensor(ANSWERS)][None, None] * 20\n"
    "        self.answers = self.mesh.put(hot, ttnn.bfloat16)\n"
    "        self.first = self.mesh.put(hot[:, :, :32], ttnn.bfloat16, layout=ttnn.TILE_LAYOUT)\n"
    "        self.rope_rows = ",
)


def knowing(answers, told):
    """The example with a table of answers by position, put on the device beforehand, and what it makes of it."""
    method = f"    def told(self, logits, answers):\n        return {told}\n\n    def prefill(self"
    return (PREFILL, DECODE, TABLE, ("    def prefill(self", method), at_import(f"ANSWERS = {answers!r}"))


@pytest.fixture
def answers(evaluate, references):
    """The reference's choices by position, as one who has seen the reference would know them."""
    evaluate("--mode", "hf", *SHORT)
    for entry in references.glob("*.ytref"):
        _, _, payload = entry.read_bytes().partition(b"\n")
        with zipfile.ZipFile(io.BytesIO(payload)) as packed:
            raw = packed.read("logits.npy")
        size = int.from_bytes(raw[8:10], "little")
        if "(1, 4, 288)" in raw[10 : 10 + size].decode():
            values = struct.unpack(f"<{4 * 288}f", raw[10 + size :])
            found = [max(range(288), key=lambda at, step=step: values[step * 288 + at]) for step in range(4)]
    return [0] * 7 + found + [0] * 245


def test_answers_learned_by_heart_are_an_error(evaluate, bringup, answers):
    bringup(*knowing(answers, "answers"))
    assert "do not depend on the token" in evaluate("--mode", "tt", *SHORT).error


def test_right_choices_with_unlike_logits_are_an_error(evaluate, bringup, answers):
    # One-hot answers, disturbed a little by the token, so that they depend on it.
    bringup(*knowing(answers, "ttnn.add(ttnn.mul(logits, 1e-3), answers)"))
    assert "these are not a model's logits" in evaluate("--mode", "tt", *SHORT).error


def test_nothing_that_a_model_leaves_running_survives(evaluate, bringup, tmp_path):
    """A thread that outlives the run would rewrite results; the process is gone when metrics are written."""
    bringup(at_import("import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()"))
    done = evaluate("--mode", "tt", *SHORT)
    assert done.code == 0
    assert done.metrics["timing"]["total"] < 60


def test_a_failed_check_leaves_no_folders_behind(evaluate, bringup, tmp_path):
    bringup(at_import("raise RuntimeError('no')"))
    evaluate("--mode", "tt", *SHORT, TMPDIR=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("yt-eval-")] == []


@pytest.mark.parametrize("name", ["scripts/json.py", "scripts/numpy.py"])
def test_a_module_beside_the_harness_is_the_worker_s_to_remove(name):
    """Not ours to catch: the worker evaluates a tree with the base commit's scripts folder."""
    assert name.startswith(evaluation.HARNESS)
