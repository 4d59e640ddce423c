"""The checks of `pgqueue doctor`: each runs one query and explains its result.

A check changes nothing and leaves nothing behind.
"""

from __future__ import annotations
