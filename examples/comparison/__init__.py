"""The same small service on five queues, and a program that measures what each loses in a crash."""
