"""Other queues that run on one machine, doing the work of benchmarks/drain.py and benchmarks/triggers.py in the same run."""
