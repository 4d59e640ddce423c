"""Changes to Flower: its Broker tab, and an API that is safe to leave open on one's own machine.

Flower has no hooks for either, so its classes are changed in place, once, by `run_flower`.
"""
