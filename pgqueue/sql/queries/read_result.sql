select seq, answer
from pgqueue._read_result(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)
order by seq
