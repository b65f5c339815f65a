"""What has gone wrong in one process, told to another: as JSON, and as the error that one raises for it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from types import MappingProxyType

from mlsession.errors import (
    Cancelled,
    CredentialsExpired,
    DamagedData,
    InternalError,
    Interrupted,
    InvalidParameter,
    KeyMissing,
    MLSessionError,
    ModifiedTrainingData,
    SessionTakenOver,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UsageError,
    WorkerLost,
)
from mlsession.session.phase import Json

_STORE: Mapping[str, type[StoreError]] = MappingProxyType(
    {
        each.__name__: each
        for each in (StoreError, KeyMissing, StoreDenied, StoreFull, StoreUnavailable, CredentialsExpired)
    }
)
_STOPS = frozenset(each.__name__ for each in (Cancelled, Interrupted, WorkerLost))
_MOST_TEXT = 4_000
"""Characters that are told; an error's text may hold whole arrays."""
_CHANGES = ("added", "removed", "relabeled", "replaced")
_MOST_KEYS = 1_000
"""Of images that have changed; where there are more, only the text is told."""


def failure_to_json(error: BaseException) -> dict[str, Json]:
    """What another process needs to raise the like."""
    kind = type(error).__name__
    text = str(error) if isinstance(error, MLSessionError) else f"{kind}: {error}"
    whose = "usage" if isinstance(error, UsageError) else "ours" if isinstance(error, MLSessionError) else "unforeseen"
    key = getattr(error, "key", "") if isinstance(error, StoreError | DamagedData) else ""
    reason = error.reason if isinstance(error, DamagedData) else ""
    about: dict[str, Json] = {}
    if isinstance(error, InvalidParameter):
        value = error.value if isinstance(error.value, str | int | float | bool | None) else repr(error.value)
        about = {"parameter": error.parameter, "value": value, "reason": error.reason[:_MOST_TEXT]}
    if isinstance(error, ModifiedTrainingData):
        changes: dict[str, Json] = {name: list(getattr(error, name)) for name in _CHANGES}
        if sum(len(keys) for keys in changes.values() if isinstance(keys, list)) <= _MOST_KEYS:
            about = {"changes": changes, "cure": error.cure, "what": error.what}
    return {
        "kind": kind,
        "text": text[:_MOST_TEXT],
        "whose": whose,
        "key": str(key),
        "reason": reason[:_MOST_TEXT],
        "host": platform.node(),
        **about,
    }


def is_failure(told: Mapping[str, Json]) -> bool:
    """Whether it is an error of its own, and no stop, which somebody asked for or another process's end has caused."""
    return told.get("kind") not in _STOPS


def failure_from_json(told: Mapping[str, Json], who: str) -> MLSessionError:
    """The error to raise for it: of the same class where that says what to do, else of the root of those like it."""
    kind, text, whose = (str(told.get(name, "")) for name in ("kind", "text", "whose"))
    where = f"{who} on {told.get('host') or 'another machine'}: {text}"
    if kind in _STORE:
        return _STORE[kind](where, str(told.get("key", "")))
    if kind == DamagedData.__name__:
        return DamagedData(str(told.get("key", "")), str(told.get("reason", "")))
    if kind == InvalidParameter.__name__:
        reason = f"{told.get('reason', '')} ({who} on {told.get('host') or 'another machine'})"
        return InvalidParameter(str(told.get("parameter", "")), told.get("value"), reason)
    if kind == ModifiedTrainingData.__name__ and isinstance(changes := told.get("changes"), dict):
        added, removed, relabeled, replaced = (_keys(changes.get(name)) for name in _CHANGES)
        cure, what = str(told.get("cure", "")), str(told.get("what", ""))
        return ModifiedTrainingData(added, removed, relabeled, replaced, cure, what)
    if kind == SessionTakenOver.__name__:
        return SessionTakenOver(where)
    if whose == "usage":
        return UsageError(where)
    return MLSessionError(where) if whose == "ours" else InternalError(where)


def _keys(value: Json) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
