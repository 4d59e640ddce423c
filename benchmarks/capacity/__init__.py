"""The capacity model: what jobs, tasks and idle workers cost, measured, and a simulation that is fed with it."""
