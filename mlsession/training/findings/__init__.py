"""What a session found out, asked of its store: figures of each image, reviews, curves, advice."""
