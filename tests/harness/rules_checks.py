"""Checks of what a model may do while it runs and in its trace (§10.3), in one process, by the evaluation's Python."""

import dataclasses
import pathlib

import pytest
import torch
from checks_bench import EXAMPLE, Bench, changed
from harness import accounts
from harness.errors import EvalError
from transformers.modeling_outputs import CausalLMOutputWithPast

HF_STYLE = pathlib.Path(__file__).with_name("hf_style_model.py").read_text()


@pytest.fixture(scope="session")
def benches(tmp_path_factory):
    """Short windows, by trace."""
    folder = tmp_path_factory.mktemp("references")
    return [Bench(folder, "--prefill-len", 8, "--decode-len", 8, "--trace", trace) for trace in (0, 1)]


@pytest.fixture
def run(benches, tmp_path):
    """Runs a model text, untraced unless told."""
    return lambda text, trace=0: benches[trace].run(text, tmp_path / "model.py")


@pytest.fixture
def refused(run):
    """Why a model text is refused."""

    def ask(text, trace=0):
        with pytest.raises(EvalError) as caught:
            run(text, trace)
        return str(caught.value)

    return ask


# The traced decode step


STEP = "        x = ttnn.embedding(self.tokens, self.embeddings, layout=ttnn.TILE_LAYOUT, memory_config=L1)\n"
WRITE = "        self.mesh.write(tokens.reshape(1, 1, 1, -1), ttnn.uint32, self.tokens)"
PREFILLED = "        return ttnn.linear(self.norm(x), self.head, memory_config=DRAM)\n"
DECODED = "        return ttnn.linear(interleaved(self.norm(x)), self.head, memory_config=DRAM)\n"

