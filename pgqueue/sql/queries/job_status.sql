select id, state::text, queue, priority, label, statement, submitter::text, launched_at, eta, started_at, ended_at,
       duration_ms, attempts, max_attempts, worker, backend_pid, progress_pct, progress_msg, rows,
       command_tag, sqlstate, error, error_detail, error_hint, error_context,
       (handle).cookie as cookie
from pgqueue.jobs
where id = %(id)s
