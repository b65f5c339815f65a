"""A trained classifier: what it knows of itself, what it says of pictures, the files it leaves."""
