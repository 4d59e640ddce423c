select pgqueue._exchange_exists(%(exchange)s);
