select pgqueue.send_task(
    task => %(task)s,
    args => %(args)s::jsonb,
    kwargs => %(kwargs)s::jsonb,
    queue => %(queue)s,
    priority => %(priority)s::int,
    delay => %(delay)s::interval,
    eta => %(eta)s::timestamptz,
    expires => %(expires)s::timestamptz,
    task_id => %(task_id)s,
    headers => %(headers)s::jsonb,
    ignore_result => %(ignore_result)s::boolean,
    link => %(link)s,
    errback => %(errback)s
)
