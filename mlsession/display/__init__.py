"""How values show themselves in a notebook: small pieces of HTML; pure, and readable on light and dark pages.

A class that wants to be shown has a `_repr_html_` that puts such pieces together.
"""
