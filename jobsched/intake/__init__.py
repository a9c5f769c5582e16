"""Turns a request into a committed job; changes, cancels and deletes jobs that have not started."""
