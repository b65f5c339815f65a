"""What the features of a session say of its images: likely wrong labels, near duplicates, leakage into the test set."""
