"""What the other parts stand on, and that knows nothing of them."""
