"""One replica: continuous batching, its queue, its KV cache and its decoding, without a clock."""
