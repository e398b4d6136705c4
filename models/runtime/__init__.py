"""What models run on: artifacts on disk, one-line errors, progress, memory, threads, and files that a user names."""
