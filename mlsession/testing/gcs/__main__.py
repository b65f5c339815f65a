"""`python -m mlsession.testing.gcs`: prints the URL of a double, and serves until standard input closes."""

from __future__ import annotations

import sys

from mlsession.testing.gcs.server import GcsDouble


def main() -> None:
    """Serve until standard input closes: until whoever started this ends, however that ends."""
    with GcsDouble() as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
