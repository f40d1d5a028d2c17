// Small building blocks. Text from a record only ever becomes text nodes.

// el makes an element: props are attributes, "text" is its text.
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "onclick") node.addEventListener("click", value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return node;
}

const locale = /^en\b/i.test(navigator.language) ? navigator.language : "en-US";
const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric" });
const longDay = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const month = new Intl.DateTimeFormat(locale, { month: "short", year: "numeric" });
const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
const shortMonth = new Intl.DateTimeFormat(locale, { month: "short" });

// parse reads a FHIR date, dateTime or instant. A bare date is a day on the
// wall calendar: reading it as UTC midnight would show the day before in the
// Americas.
export function parse(value) {
  const m = /^(\d{4})(?:-(\d\d)(?:-(\d\d))?)?$/.exec(value ?? "");
  const date = m ? new Date(Number(m[1]), Number(m[2] ?? 1) - 1, Number(m[3] ?? 1)) : new Date(value ?? NaN);
  return Number.isNaN(date.getTime()) ? null : date;
}

export function when(value) {
  const date = parse(value);
  if (!date) return "Date not known";
  if (value.length === 4) return value;
  return value.length === 7 ? month.format(date) : day.format(date);
}

export function whenLong(value) {
  const date = parse(value);
  return date ? longDay.format(date) : "Date not known";
}

export function time(value) {
  const date = parse(value);
  return date && value.length > 10 ? clock.format(date) : "";
}

// hours gives "9:00 – 9:30 AM"; formatRange says AM and PM only where needed.
export function hours(start, end) {
  const [a, b] = [parse(start), parse(end)];
  if (!a || start.length <= 10) return "";
  return b && b > a ? clock.formatRange(a, b) : clock.format(a);
}

export function dayOf(value) {
  const date = parse(value);
  return date ? { day: String(date.getDate()), month: shortMonth.format(date), year: String(date.getFullYear()) } : null;
}

export function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone ?? "your time";
}

export function pill(text, kind) {
  return el("span", { class: `pill ${kind}`, text });
}

// state is a panel in place of content: loading, empty, not shared, failed.
export function state(kind, title, text, ...more) {
  return el("div", { class: `state ${kind}` }, el("p", { class: "state-title", text: title }), text ? el("p", { text }) : null, ...more);
}
