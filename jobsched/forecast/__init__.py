"""Explains why a job waits, and forecasts when it will start."""
