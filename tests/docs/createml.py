"""The names that the tables of docs/createml.md give, and whether the library has them."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import MappingProxyType

import typer

import mlsession as ml
from mlsession import errors, events
from mlsession.augment.options import NAMES
from mlsession.cli.app import app
from mlsession.cli.completion import command_words

DOCUMENT = Path(__file__).parents[2] / "docs" / "createml.md"

VALUES = MappingProxyType(
    {
        "ml": ml,
        "session": ml.TrainingSession,
        "job": ml.Job,
        "classifier": ml.Classifier,
        "metrics": ml.ClassifierMetrics,
        "checkpoint": ml.Checkpoint,
    }
)
"""What the document calls values of these types."""
OWNERS: MappingProxyType[str, tuple[type, ...]] = MappingProxyType(
    {
        "The classifier": (ml.Classifier, ml.ClassifierMetrics, ml.SessionParameters),
        "Data": (ml.DataSource, ml.Validation),
        "Parameters": (ml.ModelParameters, ml.SessionParameters),
        "Augmentation": (ml.ModelParameters,),
        "Sessions and jobs": (ml.SessionParameters, ml.Progress),
        "Metrics": (ml.ClassifierMetrics, ml.ModelMetadata),
    }
)
"""Whose members a section names alone."""
FILE_ENDINGS = (".mlmodel", ".mlpackage", ".onnx", ".pt2", ".safetensors")


def rows() -> Iterator[tuple[str, list[str]]]:
    """The section of each row of a table, and the code in what it says of mlsession."""
    section = ""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| ") and not line.startswith("| Create ML "):
            _, *ours = line.strip("| ").split(" | ")
            yield section, re.findall(r"`([^`]+)`", " | ".join(ours))


def is_there(section: str, code: str, values: Collection[str]) -> bool:
    """Whether the library has what some code names; `values` are texts that it may name besides, such as metrics."""
    if code in FILE_ENDINGS or code in values:
        return True
    if code.startswith("mlsession "):
        return _is_command(code.split()[1:])
    if code.startswith("mlsession."):
        return importlib.import_module(code) is not None
    (statement,) = ast.parse(code).body
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return _has_default(section, name, ast.literal_eval(value))
        case ast.Expr(value=ast.Constant(value=str() as name)):
            return name in NAMES
        case ast.Expr(value=ast.Await(value=ast.Name(id=name))):
            return hasattr(VALUES[name], "__await__")
        case ast.Expr(value=ast.Call(func=function, args=arguments, keywords=keywords)):
            names = [each.id for each in arguments if isinstance(each, ast.Name)]
            target = _found(section, function)
            return callable(target) and _takes(target, [*names, *(str(each.arg) for each in keywords)])
        case ast.Expr(value=value):
            return _found(section, value) is not None
    return False


def _is_command(words: list[str]) -> bool:
    known = command_words(typer.main.get_command(app))
    options = [word for word in words if word.startswith("-")]
    command = " ".join(word for word in words if not word.startswith("-"))
    return command in known and set(options) <= set(known[command])


def _found(section: str, expression: ast.expr) -> object:
    match expression:
        case ast.Constant(value=None):
            return "None"
        case ast.Attribute(value=owner, attr=name):
            return getattr(_found(section, owner), name, None)
        case ast.Name(id=name):
            places = (VALUES.get(name), *(getattr(each, name, None) for each in (*OWNERS[section], errors, events, ml)))
            found = next((place for place in places if place is not None), None)
            return found or getattr(builtins, name, None)
    return None


def _takes(function: object, names: list[str]) -> bool:
    assert callable(function)
    return set(names) <= inspect.signature(function).parameters.keys()


def _has_default(section: str, name: str, value: object) -> bool:
    """Whether a parameter of a constructor or method has this default, or names it among its choices."""
    owners = OWNERS[section]
    functions: list[Callable[..., object]] = [*owners]
    functions += [method for owner in owners for _, method in inspect.getmembers(owner, callable)]
    for function in functions:
        try:
            parameter = inspect.signature(function).parameters.get(name)
        except ValueError:  # Some built-in slots have no signature.
            continue
        if parameter is not None:
            return bool(parameter.default == value) or repr(value) in str(parameter.annotation).replace('"', "'")
    return False
