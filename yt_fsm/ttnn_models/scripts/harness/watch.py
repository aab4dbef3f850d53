"""Where a model computes, what it writes to the device while it runs, and what its traced region does (§10.3)."""

import contextlib
import math
import os
import statistics
import sys
import time
import types

from .errors import EvalError

HOST_SHARE = 0.05  # of the model's arithmetic may run on the host (routing, say)
BUILD_TOKENS = 16  # as many tokens' worth of arithmetic may go into preparing weights
UPLOAD_ROWS = 64  # integers a user and call, written to the device while decoding
UPLOAD_CALLS = 2  # as many calls' worth of them may go there in one step, or with one prompt

# Made of host values, read by the host, freed, or waited for: not in a traced region (§10.3).
UNTRACEABLE = (
    "from_torch", "as_tensor", "to_torch", "to_device", "from_device", "copy_host_to_device_tensor",
    "copy_device_to_host_tensor", "zeros", "ones", "full", "empty", "rand", "arange", "zeros_like", "ones_like",
    "full_like", "empty_like", "deallocate", "synchronize_device", "load_tensor", "dump_tensor",
)  # fmt: skip
UPLOADS = ("from_torch", "as_tensor", "to_device", "copy_host_to_device_tensor", "full", "load_tensor")
# What reading logits and keeping time rests on: a model that replaces one of these would answer in its place.
TENSOR = (
    "float", "reshape", "contiguous", "to", "numpy", "abs", "max", "argmax", "gather", "all", "any", "item", "copy_",
    "__getitem__", "__setitem__", "__gt__", "__invert__",
)  # fmt: skip
TORCH = ("zeros", "tensor", "full", "equal", "isfinite", "randint", "no_grad", "from_numpy")
CLOCKS = ("process_time", "perf_counter")
FLOAT_NAMES = ("BFLOAT16", "FLOAT32", "BFLOAT8_B", "BFLOAT4_B")


