"""Frozen networks that turn pictures into features; see `protocol` and `catalog`."""
