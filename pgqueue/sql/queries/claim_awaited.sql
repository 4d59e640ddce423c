select id, token, message from pgqueue._claim_awaited(%(waiter_id)s, %(waiter_token)s, %(awaited_id)s)
