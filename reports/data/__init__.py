"""What a run or an experiment wrote, read back and counted for reports; draws nothing."""
