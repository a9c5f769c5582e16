"""What touches RQ and rq-scheduler: what is read from Redis is checked, set aside and counted when it is no good."""
