// The pages work without this. With it, what changes is read again every few seconds, and one box selects all.
(function () {
  "use strict";
  var live = document.querySelector("[data-live]");
  if (live) {
    var seconds = Number(live.getAttribute("data-live"));
    window.setInterval(function () {
      // Nothing moves under a reader's hand, or behind his back.
      if (document.hidden || live.contains(document.activeElement)) { return; }
      window.fetch(window.location.href, { credentials: "same-origin" }).then(function (answer) {
        return answer.ok ? answer.text() : null;
      }).then(function (text) {
        var fresh = text && new DOMParser().parseFromString(text, "text/html").querySelector("[data-live]");
        if (fresh && !live.contains(document.activeElement)) { live.innerHTML = fresh.innerHTML; }
      }).catch(function () { /* The next time will tell. */ });
    }, seconds * 1000);
  }
  var all = document.getElementById("pgq-select-all");
  if (all) {
    all.hidden = false;
    all.addEventListener("change", function () {
      document.querySelectorAll("input[name=id][type=checkbox]").forEach(function (box) { box.checked = all.checked; });
    });
  }
}());
