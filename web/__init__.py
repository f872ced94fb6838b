"""What all routes share of HTTP, one topic in each file."""
