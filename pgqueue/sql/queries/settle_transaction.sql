-- A setting that this version of the server does not know is left out.
select pg_catalog.set_config(s.name, s.value, true)
from rows from (pg_catalog.unnest(%(names)s::pg_catalog.text[]), pg_catalog.unnest(%(values)s::pg_catalog.text[])) as s (name, value)
where pg_catalog.current_setting(s.name, true) is not null
