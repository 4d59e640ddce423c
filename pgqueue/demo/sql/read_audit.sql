select what, (select count(*) from orders) from audit