class Guard:
    """Wraps ttnn's own calls and torch's heavy ones before model.py is imported."""

    def __init__(self, torch, ttnn, task):
        self.torch, self.ttnn, self.task = torch, ttnn, task
        self.captures = self.executes = 0
        self.host, self.build_host = 0, 0
        self.where = None  # what the model is doing now
        self.sent = self.most_sent = 0  # values written to the device in this step, and in the step that wrote most
        self.prepared = []  # processor seconds of each prepare_decode
        self.uploads_allowed = True
        self.in_capture = False
        self.opened = None
        self.built = False
        self.formats = {}  # values of the matrices that build_model put on the device, by their format
        self.caught = None  # the first that was refused: a model that goes on is not forgiven
        self.tensor = ttnn.Tensor
        self.to_torch = ttnn.to_torch
        self.home = os.path.dirname(os.path.abspath(ttnn.__file__))
        self.ours = {}
        for name in UNTRACEABLE:
            if hasattr(ttnn, name):
                self._wrap_everywhere(name, getattr(ttnn, name))
        self._watch_making()
        self._wrap("begin_trace_capture", self._counted("captures", ttnn.begin_trace_capture))
        self._wrap("execute_trace", self._counted("executes", ttnn.execute_trace))
        self._wrap("open_device", self._opening(ttnn.open_device))
        self._wrap("open_mesh_device", self._opening(ttnn.open_mesh_device))
        self.mode = _host_mode(self)
        owners = ((torch.Tensor, TENSOR), (torch, TORCH), (torch.nn.functional, ("pad",)), (time, CLOCKS))
        self.used = {(one, name): getattr(one, name) for one, names in owners for name in names}

    def _wrap(self, name, wrapper):
        wrapper.__name__ = name
        self.ours[name] = wrapper
        setattr(self.ttnn, name, wrapper)

    def _wrap_everywhere(self, name, real):
        """Watch a call by its public name, and by those of ttnn's own modules, which may go on to use it unwatched."""
        watched = self._checked(name, real)
        self._wrap(name, watched)
        if not isinstance(real, types.FunctionType):
            return  # compiled: its modules hold no Python function of it

        def within(*args, **options):
            ours = os.path.dirname(sys._getframe(1).f_code.co_filename) == self.home
            return (real if ours else watched)(*args, **options)

        for module in [one for key, one in list(sys.modules.items()) if key.startswith("ttnn.")]:
            if vars(module).get(name) is real:
                setattr(module, name, within)

    def _watch_making(self):
        """Where tensors are objects of Python's, have none made by hand once the model is built."""
        real = self.tensor.__init__
        if not isinstance(real, types.FunctionType):
            return

        def made(tensor, *args, **options):
            if self.built and os.path.dirname(sys._getframe(1).f_code.co_filename) != self.home:
                self.refuse(f"a ttnn.Tensor is made by hand ({caller(self.home)}); only ttnn's own calls make one")
            real(tensor, *args, **options)

        self.tensor.__init__ = made

    def refuse(self, why):
        """EvalError, now and again at the end: a model may have caught this one."""
        self.caught = self.caught or why
        raise EvalError(why)

    def _checked(self, name, real):
        def call(*args, **options):
            if self.built and self.where is None and name in UPLOADS:
                self.refuse(f"ttnn.{name} writes to the device between two steps ({caller(self.home)})")
            if self.in_capture:
                self.refuse(
                    f"ttnn.{name} inside the traced decode step ({caller(self.home)}): no tensor may be made, read "
                    "or freed there (§10.3); write inputs in prepare_decode"
                )
            if not self.built and name in ("from_torch", "as_tensor"):
                self._count_format(args, options)
            if self.where is not None and name in UPLOADS and not self.uploads_allowed:
                self._check_upload(name, args, options)
            return real(*args, **options)

        return call

    def _count_format(self, args, options):
        tensor = args[0] if args else options.get("tensor")
        shape = [int(one) for one in getattr(tensor, "shape", ())]
        dtype = options.get("dtype") or (args[1] if len(args) > 1 else None)
        kind = str(dtype if dtype is not None else getattr(tensor, "dtype", "")).rpartition(".")[2].lower()
        if len(shape) > 1 and min(shape[-2:]) > 1:
            self.formats[kind] = self.formats.get(kind, 0) + math.prod(shape)

    def _check_upload(self, name, args, options):
        if self.where == "decode_step":
            self.refuse(f"ttnn.{name} in decode_step ({caller(self.home)}): write inputs in prepare_decode")
        tensor = args[0] if args else options.get("tensor", options.get("host_tensor"))
        to_device = name != "from_torch" and name != "as_tensor" or options.get("device") is not None
        if self.where == "prepare_decode" and to_device and name != "copy_host_to_device_tensor" and self.task["trace"]:
            self.refuse(
                f"ttnn.{name} makes a device tensor in prepare_decode ({caller(self.home)}): the trace reads the "
                "old one; write into it with ttnn.copy_host_to_device_tensor"
            )
        dtype = options.get("dtype") or (args[1] if name in ("from_torch", "as_tensor") and len(args) > 1 else None)
        kind = str(dtype if dtype is not None else getattr(tensor, "dtype", ""))
        if any(one in kind.upper() for one in FLOAT_NAMES):
            self.refuse(
                f"ttnn.{name} writes {kind} values in {self.where} ({caller(self.home)}): only token ids and "
                "positions may come from the host; gather what depends on them on the device"
            )
        size = 1
        for one in getattr(tensor, "shape", ()):
            size *= int(one)
        longest = self.task["prefill"] + (self.task["decode"] if self.where == "prefill" else 0)
        most = max(len(self.task["tokens"]) * UPLOAD_ROWS, 2 * longest + UPLOAD_ROWS)
        if size > most:
            self.refuse(f"ttnn.{name} writes {size} values in {self.where} ({caller(self.home)}); {most} at most")
        if to_device:
            self._count_sent(size, most * UPLOAD_CALLS)

    def _count_sent(self, size, most):
        self.sent += size
        if self.where == "prepare_decode":
            self.most_sent = max(self.most_sent, self.sent)
        if self.sent > most:
            self.refuse(
                f"{self.where} writes {self.sent} values in all ({caller(self.home)}); {most} at most, because only "
                "token ids and positions may come from the host"
            )

    def _counted(self, counter, real):
        def call(*args, **options):
            setattr(self, counter, getattr(self, counter) + 1)
            return real(*args, **options)

        return call

    def _opening(self, real):
        def call(*args, **options):
            self.opened = real(*args, **options)
            return self.opened

        return call

    def device(self, model):
        """The device that was opened for the model."""
        return self.opened

    def devices(self, tensor):
        """On how many devices a tensor lies."""
        return tensor.device().get_num_devices() if tensor.device() is not None else 1

    @contextlib.contextmanager
    def building(self):
        """While build_model runs: preparing weights is allowed, running the model is not."""
        before = self.host
        with self.mode:
            yield
        self.build_host, self.host, self.built = self.host - before, before, True
        if self.build_host > BUILD_TOKENS * self.task["parameters"]:
            raise EvalError("build_model computes the model on the host; it may only prepare weights")

    @contextlib.contextmanager
    def running(self, where, uploads=False):
        """While one of the model's methods runs."""
        self.where, self.uploads_allowed, self.sent = where, uploads, 0
        started = time.process_time()
        try:
            with self.mode:
                yield
        finally:
            self.where, self.uploads_allowed = None, True
            if where == "prepare_decode":
                self.prepared.append(time.process_time() - started)

    @contextlib.contextmanager
    def capturing(self):
        """While decode_step is captured."""
        self.in_capture = True
        try:
            with self.running("decode_step"):
                yield
        finally:
            self.in_capture = False

    def host_share(self):
        """The part of the model's arithmetic that ran on the host while it decoded."""
        tokens = sum(len(row) for row in self.task["tokens"])
        return self.host / (self.task["parameters"] * tokens)

    def host_seconds(self):
        """Processor time that the middle one of all decode steps took on the host before it began on the device."""
        return statistics.median(self.prepared) if self.prepared else 0.0

    def count(self, work, name):
        """Arithmetic done by torch outside ttnn."""
        self.host += work
        if self.where is not None and self.host_share() > HOST_SHARE:
            self.refuse(
                f"the model computes on the host: {name} in {self.where} ({caller(self.home)}); its layers must run "
                "on the device"
            )

    def check_calls(self):
        """EvalError when the model was refused something, or has replaced a call that is watched or used."""
        if self.caught is not None:
            raise EvalError(self.caught)
        changed = [f"ttnn.{name}" for name, ours in self.ours.items() if getattr(self.ttnn, name, None) is not ours]
        used = self.used.items()
        changed += [f"{one.__name__}.{name}" for (one, name), ours in used if getattr(one, name, None) is not ours]
        if changed:
            self.refuse(f"model.py changed the harness: {', '.join(changed)}")

    def check_counts(self):
        """EvalError when a trace was asked for and was not captured and replayed for every step."""
        if self.task["trace"] and (self.captures < 1 or self.executes < self.task["decode"] - 1):
            raise EvalError(
                f"--trace 1 made {self.captures} captures and {self.executes} replays; "
                f"1 and {self.task['decode'] - 1} were needed"
            )


