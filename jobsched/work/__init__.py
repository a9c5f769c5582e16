"""A slice in a worker's hands: each start of a job, from its task to what is recorded of it."""
