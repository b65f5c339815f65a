"""A look at labelled images before they are trained on: what is wrong, with which files, and the cure."""
