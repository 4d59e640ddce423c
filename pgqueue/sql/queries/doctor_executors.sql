select f.problem, f.hint, array(select r from pgqueue._changed_runners() r)
from pgqueue._executor_fault() f
