"""Draws the generated parts of the documents (``make map``); a test checks that they are current."""
