"""Stores behind a network: S3, Google Cloud Storage, Azure, whatever fsspec reaches."""
