-- after: progress
-- Which jobs are slow: by label, else by the form of their statements, which is computed when somebody asks.

create or replace function pgqueue._shape_of_code(code text)
  returns text
  language sql immutable parallel safe
begin atomic
  -- One space around each operator and after each comma, none inside parentheses. There are no literals, comments or quoted
  -- identifiers in this text, and ASCII letters are made small as the server does with names and keywords.
  select replace(replace(replace(replace(replace(
           regexp_replace(regexp_replace(regexp_replace(lower(code collate "C"), '\s+', ' ', 'g'), ' ?([(),;]) ?', '\1', 'g'),
                          ' ?([-+*/<>=~!@#%^&|`:]+) ?', ' \1 ', 'g'),
           ',', ', '), '  ', ' '), '  ', ' '), '( ', '('), ' )', ')');
end;
comment on function pgqueue._shape_of_code(text) is 'A part of a statement that is neither literal nor quoted identifier, in small letters and with even spaces';
grant execute on function pgqueue._shape_of_code(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._statement_shape(sql text)
  returns text
  language plpgsql immutable parallel safe
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- A longer statement counts with its beginning: it may have megabytes.
  shape text := left(sql, 4000);
  tag text;
  place int;
  body text;
begin
  if strpos(shape, '$') > 0 then
    if shape ~* E'^\\s*do\\s' then
      shape := regexp_replace(shape, E'\\$(?:[a-z_][a-z0-9_]*)?\\$', ' ', 'gi');  -- The body of a DO is code.
    else
      -- As a number, which is text as well where the dollars stand inside of a literal. One regular expression for this needs a
      -- back reference, with which some texts take minutes.
      loop
        tag := substring(shape from E'\\$[a-zA-Z_][a-zA-Z0-9_]*\\$');
        exit when tag is null;
        place := strpos(shape, tag);
        body := substr(shape, place + length(tag));
        shape := concat(left(shape, place - 1), ' 0 ', case when strpos(body, tag) > 0 then substr(body, strpos(body, tag) + length(tag)) end);
      end loop;
    end if;
  end if;
  if strpos(shape, '--') > 0 or strpos(shape, '/*') > 0 then
    shape := regexp_replace(shape, E'(\\$\\$(?:[^$]|\\$(?!\\$))*(?:\\$\\$|$)|\\y[eE]''(?:[^''\\\\]|\\\\.|'''')*''?|''(?:[^'']|'''')*''?|"(?:[^"]|"")*"?)|--[^\\n\\r]*|/\\*(?:[^*]|\\*+[^*/])*(?:\\*+/|$)',
                            E'\\1 ', 'g');
  end if;
  -- Quoted identifiers and parameters stay and have a mark behind them; literals become the mark.
  shape := regexp_replace(shape, E'("(?:[^"]|"")*"?|\\$[0-9]+)|\\$\\$(?:[^$]|\\$(?!\\$))*(?:\\$\\$|$)|\\y[eE]''(?:[^''\\\\]|\\\\.|'''')*''?|(?:\\y(?:[bBxXnN]|[uU]&))?''(?:[^'']|'''')*''?'
                                 || E'|(?:\\y|(?=\\.))(?:0[xXoObB][0-9a-fA-F_]+|(?:[0-9][0-9_]*(?:\\.[0-9_]*)?|\\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?)(?![a-zA-Z0-9_])',
                          E'\\1 \x01', 'g');
  shape := regexp_replace(shape, E'("|\\$[0-9]+) \x01', E'\\1', 'g');
  if strpos(shape, '"') > 0 then
    select string_agg(case when p.n % 2 = 1 then pgqueue._shape_of_code(p.part) else p.part end, '"' order by p.n) into shape
    from unnest(string_to_array(shape, '"')) with ordinality p (part, n);
  else
    shape := pgqueue._shape_of_code(shape);
  end if;
  if strpos(shape, E'- \x01') > 0 or strpos(shape, E'+ \x01') > 0 then
    shape := regexp_replace(shape, E'((?:^|[(,;]|\\y(?:select|values|in|and|or|not|between|when|then|else|limit|offset|return|returning|where|on|by|like|set)\\y|[=<>*/%^|]) *)[-+] \x01',
                            E'\\1\x01', 'g');
  end if;
  if strpos(shape, E'in(\x01') > 0 then
    shape := regexp_replace(shape, E'\\yin\\(\x01(?:, \x01)*\\)', 'in (...)', 'g');
  end if;
  return btrim(replace(shape, E'\x01', '?'), '; ');
end
$$;
comment on function pgqueue._statement_shape(text) is
  'A statement without what differs from call to call: literals are ?, a list of literals behind IN is (...), comments are gone, spaces are even, letters outside of quoted identifiers are small. Only its first 4,000 characters count';
grant execute on function pgqueue._statement_shape(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._shape_digest(shape text)
  returns text
  language sql immutable parallel safe
begin atomic
  select left(encode(sha256(decode(replace(shape, '\', '\\'), 'escape')), 'hex'), 16);
end;
comment on function pgqueue._shape_digest(text) is 'A short name for the form of a statement, the same on all servers';
grant execute on function pgqueue._shape_digest(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._slow_since()
  returns timestamptz
  language sql stable
begin atomic
  select now() - coalesce(nullif(current_setting('pgqueue.slow_since', true), ''), '1 day')::interval;
end;
comment on function pgqueue._slow_since() is 'From when on jobs count for pgqueue.slow: pgqueue.slow_jobs sets it for its own query';
grant execute on function pgqueue._slow_since() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace view pgqueue.slow with (security_barrier) as
  with me as materialized (
    select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member') as sees_all
  ), sample as materialized (
    -- The highest numbers first: an index has them, however many jobs the history has.
    select h.queue, h.submitter, h.label, case when h.label is null then left(h.sql, 4000) end as sql, h.state, h.started_at,
           (extract(epoch from h.ended_at - h.started_at) * 1000)::float8 as ms
    from (select h.id, h.queue, h.submitter, h.label, h.sql, h.state, h.started_at, h.ended_at
          from pgqueue.history h where h.ended_at >= pgqueue._slow_since() order by h.id desc limit 1000000) h
    where h.started_at is not null and ((select me.sees_all from me) or pg_has_role(h.submitter, 'member'))
      and coalesce(nullif(current_setting('pgqueue.slow_queue', true), ''), h.queue) = h.queue
    limit 10000
  ), shape as materialized (
    -- Each text once: most jobs are calls of few statements with parameters.
    select d.sql, pgqueue._statement_shape(d.sql) as statement from (select distinct s.sql from sample s where s.sql is not null) d
  )
  select s.queue, pg_get_userbyid(s.submitter) as submitter, s.label, pgqueue._shape_digest(f.statement) as fingerprint,
         case when pg_has_role(s.submitter, 'member') then f.statement end as statement,
         count(*) as calls, avg(s.ms) as mean_ms, percentile_disc(0.95) within group (order by s.ms) as p95_ms, max(s.ms) as max_ms, sum(s.ms) as total_ms,
         max(s.started_at) as last_run_at, count(*) filter (where s.state = 'failed') as failures
  from sample s
  left join shape f on f.sql = s.sql
  group by s.queue, s.submitter, s.label, f.statement;
comment on view pgqueue.slow is
  'How long jobs ran, by queue, submitter and label, or the form of the statement if there is no label. It covers the newest 10,000 jobs that have run, ended in the last day and may be seen by the role; pgqueue.slow_jobs covers another time';
comment on column pgqueue.slow.queue is 'The queue';
comment on column pgqueue.slow.submitter is 'The role that submitted the jobs';
comment on column pgqueue.slow.label is 'The label. NULL: the jobs have none, and their statements have one form';
comment on column pgqueue.slow.fingerprint is 'A short name for the form of the statements. NULL: the jobs have a label';
comment on column pgqueue.slow.statement is
  'The form of the statements, with ? for literals. NULL: the jobs have a label, or the role is not a member of the submitter';
comment on column pgqueue.slow.calls is 'How many jobs have run';
comment on column pgqueue.slow.mean_ms is 'How long they ran on average, in ms; of a job the last run counts';
comment on column pgqueue.slow.p95_ms is 'How long 95 % of them ran at most, in ms';
comment on column pgqueue.slow.max_ms is 'How long the longest ran, in ms';
comment on column pgqueue.slow.total_ms is 'How long they ran together, in ms';
comment on column pgqueue.slow.last_run_at is 'When the last of them began';
comment on column pgqueue.slow.failures is 'How many of them have failed';
grant select on pgqueue.slow to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue.slow_jobs(since interval default interval '1 day', queue text default null)
  returns setof pgqueue.slow
  language plpgsql volatile
as $$
begin
  if since is null or not isfinite(since) or since not between interval '0' and interval '1000 years' then
    raise exception 'since "%" is out of range', coalesce(since::text, 'NULL')
      using errcode = '22023', hint = 'It says how long ago the oldest job may have ended, for example interval ''2 hours''.';
  end if;
  perform set_config('pgqueue.slow_since', since::text, true), set_config('pgqueue.slow_queue', coalesce(queue, ''), true);
  return query select s.* from pgqueue.slow s;
  perform set_config('pgqueue.slow_since', '', true), set_config('pgqueue.slow_queue', '', true);
end
$$;
comment on function pgqueue.slow_jobs(interval, text) is
  'Returns the rows of pgqueue.slow for jobs that have ended since then, of one queue or (NULL) of all. It covers the newest 10,000 of them among the newest 1,000,000 jobs';
grant execute on function pgqueue.slow_jobs(interval, text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
