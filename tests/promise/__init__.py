"""Checks the guarantees of docs/guarantees.md on a database and a board, for the suites that inject faults."""
