select pgqueue._request_cancel(%(id)s, %(token)s)
