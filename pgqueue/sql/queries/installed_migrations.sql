select version, name, applied_at
from pgqueue.migration
order by version
