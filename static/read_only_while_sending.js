// Makes the fields of a form read-only while it is sent: hx-disable would take the focus away from them.
const setReadOnly = (form, readOnly) => {
  if (form.method !== "post") return;
  for (const input of form.querySelectorAll("input")) input.readOnly = readOnly;
};

htmx.on("htmx:before:request", ({ target }) => setReadOnly(target, true));
htmx.on("htmx:finally:request", ({ target }) => setReadOnly(target, false));
