// Shows "Live" or "Connecting…", and reconnects when needed: hx-sse has events for this, but no attributes.
// It cannot notice either that a connection which still looks open has gone silent.
const SILENCE_LIMIT = 35_000; // milliseconds; the server sends something every 15 seconds
let connection;
let silenceTimer;

// Used by other scripts too: all of them are one module, see web/static_files.py.
const isEventStream = ({ target }) => target.id === "event-stream";

const showConnected = (connected) => {
  htmx.find("#live").hidden = !connected;
  htmx.find("#connecting").hidden = connected;
};

const reconnect = () => connection?.reader?.cancel();

const restartSilenceTimer = ({ detail }) => {
  connection = detail.connection;
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(reconnect, SILENCE_LIMIT);
};

// A hidden page needs no connection, and a browser opens only six to one server over HTTP/1.1.
htmx.on("htmx:before:request", (event) => {
  if (isEventStream(event) && document.hidden) event.preventDefault();
});

htmx.on("htmx:sse:before:connection", () => showConnected(false));
htmx.on("htmx:sse:after:connection", (event) => {
  restartSilenceTimer(event);
  showConnected(true);
});
htmx.on("htmx:sse:after:message", restartSilenceTimer);
window.addEventListener("offline", reconnect);
