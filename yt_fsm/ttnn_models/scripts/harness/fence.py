"""What a model's code may not reach: other files, other processes, Hugging Face's models, and the harness."""

import _thread
import builtins
import os
import pathlib
import re
import sys
import sysconfig
import tempfile
import types

from .errors import EvalError

OURS = os.path.dirname(os.path.abspath(__file__))
# A bringup has no use for these; each is a way around what follows.
WORDS = re.compile(
    r"torch\._C|DisableTorch\w*|__torch_\w+__|TorchFunctionMode|TorchDispatchMode|_getframe|settrace|setprofile|"
    r"addaudithook|\bctypes\b|\bgc\.get_\w+|sys\.modules|(?:from|import) harness\b|\btb_frame\b|\bf_back\b|"
    r"\.shards\b|\bf_(?:locals|globals)\b|currentframe|__closure__|cell_contents|__globals__"
)
STARTS = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill",
    "socket.connect", "socket.bind", "ctypes.dlopen", "signal.pthread_kill",
)  # fmt: skip
# What leads from an error, a function or the interpreter to the harness's own variables.
LOOKS = (
    "sys._getframe", "sys._current_frames", "sys._current_exceptions", "sys.settrace", "sys.setprofile",
    "gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.addaudithook",
)  # fmt: skip
FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
CODE = ("compile", "code.__new__")
NAMES = (*CODE, "object.__getattr__")  # events whose second argument is a name
WATCHED = frozenset(("open", *STARTS, *LOOKS, *NAMES))
LENT = (os.sep + "inspect.py", os.sep + "traceback.py")  # they look on behalf of who calls them
FORWARD = re.compile(r"transformers/models/(?!auto/)[^/]+/(?:__pycache__/)?modeling_")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
READABLE = (".py", ".pyc", ".json")  # in the model's own folder


def check_sources(model_file):
    """Refuse a model that names something it has no use for, in its file or in a module beside it."""
    folder = pathlib.Path(model_file).parent
    for path in sorted({pathlib.Path(model_file), *folder.rglob("*.py")}):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            found = WORDS.search(line.partition("#")[0])
            if found:
                name = path.relative_to(folder)
                raise EvalError(f"{name}:{number} names {found[0]}, which a model has no use for")


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
        self.caught = None  # the first that was refused: a model that goes on is not forgiven
        self.looking = set()  # threads that are in the hook
        self.own = os.path.realpath(tempfile.gettempdir()) + os.sep
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
        if event not in WATCHED:
            return
        # Nothing of the model's may run within the hook: a path or a name may be an object of its own making.
        named = args[0] if event == "open" else args[1] if event in NAMES else None
        if isinstance(named, (str, bytes, os.PathLike)):
            named = str.encode(os.fsdecode(named), "utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        else:
            named = None
        here = _thread.get_ident()
        if here in self.looking:  # what this hook itself looks at
            return
        self.looking.add(here)
        try:
            self._judge(event, named, args)
        finally:
            self.looking.discard(here)

    def _judge(self, event, named, args):
        if event == "open":
            if named is None:
                return
            # To be run, that is: transformers also reads all of its files to see what they offer.
            run = sys._getframe(2).f_code.co_filename.startswith("<frozen importlib")
            if run and FORWARD.search(named) and self._model_on_stack():
                self._refuse(f"model.py loads {named}: the Hugging Face model is the reference, not the bringup")
            if self._by_model():
                self._check_open(os.path.realpath(named), args[2])
        elif event in STARTS:
            if self._by_model():
                self._refuse(f"model.py does {event}; it may use the device and nothing else")
        elif event in CODE:
            if named is not None and named.startswith(self.known) and self._by_model():
                self._refuse(f"model.py makes code that passes for {named}")
        elif (event in LOOKS or named in FRAMES) and self._called_by_model():
            self._refuse(f"model.py looks at the harness's frames ({event})")

    def _called_by_model(self):
        """Whether the model itself asked, or a module that looks on its behalf."""
        frame = sys._getframe(3)
        while frame is not None and frame.f_code.co_filename.endswith(LENT):
            frame = frame.f_back
        name = frame.f_code.co_filename if frame is not None else "<frozen"
        return not name.startswith(self.known) and not name.startswith("<frozen")

    def _refuse(self, why):
        self.caught = self.caught or why
        raise EvalError(why)

    def _check_open(self, path, flags):
        if (flags or 0) & WRITES and not path.startswith((self.own, "/dev/")):
            self._refuse(f"model.py writes {path}; it may use the device and nothing else")
        if path.startswith(self.known) or path.startswith(("/sys/", "/dev/")):
            return
        if path.startswith(self.own) or path.startswith(self.model + os.sep) and path.endswith(READABLE):
            return
        self._refuse(f"model.py opens {path}; weights come from source.state_dict()")

    def check(self):
        """EvalError when the model tried what it may not, or has replaced one of our functions or Python's."""
        if self.caught is not None:
            raise EvalError(self.caught)
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
