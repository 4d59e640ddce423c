-- Migrations qualify what they name, so nothing that somebody put into another schema can get in between.
select
  set_config('search_path', 'pg_catalog, pg_temp', true),
  set_config('lock_timeout', %(lock_timeout)s, true),
  set_config('statement_timeout', '0', true),
  set_config('client_min_messages', 'warning', true)
