"""Observability: metrics, request ids, log lines and traces; what the service tells its operator about itself."""
