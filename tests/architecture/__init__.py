"""Draws the generated parts of docs/architecture.md (``make map``); a test checks that they are current."""
