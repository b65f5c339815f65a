"""The files of the feature cache, which any number of runs share: see `phases.cache`. Knows rows, not images."""
