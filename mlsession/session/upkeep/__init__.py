"""What is done with a stored session besides going on with it: checking, repairing, removing."""
