-- Advisory locks that pgqueue uses, and the random numbers that fence claims.

create or replace function pgqueue._lock_class(purpose text)
  returns int
  language sql immutable
begin atomic
  -- The number is 'pgq' and a digit: the first key of pgqueue's advisory locks.
  select case purpose when 'worker' then 1886417201 when 'sleeper' then 1886417202 when 'upkeep' then 1886417204
    when 'next_sleeper' then 1886417205 when 'storing' then 1886417206 when 'result_waiter' then 1886417207
    when 'leader' then 1886417208 when 'follower' then 1886417209 end;
end;
comment on function pgqueue._lock_class(text) is
  'The first key of an advisory lock, by its class: liveness of workers, wake-ups (four classes), upkeep, results (two classes)';
grant execute on function pgqueue._lock_class(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._advisory_locks(class int)
  returns table (objid int, pid int, mode text)
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- Both keys are integers. pg_locks shows their bits as oids, and this cast gives the integers back.
  select l.objid::int, l.pid, l.mode
  from pg_locks l
  where l.locktype = 'advisory' and l.classid::int = class and l.objsubid = 2 and l.granted
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
$$;
comment on function pgqueue._advisory_locks(int) is 'The holders of pgqueue''s advisory locks of a class. Not bound to a snapshot';
grant execute on function pgqueue._advisory_locks(int) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._own_sleep_locks(out sleeps int[], out waits int[], out leads int[], out follows int[])
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- All classes are read at once: pg_locks takes long where there are thousands of sessions.
  select coalesce(array_agg(l.key) filter (where l.class = pgqueue._lock_class('sleeper') and l.mode = 'ExclusiveLock'), '{}'),
         coalesce(array_agg(l.key) filter (where l.class = pgqueue._lock_class('next_sleeper') and l.mode = 'ShareLock'), '{}'),
         coalesce(array_agg(l.key) filter (where l.class = pgqueue._lock_class('leader') and l.mode = 'ExclusiveLock'), '{}'),
         coalesce(array_agg(l.key) filter (where l.class = pgqueue._lock_class('follower') and l.mode = 'ShareLock'), '{}')
  from (select l.classid::int as class, l.objid::int as key, l.mode
        from pg_locks l
        where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.objsubid = 2 and l.granted
          and l.database = (select d.oid from pg_database d where d.datname = current_database())) l
$$;
comment on function pgqueue._own_sleep_locks() is
  'The second keys of the locks by which this session sleeps. sleeps: the sleep locks; waits: the second locks, behind other sessions; leads, follows: those of its roles. Not bound to a snapshot';

create or replace function pgqueue._random_bigint()
  returns bigint
  language sql volatile
begin atomic
  -- A version 4 UUID has 122 random bits.
  select uuid_hash_extended(gen_random_uuid(), 0);
end;
comment on function pgqueue._random_bigint() is '64 unpredictable bits, for cookies and fencing tokens';
grant execute on function pgqueue._random_bigint() to pgqueue_user;

create or replace function pgqueue._seeded_bigint(seed bytea, n bigint)
  returns bigint
  language sql immutable
begin atomic
  -- For each message of a set. Random bits for each would cost a third of the statement: many servers open /dev/urandom for them.
  select hashtextextended(encode(sha256(seed || int8send(n)), 'hex'), 0);
end;
comment on function pgqueue._seeded_bigint(bytea, bigint) is '64 bits for the cookies or the tokens of a set, which cannot be computed without the seed';
grant execute on function pgqueue._seeded_bigint(bytea, bigint) to pgqueue_user;

create or replace function pgqueue._run_key_of(id bigint, token bigint)
  returns bigint
  language sql immutable
begin atomic
  -- Any role sees the key of a held lock. With a single round of the hash, a patient reader could compute the token.
  select hashint8extended(hashint8extended(id, token), token);
end;
comment on function pgqueue._run_key_of(bigint, bigint) is
  'The key of the advisory lock that a job holds while it runs. No role can know the key before the run, and the next run has another';
