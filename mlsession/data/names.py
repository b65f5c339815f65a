"""Which files of a folder are taken for images, by their names alone; pure."""

from __future__ import annotations

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""What the name of an image ends in, in small or capital letters; other files are left out."""
SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""What operating systems leave in folders, in small or capital letters; left out like names that begin with a dot."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out silently."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def is_hidden_key(key: str) -> bool:
    """Whether a key names a hidden file, or one in a hidden folder."""
    return any(map(is_hidden, key.split("/")))


def is_image_name(name: str) -> bool:
    """Whether a file of this name is taken for an image; its bytes are not looked at."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem) and dot + suffix.lower() in IMAGE_SUFFIXES
