select pgqueue.enroll(quote_ident(%(role)s)::regrole)
