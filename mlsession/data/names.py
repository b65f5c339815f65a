"""What files and folders are taken for, by their names alone; pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"}
    | {".apng", ".avif", ".heic", ".heif", ".hif", ".ico", ".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx", ".mpo"}
    | {".pbm", ".pfm", ".pgm", ".pnm", ".ppm", ".tga"}
)
"""What the name of an image ends in, in small or capital letters; other files are left out."""
SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""What operating systems leave in folders, in small or capital letters; left out like names that begin with a dot."""
MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""What the name of a manifest ends in, in small or capital letters; each is a form of its own, see `data.rows`."""
PART_NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "training": frozenset({"train", "training"}),
        "validation": frozenset({"val", "valid", "validation"}),
        "test": frozenset({"test", "testing"}),
    }
)
"""What folders are called that hold parts of divided data and no labels, in small or capital letters."""
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What spreadsheets take for the beginning of a formula, or skip before one (OWASP, "CSV Injection")."""


def plain_path(path: str) -> str:
    """The path as it is written into tables: none that a spreadsheet takes for a formula, and of the same file."""
    return f"./{path}" if path.startswith(FORMULA_SIGNS) else path


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out silently."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def is_hidden_key(key: str) -> bool:
    """Whether a key names a hidden file, or one in a hidden folder."""
    folder, _, name = key.rpartition("/")
    return is_hidden(name) or (bool(folder) and _is_hidden_folder(folder))


@lru_cache(maxsize=1024)
def _is_hidden_folder(key: str) -> bool:
    """Of a folder at any depth; remembered, since its files come one after the other."""
    return any(map(is_hidden, key.split("/")))


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image; its bytes are not looked at."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem) and dot + suffix.lower() in IMAGE_SUFFIXES


def is_manifest_name(name: str) -> bool:
    """Whether a file of this name names images with their labels; its bytes are not looked at."""
    return name.lower().endswith(MANIFEST_SUFFIXES)


def part_named(name: str) -> str | None:
    """The part of divided data that a folder of this name holds, as `PART_NAMES` calls it; None for any other name."""
    return next((part for part, names in PART_NAMES.items() if name.lower() in names), None)
