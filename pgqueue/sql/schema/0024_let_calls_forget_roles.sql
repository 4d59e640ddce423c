-- after: functions
-- The procedures that run jobs take from the session what jobs of another role have left there: the worker says when.
select pgqueue._make_runner(k.role) from pgqueue.role_key k where k.runner is not null;
-- Queues and roles have different shares.
drop function if exists pgqueue._share_of_room(int, int);
