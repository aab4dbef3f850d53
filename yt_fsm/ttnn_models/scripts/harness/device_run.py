"""Running a TTNN model over the window: prefill, decode, and decode again from a trace."""

import collections.abc
import ctypes
import importlib.util
import inspect
import json
import os
import pathlib
import signal
import sys
import time
import traceback

from . import fence, walls, watch
from .bar import Bar
from .errors import BoardClosed, EvalError

PR_SET_PDEATHSIG = 1
TILE = 32
TRACE_REGION = int(os.environ.get("TTNN_TRACE_REGION_SIZE") or 64 * 2**20)
LAGS = 3  # users in a row stand at as many positions
RECHECKED = 4  # traced steps that are computed once more without the trace


def main(folder):
    """Read task.json, run the model, leave logits.npy and report.json; returns the exit code."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    task = json.loads((folder / "task.json").read_text())
    (folder / "task.json").unlink()  # the model is to learn its tokens one by one
    nonce = task.pop("nonce")
    report = {}
    try:
        standing = _enclose(task.get("walls"), folder)
        arrays, report = _run(task)
        report["facts"]["walls"] = standing
        import numpy

        for name, array in arrays.items():
            numpy.save(folder / f"{name}.npy", array)
    except EvalError as error:
        report = {"error": str(error), "closed": isinstance(error, BoardClosed)}
    except Exception as error:
        traceback.print_exc()
        report = {"error": f"the model failed: {type(error).__name__}: {error}{_where(error, task['model_file'])}"}
    (folder / "report.json").write_text(json.dumps({**report, "nonce": nonce}))
    return 1 if "error" in report else 0


def _enclose(asked, folder):
    """What stands around this process: `worker`, `landlock`, or `none` where a person starts it on an old kernel."""
    if asked is None:
        return "worker"
    return "landlock" if walls.enclose(asked["hidden"], asked["guarded"], walls.writable(folder)) else "none"


def _where(error, model_file):
    """` (model.py:12)`: the innermost line of the model in a traceback."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == model_file]
    return f" (model.py:{frames[-1].lineno})" if frames else ""


def _run(task):
    timing = {}
    started = time.perf_counter()
    import torch

    try:
        import ttnn
    except ImportError as error:
        raise EvalError(f"ttnn cannot be imported by {sys.executable}: {error}") from error
    timing["import"] = time.perf_counter() - started

    started = time.perf_counter()
    weights = Weights(task) if task["weights"] is not None else _built_weights(task)
    guard = watch.Guard(torch, ttnn, task)
    fence.check_sources(task["model_file"])
    fenced = fence.Fence(task["model_file"], [guard.home])
    fence.hide()
    module = _import(task["model_file"])
    try:
        arrays, facts, more = play(torch, ttnn, module, weights, task, guard)
    finally:
        # Also after an error, which may be a consequence: this one is then the reason given.
        fenced.check()
        guard.check_calls()
    timing["load"] = time.perf_counter() - started - more.pop("ran")
    timing.update(more)
    return arrays, {"facts": facts, "timing": {name: round(value, 3) for name, value in timing.items()}}


def play(torch, ttnn, module, weights, task, guard):
    """Build the model on an open device and feed it the window; (arrays by name, facts, seconds)."""
    timing = {}
    source = Source(_config(task), weights, len(task["tokens"]))
    mesh = tuple(getattr(module, "MESH_SHAPE", None) or task["mesh"])
    if not hasattr(module, "build_model"):
        raise EvalError("model.py has no build_model(source, tt_device, max_seq_len)")
    with Device(ttnn, mesh) as device, torch.no_grad():
        with guard.building():
            model = module.build_model(source, device, task["max_seq_len"])
        if hasattr(model, "eval"):
            model.eval()
        started = time.perf_counter()
        runner = _runner(model, task["trace"])(torch, ttnn, model, guard, task, timing)
        arrays = runner.run()
        timing["ran"] = time.perf_counter() - started
        guard.check_counts()
    if timing.get("decode"):
        timing["tokens_per_second"] = (runner.turns - 1) * len(task["tokens"]) / timing["decode"]
    facts = {
        "device": _name(ttnn, mesh),
        "captures": guard.captures,
        "executes": guard.executes,
        "host_share": round(guard.host_share(), 4),
        "uploads": guard.most_sent,
        "formats": guard.formats,
        "host_seconds_per_step": round(guard.host_seconds(), 6),
    }
    return arrays, facts, timing


