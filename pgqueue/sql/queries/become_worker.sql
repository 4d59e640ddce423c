grant pgqueue_worker to current_user
