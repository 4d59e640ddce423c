select count(*) from greeting
