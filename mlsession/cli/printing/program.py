"""How a person at this shell calls this program, so that the commands we print can be pasted."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def program() -> list[str]:
    """`mlsession`, or what it takes to call this very installation."""
    called = Path(sys.argv[0])
    if called.parts[-2:] == ("mlsession", "__main__.py"):
        return [sys.executable, "-m", "mlsession"]
    if called.stem != "mlsession":
        return ["mlsession"]
    found = shutil.which("mlsession")
    # In a virtual environment that is not activated the name alone finds nothing, or another installation.
    return ["mlsession" if found is not None and Path(found).resolve() == called.resolve() else sys.argv[0]]
