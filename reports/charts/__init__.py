"""Charts as Plotly figures in plain JSON, which pages and Matplotlib draw alike."""
