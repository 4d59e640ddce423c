select id, cookie from pgqueue.launch($$insert into audit (what) values ('tried to order a flying carpet')$$)
