"""`python -m pgqueue`: the command line, for where the script is not on the PATH."""

from .cli.commands import main

main()
