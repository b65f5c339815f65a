"""Runs every benchmark of this folder once and prints its figures: `make bench`, or `run.py NAME...` for some.

Each benchmark is a script with `main() -> None`; results are ratios within one run where that makes sense, because the
machine is rarely quiet. Those of `extraction` take sizes on their own command lines; here all takes half an hour.
"""

from __future__ import annotations

import platform
import runpy
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
EXTRACTION = ("start", "heads", "floor", "remote", "again", "whole")
"""Scripts of that folder, the quick ones first."""


def main(names: list[str]) -> None:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pillow", "fsspec", "s3fs"))
    print(f"{platform.platform()}, Python {platform.python_version()}, {libraries}\n")
    scripts = {script.stem.removeprefix("bench_"): script for script in sorted(HERE.glob("bench_*.py"))}
    scripts["index"] = HERE / "index_scale.py"
    scripts |= {f"extraction-{name}": HERE / "extraction" / f"{name}.py" for name in EXTRACTION}
    # A script has only its own folder on the path.
    sys.path[0] = str(HERE.parent)
    for name, script in scripts.items():
        if not names or name in names:
            print(f"## {name}", flush=True)
            runpy.run_path(str(script))["main"]()
            print()


if __name__ == "__main__":
    main(sys.argv[1:])
