"""`mlsession cache`: what a feature cache holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from mlsession.cache.inventory import Contents, contents
from mlsession.cache.upkeep import clear
from mlsession.cli.options.arguments import storage_options
from mlsession.cli.outcome import DONE
from mlsession.cli.output import print_json, print_lines
from mlsession.cli.printing.text import byte_size, number_of, plain
from mlsession.store import open_store


def cache(url: str, clears: bool, typed_options: Sequence[str], json: bool) -> int:
    """Shows a cache, or deletes all that is in it."""
    with closing(open_store(url, storage_options(typed_options))) as store:
        where = plain(store.url)
        if clears:
            num_packs, size = clear(store)
            if json:
                gone = {"size_bytes": size, "packs": num_packs, "known_files": 0, "memo_bytes": 0, "extractors": []}
                print_json({"url": store.url, "cleared": True, **gone})
            else:
                print_lines([f"deleted {number_of(num_packs, 'file')} of features of {where}, {byte_size(size)}"])
            return DONE
        found = contents(store)
        if json:
            print_json({"url": store.url, "cleared": False, **found.to_json()})
        else:
            print_lines(_lines(where, found))
    return DONE


def _lines(where: str, found: Contents) -> Iterator[str]:
    if not found.size_bytes:
        yield f"{where} holds no features"
        return
    rows, files = number_of(found.num_rows, "view"), number_of(found.num_known_files, "file")
    yield f"{where}: {byte_size(found.size_bytes)}, the features of {rows} of images"
    for part in found.folders:
        yield f"  {plain(part.extractor) or 'an extractor that is not named'}"
        numerics = ", ".join(f"{plain(name)} {plain(of)}" for name, of in part.numerics.items())
        rest = f"; {numerics}" if numerics else ""
        yield f"    {byte_size(part.size_bytes)}, {number_of(part.num_rows, 'row')}{rest}"
    if found.memo_bytes:
        yield f"  what {files} held when they were read, so that they need not be read again"
        yield f"    {byte_size(found.memo_bytes)}"
