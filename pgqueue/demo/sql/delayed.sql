select 'at last'
