from tests.promise.fixtures import postgresql_stage, sqlite_stage, stage  # noqa: F401
