"""The lesson's Flask program as it is taught, on the development server.

The page lists the whole table, and passwords are stored as they are.
"""

import logging
import os

from flask import Flask, render_template, request
from psycopg_pool import ConnectionPool

app = Flask(__name__)
pool = ConnectionPool(os.environ["DATABASE_URL"], open=True)
logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no access log, as for the others


@app.route("/")
def index() -> str:
    """Show everybody."""
    return show("")


@app.route("/regist", methods=["GET", "POST"])
def regist() -> str:
    """Insert a user name and a password."""
    username, password = request.values["username"], request.values["password"]
    try:
        with pool.connection() as connection:
            connection.execute("INSERT INTO login VALUES (%s, %s)", [username, password])
    except Exception:  # noqa: BLE001 (as it is taught)
        return show(f"{username} already exists")
    return show(f"{username} is registered")


def show(message: str) -> str:
    """Return the page, with what was done."""
    with pool.connection() as connection:
        users = connection.execute("SELECT * FROM login").fetchall()
    return render_template("lesson.html", users=users, message=message)
