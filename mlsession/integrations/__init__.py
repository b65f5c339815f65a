"""Other tools on our sessions."""
