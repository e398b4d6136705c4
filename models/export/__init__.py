"""The trained SRM as programs that a phone runs: ONNX and `torch.export`, in three precisions."""
