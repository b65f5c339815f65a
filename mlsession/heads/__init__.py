"""Classifiers on features: options that are stored, the solver that fits them, and the head that it gives.

Import from the module that owns the name; `options`, `kinds` and the heads themselves need no torch.
"""
