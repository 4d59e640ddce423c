select pgqueue._declare_exchange(%(exchange)s, %(type)s, %(durable)s, %(auto_delete)s, %(arguments)s::jsonb);
