"""How images are brought through a network: workers, batches, threads, memory."""
