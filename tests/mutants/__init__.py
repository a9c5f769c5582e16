"""Faults planted on purpose, one at a time: whatever matters is missed by the tests when it is gone."""
