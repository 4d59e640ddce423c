select pgqueue._keep_claims(%(worker_id)s, %(ids)s::bigint[], %(begun)s::bigint[]);
