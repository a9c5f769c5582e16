"""Which worker serves which lane."""
