"""What docs/architecture.md shows of the code is drawn from it: ``make map``, and a test that it is so."""
