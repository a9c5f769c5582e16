"""Plants faults in the code, one at a time, and checks that the tests notice each."""
