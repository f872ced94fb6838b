"""What Roster does that is not HTTP."""
