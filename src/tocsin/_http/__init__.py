"""HTTP for everything above: one send path, retries, authentication, errors."""
