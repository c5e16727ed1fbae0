"""Test suites of other projects, fetched when they are run, against a server of ours."""
