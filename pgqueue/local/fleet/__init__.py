"""`pgqueue fleet`: keeps worker processes running on this host, as many as the database asks for."""

from .host import FleetHost, HostOptions

__all__ = ["FleetHost", "HostOptions"]
