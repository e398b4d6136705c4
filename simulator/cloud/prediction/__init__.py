"""What a serving set-up gives: times, throughput, energy and dollars of a load on a model, GPUs and an engine."""
