"""What all other packages build on: addresses, connections, processes and other things that know nothing of jobs."""
