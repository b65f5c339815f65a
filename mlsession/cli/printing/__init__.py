"""What is printed: tables, verdicts, progress, the story of a session."""
