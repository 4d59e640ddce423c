insert into orders values (42, 'Ada')
