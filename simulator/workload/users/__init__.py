"""Users who react to what they are shown: what they want, how they choose, when they come back."""
