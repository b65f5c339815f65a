"""Imports run one way, modules and functions stay small, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mlsession"

LAYERS = (
    ("__main__",),
    ("cli",),
    ("training",),
    ("cards", "inference"),
    ("advising", "integrations", "plots"),
    ("scanning",),
    ("curves", "export", "reviewing"),
    ("job",),
    ("loggers",),
    ("phases",),
    ("cache", "classifier"),
    ("testing",),
    ("session",),
    ("finetuning",),
    ("augment", "extractors", "heads", "metrics"),
    ("coreml",),
    ("data",),
    ("images",),
    ("devices", "display", "store"),
    ("session.phase",),
    ("events",),
    ("event", "clock", "errors", "processor", "randomness"),
)
"""From top to bottom; a module may import its own package and lines below it."""


@cache
def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


def layer(module: str) -> tuple[int, str]:
    """The line of `LAYERS` that a module is on, and the name it has there; the longest name wins."""
    found = [
        (rank, name)
        for rank, names in enumerate(LAYERS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    return max(found, key=lambda item: len(item[1]))


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it, but for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mlsession"):
            found.add(node.module.removeprefix("mlsession").removeprefix("."))
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("mlsession.") for alias in node.names if alias.name.startswith("mlsession.")
            }
    return found - {""}


NAMED = sorted(name for name in modules() if name not in ("", "__init__"))


def test_imports_run_one_way() -> None:
    wrong = []
    for module in NAMED:
        rank, name = layer(module)
        for imported in imports(modules()[module]):
            other_rank, other = layer(imported)
            if other != name and other_rank <= rank:
                wrong.append(f"{module} imports {imported}, which is not below it")
    assert wrong == []


def test_modules_and_functions_are_small() -> None:
    large = []
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) >= 300:
            large.append(module)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno >= 60:
                    large.append(f"{module}.{node.name}")
    assert large == []


def test_there_are_no_import_cycles() -> None:
    graph = {name: {one for one in imports(path) if one in modules()} for name, path in modules().items()}
    visiting: list[str] = []
    done: set[str] = set()

    def visit(name: str) -> None:
        assert name not in visiting, f"cycle: {' -> '.join([*visiting[visiting.index(name) :], name])}"
        if name in done:
            return
        visiting.append(name)
        for imported in sorted(graph[name]):
            visit(imported)
        visiting.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def test_only_the_store_knows_fsspec() -> None:
    users = {
        name
        for name, path in modules().items()
        if any(line.strip().startswith(("import fsspec", "from fsspec")) for line in path.read_text().splitlines())
    }
    assert users
    assert all(name.startswith("store") for name in users)


HEAVY = (
    *("torch", "torchvision", "pandas", "pytorch_lightning", "lightning_fabric", "tensorboard", "mlflow", "wandb"),
    *("coremltools", "timm", "pyarrow", "matplotlib", "albumentations", "cv2"),
)


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import mlsession", (*HEAVY, "numpy", "fsspec", "PIL", "typer")),
        ("import mlsession.cli.app", (*HEAVY, "numpy", "fsspec", "PIL")),
        ("import mlsession.job.run, mlsession.session.session", (*HEAVY, "PIL", "s3fs")),
        (
            "from mlsession import DataSource, ModelParameters, SessionParameters, Validation, scene_print",
            (*HEAVY, "PIL"),
        ),
        ("from mlsession import Classifier", HEAVY),
    ],
)
def test_imports_are_light(statement: str, unwanted: tuple[str, ...]) -> None:
    code = f"{statement}\nimport sys\nprint([name for name in {unwanted!r} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
