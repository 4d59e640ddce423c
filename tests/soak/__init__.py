"""Hundreds of thousands of tasks while everything else is ended at random: `tests/soak/run`."""
