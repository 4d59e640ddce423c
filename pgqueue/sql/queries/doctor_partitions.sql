select parent, to_regclass('pgqueue.' || parent || to_char((now() at time zone 'UTC') + interval '1 day', '_YYYYMMDD')) is not null
from unnest(array['history', 'result']) parent
