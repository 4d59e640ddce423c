select pgqueue.unenroll(quote_ident(%(role)s)::regrole)
