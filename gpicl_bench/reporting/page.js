// Copies a text to the clipboard; where a page may not, selects it, so that the keyboard can.
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.from);
    const said = button.parentElement.querySelector(".said");
    let copied = false;
    try {
      await navigator.clipboard.writeText(text.textContent);
      copied = true;
    } catch {
      const selection = getSelection();
      selection.removeAllRanges();
      const range = document.createRange();
      range.selectNodeContents(text);
      selection.addRange(range);
      try {
        copied = document.execCommand("copy");
      } catch {
        copied = false;
      }
    }
    said.textContent = copied ? "copied" : "selected: press Ctrl+C or ⌘C";
  });
}
