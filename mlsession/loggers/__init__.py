"""Lightning's loggers on a session: its course as curves, in one run over all attempts; see docs/loggers.md."""
