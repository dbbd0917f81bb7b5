"""Objects as the operator wants them: plain dicts, made from values, without a look at the cluster."""
