select pgqueue.uninstall_compat(schema => %(schema)s)
