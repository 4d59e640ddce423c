select pgqueue._reject(%(ids)s::bigint[], %(tokens)s::bigint[], %(detail)s);
