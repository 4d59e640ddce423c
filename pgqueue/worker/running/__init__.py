"""Run one job: its session, its statements, its result and its error."""
