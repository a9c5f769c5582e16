"""Decides which worker serves which lane."""
