"""``jobsched simulate`` runs the real board on a virtual clock, and compares it with common alternatives."""