BROKEN = {
    "makes a tensor": (
        (
            STEP,
            STEP
            + "        if ttnn.GetDefaultDevice().capturing:\n"
            + "            ttnn.zeros((1, 1, 32, 32), device=self.device, layout=ttnn.TILE_LAYOUT)\n",
        ),
        "ttnn.zeros inside the traced decode step (model.py:",
    ),
    "frees a tensor": (
        (STEP, STEP + "        ttnn.deallocate(ttnn.add(x, x))\n"),
        "ttnn.deallocate inside the traced decode step (model.py:",
    ),
    "reads a tensor": (
        (STEP, STEP + "        ttnn.to_torch(ttnn.get_device_tensors(x)[0])\n"),
        "ttnn.to_torch inside the traced decode step (model.py:",
    ),
    "writes its inputs": (
        (STEP, "        self.prepare_decode(self.last_tokens, self.last_positions)\n" + STEP),
        "in decode_step (model.py:",
    ),
    "waits for the device": (
        (STEP, STEP + "        ttnn.synchronize_device(self.device)\n"),
        "ttnn.synchronize_device inside the traced decode step (model.py:",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_step_that_is_not_the_device_s_alone_is_refused(run, refused, name):
    change, says = BROKEN[name]
    kept = "        self.last_tokens, self.last_positions = tokens, positions\n"
    assert says in refused(changed(change, (WRITE, kept + WRITE)), 1)


def test_the_same_step_without_a_trace_may_free_its_tensors(run, refused):
    assert run(changed((STEP, STEP + "        ttnn.deallocate(ttnn.add(x, x))\n")))["top1"] >= 0.75


POSITION_AS_INT = (
    (
        "        self.mesh.write(positions, ttnn.int32, self.positions)\n",
        "        self.mesh.write(positions, ttnn.int32, self.positions)\n        self.position = int(positions[0])\n",
    ),
    (
        "        cos, sin = self.rope.decode(self.rope_rows)\n",
        "        at = self.position\n"
        "        rows = [table[:, :, at : at + 1, :] for table in self.rope.tiles]\n"
        "        cos, sin = (ttnn.to_memory_config(row, self.rope.sharded) for row in rows)\n",
    ),
)


def test_a_position_passed_as_an_int_is_right_without_a_trace_and_caught_with_one(run, refused):
    text = changed(*POSITION_AS_INT)
    assert run(text)["top1"] >= 0.75
    error = refused(text, 1)
    assert "replayed from the trace, decode step" in error
    assert "a position passed as a Python int" in error


def test_new_input_tensors_every_step_are_refused_because_the_trace_reads_the_old_ones(run, refused):
    text = changed((WRITE, "        self.tokens = self.mesh.put(tokens.reshape(1, 1, 1, -1), ttnn.uint32)"))
    assert "makes a device tensor in prepare_decode (model.py:" in refused(text, 1)
    assert run(text)["top1"] >= 0.75


def test_a_model_without_a_traced_path_fails_with_that_reason(run, refused):
    text = changed(
        ("def decode_step(self)", "def step(self)"),
        (
            "def prepare_decode(",
            "def decode(self, tokens, positions):\n        self.put(tokens, positions)\n"
            "        return self.step()\n\n    def put(",
        ),
    )
    says = "the model has no traced path: --trace 1 needs prefill, prepare_decode and decode_step"
    assert says in refused(text, 1)
    found = run(text)
    assert (found["captures"], found["executes"]) == (0, 0)
    assert found["top1"] >= 0.75


def test_a_shape_that_never_ran_is_refused_in_the_capture(run, refused):
    new = "        if ttnn.GetDefaultDevice().capturing:\n            ttnn.add(ttnn.concat([x, x], dim=3), 1.0)\n"
    with pytest.raises(RuntimeError, match="was captured before it ran once with these shapes"):
        run(changed((STEP, STEP + new)), 1)


def test_what_decode_step_returns_must_have_a_row_a_user(run, refused):
    turned = DECODED.replace("ttnn.linear(", "ttnn.transpose(ttnn.linear(").replace("=DRAM)", "=DRAM), 2, 3)")
    says = "decode_step returned logits of (1, 1, 288, 1); expected at least 1 rows of 288"
    assert says in refused(changed((DECODED, turned)))


# Where the arithmetic is done, and what is written to the device


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


def test_computing_the_layers_on_the_host_is_an_error(refused):
    why = refused(TORCH_MODEL)
    assert "the model computes on the host: " in why
    assert "in prefill (model.py:" in why


def test_it_is_one_for_models_called_as_hugging_face_s_are_too(refused):
    text = changed(("def prefill(", "def first("), ("def prepare_decode(", "def second("), text=TORCH_MODEL)
    text += """
    def __call__(self, input_ids, past_key_values=None, use_cache=True):
        import types

        self.ids = self.ids + input_ids[0].tolist() if past_key_values else input_ids[0].tolist()
        return types.SimpleNamespace(logits=self.forward(self.ids)[None], past_key_values=self)
"""
    assert "the model computes on the host: " in refused(text)


def test_computing_them_while_the_model_is_built_is_an_error(refused):
    text = changed(
        ("        return self.send(self.forward(tokens.tolist()))", "        return self.send(self.table)"),
        ("        self.ids = []\n", "        self.ids = []\n        self.table = self.forward(list(range(160)))\n"),
        text=TORCH_MODEL,
    )
    assert "build_model computes the model on the host" in refused(text)


def test_little_arithmetic_on_the_host_is_allowed(run):
    """Routing tokens to experts, say."""
    router = "        torch.nn.functional.linear(torch.ones(1, 64), torch.ones(8, 64))\n"
    found = run(changed((WRITE, router + WRITE)))
    assert 0 <= found["host_share"] < 0.05


def test_sending_logits_to_the_device_is_an_error(refused):
    sent = "        return ttnn.from_torch(torch.randn(1, 1, 1, 288), device=self.device, layout=ttnn.TILE_LAYOUT)\n"
    assert "ttnn.from_torch in decode_step (model.py:" in refused(changed((STEP, sent)))


def test_sending_logits_along_with_the_inputs_is_an_error(refused):
    sent = "        ttnn.from_torch(torch.randn(1, 1, 1, 288), dtype=ttnn.bfloat16)\n"
    assert "only token ids and positions may come from the host" in refused(changed((WRITE, sent + WRITE)))


def test_logits_in_disguise_are_an_error(refused):
    sent = "        ttnn.from_torch(torch.zeros(1, 1, 1, 288, dtype=torch.int32), dtype=ttnn.int32)\n"
    assert "writes 288 values in prepare_decode" in refused(changed((WRITE, sent + WRITE)))


def test_a_hidden_state_in_chunks_of_integers_is_an_error(refused):
    sent = (
        "        for _ in range(9):\n"
        "            whole = torch.zeros(1, 1, 1, 32, dtype=torch.int32)\n"
        "            ttnn.from_torch(whole, dtype=ttnn.int32, device=self.device)\n"
    )
    why = refused(changed((WRITE, sent + WRITE)))
    assert "prepare_decode writes 192 values in all (model.py:" in why
    assert "160 at most, because only token ids and positions may come from the host" in why


ANSWERED = """
        real, self.answers = torch.Tensor.float, torch.zeros(1, 288)

        def answered(tensor):
            torch.Tensor.float = real
            return self.answers

        torch.Tensor.float = answered
"""


def test_replacing_what_logits_are_read_with_is_an_error_even_when_it_is_put_back(refused, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.float)  # put back after this test, too
    text = changed((STEP, ANSWERED + STEP))
    assert "model.py changed the harness: Tensor.float" in refused(text)


@pytest.mark.parametrize("module", ["ttnn.tensor", "sys.modules['ttnn'].tensor"])
def test_a_call_of_ttnn_s_by_another_of_its_names_is_watched_too(refused, module):
    sent = (
        "        import sys\n        import ttnn.tensor\n"
        f"        {module}.from_torch(torch.randn(1, 1, 1, 288), dtype=ttnn.bfloat16, device=self.device)\n"
    )
    assert "only token ids and positions may come from the host" in refused(changed((WRITE, sent + WRITE)))


def test_a_model_that_catches_what_it_is_refused_fails_all_the_same(refused):
    sent = (
        "        try:\n            ttnn.from_torch(torch.randn(1, 1, 1, 288), dtype=ttnn.bfloat16)\n"
        "        except Exception:\n            pass\n"
    )
    assert "only token ids and positions may come from the host" in refused(changed((WRITE, sent + WRITE)))


def test_writing_to_the_device_between_two_steps_is_an_error(refused):
    """From a thread, say, or where the harness asks the model for a property."""
    composer = (
        "    @property\n    def logits_composer(self):\n"
        "        ttnn.from_torch(torch.zeros(1, 1, 1, 32), dtype=ttnn.bfloat16, device=self.device)\n\n"
    )
    why = refused(changed(("    def prepare_decode(", composer + "    def prepare_decode(")))
    assert "ttnn.from_torch writes to the device between two steps (model.py:" in why


def test_a_tensor_made_by_hand_is_an_error(refused):
    made = "        ttnn.Tensor([torch.randn(1, 1, 1, 288)], ttnn.bfloat16, device=self.device)\n"
    assert "a ttnn.Tensor is made by hand (model.py:" in refused(changed((STEP, made + STEP)))


def test_a_tensor_of_the_model_s_own_kind_is_an_error(refused):
    own = "        class Own(ttnn.Tensor):\n            pass\n\n"
    told = DECODED.replace("return ", "out = ") + "        out.__class__ = Own\n        return out\n"
    assert "returned a Own; logits must come from the device" in refused(changed((DECODED, own + told)))


def test_logits_that_lie_on_the_host_are_an_error(refused):
    why = refused(changed((DECODED, DECODED.replace("ttnn.linear(", "ttnn.from_device(ttnn.linear(")[:-1] + ")\n")))
    assert "decode_step returned a tensor that lies on the host" in why


def test_steps_that_are_prepared_as_long_as_the_reference_takes_are_an_error(refused):
    """Arithmetic that no hook sees, in numpy or in Python itself."""
    assert "prepare_decode takes 0." in refused(changed((WRITE, "        sum(range(4_000_000))\n" + WRITE)))


def test_what_a_run_takes_from_the_host_is_reported(run):
    found = run(EXAMPLE, 1)
    assert 0 < found["host_seconds_per_step"] < 0.02
    assert 0 < found["uploads"] <= 64


# What the process says of its own run


ACCOUNT = {
    "device": "cpu-standin", "walls": "worker", "captures": 1, "executes": 7, "host_share": 0.0, "uploads": 33,
    "host_seconds_per_step": 0.001,
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"captures": 0}, "--trace 1 made 0 captures and 7 replays; 1 and 7 were needed"),
        ({"executes": 6}, "--trace 1 made 1 captures and 6 replays; 1 and 7 were needed"),
        ({"captures": True}, "gives True as its captures"),
        ({"executes": float("nan")}, "gives nan as its executes"),
        ({"host_share": None}, "gives None as its host_share"),
        ({"host_share": 0.5}, "50% of the model's arithmetic ran on the host"),
        ({"host_seconds_per_step": 0.2}, "prepare_decode takes 0.200 s of processor time a step, and may take 0.050"),
    ],
)
def test_an_account_that_does_not_add_up_is_not_believed(benches, facts, says):
    with pytest.raises(EvalError) as caught:
        accounts.believed({"facts": {**ACCOUNT, **facts}, "timing": {}}, benches[1].asked, 0.1)
    assert says in str(caught.value)


