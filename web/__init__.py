"""What all routes share of HTTP, one matter a file."""
