"""Changes to Flower: pages that read the database, its Broker tab, an API that may stay open on the user's own machine.

Flower has no hooks for either, so its classes are changed in place, once, by `run_flower`.
"""
