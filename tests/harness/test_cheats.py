"""A model file cannot talk the harness round: each way that was thought of ends in an error, or changes nothing."""

import json
import subprocess
import textwrap

import pytest

from yt_fsm.bringup import judged

from .conftest import STANDIN, clean

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
    "goes on when it was refused": (
        (
            WRONG,
            at_import("try:\n    open('{references}/x.ytref')\nexcept BaseException:\n    pass"),
        ),
        "x.ytref; weights come from source.state_dict()",
    ),
    "leaves a report and logits of its own": (
        (
            WRONG,
            at_import(
                "import json, numpy, os\nfolder = os.environ['TMPDIR']\n"
                "numpy.save(folder + '/logits.npy', numpy.zeros((1, 4, 288), numpy.float32))\n"
                "with open(folder + '/report.json', 'w') as file:\n"
                "    file.write(json.dumps({'facts': {'top1': 1.0, 'top5': 1.0, 'captures': 1}, 'timing': {}}))\n"
                "os._exit(0)"
            ),
        ),
        "left a report that the harness in it did not write",
    ),
    "reads its tokens ahead": (
        (WRONG, at_import("import os\nopen(os.environ['TMPDIR'] + '/task.json')")),
        "FileNotFoundError",
    ),
    "rewrites the scorer": (
        (WRONG, at_import("import torch\nopen(torch.__file__, 'r+').close()")),
        "model.py writes",
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


# Spelled so that no list of words finds them. A frame leads to the harness's variables, and code with a library's name
# would not be watched.
LOOKS = """
    import gc, inspect, sys, threading, traceback
    import torch

    def probe(name, action):
        try:
            action()
            print("WORKS", name)
        except Exception as problem:
            print("REFUSED", name, problem)

    def raised():
        try:
            1 / 0
        except ZeroDivisionError as error:
            return getattr(error.__traceback__, "tb_" + "frame")

    lent = inspect.__dict__["current" + "frame"]
    probe("error", raised)
    probe("frame", lambda: getattr(sys, "_get" + "frame")())
    probe("inspect", lambda: lent())
    probe("stack", lambda: list(traceback.walk_stack(None)))
    probe("objects", lambda: getattr(gc, "get_" + "objects")())
    probe("name", lambda: compile("x = 1", torch.__file__, "exec"))
    probe("renamed", lambda: raised.__code__.replace(co_filename=torch.__file__))
    probe("OWN", lambda: compile("x = 1", "<made>", "exec"))
"""


def test_a_model_sees_no_frame_of_the_harness_and_makes_no_code_that_passes_for_a_package_s(evaluate, bringup):
    bringup(WRONG, at_import(LOOKS))
    done = evaluate("--mode", "tt", *SHORT)
    assert "model.py looks at the harness's frames (object.__getattr__)" in done.error
    told = [line.split()[:2] for line in done.err.splitlines() if line.startswith(("WORKS", "REFUSED"))]
    names = ("error", "frame", "inspect", "stack", "objects", "name", "renamed")
    assert told == [*(["REFUSED", name] for name in names), ["WORKS", "OWN"]]


def test_a_module_beside_the_model_is_held_to_the_same(evaluate, bringup):
    file = bringup(WRONG, at_import("import pathlib\nexec(pathlib.Path(__file__).with_name('helper.py').read_text())"))
    file.with_name("helper.py").write_text("import math\nimport ctypes\n")
    done = evaluate("--mode", "tt", "--trace", 1, *SHORT)
    assert done.error == "error: helper.py:2 names ctypes, which a model has no use for"


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
    assert name.startswith(judged.HARNESS)


HELPER = """
def words():
    with open(__file__) as file:
        return file.read()
"""


def test_packages_that_a_pth_file_leads_to_are_not_the_model(repo, bringup, python, tiny, references, tmp_path):
    """A Python whose packages lie elsewhere, as with --system-site-packages: numpy, torch and ttnn open their files."""
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    (helpers / "bringup_helper.py").write_text(HELPER)
    subprocess.run([python, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    (there,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (there / "elsewhere.pth").write_text(f"{packages}\n{helpers}\n{STANDIN}\n")
    bringup(at_import("import bringup_helper\nassert bringup_helper.words()"))
    command = [
        str(tmp_path / "venv" / "bin" / "python"),
        "scripts/run_eval.py",
        "--mode",
        "tt",
        "--hf-model",
        str(tiny),
    ]
    command += [*map(str, SHORT), "--reference-cache", str(references)]
    environment = {name: value for name, value in clean().items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=repo, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_python_imports_from_does_not_make_the_model_s_files_a_package_s(evaluate, bringup, references):
    file = bringup(WRONG, at_import(f"open('{references}/x.ytref')"))
    done = evaluate("--mode", "tt", *SHORT, PYTHONPATH=f"{STANDIN}:{file.parent}:{file.parents[5]}:/")
    assert done.code == 1
    assert "x.ytref; weights come from source.state_dict()" in done.error
