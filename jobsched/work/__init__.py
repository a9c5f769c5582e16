"""Runs a slice in a worker: each start of a job, from its task to the recorded outcome."""
