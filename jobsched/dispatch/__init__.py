"""Moves jobs from the board into the RQ queues, and repairs what dead processes left behind (the sweep)."""
