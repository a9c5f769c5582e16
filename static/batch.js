// Sends the pasted batch to the API as it is, and shows what it answers next to it.
"use strict";

{
  const MOST_ERRORS = 50;
  const form = document.getElementById("batch");
  const answer = document.getElementById("batch-answer");
  const button = form.querySelector("button");

  const element = (name, text, attributes = {}) => {
    const node = document.createElement(name);
    node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };

  // "/3/user" is the user of the fourth job: people count from one.
  const place = (pointer) => {
    const parts = pointer.split("/").slice(1);
    const job = /^\d+$/.test(parts[0]) ? [`Job ${Number(parts.shift()) + 1}`] : [];
    return [...job, parts.join(" › ")].filter(Boolean).join(", ");
  };

  const refused = (problem, status) => {
    const errors = problem.errors ?? [];
    const title = errors.length
      ? `Nothing was submitted: ${errors.length} ${errors.length === 1 ? "fault" : "faults"}`
      : `Nothing was submitted: ${problem.detail ?? problem.title ?? `the server answered ${status}`}`;
    const list = element("ul", "");
    for (const { pointer, detail } of errors.slice(0, MOST_ERRORS)) {
      const item = element("li", "");
      const where = place(pointer);
      if (where) item.append(element("b", where), " ");
      item.append(detail);
      list.append(item);
    }
    if (errors.length > MOST_ERRORS) list.append(element("li", `and ${errors.length - MOST_ERRORS} more`));
    return [element("p", title, { class: "answer-title" }), ...(errors.length ? [list] : [])];
  };

  const accepted = (created) => {
    const jobs = Array.isArray(created) ? created : [created];
    if (!jobs.length) return [element("p", "The list is empty: nothing to submit.", { class: "answer-title" })];
    const title = element("p", `${jobs.length} ${jobs.length === 1 ? "job" : "jobs"} submitted: `, { class: "answer-title" });
    title.append(element("a", `#${jobs[0].id}`, { href: `${form.getAttribute("action")}/${jobs[0].id}` }));
    if (jobs.length > 1) {
      const last = jobs[jobs.length - 1];
      title.append(" to ", element("a", `#${last.id}`, { href: `${form.getAttribute("action")}/${last.id}` }));
    }
    return [title];
  };

  const show = (kind, nodes) => {
    answer.className = `answer ${kind}`;
    answer.replaceChildren(...nodes);
  };

  // When an answer is lost nobody knows whether the jobs were taken: sent again under the same key they are taken once.
  let key = null;
  form.elements.jobs.addEventListener("input", () => { key = null; });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    key ??= `${Date.now()}-${Math.random()}`;
    try {
      const response = await fetch(form.action, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json", "Idempotency-Key": key },
        body: form.elements.jobs.value,
      });
      const body = await response.json().catch(() => ({}));
      key = null;
      if (response.ok) {
        show("good", accepted(body));
        form.reset(); // what is still there would be submitted twice by a second press
        document.getElementById("live")?.dispatchEvent(new Event("refresh"));
      } else {
        show("bad", refused(body, response.status));
      }
    } catch {
      show("bad", [element("p", "No answer came. Submit again: it is safe, what was taken is not taken twice.", { class: "answer-title" })]);
    } finally {
      button.disabled = false;
    }
  });
}
