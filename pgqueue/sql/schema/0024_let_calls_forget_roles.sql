-- after: functions
-- The procedures that run jobs take from the session what jobs of another role have left there: the worker says when.
select pgqueue._make_runner(k.role) from pgqueue.role_key k where k.runner is not null;
-- Queues and roles have different shares, and whether bounds are worth while depends on the time that a claim took.
drop function if exists pgqueue._share_of_room(int, int);
drop function if exists pgqueue._may_be_bounded(text[]);
