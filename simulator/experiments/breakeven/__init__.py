"""What the same requests cost a month, served in one way or another, by the size of the fleet; and where ways cross."""
