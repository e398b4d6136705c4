"""Files of requests as others write them: traces, load tests' results, servers' logs."""
