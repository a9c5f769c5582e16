"""The web: JSON for clients and pages for browsers, at the same addresses."""
