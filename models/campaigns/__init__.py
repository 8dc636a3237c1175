"""Live campaigns: who is contacted now, who is not, and why."""
