-- Parses the text of a schedule: five fields of cron, or an interval. Impossible values are refused.

create or replace function pgqueue._cron_number(word text, field int)
  returns int
  language sql immutable
begin atomic
  select case
    when word ~ '^[0-9]{1,2}$' then word::int
    when field = 4 then nullif(array_position('{JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC}'::text[], word), 0)
    when field = 5 then array_position('{SUN,MON,TUE,WED,THU,FRI,SAT}'::text[], word) - 1 end;
end;
comment on function pgqueue._cron_number(text, int) is 'A number or the name of a month (field 4) or weekday (field 5) as a number; NULL: it is none';
grant execute on function pgqueue._cron_number(text, int) to pgqueue_user;

create or replace function pgqueue._cron_field(field_text text, field int)
  returns int[]
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  least_value int := ('{0,0,1,1,0}'::int[])[field];
  greatest_value int := ('{59,23,31,12,7}'::int[])[field];
  called text := ('{minute,hour,day of month,month,day of week}'::text[])[field];
  found int[] := '{}';
  term text;
  parts text[];
  first_value int;
  last_value int;
  step int;
begin
  foreach term in array string_to_array(upper(field_text), ',') loop
    if field = 3 and term in ('L', 'LW') then
      found := found || 28;  -- each month has a last day
      continue;
    end if;
    parts := regexp_match(term, case when field = 5 then '^([0-7])L$|^([0-7]|[A-Z]{3})#[1-5]$' else '^$' end);
    if pgqueue._cron_number(coalesce(parts[1], parts[2]), field) is not null then
      found := found || pgqueue._cron_number(coalesce(parts[1], parts[2]), field);
      continue;
    end if;
    parts := regexp_match(term, '^(?:[*]|([0-9]{1,2}|[A-Z]{3})(?:-([0-9]{1,2}|[A-Z]{3}))?)(?:/([0-9]{1,3}))?$');
    if parts is null then
      raise exception '"%" is not a % of a schedule', left(term, 100), called
        using errcode = '22023', hint = 'A field is *, numbers or names, ranges (1-5), lists (1,15) and steps (*/5, 10-50/10).';
    end if;
    first_value := coalesce(pgqueue._cron_number(parts[1], field), case when parts[1] is null then least_value end);
    last_value := coalesce(pgqueue._cron_number(parts[2], field), case when parts[2] is not null then null when parts[1] is null then greatest_value else first_value end);
    step := coalesce(parts[3]::int, 1);
    if first_value is null or last_value is null or first_value < least_value or last_value > greatest_value then
      raise exception '% "%" is out of range', called, left(term, 100)
        using errcode = '22023', hint = concat('It is ', least_value, ' to ', greatest_value, case field when 4 then ', or JAN to DEC' when 5 then ', or SUN to SAT' end, '.');
    elsif last_value < first_value then
      raise exception 'range "%" of % ends before it begins', left(term, 100), called using errcode = '22023', hint = 'Write it as two ranges: 22-23,0-5.';
    elsif parts[3] is not null and parts[1] is not null and parts[2] is null then
      raise exception 'step "%" of % has no range', left(term, 100), called using errcode = '22023', hint = 'Steps go with * or a range: 10-59/15.';
    elsif step = 0 or parts[3] is not null and step > greatest_value then
      raise exception 'step of % "%" is out of range', called, left(term, 100) using errcode = '22023', hint = concat('It is 1 to ', greatest_value, '.');
    end if;
    found := found || array(select v from generate_series(first_value, last_value, step) v);
  end loop;
  return found;
end
$$;
comment on function pgqueue._cron_field(text, int) is 'The values of a field (1: minute to 5: day of week), or 22023';
grant execute on function pgqueue._cron_field(text, int) to pgqueue_user;

