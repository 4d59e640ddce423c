-- DISCARD ALL but for DISCARD PLANS: planning pgqueue's own functions again would cost each job some milliseconds.
close all;
set session authorization default;
reset all;
deallocate all;
unlisten *;
select pg_catalog.pg_advisory_unlock_all();
discard temp;
discard sequences;
