// Sends no request while an input method composes text, for example Chinese: hx-trigger takes it as typed.
let textBeforeComposition;

// Used by search.js too: all scripts are one module, see web/static_files.py.
const isComposing = () => textBeforeComposition !== undefined;

// Android keyboards compose every word, so a search would wait for the end of each word.
if (!navigator.userAgent.includes("Android")) {
  const stopWhileComposing = (event) => event.isComposing && event.stopImmediatePropagation();
  document.addEventListener("input", stopWhileComposing, true); // before HTMX gets the event
  htmx.on("compositionstart", ({ target }) => {
    textBeforeComposition = target.value;
  });
  htmx.on("compositionend", ({ target }) => {
    if (target.value !== textBeforeComposition) target.dispatchEvent(new Event("input", { bubbles: true }));
    textBeforeComposition = undefined;
  });
}
