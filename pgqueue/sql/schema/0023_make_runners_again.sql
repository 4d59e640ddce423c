-- after: functions
-- The runners of the enrolled roles end a job with a note, which says more than its number of rows.
select pgqueue._make_runner(k.role) from pgqueue.role_key k where k.runner is not null;
drop function if exists pgqueue_run.finish_job(bigint, bigint, bigint, text);
drop function if exists pgqueue_run.snooze_job(bigint, bigint, text);
-- Their texts are made with a condition: whether a trigger may have deferred further work.
drop function if exists pgqueue._ending_steps();
drop function if exists pgqueue._job_steps(text);
