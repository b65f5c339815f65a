"""Learning curves, confusion matrices and reliability diagrams by matplotlib, which is loaded when one is drawn.

Import from the module that owns the name.
"""
