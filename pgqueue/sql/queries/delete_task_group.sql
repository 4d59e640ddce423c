select pgqueue._delete_task_group(%(group_id)s);
