select pgqueue._task_group(%(group_id)s);
