"""What a model's code may not reach: other files, other processes, Hugging Face's models, and the harness."""

import builtins
import os
import re
import sys
import sysconfig
import types

from .errors import EvalError

OURS = os.path.dirname(os.path.abspath(__file__))
# A bringup has no use for these; each is a way around what follows.
WORDS = re.compile(
    r"torch\._C|DisableTorch\w*|__torch_\w+__|TorchFunctionMode|TorchDispatchMode|_getframe|settrace|setprofile|"
    r"addaudithook|\bctypes\b|\bgc\.get_\w+|sys\.modules|(?:from|import) harness\b"
)
STARTS = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill",
    "socket.connect", "socket.bind", "ctypes.dlopen", "signal.pthread_kill",
)  # fmt: skip
FORWARD = re.compile(r"transformers/models/(?!auto/)[^/]+/(?:__pycache__/)?modeling_")
READABLE = (".py", ".pyc", ".json")  # in the model's own folder


def check_source(path):
    """Refuse a model file that names something it has no use for."""
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            found = WORDS.search(line.partition("#")[0])
            if found:
                raise EvalError(f"model.py:{number} names {found[0]}, which a model has no use for")


def libraries(model):
    """The folders of the interpreter's and all packages' files, by each of their names; none with `model` in it.

    Packages lie beside the interpreter, and wherever else it imports from: in the dist-packages of a distribution, the
    site-packages of another environment, a folder that a .pth file or the editable install of a package names.
    """
    found = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found.update(one for one in sys.path if os.path.isabs(one) and os.path.isdir(one))
    for finder in sys.meta_path:
        module = sys.modules.get(getattr(finder, "__module__", ""))
        mapping = getattr(module, "MAPPING", None)  # of setuptools' editable installs
        if isinstance(mapping, dict):
            found.update(map(str, mapping.values()))
    model = os.path.realpath(model) + os.sep
    # The models repository itself is where a model may write: no folder on sys.path makes its files a package's.
    ours = os.path.dirname(OURS)
    return {
        name
        for one in found
        for name in (one, os.path.realpath(one))
        if one != ours and not _overlap(model, os.path.realpath(one) + os.sep)
    }


def _overlap(one, other):
    return one.startswith(other) or other.startswith(one)


class Fence:
    """From its making on, code that is not the interpreter's, a package's or ours is the model's, and is watched."""

    def __init__(self, model_file, homes):
        self.model = os.path.dirname(os.path.abspath(model_file))
        self.homes = tuple(os.path.realpath(one) + os.sep for one in homes)
        self.known = (OURS + os.sep, *(one + os.sep for one in libraries(self.model)), *self.homes)
        self.seal = _seal()
        self.kept = {name: getattr(builtins, name) for name in ("open", "print", "len", "isinstance", "super", "type")}
        sys.addaudithook(self._event)

    def _model_on_stack(self):
        frame = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if not name.startswith(self.known) and not name.startswith("<frozen"):
                return True
            frame = frame.f_back
        return False

    def _by_model(self):
        """Whether the model asked for it, and not ttnn or a package that is being imported."""
        frame = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self.homes) or name.startswith("<frozen importlib"):
                return False
            if not name.startswith(self.known) and not name.startswith("<frozen"):
                return True
            frame = frame.f_back
        return False

    def _event(self, event, args):
        if event == "open":
            if not isinstance(args[0], (str, bytes, os.PathLike)):
                return
            path = os.fsdecode(args[0])
            # To be run, that is: transformers also reads all of its files to see what they offer.
            run = sys._getframe(1).f_code.co_filename.startswith("<frozen importlib")
            if run and FORWARD.search(path) and self._model_on_stack():
                raise EvalError(f"model.py loads {path}: the Hugging Face model is the reference, not the bringup")
            if self._by_model():
                self._check_open(os.path.realpath(path))
        elif event in STARTS and self._by_model():
            raise EvalError(f"model.py does {event}; it may use the device and nothing else")

    def _check_open(self, path):
        if path.startswith(self.known) or path.startswith(("/sys/", "/dev/")):
            return
        if path.startswith(self.model + os.sep) and path.endswith(READABLE):
            return
        raise EvalError(f"model.py opens {path}; weights come from source.state_dict()")

    def check(self):
        """EvalError when the model has replaced one of our functions or Python's."""
        changed = [name for name, ours in self.kept.items() if getattr(builtins, name) is not ours]
        changed += [f"__main__.{name}" for name in vars(sys.modules["__main__"]) if not name.startswith("__")]
        now = _seal(self.seal)
        changed += sorted(name for name in self.seal if now.get(name) != self.seal[name])
        if changed:
            raise EvalError(f"model.py changed the harness: {', '.join(changed)}")


_modules = {}


def hide():
    """Take the harness out of sight of `import`, and put an empty __main__ where a model might look for us."""
    for name in [name for name in sys.modules if name == "harness" or name.startswith("harness.")]:
        _modules[name] = sys.modules.pop(name)
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path.pop(0)


def _seal(known=None):
    """The code of every function and method of the harness, by name."""
    if known is None:
        for name, module in list(sys.modules.items()):
            if name.startswith("harness."):
                _modules[name] = module
    found = {}
    for module_name, module in _modules.items():
        for name, value in vars(module).items():
            if isinstance(value, types.FunctionType) and value.__module__ == module_name:
                found[f"{module_name}.{name}"] = (id(value), id(value.__code__))
            elif isinstance(value, type) and value.__module__ == module_name:
                for method, function in vars(value).items():
                    if isinstance(function, types.FunctionType):
                        found[f"{module_name}.{name}.{method}"] = (id(function), id(function.__code__))
    return found
