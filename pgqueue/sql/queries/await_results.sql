select pgqueue._await_results(%(task_ids)s::text[]);
