"""Static figures, drawn by Matplotlib: PNG and SVG."""
