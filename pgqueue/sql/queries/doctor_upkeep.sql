select part, failing_since, message
from pgqueue._failing_upkeep()
