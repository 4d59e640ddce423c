"""What the suites share: servers, databases, workers, and waiting for a condition."""

from tests.harness.database import Database
from tests.harness.eventually import eventually, wait_until_blocked
from tests.harness.servers import TestServer
from tests.harness.worker import Worker

__all__ = ["Database", "TestServer", "Worker", "eventually", "wait_until_blocked"]
