"""Runs jobsched on one machine: its processes, their output, and the files that they share."""
