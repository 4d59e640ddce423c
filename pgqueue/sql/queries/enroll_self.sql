select pgqueue.enroll(quote_ident(current_user)::regrole)
