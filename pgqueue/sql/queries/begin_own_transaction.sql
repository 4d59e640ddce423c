begin isolation level read committed read write not deferrable
