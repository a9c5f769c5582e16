"""The SQL ledger, the authority on every job, and the guarded writes that change a job's status."""
