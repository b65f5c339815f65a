"""Learning curves: how good a classifier would be with fewer images, and what more of them can be expected to bring."""
