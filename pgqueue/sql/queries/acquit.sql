select pgqueue._acquit(%(ids)s::bigint[], %(tokens)s::bigint[])
