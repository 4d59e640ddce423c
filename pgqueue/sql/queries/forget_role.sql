-- On PostgreSQL 18 and newer a trigger may run at the commit, after the job's own reset: as the submitter, but it leaves what it likes.
close all;
reset all;
deallocate all;
unlisten *;
select pg_catalog.pg_advisory_unlock_all();
discard temp;
discard sequences;
select pgqueue_run.forget_role()
