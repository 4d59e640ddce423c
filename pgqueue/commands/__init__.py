"""The commands of the command line, a file for each noun. They assemble; rules live elsewhere."""
