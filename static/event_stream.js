// Shows "Live" or "Connecting…", and reconnects when needed: hx-sse has events for this, but no attributes.
// It takes any answer to a reconnection for a stream, and does not notice a connection that has gone silent.
const SILENCE_LIMIT = 35_000; // milliseconds; the server sends something at once, and every 15 seconds
const STEADY_AFTER = 4_000; // the pause grows while connections end sooner, up to sse.reconnectMaxDelay
const SHORTEST_PAUSE = 500;
let connection, silenceTimer, steadyTimer;

// Used by other scripts too: all of them are one module, see web/static_files.py.
const isEventStream = ({ target }) => target.id === "event-stream";

const showConnected = (connected) => {
  const wasConnected = !htmx.find("#live").hidden;
  htmx.find("#live").hidden = !connected;
  htmx.find("#connecting").hidden = connected;
  if (connected && !wasConnected) htmx.trigger("#event-stream", "live");
};

const reconnect = () => connection?.reader?.cancel();

const restartSilenceTimer = () => {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(reconnect, SILENCE_LIMIT);
};

const resetPause = () => {
  if (connection) connection.config.reconnectDelay = SHORTEST_PAUSE;
};

// A hidden page needs no connection, and a browser opens only six to one server over HTTP/1.1.
htmx.on("htmx:before:request", (event) => {
  if (isEventStream(event) && document.hidden) event.preventDefault();
});
htmx.on("visibilitychange", resetPause);

// The extension takes over a first response that is an event stream. Any other one would be swapped in.
htmx.on("htmx:error", (event) => isEventStream(event) && showConnected(false));
htmx.on("htmx:before:response", (event) => {
  if (!isEventStream(event)) return;
  event.preventDefault();
  event.detail.ctx.request.abort(); // it may be endless
  showConnected(false);
});

htmx.on("htmx:sse:before:connection", () => {
  clearTimeout(steadyTimer);
  showConnected(false);
});
htmx.on("htmx:sse:after:connection", ({ detail }) => {
  connection = detail.connection;
  connection.config.reconnectDelay *= 2;
  steadyTimer = setTimeout(resetPause, STEADY_AFTER);
  restartSilenceTimer();
});
htmx.on("htmx:sse:after:message", () => {
  restartSilenceTimer();
  showConnected(true);
});
window.addEventListener("offline", reconnect);
