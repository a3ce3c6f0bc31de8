// The search runs in a worker, and a page that was opened from a folder may start none: there this one stands in,
// the same program in a hidden frame. (The plugin `offline` would fetch another from the network; it knows ours by name.)
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(program) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.ready = new Promise((resolve) => {
        frame.addEventListener("load", () => {
          const inside = frame.contentWindow;
          inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          const script = inside.document.createElement("script");
          script.src = program;
          script.addEventListener("load", () => resolve(inside));
          inside.document.head.append(script);
        });
      });
      frame.srcdoc = "<!doctype html><title>search</title>";
      document.documentElement.append(frame);
    }

    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
}
