"""Real photos for tests: copies of some of those that the project ships."""

from __future__ import annotations

import shutil
from pathlib import Path

PHOTOS = Path(__file__).parents[1] / "examples" / "data"


def copy_photos(target: Path, part: str, each: int, labels: tuple[str, ...]) -> Path:
    """The first `each` photos of each label, of part "train" or "test", with the times of their files."""
    for label in labels:
        (target / label).mkdir(parents=True)
        for photo in sorted((PHOTOS / part / label).iterdir())[:each]:
            shutil.copy2(photo, target / label / photo.name)
    return target
