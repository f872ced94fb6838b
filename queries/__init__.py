"""One function for each thing that is asked of the database.

Call it with the database, or with a connection of your own; see `db.retryable`.
"""
