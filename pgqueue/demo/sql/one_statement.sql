select * from pgqueue.result(pgqueue.launch('select 6 * 7, current_date')) as (answer int, today date)
