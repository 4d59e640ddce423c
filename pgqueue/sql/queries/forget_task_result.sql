select pgqueue._forget_task_result(%(task_id)s);