def _import(path):
    """model.py as a module."""
    spec = importlib.util.spec_from_file_location("bringup_model", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _name(ttnn, mesh):
    if getattr(ttnn, "STANDIN", False):
        return "cpu-standin"
    count = mesh[0] * mesh[1]
    return f"{ttnn.get_arch_name()}" + (f" x{count}" if count > 1 else "")


class Source:
    """What build_model gets: the config, the weights and how many rows there will be. It cannot be called."""

    def __init__(self, config, weights, batch):
        self.config, self.batch = config, batch
        self._weights = weights

    def state_dict(self):
        return self._weights


class Weights(collections.abc.Mapping):
    """The state dict, each tensor read from its safetensors file when it is asked for."""

    def __init__(self, task):
        from safetensors import safe_open

        folder = pathlib.Path(task["snapshot"])
        self._files = {name: safe_open(folder / name, "pt") for name in sorted(set(task["weights"]["direct"].values()))}
        self._direct, self._tied = task["weights"]["direct"], task["weights"]["tied"]

    def __getitem__(self, name):
        stored = self._tied.get(name, name)
        return self._files[self._direct[stored]].get_tensor(stored)

    def __iter__(self):
        yield from self._direct
        yield from self._tied

    def __len__(self):
        return len(self._direct) + len(self._tied)


def _built_weights(task):
    """The state dict by way of transformers, for checkpoints whose names are not the model's own."""
    import torch
    from transformers import AutoModelForCausalLM, __version__

    option = "dtype" if int(__version__.split(".")[0]) >= 5 else "torch_dtype"
    return dict(AutoModelForCausalLM.from_pretrained(task["snapshot"], **{option: torch.bfloat16}).state_dict())


class Config:
    """The model's configuration by attribute, as transformers resolved it."""

    def __init__(self, values):
        for name, value in values.items():
            nested = isinstance(value, dict) and name.endswith("_config")
            setattr(self, name, Config(value) if nested else value)

    def to_dict(self):
        return {name: value.to_dict() if isinstance(value, Config) else value for name, value in vars(self).items()}


def _config(task):
    # A model that works with transformers gets its own kind of config; others are spared the import.
    if "transformers" in sys.modules:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(task["snapshot"])
    return Config(task["config"])


class Device:
    """An open device or mesh, closed on errors too."""

    def __init__(self, ttnn, mesh):
        self.ttnn, self.mesh = ttnn, mesh
        self.joined = mesh[0] * mesh[1] > 1

    def __enter__(self):
        try:
            self.device = self._opened()
        except Exception as error:
            shape = "x".join(map(str, self.mesh))
            raise BoardClosed(f"a mesh of {shape} does not open: {type(error).__name__}: {error}") from error
        return self.device

    def _opened(self):
        ttnn = self.ttnn
        if not self.joined:
            return ttnn.open_device(device_id=0, trace_region_size=TRACE_REGION)
        two_dimensional = self.mesh[0] > 1 and self.mesh[1] > 1
        ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_2D if two_dimensional else ttnn.FabricConfig.FABRIC_1D)
        try:
            return ttnn.open_mesh_device(ttnn.MeshShape(*self.mesh), trace_region_size=TRACE_REGION)
        except BaseException:
            ttnn.set_fabric_config(ttnn.FabricConfig.DISABLED)
            raise

    def __exit__(self, *error):
        if not self.joined:
            self.ttnn.close_device(self.device)
            return
        self.ttnn.close_mesh_device(self.device)
        self.ttnn.set_fabric_config(self.ttnn.FabricConfig.DISABLED)


def _runner(model, trace):
    if all(callable(getattr(model, name, None)) for name in ("prefill", "prepare_decode", "decode_step")):
        return Traced if trace else Stepwise
    if trace:
        raise EvalError(
            "the model has no traced path: --trace 1 needs prefill, prepare_decode and decode_step (README, "
            '"What a model file offers")'
        )
    if callable(getattr(model, "prefill", None)) and callable(getattr(model, "decode", None)):
        return Plain
    if callable(model):
        return Callable
    raise EvalError("the model offers neither prefill, prepare_decode and decode_step, nor can it be called")


