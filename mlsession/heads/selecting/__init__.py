"""Choosing by cross-validation: a strength, a kind of head, views."""
