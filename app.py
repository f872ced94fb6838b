"""create_app(settings) puts the parts together."""

from collections.abc import AsyncGenerator

from quart import Quart

from db import Database
from routes import account, event_stream, health, home, one_time_links, organiser, registration
from services.address_counter import AddressCounter
from services.live_list import LiveList
from services.passwords import PasswordHasher
from services.qr_code import QrCodes
from services.readiness import Readiness
from settings import Settings
from web import cache_headers, cookies, error_responses, i18n, responses, same_origin, static_files
from web.forms import MAX_BODY_LENGTH
from web.home_page_cache import HomePageCache
from web.rendered_snapshots import SnapshotRenderer
from web.request_context import Services
from web.security_headers import SecurityMiddleware
from web.templates import Templates


def create_app(settings: Settings, streams: AddressCounter | None = None) -> Quart:
    """Return the application. Its schema must be up to date.

    `streams` counts the viewers; without it they are those of this process alone. The application
    opens its connections when it starts to serve and closes them when it ends.
    """
    app = Quart(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_LENGTH
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    database = Database(settings.database_url, settings.pool_size)
    live_list = LiveList(database, settings.listen_database_url or settings.database_url, streams)
    password_hasher = PasswordHasher(settings.password_min_length)
    templates = Templates(app, live_list)
    app.extensions["services"] = Services(
        settings,
        database,
        live_list,
        password_hasher,
        templates,
        SnapshotRenderer(templates),
        Readiness(database, live_list),
        QrCodes(),
    )
    # In this order: the locale first, since even a refusal is a sentence in it.
    for part in i18n, same_origin, cache_headers, cookies, error_responses, responses, static_files:
        part.init_app(app)
    for module in home, registration, account, organiser, one_time_links, event_stream, health:
        app.register_blueprint(module.bp)
    # Outside of the framework: the headers belong on static files too, and the cache keeps pages with them.
    secured = SecurityMiddleware(app.asgi_app, settings.public_origin)
    app.asgi_app = HomePageCache(secured, live_list)  # type: ignore[assignment, method-assign]

    @app.while_serving
    async def lifespan() -> AsyncGenerator[None, None]:
        await database.open()
        async with live_list.run():
            yield
        await database.close()
        password_hasher.close()

    return app
