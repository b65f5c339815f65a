"""The command line: it parses, calls the library, and renders what that says. No feature exists only here."""
