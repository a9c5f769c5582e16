"""The border to RQ and rq-scheduler: it checks what it reads from Redis, and sets aside what is unusable."""
