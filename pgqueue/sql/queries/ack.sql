select pgqueue._ack(%(ids)s::bigint[], %(tokens)s::bigint[]);
