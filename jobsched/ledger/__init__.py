"""SQL, the authority: what is stored of each job, and the guarded writes that move it from one status to the next."""
