"""The people who take part, for every test here."""

from tests.harness.people import alice, bob, owner, superuser, worker

__all__ = ["alice", "bob", "owner", "superuser", "worker"]
