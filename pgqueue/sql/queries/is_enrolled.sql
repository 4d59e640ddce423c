select exists (select from pgqueue.own_key)
