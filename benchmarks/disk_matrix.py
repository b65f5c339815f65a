"""A full disk at every system call: a session on local disk, each of whose calls fails once, and from then on.

    python benchmarks/disk_matrix.py

For each open, write, fsync, link, rename, mkdir and sync of a folder that a small run makes, and for ENOSPC and EDQUOT,
once and for good, and EROFS for good: the error must name the file, the cause and the cure, what was saved must be
whole, no temporary file may be left, and the same run must go on to the unbroken end once the disk works again. Needs
Linux.
"""

from __future__ import annotations

import errno
import itertools
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

from mlsession.errors import StoreDenied, StoreFull
from tests.session.test_disk import check_broken, num_calls
from tests.store.system import Disk

FAILURES = (
    (errno.ENOSPC, True, StoreFull, "free some space on this disk"),
    (errno.ENOSPC, False, StoreFull, "free some space on this disk"),
    (errno.EDQUOT, True, StoreFull, "larger quota"),
    (errno.EDQUOT, False, StoreFull, "larger quota"),
    (errno.EROFS, True, StoreDenied, "the disk is mounted read-only"),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        count = num_calls(Path(folder) / "unbroken")
        cases = tuple(itertools.product(FAILURES, range(1, count + 1)))
        for number, ((error_number, stays, error, words), at) in enumerate(cases):
            root = Path(folder) / str(number)
            check_broken(root, Disk(root, at, error_number, stays=stays), error, words)
    print(
        f"local disk: {len(cases)} cases, {count} system calls of a run with each of {len(FAILURES)} errors, once and"
    )
    print("for good: all said why, left what was saved and no temporary file, and went on to the unbroken end")


if __name__ == "__main__":
    main()
