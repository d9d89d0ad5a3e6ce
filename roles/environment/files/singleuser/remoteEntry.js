// SPDX-License-Identifier: GPL-3.0-or-later
// Tell when the server is stopped for its age. An extension of JupyterLab and Notebook 7 in the form in which they load
// those that were built before: https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html
(() => {
  const NAME = "libcloudspawner-stop-notice";
  const LOOK_EVERY_MILLISECONDS = 10_000;
  const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

  // What LibcloudSpawner said at the start of the server, by libcloudspawner_stop_notice.py.
  const told = () => {
    const page = document.getElementById("jupyter-config-data");
    const text = page && JSON.parse(page.textContent).libcloudspawnerStop;
    return text ? JSON.parse(text) : null;
  };

  const inWords = (seconds) => {
    const [unit, size] = UNITS.find(([, size]) => seconds >= size) || UNITS.at(-1);
    const format = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 1 };
    return new Intl.NumberFormat("en", format).format(seconds / size);
  };

  const clock = (seconds) => {
    const time = new Date(seconds * 1000);
    const weekday = time.toDateString() === new Date().toDateString() ? {} : { weekday: "short" };
    return time.toLocaleTimeString([], { ...weekday, hour: "numeric", minute: "2-digit" });
  };

  // JupyterLab shows no more than 140 characters.
  const message = ({ at, every, max_age, keeps_files }) => {
    const [first, last] = [clock(at), clock(at + every)];
    const when = first === last ? `at ${first}` : `between ${first} and ${last}`;
    const files = keeps_files ? "Save your work: kernels end." : "Files are deleted: download what you need.";
    return `Your server stops ${when}: servers run for ${inWords(max_age)} at most. ${files}`;
  };

  const activate = (app) => {
    const stop = told();
    if (!stop) return;
    app.restored.then(() => {
      const look = () => {
        if (Date.now() < (stop.at - stop.notice) * 1000) return;
        clearInterval(timer);
        const notification = { message: message(stop), type: "warning", options: { autoClose: false } };
        // JupyterLab 3 has no such command.
        app.commands.execute("apputils:notify", notification).catch(() => {});
      };
      // No long timer, which would stand still while the computer sleeps, and no request, which would count as use.
      const timer = setInterval(look, LOOK_EVERY_MILLISECONDS);
      look();
    });
  };

  const plugin = { id: `${NAME}:plugin`, autoStart: true, activate };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = { init: async () => {}, get: async () => () => plugin };
})();
