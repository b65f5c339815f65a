"""Logistic regression by L-BFGS over all rows."""
