"""How good a classifier is: sums over rows, and what follows from them; numpy only, pandas for tables alone.

Import from the module that owns the name.
"""