class Runner:
    """Feeds the window to a model and collects one row of logits a user and step."""

    def __init__(self, torch, ttnn, model, guard, task, timing):
        self.torch, self.ttnn, self.model, self.guard, self.timing = torch, ttnn, model, guard, timing
        self.tokens = torch.tensor(task["tokens"], dtype=torch.int32)
        self.users, self.order = len(task["tokens"]), task["order"]
        self.prefill_len, self.steps, self.vocab = task["prefill"], task["decode"], task["vocab"]
        self.probed = task["probed"]
        self.logits = torch.zeros(self.users, self.steps, self.vocab)
        self.everyone = torch.arange(self.users)
        self.outer = sorted({0, self.users - 1})
        self.lag = self.everyone % LAGS
        self.turns = self.steps + int(self.lag.max())
        self.bar = Bar(self.turns * self.users)

    def run(self):
        """{"logits": a row a user and step}; and, of a model that has a prefill, {"prefilled": see `again`}."""
        started = time.perf_counter()
        self.soil()
        self.timing["soil"] = time.perf_counter() - started
        started = time.perf_counter()
        self.prompts()
        self.timing["prefill"] = time.perf_counter() - started
        if self.steps > 1:
            started = time.perf_counter()
            self.first()
            self.timing["first_step"] = time.perf_counter() - started
            started = time.perf_counter()
            for turn in range(1, self.turns):
                self.keep(turn, self.step(turn))
                self.bar.show((turn + 1) * self.users)
            self.timing["decode"] = time.perf_counter() - started
            self.last()
        self.bar.end()
        started = time.perf_counter()
        prefilled = self.again()
        self.timing["again"] = time.perf_counter() - started
        return {"logits": self.logits.numpy(), **({} if prefilled is None else {"prefilled": prefilled.numpy()})}

    def soil(self):
        """Leave another, longer text in the caches, and a decode step behind it: a right model reads none of it."""
        length = self.tokens.shape[1]
        other = self.torch.randint(0, self.vocab, (self.users, length + 1), dtype=self.torch.int32)
        for user in self.outer:
            with self.guard.running("prefill"):
                out = self.model.prefill(self.padded(other[user, :length]), user)
            self.read(out, "prefill", length)
        if self.steps > 1:
            positions = self.torch.full((self.users,), length, dtype=self.torch.int32)
            self.ask(other[:, length].contiguous(), positions)

    def again(self):
        """The logits of one prefill over all of the first and the last user's window [of each: the `probed` positions,
        then the steps].

        The steps' are those that decoding gave, by another way: a right model's differ by rounding.
        """
        length = self.prefill_len + self.steps - 1
        wanted = self.probed + list(range(self.prefill_len - 1, length))
        found = self.torch.zeros(len(self.outer), len(wanted), self.vocab)
        for row, user in enumerate(self.outer):
            with self.guard.running("prefill"):
                out = self.model.prefill(self.padded(self.tokens[user, :length]), user)
            found[row] = self.read(out, "prefill", length)[wanted]
        return found

    def first(self):
        """Before the timed steps."""

    def last(self):
        """After the timed steps: a model that looks at its tokens answers another token otherwise."""
        tokens, positions = self.at(self.turns - 1)
        other = (tokens + 1 + self.torch.randint(0, self.vocab - 1, (self.users,))) % self.vocab
        changed = self.ask(other.to(self.torch.int32), positions)
        if self.torch.equal(changed, self.logits[:, self.steps - 1]):
            raise EvalError("the model's logits do not depend on the token it is given")

    def steps_at(self, turn):
        """Each user's step in a turn: users do not stand at the same position, and who is early or late repeats one."""
        return (turn - self.lag).clamp(1, self.steps - 1)

    def at(self, turn):
        """(tokens, positions) that lead to the logits of a turn."""
        positions = self.prefill_len - 1 + self.steps_at(turn)
        return self.tokens[self.everyone, positions].contiguous(), positions.to(self.torch.int32)

    def padded(self, row):
        """A prompt padded with zeros to whole tiles."""
        return self.torch.nn.functional.pad(row, (0, -len(row) % TILE))

    def prompts(self):
        for done, user in enumerate(self.order, start=1):
            with self.guard.running("prefill"):
                out = self.model.prefill(self.padded(self.tokens[user, : self.prefill_len]), user)
            rows = self.read(out, "prefill", self.prefill_len)
            self.logits[user, 0] = rows[self.prefill_len - 1]
            self.bar.show(done)

    def keep(self, turn, rows):
        self.logits[self.everyone, self.steps_at(turn)] = rows

    def read(self, out, name, rows):
        """The first `rows` rows of logits of a device tensor, as float32."""
        self.guard.check_calls()  # before anything that the model may have replaced is used to read
        if type(out) is not self.guard.tensor:
            raise EvalError(
                f"{name} returned a {type(out).__name__}; logits must come from the device, as a ttnn.Tensor"
            )
        if out.device() is None:
            raise EvalError(f"{name} returned a tensor that lies on the host; logits must come from the device")
        composer = getattr(self.model, "logits_composer", None)
        if composer is not None:
            found = self.guard.to_torch(out, mesh_composer=composer)
        elif self.guard.devices(out) > 1:
            found = self.guard.to_torch(self.ttnn.get_device_tensors(out)[0])
        else:
            found = self.guard.to_torch(out)
        found = found.float().reshape(-1, found.shape[-1])
        if found.shape[0] < rows or found.shape[1] < self.vocab:
            raise EvalError(
                f"{name} returned logits of {tuple(out.shape)}; expected at least {rows} rows of {self.vocab}"
            )
        return found[:rows, : self.vocab]


