"""Django's views and URLs, with its own users, its sessions in the database, and its ORM.

Left out: CSRF tokens on the posts, since the load that all peers get has none, and form classes.
"""

from http import HTTPStatus
from typing import Any

import jinja2
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from benchmarks.peers.shared import MEMORY_COST, ON_PAGE, PARALLELISM, STYLE, TAKEN, TIME_COST, WRONG


class PasswordHasher(Argon2PasswordHasher):
    """Argon2id with Roster's parameters."""

    time_cost = TIME_COST
    memory_cost = MEMORY_COST
    parallelism = PARALLELISM


def environment(**options: Any) -> jinja2.Environment:  # noqa: ANN401 (Jinja2's own options)
    """Return the environment of the templates."""
    environment = jinja2.Environment(**options)  # noqa: S701 (Django's options say autoescape)
    environment.globals["style"] = STYLE
    return environment


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show the page."""
    return render_page(request)


@require_GET
def users(request: HttpRequest) -> HttpResponse:
    """Show the list alone."""
    return render(request, "_users.html", read_people())


@csrf_exempt
@require_POST
def register(request: HttpRequest) -> HttpResponse:
    """Register somebody and sign them in."""
    try:
        user = User.objects.create_user(request.POST["username"], password=request.POST["password"])
    except IntegrityError:
        return render_page(request, TAKEN, HTTPStatus.CONFLICT)
    login(request, user)
    return see_page()


@csrf_exempt
@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Begin a session, if user name and password are right."""
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return render_page(request, WRONG, HTTPStatus.UNAUTHORIZED)
    login(request, user)
    return see_page()


@csrf_exempt
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return see_page()


def see_page() -> HttpResponse:
    """Redirect to the page."""
    response = redirect("/")
    response.status_code = HTTPStatus.SEE_OTHER
    return response


def render_page(request: HttpRequest, error: str = "", status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    """Return the page for whoever is signed in."""
    account = request.user if request.user.is_authenticated else None
    context = {"account": account, "error": error, **read_people()}
    return render(request, "page.html", context, status=status)


def read_people() -> dict[str, Any]:
    """Return the newest people and the number of all."""
    newest = User.objects.annotate(registered_at=F("date_joined")).order_by("-id")
    people = newest.values_list("id", "username", "registered_at", named=True)[:ON_PAGE]
    return {"people": people, "size": User.objects.count()}


urlpatterns = [
    path("", index),
    path("users", users),
    path("register", register),
    path("sign-in", sign_in),
    path("sign-out", sign_out),
]
