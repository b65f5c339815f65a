"""A real FTP server on loopback (pyftpdlib), over a folder of this machine."""

from __future__ import annotations

import itertools
import sys
import threading
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.servers.process import ServerProcess, serve_until_input_closes


class FtpServer(ServerProcess):
    """One server in a process of its own, for the user "me" with the password "password"."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(Path(__file__)), str(folder))
        self.url = f"ftp://me:password@127.0.0.1:{self.said}"
        self._numbers = itertools.count()

    def new_url(self) -> str:
        """A folder that nobody has used, which is not there yet."""
        return f"{self.url}/place-{next(self._numbers)}"


def serve(folder: str) -> None:
    """Run the server until standard input closes."""
    from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from pyftpdlib.handlers import FTPHandler  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from pyftpdlib.servers import ThreadedFTPServer  # type: ignore[import-not-found, import-untyped, unused-ignore]

    users = DummyAuthorizer()
    users.add_user("me", "password", folder, perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": users})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    serve_until_input_closes(str(server.address[1]))


if __name__ == "__main__":
    serve(sys.argv[1])
