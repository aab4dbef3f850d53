"""§10.3: what a traced decode step may do, and what happens to one that does more."""

import pytest

SHORT = ("--mode", "tt", "--trace", 1, "--prefill-len", 8, "--decode-len", 8)
STEP = "        x = ttnn.embedding(self.tokens, self.embeddings, layout=ttnn.TILE_LAYOUT, memory_config=L1)\n"
RETURN = "        return ttnn.linear(self.norm(x), self.head, memory_config=DRAM)\n\n\nclass Layer"

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
def test_a_step_that_is_not_the_device_s_alone_is_refused(evaluate, bringup, name):
    change, says = BROKEN[name]
    bringup(
        change,
        (
            "        self.mesh.write(tokens.reshape(1, 1, 1, -1), ttnn.uint32, self.tokens)",
            "        self.last_tokens, self.last_positions = tokens, positions\n"
            "        self.mesh.write(tokens.reshape(1, 1, 1, -1), ttnn.uint32, self.tokens)",
        ),
    )
    done = evaluate(*SHORT)
    assert done.code == 1
    assert says in done.error


def test_the_same_step_without_a_trace_may_free_its_tensors(evaluate, bringup):
    bringup((STEP, STEP + "        ttnn.deallocate(ttnn.add(x, x))\n"))
    assert evaluate("--mode", "tt", *SHORT[4:]).metrics["top1"] >= 0.75


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


def test_a_position_passed_as_an_int_is_right_without_a_trace_and_caught_with_one(evaluate, bringup):
    bringup(*POSITION_AS_INT)
    assert evaluate("--mode", "tt", *SHORT[4:]).metrics["top1"] >= 0.75
    error = evaluate(*SHORT).error
    assert "replayed from the trace, decode step" in error
    assert "a position passed as a Python int" in error


def test_new_input_tensors_every_step_are_refused_because_the_trace_reads_the_old_ones(evaluate, bringup):
    bringup(
        (
            "        self.mesh.write(tokens.reshape(1, 1, 1, -1), ttnn.uint32, self.tokens)",
            "        self.tokens = self.mesh.put(tokens.reshape(1, 1, 1, -1), ttnn.uint32)",
        )
    )
    assert "makes a device tensor in prepare_decode (model.py:" in evaluate(*SHORT).error
    assert evaluate("--mode", "tt", *SHORT[4:]).metrics["top1"] >= 0.75


def test_a_model_without_a_traced_path_fails_with_that_reason(evaluate, bringup):
    bringup(
        ("def decode_step(self)", "def step(self)"),
        (
            "def prepare_decode(",
            "def decode(self, tokens, positions):\n        self.put(tokens, positions)\n"
            "        return self.step()\n\n    def put(",
        ),
    )
    assert (
        "the model has no traced path: --trace 1 needs prefill, prepare_decode and decode_step"
        in evaluate(*SHORT).error
    )
    found = evaluate("--mode", "tt", *SHORT[4:]).metrics
    assert (found["trace"], found["captures"], found["executes"]) == (False, 0, 0)
    assert found["top1"] >= 0.75


def test_a_shape_that_never_ran_is_refused_in_the_capture(evaluate, bringup):
    bringup(
        (
            STEP,
            STEP
            + "        if ttnn.GetDefaultDevice().capturing:\n            ttnn.add(ttnn.concat([x, x], dim=3), 1.0)\n",
        ),
    )
    assert "was captured before it ran once with these shapes" in evaluate(*SHORT).error


def test_what_decode_step_returns_must_have_a_row_a_user(evaluate, bringup):
    bringup(
        (
            RETURN,
            RETURN.replace("return ttnn.linear(", "return ttnn.transpose(ttnn.linear(").replace(
                "memory_config=DRAM)", "memory_config=DRAM), 2, 3)"
            ),
        )
    )
    assert "decode_step returned logits of (1, 1, 288, 1); expected at least 1 rows of 288" in evaluate(*SHORT).error
