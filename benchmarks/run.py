"""Runs every benchmark of this folder once and prints its figures: `make bench`, or `run.py NAME...` for some.

Each benchmark is a script with `main() -> None`; results are ratios within one run where that makes sense, because the
machine is rarely quiet.
"""

from __future__ import annotations

import platform
import runpy
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> None:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pillow", "fsspec", "s3fs"))
    print(f"{platform.platform()}, Python {platform.python_version()}, {libraries}\n")
    for script in sorted(HERE.glob("bench_*.py")):
        if not names or script.stem.removeprefix("bench_") in names:
            print(f"## {script.stem.removeprefix('bench_')}")
            runpy.run_path(str(script), run_name="__main__")
            print()


if __name__ == "__main__":
    main(sys.argv[1:])
