"""What a session of predictions is called, and what it keeps beside its log; see `inference.prepare`."""

from __future__ import annotations

TASK = "image-prediction"
MODEL = "model"
"""The classifier in its saved form."""
IMAGES_INDEX = "images_index"
"""The index of the images, also where an opening brings another one."""
