"""What the promise of docs/guarantees.md means for a database and a board, for the suites that break things."""
