"""How many replicas a load needs: its busiest half hour, replays of it, and the search for the fewest."""
