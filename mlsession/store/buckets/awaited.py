"""A store whose client waits for many replies at once."""

from __future__ import annotations

import asyncio

from mlsession.store.buckets.remote import FsspecStore
from mlsession.store.buckets.services import READ_FROM_0
from mlsession.store.failures import Failure, classify
from mlsession.store.keys import check_read_key
from mlsession.store.sharing import Wait


class AwaitedStore(FsspecStore):
    """Keys below one path of an asynchronous filesystem of fsspec's: all of these wait in one loop, in a thread of its
    own, so that any number of threads may ask.
    """

    @property
    def shares_reads(self) -> bool:
        """See `mlsession.store.sharing`."""
        return True

    def get_while(self, key: str, wait: Wait) -> bytes:
        """See `mlsession.store.sharing`."""
        check_read_key(key)
        limits = {"start": 0} if self._scheme in READ_FROM_0 else {}
        with self._reporting(key):
            filesystem = self._open
            reading = filesystem._cat_file(self._path(key), **limits)
            request = asyncio.run_coroutine_threadsafe(reading, filesystem.loop)
            try:
                return bytes(wait(request))
            except Exception as error:
                # Some refuse every range of an empty value, each in its own words.
                is_reply = request.done() and not request.cancelled() and request.exception() is error
                if not limits or not is_reply or classify(error) is not Failure.OTHER:
                    raise
            finally:
                request.cancel()
        return self.get(key)
