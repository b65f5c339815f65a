"""What is typed: arguments and options, and what they mean."""
