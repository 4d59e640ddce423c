select pgqueue._delete_queue(%(queue)s, %(if_unused)s, %(if_empty)s);