create or replace function pgqueue._celery_schedule_of(expression text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  parts text[] := regexp_match(lower(expression), '^([a-z]+) ?[(] ?(.*?) ?[)]$');
  words text[] := regexp_split_to_array(parts[2], ' ?, ?| ');
begin
  -- Only the shape: the rest is for Celery to say, in the worker.
  if parts[1] = 'crontab' and parts[2] ~ '^[0-9a-z*,/-]+( [0-9a-z*,/-]+){4}$' then
    if length(expression) > 1000 then
      raise exception 'schedule has more than 1000 characters' using errcode = '22023', hint = 'Make it several schedules.';
    end if;
    return concat('crontab(', parts[2], ')');
  elsif parts[1] = 'crontab' then
    raise exception 'schedule "%" is not understood', left(expression, 100)
      using errcode = '22023', hint = 'Give the five fields of Celery''s crontab: crontab(minute hour day_of_month month_of_year day_of_week).';
  elsif parts[1] = 'solar' and words[1] in ('dawn_astronomical', 'dawn_nautical', 'dawn_civil', 'sunrise', 'solar_noon', 'sunset', 'dusk_civil', 'dusk_nautical', 'dusk_astronomical')
    and cardinality(words) = 3 and words[2] ~ '^-?[0-9]{1,2}([.][0-9]{1,15})?$' and words[3] ~ '^-?[0-9]{1,3}([.][0-9]{1,15})?$'
  then
    if abs(words[2]::numeric) <= 90 and abs(words[3]::numeric) <= 180 then
      return concat('solar(', array_to_string(words, ', '), ')');
    end if;
    raise exception 'place of schedule "%" is not on Earth', left(expression, 100) using errcode = '22023', hint = 'Latitude is -90 to 90, longitude -180 to 180.';
  elsif parts[1] = 'solar' then
    raise exception 'schedule "%" is not understood', left(expression, 100)
      using errcode = '22023', hint = 'Give an event, as sunrise, solar_noon, sunset, dawn_civil, dusk_civil, a latitude and a longitude: solar(sunset, 52.52, 13.40).';
  elsif parts[1] = 'schedule' and words[1] ~ '^[0-9]{1,8}([.][0-9]{1,6})?$' and words[2:] = '{relative}' then
    if words[1]::numeric not between 1 and 366 * 86400 then
      raise exception 'interval of schedule "%" is out of range', left(expression, 100) using errcode = '22023', hint = 'It is 1 second to 366 days.';
    end if;
    return concat('schedule(', words[1], ', relative)');
  end if;
  raise exception 'schedule "%" is not understood', left(expression, 100) using errcode = '22023', hint = 'Give a number of seconds: schedule(3600, relative).';
end
$$;
comment on function pgqueue._celery_schedule_of(text) is 'A schedule of Celery''s as text, in one form for each: crontab(...), solar(...), schedule(...); or 22023';

create or replace function pgqueue._cron_of(expression text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  cron text := case lower(trim(expression))
    when '@yearly' then '0 0 1 1 *' when '@annually' then '0 0 1 1 *' when '@monthly' then '0 0 1 * *' when '@weekly' then '0 0 * * 0'
    when '@daily' then '0 0 * * *' when '@midnight' then '0 0 * * *' when '@hourly' then '0 * * * *'
    else trim(regexp_replace(expression, '[[:space:]]+', ' ', 'g')) end;
  fields text[] := string_to_array(cron, ' ');
  days int[];
  longest int;
begin
  if fields[3] = '$' then
    fields[3] := 'L';  -- as pg_cron writes the last day of the month
  end if;
  if cron ~* '^(crontab|solar|schedule) ?[(]' then
    return pgqueue._celery_schedule_of(cron);
  elsif lower(cron) = '@reboot' then
    raise exception 'schedule "@reboot" has no instant' using errcode = '22023', hint = 'Enqueue it where the server or the application starts.';
  elsif cardinality(fields) = 6 then
    raise exception 'schedule "%" has six fields', left(cron, 100)
      using errcode = '22023', hint = 'There are five: minute, hour, day of month, month, day of week. For seconds, write for example ''30 seconds''.';
  elsif cardinality(fields) <> 5 then
    raise exception 'schedule "%" is not understood', left(cron, 100)
      using errcode = '22023', hint = 'Give five fields (0 2 * * *), @hourly and the like, or an interval (30 seconds, @every 90 seconds).';
  elsif length(cron) > 1000 then
    raise exception 'schedule has more than 1000 characters' using errcode = '22023', hint = 'Make it several schedules.';
  end if;
  perform pgqueue._cron_field(fields[1], 1), pgqueue._cron_field(fields[2], 2), pgqueue._cron_field(fields[5], 5);
  days := pgqueue._cron_field(fields[3], 3);
  select max(('{31,29,31,30,31,30,31,31,30,31,30,31}'::int[])[m]) into longest from unnest(pgqueue._cron_field(fields[4], 4)) m;
  if (select min(d) from unnest(days) d) > longest then
    raise exception 'schedule "%" has a day that no month of it has', left(cron, 100)
      using errcode = '22023', hint = 'It would never come. The last day of a month is L.';
  end if;
  return upper(array_to_string(fields, ' '));
end
$$;
comment on function pgqueue._cron_of(text) is 'A schedule as five fields of cron, or as one of Celery''s, or 22023';
grant execute on function pgqueue._cron_of(text) to pgqueue_user;

create or replace function pgqueue._every_of(expression text)
  returns interval
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  text_ text := trim(regexp_replace(regexp_replace(expression, '^[[:space:]]*@every([[:space:]]+|$)', '', 'i'), '[[:space:]]+', ' ', 'g'));
  given interval;
begin
  if expression !~* '^[[:space:]]*@every([[:space:]]|$)' and text_ !~* '^-?[0-9]+([.][0-9]+)? ?[a-z]+( [0-9]+([.][0-9]+)? ?[a-z]+)*$' then
    return null;
  end if;
  begin
    given := text_::interval;
  exception when data_exception then
    raise exception 'schedule "%" is not an interval', left(expression, 100) using errcode = '22023', hint = 'Write for example ''30 seconds'' or ''@every 90 seconds''.';
  end;
  if extract(year from given) <> 0 or extract(month from given) <> 0 then
    raise exception 'schedule "%" counts months, which differ in length', left(expression, 100) using errcode = '22023', hint = 'Use fields: 0 0 1 * * is each first of a month.';
  elsif given < interval '1 second' or given > interval '366 days' then
    raise exception 'interval of schedule "%" is out of range', left(expression, 100) using errcode = '22023', hint = 'It is 1 second to 366 days.';
  end if;
  -- A day is 24 hours: intervals do not know of clocks that are put forward.
  return make_interval(secs => extract(epoch from given)::float8);
end
$$;
comment on function pgqueue._every_of(text) is 'The interval of a schedule that is one, or 22023; NULL: it is not one';

create or replace function pgqueue._nth_of(anchor timestamptz, every interval, instant timestamptz)
  returns bigint
  language sql immutable
begin atomic
  -- In whole microseconds: a float would be off by one after some years.
  select floor((extract(epoch from instant - anchor) * 1000000)::numeric / (extract(epoch from every) * 1000000)::numeric)::bigint;
end;
comment on function pgqueue._nth_of(timestamptz, interval, timestamptz) is 'How many whole intervals lie between the anchor and an instant';

create or replace function pgqueue._next_by_interval(anchor timestamptz, every interval, after timestamptz, ends_at timestamptz)
  returns timestamptz
  language sql stable
begin atomic
  select case when n.instant > ends_at then null else n.instant end
  from (select anchor + (pgqueue._nth_of(anchor, every, after) + 1) * every) n (instant);
end;
comment on function pgqueue._next_by_interval(timestamptz, interval, timestamptz, timestamptz) is 'The first instant of an interval after that one; NULL: the schedule has ended by then';