def test_nothing_in_an_account_but_what_is_known_is_taken(benches):
    facts, timing = accounts.believed(
        {"facts": {**ACCOUNT, "top1": 1.0, "suspect": []}, "timing": {"load": 1.5, "total": "none"}},
        benches[1].asked,
        0.1,
    )
    assert facts == {**ACCOUNT, "formats": {}}
    assert timing == {"load": 1.5}


@pytest.mark.parametrize("report", [{}, {"facts": []}, {"facts": ACCOUNT, "timing": 3}])
def test_no_account_is_an_error(benches, report):
    with pytest.raises(EvalError, match="left no account of its run"):
        accounts.believed(report, benches[1].asked, 0.1)


def test_returning_torch_logits_is_an_error(refused):
    why = refused(changed((STEP, "        return torch.zeros(1, 1, 1, 288)\n")))
    assert "decode_step returned a Tensor; logits must come from the device" in why


TABLE = (
    "        self.rope_rows = ",
    "        hot = torch.eye(288)[torch.tensor(ANSWERS)][None, None] * 20\n"
    "        self.answers = self.mesh.put(hot, ttnn.bfloat16)\n"
    "        self.first = self.mesh.put(hot[:, :, :32], ttnn.bfloat16, layout=ttnn.TILE_LAYOUT)\n"
    "        self.rope_rows = ",
)


