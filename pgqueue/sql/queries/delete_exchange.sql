select pgqueue._delete_exchange(%(exchange)s);
