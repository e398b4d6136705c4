"""What happened, as columns: the recorder, slates by number, and Parquet files of one run."""
