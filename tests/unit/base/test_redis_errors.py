"""Errors of Redis are classified: as its servers spell them, plain, in a script, in a transaction."""

from __future__ import annotations

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError, ExecAbortError, LockError, RedisError, TimeoutError, WatchError

from jobsched.base.redis_errors import NotServing, Sort, is_trouble, sentence, sort_of

ANSWERS = {
    "READONLY You can't write against a read only replica.": Sort.AWAY,
    "READONLY You can't write against a read only replica. script: c0ffee, on @user_script:7.": Sort.AWAY,
    "ERR Error running script (call to f_c0ffee): @user_script:7: @user_script: 7: -READONLY You can't write against a "
    "read only replica.": Sort.AWAY,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": Sort.AWAY,
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": Sort.AWAY,
    "LOADING Redis is loading the dataset in memory": Sort.AWAY,
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.": Sort.AWAY,
    "MISCONF Errors writing to the AOF file: No space left on device": Sort.AWAY,
    "NOREPLICAS Not enough good replicas to write.": Sort.AWAY,
    "CLUSTERDOWN Hash slot not served": Sort.AWAY,
    "TRYAGAIN Multiple keys request during rehashing of slot": Sort.AWAY,
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": Sort.AWAY,
    "ERR max number of clients reached": Sort.AWAY,
    "OOM command not allowed when used memory > 'maxmemory'.": Sort.FULL,
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'": Sort.FULL,
    "ERR Error running script (call to f_c0ffee): @user_script:1: @user_script: 1: -OOM command not allowed when used "
    "memory > 'maxmemory'.": Sort.FULL,
    "NOAUTH Authentication required.": Sort.REFUSED,
    "WRONGPASS invalid username-password pair or user is disabled.": Sort.REFUSED,
    "ERR invalid password": Sort.REFUSED,
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration "
    "is correct?": Sort.REFUSED,
    "NOPERM this user has no permissions to run the 'evalsha' command": Sort.REFUSED,
    "NOPERM User x has no permissions to access the 'jobsched:rules' key": Sort.REFUSED,
    "DENIED Redis is running in protected mode because protected mode is enabled": Sort.REFUSED,
    "MOVED 3999 127.0.0.1:6381": Sort.REFUSED,
    "ASK 3999 127.0.0.1:6381": Sort.REFUSED,
    "CROSSSLOT Keys in request don't hash to the same slot": Sort.REFUSED,
    "ERR unknown command 'EVALSHA', with args beginning with: 'a'": Sort.REFUSED,
    "ERR unknown command `EVALSHA`, with args beginning with: ": Sort.REFUSED,
    "ERR DB index is out of range": Sort.REFUSED,
    "WRONGTYPE Operation against a key holding the wrong kind of value": Sort.BUG,
    "ERR syntax error": Sort.BUG,
    "ERR value is not an integer or out of range": Sort.BUG,
    "ERR user_script:3: attempt to index a nil value": Sort.BUG,
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_of_a_server_is_sorted(answer: str) -> None:
    error = BaseParser.parse_error(answer)
    assert sort_of(error) is ANSWERS[answer]
    assert is_trouble(error) == (ANSWERS[answer] is not Sort.BUG)
    assert "\n" not in sentence(error)


@pytest.mark.parametrize("answer", [answer for answer, sort in ANSWERS.items() if sort is Sort.FULL])
def test_a_full_server_is_said_to_be_full(answer: str) -> None:
    assert "it is full" in sentence(BaseParser.parse_error(answer))


@pytest.mark.parametrize(("error", "sort"), [
    (ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."), Sort.AWAY),
    (TimeoutError("Timeout reading from socket"), Sort.AWAY),
    (NotServing("it is a replica of a:1"), Sort.AWAY),
    (ExecAbortError("Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'."),
     Sort.FULL),
    (WatchError("Watched variable changed."), Sort.BUG),
    (LockError("not owned"), Sort.BUG),
    (RedisError("who knows"), Sort.BUG),
    (ValueError("OOMPH, READONLYISH"), Sort.BUG),
])
def test_an_error_of_the_client_is_sorted(error: Exception, sort: Sort) -> None:
    assert sort_of(error) is sort


def test_what_no_redis_raised_is_no_trouble_of_redis() -> None:
    assert not is_trouble(OSError("No space left on device"))
