"""Calls into converters without their chatter.

At import coremltools logs what this machine lacks (each message is expected anywhere but on a Mac), and a conversion
draws progress bars on standard error and warns of its own use of deprecated functions. None of that is for our users:
what matters comes as an exception.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

from mlsession.errors import UsageError

Item = TypeVar("Item")

# The list of warning filters and coremltools' registries belong to the process: one call at a time may change them.
_ONE_AT_A_TIME = threading.Lock()


def coremltools_module() -> Any:
    """The module coremltools, imported in silence if this is the first use of it. Raises `UsageError` without it."""
    with _ONE_AT_A_TIME, _quiet():
        check_coremltools()
        import coremltools

        return coremltools


def check_coremltools() -> None:
    """Raises `UsageError` where it is not installed; nothing is loaded."""
    if find_spec("coremltools") is None:
        raise UsageError(
            "Core ML files need coremltools, which is not installed; pip install coremltools, or use .safetensors"
        )


@contextmanager
def silenced_coremltools() -> Iterator[Any]:
    """The module coremltools, for converting without a word while the context lasts; everything is put back after.

    Other threads' log records pass. Contexts of several threads take turns; one thread must not nest them. After a
    failure nothing of the conversion is held: its folder of weights is gone before this returns.
    """
    module = coremltools_module()
    with _ONE_AT_A_TIME, _quiet(), _released(), ExitStack() as undo:
        for owner, name in _progress_bars():
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, _plain_loop)
        yield module


@contextmanager
def _released() -> Iterator[None]:
    """Lets go of what a failed conversion holds.

    coremltools leaves its temporary folder to the frames of the traceback, which refer to each other: it would stay
    until a collection of garbage, and its removal be warned of there, in the midst of something else. What the caller
    was handling already stays as it is.
    """
    outer = sys.exc_info()[1]
    try:
        yield
    except BaseException as error:
        causes: BaseException | None = error
        while causes is not None and causes is not outer:
            traceback.clear_frames(causes.__traceback__)
            causes = causes.__context__
        raise


@contextmanager
def silenced(*loggers: str) -> Iterator[None]:
    """No warnings and no log records of these loggers while the context lasts; see `silenced_coremltools`."""
    with _ONE_AT_A_TIME, _quiet(*loggers):
        yield


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """No warnings, and no log records of coremltools, or of these instead."""
    with warnings.catch_warnings(), ExitStack() as deaf:
        warnings.simplefilter("ignore")
        for name in loggers or ("coremltools",):
            deaf.enter_context(_deaf_logger(name))
        yield


@contextmanager
def _deaf_logger(name: str) -> Iterator[None]:
    """Drop what this thread logs, by a filter of our own: no level is changed that another thread could see."""
    logger, thread = logging.getLogger(name), threading.get_ident()

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(from_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(from_elsewhere)


def _progress_bars() -> list[tuple[ModuleType, str]]:
    """Where coremltools' modules hold tqdm, by any name: tqdm has no switch that is not for the whole process."""
    return [
        (module, name)
        for path, module in tuple(sys.modules.items())
        if path.startswith("coremltools.")
        for name, value in tuple(vars(module).items())
        if isinstance(value, type) and value.__module__.startswith("tqdm.")
    ]


def _plain_loop(items: Iterable[Item], **_options: object) -> Iterable[Item]:
    return items
