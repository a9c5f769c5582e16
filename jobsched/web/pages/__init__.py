"""What only browsers get: the dashboard, and how values read to people."""
