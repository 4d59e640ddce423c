"""The version of the package. Owns it: the build, the command line and the installer read it here."""

__version__ = "0.1.0"
