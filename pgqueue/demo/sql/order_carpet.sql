insert into orders values (1, 'flying carpet')