class Stepwise(Runner):
    """Decode on the device, step by step, without a trace."""

    def ask(self, tokens, positions):
        with self.guard.running("prepare_decode"):
            self.model.prepare_decode(tokens, positions)
        with self.guard.running("decode_step"):
            out = self.model.decode_step()
        return self.read(out, "decode_step", self.users)

    def first(self):
        self.ask(*self.at(1))

    def step(self, step):
        return self.ask(*self.at(step))


class Traced(Stepwise):
    """Decode from a trace that is captured once."""

    def first(self):
        super().first()  # programs must have run before they are captured
        self.device = self.guard.device(self.model)
        self.trace = self.ttnn.begin_trace_capture(self.device, cq_id=0)
        try:
            with self.guard.capturing():
                self.out = self.model.decode_step()
        finally:
            self.ttnn.end_trace_capture(self.device, self.trace, cq_id=0)

    def step(self, step):
        with self.guard.running("prepare_decode"):
            self.model.prepare_decode(*self.at(step))
        self.ttnn.execute_trace(self.device, self.trace, cq_id=0, blocking=True)
        return self.read(self.out, "decode_step", self.users)

    def last(self):
        started = time.perf_counter()
        self.ttnn.release_trace(self.device, self.trace)
        wanted = min(RECHECKED, self.turns - 1)
        for step in sorted({1 + n * (self.turns - 2) // max(1, wanted - 1) for n in range(wanted)}):
            again = self.ask(*self.at(step))
            traced = self.logits[self.everyone, self.steps_at(step)]
            gap = again.max(-1).values - again.gather(-1, traced.argmax(-1, keepdim=True))[:, 0]
            if bool((gap > again.abs().max(-1).values * 2**-7).any()) or not bool(self.torch.isfinite(traced).all()):
                raise EvalError(
                    f"replayed from the trace, decode step {step} chooses another token than the same step without a "
                    "trace: something is baked into the trace, such as a position passed as a Python int"
                )
        self.timing["recheck"] = time.perf_counter() - started
        super().last()


class Plain(Runner):
    """Decode through decode(tokens, positions), which may prepare and compute at once; it cannot be traced."""

    def ask(self, tokens, positions):
        with self.guard.running("decode"):
            out = self.model.decode(tokens, positions)
        return self.read(out, "decode", self.users)

    def first(self):
        self.ask(*self.at(1))

    def step(self, step):
        return self.ask(*self.at(step))


class Callable(Runner):
    """A model called as Hugging Face's are: model(input_ids, cache=..., use_cache=True).logits.

    Before transformers 5.24 the cache was called past_key_values; a model may take it, and answer, by either name.
    """

    def soil(self):
        """It makes its cache itself."""

    def again(self):
        """It has one way only."""

    def prompts(self):
        if self.users != 1:
            raise EvalError("a model without prefill and decode takes --batch 1 only")
        self.name, self.cache = _cache_name(self.model), None
        self.logits[0, 0] = self.call(self.tokens[:, : self.prefill_len])

    def call(self, ids):
        with self.guard.running("forward", uploads=True):
            out = self.model(ids.to(self.torch.int64), use_cache=True, **{self.name: self.cache})
        self.cache = out.cache if hasattr(out, "cache") else out.past_key_values
        return out.logits[0, -1, : self.vocab].float()

    def ask(self, tokens, positions):
        return self.call(tokens[:, None])

    def step(self, step):
        return self.call(self.at(step)[0][:, None])

    def last(self):
        """Its position moves with every call, so that no step can be asked again."""


def _cache_name(model):
    """What `model` calls its cache: the new name where its signature has it, else the older one."""
    # A torch module's call takes anything; its forward has the names.
    for called in (model, getattr(model, "forward", model)):
        named = inspect.signature(called).parameters
        for name in ("cache", "past_key_values"):
            if name in named:
                return name
    return "past_key_values"