@pytest.fixture
def knowing(benches):
    """The example with the reference's choices in a table by position, and what it makes of logits and answers."""
    logits = benches[0].found.logits
    answers = [0] * 7 + logits[0].argmax(-1).tolist() + [0] * 241

    def make(told):
        found = changed(
            TABLE,
            (PREFILLED, PREFILLED.replace("return ", "return self.told(").replace("DRAM)", "DRAM), self.first)")),
            (
                DECODED,
                "        answers = ttnn.embedding(self.rope_rows, self.answers, layout=ttnn.TILE_LAYOUT)\n"
                + DECODED.replace("return ", "return self.told(").replace("DRAM)", "DRAM), answers)"),
            ),
            (
                "    def prefill(self",
                f"    def told(self, logits, answers):\n        return {told}\n\n    def prefill(self",
            ),
        )
        return f"ANSWERS = {answers!r}\n" + found.replace(found[: found.index("import math")], "")

    return make


def test_answers_learned_by_heart_are_an_error(refused, knowing):
    assert "do not depend on the token" in refused(knowing("answers"))


def test_right_choices_with_unlike_logits_are_an_error(refused, knowing):
    # One-hot answers, disturbed a little by the token, so that they depend on it.
    why = refused(knowing("ttnn.add(ttnn.mul(logits, 1e-3), answers)"))
    assert "these are not a model's logits" in why


# Files of the shape that public bringups have


# transformers 5.24 renamed the cache; a model may have been written before or since, and its answer is of any class.
OLD, NEW = "past_key_values", "cache"
OUTPUT = "from transformers.modeling_outputs import CausalLMOutputWithPast"
PLAIN = (OUTPUT, "from types import SimpleNamespace as CausalLMOutputWithPast")
UNNAMED = (f"{OLD}=None, use_cache=True, **kwargs", "use_cache=True, **kwargs")
IN_THIS_RELEASE = NEW if NEW in {field.name for field in dataclasses.fields(CausalLMOutputWithPast)} else OLD


@pytest.mark.parametrize(
    "changes",
    [
        [(OLD, IN_THIS_RELEASE)],
        [PLAIN],
        [PLAIN, (OLD, NEW)],
        [PLAIN, UNNAMED, (f"if {OLD} is", f"if kwargs['{OLD}'] is")],
    ],
    ids=["as this release does", "as before", "as since", "in no signature"],
)
def test_a_model_called_as_hugging_face_s_are_runs_whatever_it_calls_its_cache(tmp_path, changes):
    bench = Bench(tmp_path)
    found = bench.run(changed(*changes, text=HF_STYLE), tmp_path / "model.py")
    assert found["top1"] >= 0.90
    assert found["top5"] >= 0.97
    assert found["suspect"] == []


def test_it_has_no_traced_path_and_one_row_only(refused, tmp_path):
    assert "the model has no traced path" in refused(HF_STYLE, 1)
    bench = Bench(tmp_path, "--prefill-len", 8, "--decode-len", 4, "--batch", 2)
    with pytest.raises(EvalError, match="takes --batch 1 only"):
        bench.run(HF_STYLE, tmp_path / "model.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "model.py has no build_model"),
        ("def build_model(source, tt_device, max_seq_len):\n    return 3\n", "the model offers neither prefill"),
        ("def build_model(source, tt_device, max_seq_len):\n    return source\n", "the model offers neither prefill"),
    ],
)
def test_a_file_that_is_no_bringup_is_told_what_it_lacks(refused, text, says):
    assert says in refused(text)
