"""Learning curves, confusion matrices and reliability diagrams as matplotlib figures; matplotlib is loaded when one is drawn.

Import from the module that owns the name.
"""
