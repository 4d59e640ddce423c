-- after: schedules
-- The columns of the views of schedules.

comment on column pgqueue.schedules.name is 'The name of the schedule, unique for its owner';
comment on column pgqueue.schedules.schedule is 'The schedule as it was given: five fields of cron, a name such as @hourly, an interval, or one of Celery''s';
comment on column pgqueue.schedules.timezone is 'The time zone in which the fields of cron are read';
comment on column pgqueue.schedules.next_at is 'The next instant, before jitter. NULL: none is known, or there is none';
comment on column pgqueue.schedules.last_at is 'The instant of the last run. NULL: it has not run';
comment on column pgqueue.schedules.last_job is 'The number of the job or message of the last run. NULL: it has not run';
comment on column pgqueue.schedules.last_state is
  'The state of the last run: of a job as in pgqueue.jobs, of a task queued, running or its state in lower case. NULL: it has not run, or the state is not known any more';
comment on column pgqueue.schedules.enabled is 'False: the schedule is paused';
comment on column pgqueue.schedules.error is 'Why the schedule is not fired. NULL: no error';
comment on column pgqueue.schedules.owner is 'The role that made the schedule, and as which its runs are submitted';
comment on column pgqueue.schedules.id is 'The number of the schedule';
comment on column pgqueue.schedules.kind is 'job: it runs SQL; task: it sends a Celery task';
comment on column pgqueue.schedules.runs is
  'The first 120 bytes of the SQL, or the name of the task. NULL for roles that are not members of the owner';
comment on column pgqueue.schedules.queue is 'The queue of its jobs or tasks';
comment on column pgqueue.schedules.priority is 'Their priority, 0 to 9';
comment on column pgqueue.schedules.label is 'Their label. NULL: none';
comment on column pgqueue.schedules.overlap is
  'skip: no run begins while the last one has not ended; queue: runs do not wait for each other';
comment on column pgqueue.schedules.catch_up is 'Which missed instants are run later: none, last or all';
comment on column pgqueue.schedules.jitter is 'The longest random delay that is added to each instant. NULL: none';
comment on column pgqueue.schedules.starts_at is 'The schedule has no instant before this. NULL: no bound';
comment on column pgqueue.schedules.ends_at is 'The schedule has no instant after this. NULL: no bound';
comment on column pgqueue.schedules.cron is 'The five fields of cron that the schedule means, or a schedule of Celery''s as text. NULL: it is an interval';
comment on column pgqueue.schedules.every is 'The interval between two instants. NULL: it has fields of cron';
comment on column pgqueue.schedules.created_at is 'When the schedule was made';
comment on column pgqueue.schedules.changed_at is 'When it was last changed';
comment on column pgqueue.schedules.source is 'The import that made the schedule, for example celery:shop. NULL: it was made by hand';

comment on column pgqueue.schedule_runs.id is 'The number of this row';
comment on column pgqueue.schedule_runs.name is 'The name of the schedule at that time';
comment on column pgqueue.schedule_runs.owner is 'The owner of the schedule';
comment on column pgqueue.schedule_runs.due_at is 'The instant that was due';
comment on column pgqueue.schedule_runs.fired_at is 'When a worker, or pgqueue.run_schedule, handled it';
comment on column pgqueue.schedule_runs.late_by is 'fired_at minus due_at';
comment on column pgqueue.schedule_runs.outcome is 'enqueued, skipped, missed or refused';
comment on column pgqueue.schedule_runs.missed is 'How many missed instants this row stands for';
comment on column pgqueue.schedule_runs.is_manual is 'Whether pgqueue.run_schedule caused the run';
comment on column pgqueue.schedule_runs.job is 'The number of the job or message. NULL: none was enqueued';
comment on column pgqueue.schedule_runs.task_id is 'The id of the Celery task. NULL: the run is a job, or none was enqueued';
comment on column pgqueue.schedule_runs.state is 'The state of the job or task, as in last_state of pgqueue.schedules';
comment on column pgqueue.schedule_runs.error is 'Why the run was refused. NULL: it was not, or the role is not a member of the owner';
