"""``jobsched simulate``: the real board on a virtual clock, next to what others do."""
