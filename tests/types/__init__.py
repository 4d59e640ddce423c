"""Programs that type checkers check: `make typecheck`, and tests/unit/test_types.py."""
