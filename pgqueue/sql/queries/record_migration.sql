insert into pgqueue.migration (version, name)
values (%(version)s, %(name)s)
