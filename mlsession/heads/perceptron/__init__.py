"""The multilayer perceptron, trained in batches."""
