"""Finished runs compared: intervals, fronts, savings, and the decision that follows."""
