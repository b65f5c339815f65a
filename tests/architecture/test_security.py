"""Nothing that is read can run: no unpickling, no evaluating, no shells, no imports of names out of data.

The rules look at what is written, by its syntax tree, with names followed through imports; each is shown to catch what
it is for. What is loaded is tried in `tests/security`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

UNPICKLERS = frozenset(
    {
        *("pickle", "_pickle", "cPickle", "pickle5", "cloudpickle", "dill", "joblib", "jsonpickle"),
        *("shelve", "marshal", "hickle", "klepto", "pickleshare", "pandas.io.pickle", "numpy.lib.npyio"),
    }
)
"""Modules that build whatever their input says."""

FORBIDDEN = frozenset(
    {
        *("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile"),
        *("builtins.__import__", "os.system", "os.popen", "pty.spawn", "asyncio.create_subprocess_shell"),
        *("subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"),
        *("pandas.read_pickle", "pandas.eval", "numpy.lib.format.read_array", "shutil.unpack_archive"),
        *("torch.jit.load", "torch.hub.load", "torch.package.PackageImporter"),
        *("importlib.__import__", "importlib.util.spec_from_file_location", "importlib.machinery.SourceFileLoader"),
        *("pkgutil.resolve_name", "runpy.run_path", "runpy.run_module", "code.interact", "tempfile.mktemp"),
        *("logging.config.listen", "timm.models.load_checkpoint"),
    }
)
"""Calls that run, or build, what they are given."""

YAML_SAFE = frozenset({"safe_load", "safe_load_all", "safe_dump", "safe_dump_all"})

ALLOWED = frozenset(
    {
        # Weights out of a package or a person's own file: hashed first, and `weights_only` builds tensors alone.
        ("mlsession/extractors/weights.py", "torch.load"),
        # The public names and the modules that have them: a table in the same file.
        ("mlsession/__init__.py", "importlib.import_module"),
        # A network that the caller names, each time: a record's word never comes there, see `extractors.custom`.
        ("mlsession/extractors/custom/torch.py", "importlib.import_module"),
        # Scripts of the same folder, each in turn.
        ("benchmarks/run.py", "runpy.run_path"),
        # Children that run what their parent, a script of the same folder, names: this package and its examples.
        ("benchmarks/storm/child.py", "runpy.run_module"),
        ("benchmarks/storm/child.py", "runpy.run_path"),
        ("benchmarks/storm/nursery.py", "importlib.import_module"),
    }
)


def findings(source: str) -> list[str]:
    """What a source text must not do, in the order of its lines."""
    tree = ast.parse(source)
    names = _imported(tree)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [(node.lineno, what) for what in _of_import(node)]
        elif isinstance(node, ast.Call):
            found += [(node.lineno, what) for what in _of_call(node, names)]
        elif isinstance(node, ast.Name | ast.Attribute) and id(node) not in called:
            # Handed on (`map(eval, texts)`) it is called elsewhere; a member of that name (`compile: bool`) is not it.
            whole = _dotted(node, names) if isinstance(node.ctx, ast.Load) else ""
            found += [(node.lineno, f"{whole} handed on")] if whole in FORBIDDEN | {"torch.load"} else []
    return [what for _, what in sorted(found)]


def _imported(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for, with all its dots."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                names[alias.asname or whole] = whole
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Imports of modules that must not be used at all."""
    modules: list[str] = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif node.module and not node.level:
        modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    for module in modules:
        if any(module == name or module.startswith(f"{name}.") for name in UNPICKLERS):
            yield f"import {module}"
            return


