select $1::int as answer, 19.99::numeric(8,2) as price, date '2026-02-28' + 1 as day, array['a', null, 'c'] as letters,
       '{"deep": [1, 2]}'::jsonb as document, interval '90 min' as span, null::text as nothing
