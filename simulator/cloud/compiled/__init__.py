"""The LLM node in compiled code: the same numbers as `node` and `replica`, to the last bit, for requests known before.

Each module is what another one does with objects, over arrays: timing (step_time, kernels), decoding (decode_batch),
scheduling (scheduler), replicas (replica), timeline, and node (llm_node, timers). Tests drive both.
"""
