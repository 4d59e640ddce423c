"""Hundreds of thousands of tasks while everything else is ended at random: `tests/soak/run`; SQL jobs beside them: `tests/soak/faults`; schedules: `python -m tests.soak.schedules`."""
