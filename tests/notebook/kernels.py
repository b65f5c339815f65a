"""A real Jupyter kernel in a process of its own, and what it would show in a notebook's cell."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import start_new_kernel

SECONDS = 120.0


@dataclass(slots=True)
class Cell:
    """What running a cell has shown."""

    shown: list[str] = field(default_factory=list)
    """HTML of displays and results, in order."""
    updates: list[str] = field(default_factory=list)
    """HTML that has replaced a display."""
    errors: list[str] = field(default_factory=list)


class Kernel:
    """Runs cells."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def run(self, code: str, until_update: str = "") -> Cell:
        """Runs a cell, and follows it until it is idle and an update holds `until_update`."""
        cell, parent, idle = Cell(), self._client.execute(code), False
        while not idle or not any(until_update in update for update in (cell.updates or [""])):
            try:
                message = self._client.get_iopub_msg(timeout=SECONDS)
            except queue.Empty:
                raise AssertionError(f"nothing more came from the kernel: {cell}") from None
            kind, content = message["msg_type"], message["content"]
            page = content.get("data", {}).get("text/html", "")
            if kind in ("display_data", "execute_result"):
                cell.shown.append(page)
            elif kind == "update_display_data":
                cell.updates.append(page)
            elif kind == "error":
                cell.errors.append("\n".join(content["traceback"]))
                return cell
            elif kind == "status" and content["execution_state"] == "idle":
                idle = idle or message["parent_header"].get("msg_id") == parent
        return cell


@contextmanager
def kernel(folder: str) -> Iterator[Kernel]:
    """A kernel whose working folder is `folder`."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=folder, startup_timeout=SECONDS)
    try:
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
