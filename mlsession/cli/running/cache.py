"""`mlsession cache`: what a feature cache holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from mlsession.cache.upkeep import FolderContents, clear, contents
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
                print_json(
                    {"url": store.url, "size_bytes": size, "packs": num_packs, "cleared": True, "extractors": []}
                )
            else:
                print_lines([f"deleted {number_of(num_packs, 'file')} of features of {where}, {byte_size(size)}"])
            return DONE
        found = contents(store)
        if json:
            print_json(_told(store.url, found))
        else:
            print_lines(_lines(where, found))
    return DONE


def _told(url: str, found: Sequence[FolderContents]) -> dict[str, object]:
    return {
        "url": url,
        "size_bytes": sum(part.size_bytes for part in found),
        "packs": sum(part.num_packs for part in found),
        "cleared": False,
        "extractors": [part.to_json() for part in found],
    }


def _lines(where: str, found: Sequence[FolderContents]) -> Iterator[str]:
    if not found:
        yield f"{where} holds no features"
        return
    size, rows = sum(part.size_bytes for part in found), sum(part.num_rows for part in found)
    yield f"{where}: {byte_size(size)}, the features of {number_of(rows, 'view')} of images"
    for part in found:
        yield f"  {plain(part.extractor) or 'an extractor that is not named'}"
        numerics = ", ".join(f"{plain(name)} {plain(of)}" for name, of in part.numerics.items())
        rest = f"; {numerics}" if numerics else ""
        yield f"    {byte_size(part.size_bytes)}, {number_of(part.num_rows, 'row')}{rest}"
