-- What pgqueue._enqueue does with a job that has no option but its queue, without the call of a function, which would take a quarter of it.
insert into pgqueue.outbox (cookie, session_id, kind, queue, sql, params, settings, timeout)
select %(cookie)s::bigint, pgqueue._session_id(), 'job', %(queue)s::text, %(sql)s::text, %(params)s::text[], pgqueue._inherited(s.captured),
       pgqueue._inherited_timeout(s.captured)
from (select pgqueue._known_settings(%(backend_pid)s::int, %(settings)s::jsonb) offset 0) s (captured)
returning id, cookie, case when not pgqueue._nobody_sleeps(%(queue)s::text) then pgqueue._wake(%(queue)s::text) end
