"""The LLM node: requests come in, are routed to replicas, wait in queues and end exactly once."""