def _of_call(call: ast.Call, names: dict[str, str]) -> Iterator[str]:
    """What is wrong with a call."""
    called = _dotted(call.func, names)
    keywords = {word.arg: word.value for word in call.keywords}
    if called in FORBIDDEN or called.startswith(("os.exec", "os.spawn", "os.posix_spawn")):
        yield called
    elif called == "torch.load":
        yield called if _is_constant(keywords.get("weights_only"), True) else "torch.load without weights_only=True"
    elif called.startswith("yaml."):
        yield from [called] if called.removeprefix("yaml.") not in YAML_SAFE else []
    elif called == "importlib.import_module":
        yield from [called] if not (call.args and isinstance(call.args[0], ast.Constant)) else []
    elif called.split(".")[0] == "subprocess" and not _is_constant(keywords.get("shell"), False, absent=True):
        yield f"{called} with a shell"
    elif isinstance(call.func, ast.Attribute) and call.func.attr == "extractall":
        yield "extractall"
    elif isinstance(call.func, ast.Attribute) and call.func.attr in ("eval", "query") and call.args:
        # `network.eval()` has no arguments; `table.eval("...")` of pandas evaluates them.
        yield f".{call.func.attr} of a text"
    if not _is_constant(keywords.get("allow_pickle"), False, absent=True):
        yield f"{called} with allow_pickle"
    if called == "numpy.load" and len(call.args) > 2:
        yield "numpy.load with allow_pickle"


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    """The function that is called, as its module calls it; "" for what is no plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ".".join(["", *reversed(parts)])
    whole = ".".join([names.get(node.id, node.id), *reversed(parts)])
    return whole.replace("torch.serialization.load", "torch.load")


def _is_constant(node: ast.expr | None, value: bool, absent: bool = False) -> bool:
    return absent if node is None else isinstance(node, ast.Constant) and node.value is value


def sources() -> list[Path]:
    folders = ("mlsession", "examples", "benchmarks")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_nothing_unpickles_evaluates_or_calls_a_shell() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), what) for path in sources() for what in findings(path.read_text("utf-8"))
    ]
    # What is allowed and not used is a door left open.
    assert sorted(set(found)) == sorted(ALLOWED)
    assert [what for _, what in found].count("torch.load") == 1


CAUGHT = (
    ("import pickle", "import pickle"),
    ("import pickle as p", "import pickle"),
    ("from pickle import loads", "import pickle"),
    ("def f():\n    import _pickle", "import _pickle"),
    ("import cPickle", "import cPickle"),
    ("import cloudpickle.compat", "import cloudpickle.compat"),
    ("import dill", "import dill"),
    ("from joblib import load", "import joblib"),
    ("import shelve", "import shelve"),
    ("import marshal", "import marshal"),
    ("from numpy.lib import npyio", "import numpy.lib.npyio"),
    ("import torch\ntorch.load(f)", "torch.load without weights_only=True"),
    ("import torch\ntorch.load(f, weights_only=False)", "torch.load without weights_only=True"),
    ("import torch\ntorch.load(f, weights_only=safe)", "torch.load without weights_only=True"),
    ("from torch import load\nload(f)", "torch.load without weights_only=True"),
    ("import torch as t\nt.load(f, weights_only=True)", "torch.load"),
    ("from torch import serialization\nserialization.load(f)", "torch.load without weights_only=True"),
    ("import torch\ntorch.jit.load(f)", "torch.jit.load"),
    ("from torch import hub\nhub.load('a', 'b')", "torch.hub.load"),
    ("eval(text)", "eval"),
    ("exec(text)", "exec"),
    ("compile(text, 'x', 'exec')", "compile"),
    ("import builtins\nbuiltins.eval(text)", "builtins.eval"),
    ("from builtins import exec as run\nrun(text)", "builtins.exec"),
    ("__import__(name)", "__import__"),
    ("import importlib\nimportlib.import_module(name)", "importlib.import_module"),
    ("from importlib import import_module as load\nload(f'{name}.x')", "importlib.import_module"),
    ("import importlib.util\nimportlib.util.spec_from_file_location(n, p)", "importlib.util.spec_from_file_location"),
    ("import yaml\nyaml.load(text)", "yaml.load"),
    ("import yaml\nyaml.load(text, Loader=yaml.SafeLoader)", "yaml.load"),
    ("from yaml import unsafe_load\nunsafe_load(text)", "yaml.unsafe_load"),
    ("import os\nos.system(line)", "os.system"),
    ("from os import popen\npopen(line)", "os.popen"),
    ("import os\nos.execvp(a, b)", "os.execvp"),
    ("import subprocess\nsubprocess.run(line, shell=True)", "subprocess.run with a shell"),
    ("import subprocess\nsubprocess.Popen(line, shell=wanted)", "subprocess.Popen with a shell"),
    ("from subprocess import check_output\ncheck_output(line, shell=True)", "subprocess.check_output with a shell"),
    ("import subprocess\nsubprocess.getoutput(line)", "subprocess.getoutput"),
    ("import asyncio\nasyncio.create_subprocess_shell(line)", "asyncio.create_subprocess_shell"),
    ("import numpy as np\nnp.load(f, allow_pickle=True)", "numpy.load with allow_pickle"),
    ("from numpy import load\nload(f, None, True)", "numpy.load with allow_pickle"),
    ("import numpy\nnumpy.load(f, allow_pickle=wanted)", "numpy.load with allow_pickle"),
    ("import pandas as pd\npd.read_pickle(f)", "pandas.read_pickle"),
    ("table.eval('a + b')", ".eval of a text"),
    ("table.query(text)", ".query of a text"),
    ("import tarfile\ntarfile.open(f).extractall(folder)", "extractall"),
    ("import runpy\nrunpy.run_path(f)", "runpy.run_path"),
    ("list(map(eval, texts))", "eval handed on"),
    ("import torch\nread = torch.load", "torch.load handed on"),
    ("import os\nrun = os.system", "os.system handed on"),
)


@pytest.mark.parametrize(("source", "expected"), CAUGHT, ids=lambda text: text.replace("\n", "; "))
def test_each_is_caught(source: str, expected: str) -> None:
    assert findings(source) == [expected]


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile(text)",
        "import json\njson.loads(text)",
        "network.eval()",
        "import importlib\nimportlib.import_module('albumentations')",
        "import importlib.util\nimportlib.util.find_spec('timm')",
        "import subprocess\nsubprocess.run([a, b], check=True)",
        "import subprocess\nsubprocess.run([a, b], shell=False)",
        "import numpy as np\nnp.load(f)",
        "import numpy as np\nnp.load(f, allow_pickle=False)",
        "import yaml\nyaml.safe_load(text)",
        "from safetensors.numpy import load\nload(data)",
        "from .pickle import jar",
        "import torch\ntorch.export.export(network, (x,))",
    ],
    ids=lambda text: text.replace("\n", "; "),
)
def test_what_is_harmless_passes(source: str) -> None:
    assert findings(source) == []


def test_all_of_the_project_is_looked_at() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in sources()}
    assert names == {"mlsession", "examples", "benchmarks"}
    assert len(sources()) > 250
