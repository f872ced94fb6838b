"""The routes: a request in, a page or a fragment out."""
