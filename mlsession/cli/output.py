"""Data on standard output, remarks on standard error."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress

from mlsession.cli.printing.text import plain


def print_lines(lines: Iterable[str]) -> None:
    """Lines of a command's result, in one piece."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def print_json(value: object) -> None:
    """One object on one line, in ASCII; numbers that are not finite are null."""
    print_lines([json.dumps(_finite(value), allow_nan=False)])


def remark(line: str) -> None:
    """A line about the work, not of its result: nobody needs to be there to read it."""
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def tell_retry(operation: str, error: Exception, attempt: int, delay: float) -> None:
    """A remark on what a store failed to do and will be asked to do again; see `OnRetry`."""
    remark(f"store: {plain(operation)} failed ({plain(error)}); try {attempt + 1} in {delay:.1f} s")


def output_width() -> int:
    """Columns to keep to on standard output; plenty where nobody sees lines wrapped."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000


def _finite(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(name): _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
