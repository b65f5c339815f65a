"""Several processes that train one session."""
