"""What the jobs that run in one process have of each other: nothing, as far as that can be had."""
