"""Which services are behind which schemes of fsspec, and what that means; pure."""

from __future__ import annotations

GOOGLE = frozenset({"gs", "gcs"})
AZURE = frozenset({"abfs", "abfss", "az"})
OBJECT_STORES = frozenset({"s3", "s3a", *GOOGLE, *AZURE})
"""Whole writes, exclusive creation by the service itself (fsspec's `mode="create"`), folders that are only names."""

READ_FROM_0 = OBJECT_STORES - GOOGLE
"""Where a range from 0 is what reads a whole value in one request. Without it s3fs asks for the size first, and reads
large values in pieces that need not be of the same version. gcsfs needs no range; and for an empty value, of which
every range is wrong, it would log the service's refusal with a traceback."""

FILE_SERVERS = frozenset({"ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs", "webdav", "dav"})
"""Real folders, writes that others see half-done, and a client that looks before it writes."""
