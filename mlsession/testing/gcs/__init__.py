"""A double of Google Cloud Storage that keeps every condition, for tests on loopback (standard library only).

    with GcsDouble() as server:
        GCSFileSystem(endpoint_url=server.url, token="anon")

`python -m mlsession.testing.gcs` runs one in a process of its own. Set GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false before
gcsfs is imported: else it asks through gRPC for the kind of each bucket, which no server but the real one can answer.
"""

from mlsession.testing.gcs.messages import LOSE_REPLY, Refused, Reply, Request, read_json, read_multipart
from mlsession.testing.gcs.server import GcsDouble
from mlsession.testing.gcs.service import Service

__all__ = ["LOSE_REPLY", "GcsDouble", "Refused", "Reply", "Request", "Service", "read_json", "read_multipart"]