def caller(*homes):
    """`model.py:12`: the innermost line outside the harness, torch and ttnn."""
    ours = os.path.dirname(os.path.abspath(__file__))
    frame = sys._getframe(1)
    while frame is not None:
        folder = os.path.dirname(os.path.abspath(frame.f_code.co_filename))
        if (
            folder not in (ours, *homes)
            and "site-packages" not in folder
            and "contextlib" not in frame.f_code.co_filename
        ):
            return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return "somewhere"


def _host_mode(guard):
    torch = guard.torch
    functional = torch.nn.functional
    products = {
        torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm, torch.mv, torch.addmv, functional.linear,
        torch.Tensor.matmul, torch.Tensor.mm, torch.Tensor.bmm, torch.Tensor.__matmul__, torch.Tensor.__rmatmul__,
        torch.Tensor.addmm, torch.Tensor.mv,
    }  # fmt: skip
    attention = {functional.scaled_dot_product_attention}

    class Mode(torch.overrides.TorchFunctionMode):
        """Sees every torch call; counts the heavy ones that ttnn did not make."""

        def __torch_function__(self, function, types, args=(), options=None):
            out = function(*args, **(options or {}))
            if function in products:
                inner = args[1 if function in (torch.addmm, torch.baddbmm, torch.Tensor.addmm) else 0].shape[-1]
                work = out.numel() * inner
            elif function is torch.einsum:
                work = _einsum_work(args)
            elif function in attention:
                work = 2 * args[0].numel() * args[1].shape[-2]
            else:
                return out
            if work > 4096 and not _inside(guard.home):
                guard.count(work, getattr(function, "__name__", "torch"))
            return out

    return Mode()


def _einsum_work(args):
    sizes = {}
    operands = args[1:] if not isinstance(args[1], (list, tuple)) else args[1]
    for labels, operand in zip(args[0].replace(" ", "").split("->")[0].split(","), operands):
        sizes.update(zip(labels, operand.shape))
    work = 1
    for size in sizes.values():
        work *= size
    return work


def _inside(home):
    """Whether a ttnn function is on the stack."""
    frame = sys._getframe(2)
    for _ in range(24):
        if frame is None:
            return False
        if os.path.dirname(frame.f_code.co_filename) == home:
            return True
        frame = frame.f_back
    return False
