"""Everything that one machine holds: its processes, what they say, and what they share."""
