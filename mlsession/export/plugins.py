"""Formats of other packages, found by entry points: nothing of one is loaded before its suffix is asked for.

A distribution adds a format by its metadata (here in a pyproject.toml):

    [project.entry-points."mlsession.exporters"]
    ".tflite" = "my_package.exporting:TFLiteExporter"

The name is the suffix; what it stands for is an `Exporter`, or is called without arguments to make one. It is given the
trained `ImageModel`, of which `ExportableModel` says what an exporter of whole networks needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mlsession.errors import UsageError
from mlsession.export.protocol import Exporter

GROUP = "mlsession.exporters"


def offered_suffixes() -> tuple[str, ...]:
    """The suffixes that installed distributions offer formats for, sorted; nothing of theirs is loaded."""
    return tuple(sorted({_suffix(point) for point in entry_points(group=GROUP)}))


def offered_exporter(suffix: str) -> Exporter[Any]:
    """The exporter of another package for `suffix`, one of `offered_suffixes`.

    Raises `UsageError` where two distributions offer one, where it cannot be loaded, and for what is none.
    """
    points = [point for point in entry_points(group=GROUP) if _suffix(point) == suffix]
    makers = sorted({_maker(point) for point in points})
    if len(makers) > 1:
        raise UsageError(f"{suffix} files are made by {' and by '.join(makers)}; uninstall one of them")
    try:
        found = points[0].load()
        exporter = found() if isinstance(found, type) or not hasattr(found, "encode") else found
    except Exception as error:  # whatever the code of another package raises
        cause = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise UsageError(
            f"{suffix} files are made by {makers[0]}, which cannot be loaded: {cause}; install it anew, or uninstall it"
        ) from error
    _check(exporter, suffix, makers)
    checked: Exporter[Any] = exporter
    return checked


def _check(exporter: object, suffix: str, makers: Sequence[str]) -> None:
    missing = [name for name in ("encode", "verify") if not callable(getattr(exporter, name, None))]
    named = getattr(exporter, "suffix", None)
    if missing or named != suffix:
        wrong = f"has no {missing[0]}()" if missing else f"says that its suffix is {named!r}"
        raise UsageError(
            f"{suffix} files are made by {makers[0]}, which {wrong}, so it is no mlsession.export.Exporter; "
            "ask its makers for a version that is"
        )


def _suffix(point: EntryPoint) -> str:
    name = point.name.lower()
    return name if name.startswith(".") else f".{name}"


def _maker(point: EntryPoint) -> str:
    """The distribution, and where in it."""
    return f"{point.dist.name if point.dist is not None else 'a package'} ({point.value})"
