// The part of a page with the id "live" asks for itself again and again (htmx does it). This adds when it should not:
// while the tab is hidden, and while somebody has paused it. It also says so when the server does not answer.
"use strict";

{
  const pause = document.getElementById("pause");
  const state = document.getElementById("live-state");
  const live = () => document.getElementById("live");
  let paused = false;

  const say = (name, text) => {
    if (state.dataset.state === name) return;
    state.dataset.state = name;
    state.textContent = text;
  };

  if (live()?.dataset.hxGet) {
    pause.hidden = state.hidden = false;
  }

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume updates" : "Pause updates";
    say(paused ? "paused" : "live", paused ? "Paused" : "Live");
    if (!paused) live().dispatchEvent(new Event("refresh"));
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) live()?.dispatchEvent(new Event("refresh"));
  });

  document.addEventListener("htmx:before:request", (event) => {
    if (document.hidden || paused) event.preventDefault();
  });

  const lost = () => say("lost", "No answer, trying again");
  document.addEventListener("htmx:error", lost);
  document.addEventListener("htmx:after:request", (event) => {
    if (event.detail.ctx.response.status >= 400) lost();
    else if (!paused) say("live", "Live");
  });

  // A job that has ended comes back without the wish to be asked for again.
  document.addEventListener("htmx:after:swap", () => {
    if (!live().dataset.hxGet) pause.hidden = state.hidden = true;
  });
}
