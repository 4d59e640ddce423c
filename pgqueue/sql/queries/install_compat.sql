select pgqueue.install_compat(version => %(version)s, schema => %(schema)s)
