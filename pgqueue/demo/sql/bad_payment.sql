insert into payment values (4711, 19.99)
