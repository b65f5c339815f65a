"""The course of a training, learning curves, confusion matrices and reliability diagrams, by matplotlib.

That is loaded when one is drawn.

Import from the module that owns the name.
"""
