"""Augmentation: which views of an image there are, what is drawn for each, and how its pixels are made."""
