select message::text, message -> 'headers' ->> 'shadow'
from pgqueue._running_message(%(id)s, %(token)s) as m (message)
where message is not null
