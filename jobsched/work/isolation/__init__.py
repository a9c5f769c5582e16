"""Isolates the jobs that run in one process from each other, as far as that is possible."""
