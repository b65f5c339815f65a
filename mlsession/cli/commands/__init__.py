"""What each command takes, as typer reads it: names, types, help. Importing this loads nothing heavy.

A command gives back the work to do; what that needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Work: TypeAlias = Callable[[], int]
"""What a command line asks for; gives the exit code."""
